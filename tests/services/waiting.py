"""Waiting for a state with a deadline, instead of sleeping for luck; and ports to wait on."""

import random
import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.02
# Below Linux's ephemeral range (32768 and up): from there, any outgoing connection may take the
# port between our look and the server's bind.
_FIRST_PORT, _LAST_PORT = 20_000, 32_767
# pytest-randomly seeds the shared generator alike in every xdist worker: they would pick the same ports.
_random = random.SystemRandom()


class DeadlineExceededError(AssertionError):
    """A state that a test waited for did not come in time."""


def wait_until(
    condition: Callable[[], T], *, within: float, what: str, hint: Callable[[], str] | None = None
) -> T:
    """The condition's first true answer.

    Asks until `within` seconds have passed, at least twice, then fails naming `what`, the last
    answer and the `hint` (a log's last lines, say). An exception of the condition goes through.
    """
    deadline = time.monotonic() + within
    while True:
        over = time.monotonic() >= deadline
        answer = condition()
        if answer:
            return answer
        if over:
            break
        time.sleep(_POLL_SECONDS)
    __tracebackhide__ = True
    told = f"\n{hint()}" if hint else ""
    raise DeadlineExceededError(f"waited {within:g} s in vain for {what}; last answer: {answer!r}{told}")


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on at this address right now."""
    while True:
        port = _random.randint(_FIRST_PORT, _LAST_PORT)
        if _can_bind(host, port):
            return port


def _can_bind(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def accepts_connections(host: str, port: int) -> bool:
    """Whether something answers a TCP connection there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
