"""Log lines: one per event, with what it is about as fields, and nothing of a client secret's shape."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

from celery import current_app

from portal.plaintext import cut_out

Field = str | int | float | bool | None
_context: ContextVar[Mapping[str, object]] = ContextVar("log_context")
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


class NoSecrets(logging.Filter):
    """The last net: cuts whatever looks like a client secret out of message, traceback and every field.

    A field is text, a number or an id. Whatever else a library hands over (a request with its query, a
    socket) is left out: nobody knows what its text would say.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        record.msg, record.args = cut_out(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text, record.exc_info = cut_out(record.exc_text), None
        if record.stack_info:
            record.stack_info = cut_out(record.stack_info)
        for name, value in fields_of(record).items():
            plain = _plain(value)
            if plain is None:
                delattr(record, name)
            else:
                setattr(record, name, plain)
        return True


def _plain(value: object) -> Field:
    if isinstance(value, str | UUID):
        return cut_out(str(value))
    return value if isinstance(value, int | float) else None


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
