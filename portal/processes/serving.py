"""Whether what runs now answers a request: then it is in the web process, which never does some things."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_serving: ContextVar[bool] = ContextVar("is_serving", default=False)


@contextmanager
def serving() -> Iterator[None]:
    """Mark what runs inside as an answer to a request."""
    token = _is_serving.set(True)
    try:
        yield
    finally:
        _is_serving.reset(token)


def is_serving() -> bool:
    """Return whether a request is being answered here."""
    return _is_serving.get()
