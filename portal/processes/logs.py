"""Log lines: one per event, with what it is about as fields, and nothing of a client secret's shape."""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO
from uuid import UUID

import environ
from celery import current_app

from portal.plaintext import cut_out

Field = str | int | float | bool | None
_context: ContextVar[Mapping[str, object]] = ContextVar("log_context")
MESSAGE = 2_000  # characters of one line; whatever somebody sends, it is no longer
FIELD = 1_000
TRACEBACK = 6_000
TRACEBACK_LINE = 400
AGAIN = 60.0  # seconds until the same traceback is written in full again
MOST_PLACES = 256
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Add these fields to every line that is logged inside the block, by whatever part of the program."""
    token = _context.set({**_context.get({}), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return what a record carries beyond the attributes that every record has."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class Context(logging.Filter):
    """Gives a record the bound fields, and the id of the Celery task that runs."""

    def filter(self, record: logging.LogRecord) -> bool:
        running = current_app.current_task
        task = {"task": running.request.id} if running else {}
        for name, value in {**task, **_context.get({})}.items():
            vars(record).setdefault(name, value)
        return True


class Repeated(logging.Filter):
    """Leaves the traceback out where the same place failed within the last minute: the event stays one line.

    Anybody can ask for the same failing page over and over, and a database that is away fails everywhere.
    """

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[tuple[str, str, str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.exc_info or record.exc_info[1] is None:
            return True
        error = record.exc_info[1]
        place = (record.name, type(error).__name__, *_raised_at(error.__traceback__))
        now = time.monotonic()
        if now - self._written.get(place, -AGAIN) < AGAIN:
            record.exc_info = record.exc_text = None
            vars(record).setdefault("repeated", f"{place[1]} at {Path(place[2]).name}:{place[3]}")
        else:
            if len(self._written) >= MOST_PLACES:
                self._written.clear()
            self._written[place] = now
        return True


class Seldom(logging.Filter):
    """Lets the same warning through once a minute, whatever numbers and reasons it names.

    For loggers of what is tried again and again while the database or the broker is away. Errors with their
    tracebacks are not held back: `Repeated` shortens those.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[object, ...], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or record.exc_info:
            return True
        what = (record.name, str(record.msg), vars(record).get("collector"))
        now = time.monotonic()
        if now - self._said.get(what, -AGAIN) < AGAIN:
            return False
        if len(self._said) >= MOST_PLACES:
            self._said.clear()
        self._said[what] = now
        return True


def _raised_at(trace: TracebackType | None) -> tuple[str, int]:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace else ("", 0)


class Refusals(logging.Handler):
    """Puts what Django says about a refused request into that request's own line, as its reason.

    A wrong Host, a missing token against forgery and the like are one short line each, without a traceback.
    """

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(getattr(record, "request", None), "META", None)
        if meta is None:
            logging.getLogger("portal.security").handle(record)
        else:
            meta["portal.refusal"] = record.getMessage()[:200]


class NoSecrets(logging.Filter):
    """The last net: cuts whatever looks like a client secret out of message, traceback and every field.

    A field is text, a number or an id. Whatever else a library hands over (a request with its query, a
    socket) is left out: nobody knows what its text would say.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        record.msg, record.args = _short(cut_out(message), MESSAGE), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text, record.exc_info = _short_trace(cut_out(record.exc_text)), None
        if record.stack_info:
            record.stack_info = _short_trace(cut_out(record.stack_info))
        for name, value in fields_of(record).items():
            plain = _plain(value)
            if plain is None:
                delattr(record, name)
            else:
                setattr(record, name, plain)
        return True


def _plain(value: object) -> Field:
    if isinstance(value, str | UUID):
        return _short(cut_out(str(value)), FIELD)
    return value if isinstance(value, int | float) else None


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def _short_trace(text: str) -> str:
    """Return the end of a traceback, which says what happened, and its beginning if there is room."""
    text = "\n".join(_short(line, TRACEBACK_LINE) for line in text.split("\n"))
    if len(text) <= TRACEBACK:
        return text
    return f"{text[: TRACEBACK // 4]}\n…\n{text[-TRACEBACK * 3 // 4 :]}"


class Text(logging.Formatter):
    """Lines for people at a terminal: the fields behind the message, a traceback indented below it.

    Nothing that was logged can begin a line of its own, or steer the terminal.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        fields = "".join(f" {name}={value}" for name, value in sorted(fields_of(record).items()))
        return _one_line(super().formatMessage(record) + fields)

    def format(self, record: logging.LogRecord) -> str:
        first, *below = super().format(record).split("\n")
        return "\n".join([first, *(f"    {_one_line(line)}" for line in below)])


def _one_line(text: str) -> str:
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class Lines:
    """A stream that makes log lines of what is written to it past the log, such as a command's output.

    What one call writes up to its last line break is one event. Lines that are JSON already go through.
    """

    def __init__(self, stream: TextIO, level: int) -> None:
        self._stream = stream
        self._level = level
        self._rest = ""
        self._lock = threading.RLock()
        self.encoding = stream.encoding
        self.errors = stream.errors

    def write(self, text: str) -> int:
        if text.startswith('{"'):
            return self._stream.write(text)
        with self._lock:
            whole, line_break, self._rest = (self._rest + text).rpartition("\n")
        if line_break and whole.strip():
            logging.getLogger("portal.output").log(self._level, "%s", whole.strip())
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


def nothing_but_json() -> None:
    """Let this process write nothing but JSON lines, if LOG_FORMAT asks for them.

    For processes whose output is a log: web server, worker, scheduler, and commands of a deployment. What
    goes to a terminal is for a person and stays as it is.
    """
    file = Path(__file__).resolve().parent.parent / ".env"
    if file.exists():
        environ.Env.read_env(file)  # as the settings will
    if os.environ.get("LOG_FORMAT") != "json" or isinstance(sys.stderr, Lines):
        return
    from pythonjsonlogger.json import JsonFormatter  # not needed for people's own commands

    early = logging.StreamHandler(sys.stderr)  # until the settings are read, which may fail
    early.setFormatter(JsonFormatter(**JSON))
    for each in (Context(), Repeated(), NoSecrets()):
        early.addFilter(each)
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(early)
    sys.excepthook = _ended_by
    threading.excepthook = lambda args: _ended_by(
        args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
    )
    if not sys.stdout.isatty():
        sys.stdout = Lines(sys.stdout, logging.INFO)
    if not sys.stderr.isatty():
        sys.stderr = Lines(sys.stderr, logging.ERROR)


def _ended_by(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logging.getLogger("portal.output").critical("ended by an error", exc_info=(kind, error, trace))


JSON: dict[str, Any] = {
    "fmt": ["levelname", "name", "process", "message"],
    "rename_fields": {
        "levelname": "level",
        "name": "logger",
        "process": "pid",
        "exc_info": "exception",
        "stack_info": "stack",
    },
    "timestamp": "time",
}
"""How python-json-logger names what a line has."""
