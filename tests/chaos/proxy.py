"""A TCP proxy in front of one server, to be disturbed per direction while connections pass through it.

All proxies live in one event loop in a thread of its own; everybody else calls the methods of `Proxy`.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

T = TypeVar("T")

Way = Literal["in", "out"]
"""Towards the server, and back."""
Mode = Literal["pass", "hold", "drop", "drip"]
"""Pass on; keep until it passes again; swallow; one byte at a time."""
WAYS: tuple[Way, Way] = ("in", "out")
NEW_KEYS = b"\x00\x00\x00\x0c\x0a\x15"
"""How the packet begins after which everything in SSH is encrypted (RFC 4253: length, padding, 21)."""
DRIP_SECONDS = 0.15
CALL_SECONDS = 10.0
PIECE = 65536
ABORT = struct.pack("ii", 1, 0)


class Loop:
    """The thread in which all proxies live."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def run(self, doing: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(doing, self.loop).result(CALL_SECONDS)

    def close(self) -> None:
        self.run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CALL_SECONDS)
        self.loop.close()

    async def _cancel_all(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # An aborted transport closes its socket one turn of the loop later.
        for _ in range(3):
            await asyncio.sleep(0)


@dataclass
class Valve:
    """What happens to one direction. `after_keys` holds what follows SSH's key exchange, `pieces` all but
    the next so many pieces.
    """

    mode: Mode = "pass"
    after_keys: bool = False
    pieces: int | None = None


class Pipe:
    """One direction of one connection."""

    def __init__(self, valve: Valve) -> None:
        self.valve = valve
        self.passed = 0
        self.held = 0
        self._ended = False
        self._changed = asyncio.Event()

    def set(self, mode: Mode) -> None:
        self.valve = Valve(mode)
        self._changed.set()

    def end(self) -> None:
        """Wait for nothing any more: the connection is over."""
        self._ended = True
        self._changed.set()

    async def run(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(PIECE):
                await self._pass_on(data, sink)
            await self._wait_while("hold", "drop")  # a swallowed farewell is not heard either
            sink.write_eof()
        except OSError:
            _reset(sink)

    async def _pass_on(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        self.held = len(data)
        await self._wait_while("hold")
        self.held = 0
        if self.valve.mode == "drop":
            return
        await self._write(data, sink)
        self.passed += len(data)
        self._spring_traps(data)

    def _spring_traps(self, data: bytes) -> None:
        valve = self.valve
        if valve.after_keys and NEW_KEYS in data:
            self.valve = Valve("hold")
        elif valve.pieces is not None:
            left = valve.pieces - 1
            self.valve = replace(valve, pieces=left) if left > 0 else Valve("hold")

    async def _wait_while(self, *modes: Mode) -> None:
        while self.valve.mode in modes and not self._ended:
            self._changed.clear()
            await self._changed.wait()

    async def _write(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        while data and self.valve.mode == "drip":
            sink.write(data[:1])
            await sink.drain()
            data = data[1:]
            await asyncio.sleep(DRIP_SECONDS)
        if self.valve.mode == "drop":
            return
        sink.write(data)
        await sink.drain()


@dataclass
class Link:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    pipes: dict[Way, Pipe]
    server: asyncio.StreamWriter | None = None

    def abort(self) -> None:
        for pipe in self.pipes.values():
            pipe.end()
        for writer in (self.client, self.server):
            if writer is not None:
                _reset(writer)


class Proxy:
    """One listener and the connections through it."""

    def __init__(self, loop: Loop, *, host: str, port: int, server: tuple[str, int]) -> None:
        self.host, self.port = host, port
        self.accepted = 0
        self.most_open = 0
        self._loop = loop
        self._server = server
        self._links: list[Link] = []
        self._entry: dict[Way, Valve] = {way: Valve() for way in WAYS}
        self._listener: asyncio.Server | None = None

    def listen(self) -> None:
        self._loop.run(self._listen())

    def refuse(self) -> None:
        """Reset every connection and accept none until `listen`."""
        self._loop.run(self._stop_listening())
        self.reset()

    def reset(self) -> None:
        """Break every connection."""

        def abort() -> None:
            for link in self._links:
                link.abort()

        self._call(abort)

    def set(self, mode: Mode, ways: tuple[Way, ...] = WAYS) -> None:
        """Treat the connections that exist in this way; in the other direction they pass."""

        def apply() -> None:
            for link in self._links:
                for way, pipe in link.pipes.items():
                    pipe.set(mode if way in ways else "pass")

        self._call(apply)

    def set_entry(self, mode: Mode, ways: tuple[Way, ...] = WAYS, *, after_keys: bool = False) -> None:
        """Treat new connections in this way; in the other direction they pass."""
        valves = {way: Valve(mode, after_keys) if way in ways else Valve() for way in WAYS}
        self._call(lambda: self._entry.update(valves))

    def hold_after_pieces(self, count: int) -> None:
        """Let this many more pieces through to the server, then hold that direction."""

        def trap() -> None:
            for link in self._links:
                link.pipes["in"].valve = Valve(pieces=count)

        self._call(trap)

    def heal(self) -> None:
        """Let everything pass: what was held goes out now."""
        self.set_entry("pass")
        self.set("pass")
        self.listen()

    def held(self, way: Way) -> int:
        """How many bytes wait in this direction (of each connection, the first piece counts)."""
        return sum(link.pipes[way].held for link in list(self._links))

    def passed(self, way: Way) -> int:
        """How many bytes of the open connections went through in this direction."""
        return sum(link.pipes[way].passed for link in list(self._links))

    @property
    def client_ports(self) -> list[int]:
        """The local ports of those who are connected through it."""
        found = [link.client.get_extra_info("peername") for link in list(self._links)]
        return [peer[1] for peer in found if peer]

    @property
    def open(self) -> int:
        return len(self._links)

    def close(self) -> None:
        self.refuse()

    def _call(self, doing: Callable[[], object]) -> None:
        async def call() -> None:
            doing()

        self._loop.run(call())

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._connected, self.host, self.port, backlog=200)

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = Link(writer, {way: Pipe(replace(self._entry[way])) for way in WAYS})
        self._links.append(link)
        self.most_open = max(self.most_open, len(self._links))
        try:
            await self._join(link, reader)
        except OSError:
            _reset(writer)
        except asyncio.CancelledError:  # the loop ends, so nothing would be written any more
            link.abort()
            raise
        finally:
            self._links.remove(link)
            for each in (link.client, link.server):
                if each is not None:
                    each.close()

    async def _join(self, link: Link, reader: asyncio.StreamReader) -> None:
        back, link.server = await asyncio.open_connection(*self._server)
        await asyncio.gather(
            link.pipes["in"].run(reader, link.server), link.pipes["out"].run(back, link.client)
        )


@dataclass
class Doors:
    """All proxies before one server, treated alike."""

    proxies: list[Proxy] = field(default_factory=list)

    def listen(self) -> None:
        for proxy in self.proxies:
            proxy.listen()

    def refuse(self) -> None:
        for proxy in self.proxies:
            proxy.refuse()

    def hold(self) -> None:
        """Let nothing pass any more, in connections that exist and in new ones: a black hole."""
        for proxy in self.proxies:
            proxy.set_entry("hold")
            proxy.set("hold")

    def heal(self) -> None:
        for proxy in self.proxies:
            proxy.heal()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of a farewell."""
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    writer.transport.abort()
