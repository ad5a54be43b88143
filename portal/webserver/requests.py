"""Requests as they come in: Waitress's parser, with bounds that depend on who sends the body."""

import threading
from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from types import SimpleNamespace
from typing import Any

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError, TransferEncodingNotImplemented
from waitress.utilities import Error, RequestEntityTooLarge

from portal.web import tickets
from portal.web.tickets import Ticket
from portal.webserver import limits


class TooBusy(Error):
    """There is no place for another large body."""

    code = 503
    reason = "Service Unavailable"


@dataclass
class Places:
    """How many large bodies this process holds in memory, by the ticket that let them in."""

    room = {Ticket.PERSON: limits.PERSON_PLACES, Ticket.IMPORTER: limits.IMPORT_PLACES}
    taken: Counter[Ticket] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, ticket: Ticket) -> bool:
        """Take a place for a body; False if there is none."""
        with self._lock:
            if self.taken[ticket] >= self.room[ticket]:
                return False
            self.taken[ticket] += 1
            return True

    def give_back(self, ticket: Ticket) -> None:
        with self._lock:
            self.taken[ticket] -= 1


places = Places()


class Discarded:
    """Receives a body that is refused, and keeps nothing of it.

    Who closes a connection while the client still sends makes it lose the answer.
    """

    error = None

    def __init__(self, length: int) -> None:
        self._rest = length

    @property
    def completed(self) -> bool:
        return self._rest <= 0

    def __len__(self) -> int:
        return 0

    def received(self, data: bytes) -> int:
        """Take what belongs to the body, and return how much that was."""
        size = min(len(data), self._rest)
        self._rest -= size
        return size

    def getfile(self) -> BytesIO:
        return BytesIO()

    def getbuf(self) -> "Discarded":
        return self

    def close(self) -> None:
        """Nothing is held."""


class Request(HTTPRequestParser):
    """One request. `close` gives its place back; whatever becomes of a request, it is called."""

    adj: Any  # Waitress's own, without types
    body_rcv: Any
    headers: dict[str, str]
    content_length: int
    expect_continue: bool
    chunked: bool
    # Waitress knows these once it has parsed the first line; an answer to a broken one needs them too.
    command, path, query, request_uri, url_scheme = "GET", "/", "", "/", "http"

    def __init__(self, adj: Adjustments) -> None:
        super().__init__(adj)
        self._place: Ticket | None = None

    @property
    def is_large(self) -> bool:
        """Whether its body has one of the places for large ones."""
        return self._place is not None

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the headers, and decide how large the body may be. `ParsingError` if they are no headers."""
        try:
            super().parse_header(header_plus)
        except (ParsingError, TransferEncodingNotImplemented):
            raise
        except ValueError as error:  # a length of 5,000 digits, an address in brackets that are not closed
            raise ParsingError("Invalid request") from error
        if "TRANSFER_ENCODING" in self.headers or (self.chunked and "CONTENT_LENGTH" in self.headers):
            raise ParsingError("The length of the body is said twice")  # a proxy might believe the other one
        self._bound_body()

    def _bound_body(self) -> None:
        limit = limits.STRANGER_BYTES
        if self.content_length > limit and (ticket := tickets.of_header(self.headers.get("COOKIE", ""))):
            is_import = ticket == Ticket.IMPORTER and self.content_length > limits.PERSON_BYTES
            limit = limits.IMPORT_BYTES if is_import else limits.PERSON_BYTES
            if self.content_length <= limit:
                self._take_place(Ticket.IMPORTER if is_import else Ticket.PERSON)
        if self.content_length > limit:
            self.error = RequestEntityTooLarge("")
        if self.error:
            self._discard_body()
        self.adj = SimpleNamespace(
            max_request_header_size=self.adj.max_request_header_size,
            max_request_body_size=max(limit, self.content_length if self.body_rcv else 0) + 1,
            inbuf_overflow=self.adj.inbuf_overflow,
            url_scheme=self.adj.url_scheme,
        )

    def _take_place(self, ticket: Ticket) -> None:
        if places.take(ticket):
            self._place = ticket
        else:
            self.error = TooBusy("")

    def _discard_body(self) -> None:
        """Let the body come and drop it; not if it would never end, or if the client waits for our word."""
        if self.content_length > limits.DISCARDED_BYTES or self.expect_continue:
            self.expect_continue, self.body_rcv = False, None  # the request ends here
            self.content_length, self.connection_close = 0, True
        else:
            self.body_rcv = Discarded(self.content_length)

    def close(self) -> None:
        super().close()
        self.give_place_back()

    def give_place_back(self) -> None:
        """Let another large body in; safe to repeat."""
        place, self._place = self._place, None
        if place:
            places.give_back(place)


class Dropped(Request):
    """What comes behind a request before that was answered. No browser and no proxy of today sends it.

    Answering it would let one client fill a thread's answers without reading any of them.
    """

    empty = True

    def __init__(self, adj: Adjustments, before: Request) -> None:
        super().__init__(adj)
        self._before = before

    def received(self, data: bytes) -> int:
        """Take all. But for an old browser's line break, the connection ends after the request before."""
        self.completed = True
        if data.strip(b"\r\n"):
            self._before.headers["CONNECTION"] = "close"
        return len(data)
