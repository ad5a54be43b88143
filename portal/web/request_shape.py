"""What a request must look like before anything of it is parsed: pure functions over a WSGI environment.

Django takes any charset that Python knows, and fails where it is no text encoding; PostgreSQL takes no NUL;
a path or a query that is no UTF-8 becomes something else than was sent. Nobody's browser sends any of these.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from django.utils.http import parse_header_parameters

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
REFUSED = "portal.refused"
"""The key in an environment under which a `Misfit` waits; no header can become one of that name."""

_BROKEN_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
QUERY_FIELDS = 1000
TYPE_LENGTH = 500
HOST_LENGTH = 260


@dataclass(frozen=True)
class Misfit:
    """Why a request is refused: a word for the log, and the status of the answer."""

    what: str
    status: int = 400


Environment = dict[str, Any]  # Any: WSGI's own mixture


def misfit(environ: Environment) -> Misfit | None:
    """Return what is wrong with method, headers, path or query of a request; None if nothing is."""
    checks = {
        "method": environ["REQUEST_METHOD"] in METHODS,
        "host": len(environ.get("HTTP_HOST", "")) <= HOST_LENGTH,
        "content type": _is_type(environ.get("CONTENT_TYPE") or ""),
        "content encoding": environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() == "identity",
        "content length": _is_length(environ.get("CONTENT_LENGTH") or "0"),
        "path": _is_path(environ),
        "query": is_encoded(_bytes(environ.get("QUERY_STRING", "")), fields=QUERY_FIELDS),
        "cookie": _is_cookie(environ.get("HTTP_COOKIE", "")),
    }
    return next((Misfit(what) for what, is_fit in checks.items() if not is_fit), None)


def is_encoded(form: bytes, *, fields: int, percents: int | None = None, may_have_nul: bool = False) -> bool:
    """Whether a query or an urlencoded form is UTF-8, with at most this number of fields and of `%`."""
    if form.count(b"&") >= fields or (percents is not None and form.count(b"%") > percents):
        return False
    return not _BROKEN_PERCENT.search(form) and _is_text(unquote_to_bytes(form), may_have_nul=may_have_nul)


def boundary(content_type: str) -> bytes:
    """Return the boundary of a multipart form's type, which `misfit` has let pass."""
    return parse_header_parameters(content_type)[1]["boundary"].encode("ascii")


def _is_type(content_type: str) -> bool:
    if len(content_type) > TYPE_LENGTH or not content_type.isprintable():
        return False
    try:
        kind, parameters = parse_header_parameters(content_type)
    except (ValueError, LookupError):
        return False
    if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        return False
    return kind != "multipart/form-data" or bool(_BOUNDARY.fullmatch(parameters.get("boundary", "")))


def _is_length(length: str) -> bool:
    return length.isascii() and length.isdigit() and len(length) < 20


def _is_path(environ: Environment) -> bool:
    """Servers hand over the path without its percents, and also the line as it came."""
    line = _bytes(environ.get("REQUEST_URI", "")).partition(b"?")[0]
    return _is_text(_bytes(environ.get("PATH_INFO", ""))) and not _BROKEN_PERCENT.search(line)


def _is_cookie(header: str) -> bool:
    return not _CONTROL.search(header) and _is_text(_bytes(header))


def _bytes(text: str) -> bytes:
    """Return what came over the wire: WSGI hands bytes over as Latin-1."""
    return text.encode("latin-1", "replace")


def _is_text(data: bytes, *, may_have_nul: bool = False) -> bool:
    try:
        return "\0" not in data.decode() or may_have_nul
    except UnicodeDecodeError:
        return False
