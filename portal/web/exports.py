"""Lists as CSV, safe to open in a spreadsheet, and as JSON. Rooms register theirs; one view answers for all.

An export has the rows and the order of its list, under the same filters, and all its pages. It is recorded,
and so is asked for by POST.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, cast

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.functional import Promise
from django.views.decorators.http import require_POST

from portal.audit.export import BYTE_ORDER_MARK, Echo, file_name, safe
from portal.audit.labels import name_filters, name_values
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor, record
from portal.no_secrets import Form
from portal.web.lists import Orders

BATCH = 500
ENGLISH = "en"
Row = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Export:
    """One list: who may have it, which rows fit the filters of an address, and what is said of each."""

    name: str
    title: Promise
    """As people read it: of the page that has the list."""
    permission: str
    columns: Sequence[str]
    filters: Callable[[QueryDict], Any] = Form  # Any: a form, or `portal.web.filters.Filters`
    """The filters of the page, from an address; without any, an address narrows nothing."""
    select: Callable[[Any], "QuerySet[Any, Any] | Sequence[Any]"] = attrgetter("qs")  # Any: as above
    """Return the rows that fit valid filters, in the order of the page.

    What is computed and has no rows of its own is a sequence of whatever `rows` takes instead of keys.
    """
    orders: Orders | None = None
    """By what the address may order them, where it may."""
    rows: Callable[[Sequence[Any]], Iterable[Row]]  # Any: keys of the rows
    """Return what is said of the objects with these keys, in their order; a constant number of queries.

    Values are codes rather than words, numbers, moments, what people entered, or lists of these.
    """


_exports: dict[str, Export] = {}


def register(export: Export) -> None:
    """Let `list_export` hand out one more list, and the history call it by its title."""
    _exports[export.name] = export
    name_values("list", [(export.name, export.title)])
    name_filters(export.name, lambda: _form(export))


def _form(export: Export) -> Any:  # Any: a form, whichever the list has
    filters = export.filters(QueryDict())
    return getattr(filters, "form", filters)


def in_order(rows: "QuerySet[Any, Any]", keys: Sequence[Any]) -> list[Any]:  # Any: of whichever model
    """Return the rows with these keys, in the order of the keys; one that is gone meanwhile is left out."""
    found = rows.order_by().in_bulk(keys)
    return [found[key] for key in keys if key in found]


def values(row: object, names: Iterable[str]) -> dict[str, object]:
    """Return what a row has in the columns that are called as its attributes are."""
    return {name: getattr(row, name) for name in names}


@require_POST
def list_export(request: HttpRequest, name: str) -> HttpResponseBase:
    """Hand out one list with the filters of the address, as CSV, or as JSON with `format=json`."""
    export = _exports.get(name)
    if export is None:
        raise Http404
    if not request.user.has_perm(export.permission):
        raise PermissionDenied
    filters = export.filters(request.GET)
    if not filters.is_valid():  # more rows than were asked for would go unnoticed
        return HttpResponse(filters.errors.as_text(), status=400, content_type="text/plain; charset=utf-8")
    keys = _keys(export, filters, request.GET)
    as_json = request.POST.get("format") == "json"
    event = _remember(export, filters, len(keys), as_json=as_json, actor=Actor.of(request))
    kind = "json" if as_json else "csv"
    response = StreamingHttpResponse(
        _as_json(export, keys, event) if as_json else _as_csv(export, keys),
        content_type="application/json" if as_json else "text/csv; charset=utf-8",
    )
    as_of = filters.cleaned_data.get("at")
    called = file_name(
        name.replace("_", "-"),
        kind,
        is_narrowed=not _filters(event).keys() <= {"at"},
        as_of=as_of if isinstance(as_of, datetime) else None,
    )
    response["Content-Disposition"] = f'attachment; filename="{called}"'
    return response


def _filters(event: AuditEvent) -> dict[str, str]:
    """Return the filters as they were recorded."""
    return cast("dict[str, str]", event.details["filters"])


def _keys(export: Export, filters: Any, query: QueryDict) -> list[Any]:  # Any: what `rows` takes
    selected = export.select(filters)
    if not isinstance(selected, QuerySet):
        return list(selected)
    if export.orders:
        selected = selected.order_by(*export.orders.of(query).fields)
    return list(selected.values_list("pk", flat=True))


@transaction.atomic
def _remember(export: Export, filters: Any, count: int, *, as_json: bool, actor: Actor) -> AuditEvent:
    chosen = filters.cleaned_data.items()
    narrowed = {name: _recorded(value) for name, value in chosen if value not in (None, "", False)}
    details = {
        "list": export.name,
        "filters": narrowed,
        "objects": count,
        "format": "json" if as_json else "csv",
    }
    return record("list.exported", actor=actor, details=details)


def _recorded(value: object) -> str:
    return str(value.pk if isinstance(value, Model) else _plain(value))


def _batches(export: Export, keys: Sequence[object]) -> Iterator[list[Row]]:
    """Read by keys: memory stays flat, and no transaction stays open while a client is slow.

    What is said in words is English in every file: a file goes to other readers than who asked for it.
    """
    for start in range(0, len(keys), BATCH):
        with translation.override(ENGLISH):
            rows = [_english(row) for row in export.rows(keys[start : start + BATCH])]
        yield rows


def _english(row: Row) -> Row:
    return {name: str(value) if isinstance(value, Promise) else value for name, value in row.items()}


def _as_csv(export: Export, keys: Sequence[object]) -> Iterator[str]:
    writer = csv.writer(Echo(), quoting=csv.QUOTE_ALL)
    yield BYTE_ORDER_MARK + str(writer.writerow(export.columns))
    for rows in _batches(export, keys):
        lines = ([safe(_text(row[column])) for column in export.columns] for row in rows)
        yield "".join(str(writer.writerow(line)) for line in lines)


def _as_json(export: Export, keys: Sequence[object], event: AuditEvent) -> Iterator[str]:
    """Yield one document, with a line for each row; it says of itself what the history recorded."""
    about = {
        "list": export.name,
        "made": _plain(event.at),
        "by": event.actor_name,
        "filters": _filters(event),
    }
    yield json.dumps(about, ensure_ascii=False)[:-1] + ', "rows": [\n'
    start = ""
    for rows in _batches(export, keys):
        for row in rows:
            yield start + json.dumps({name: _plain(row[name]) for name in export.columns}, ensure_ascii=False)
            start = ",\n"
    yield "\n]}\n"


def _plain(value: object) -> object:
    """Return a value that JSON has; moments in UTC, whatever else by its text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):  # a difference of two moments has more digits than anybody measured
        return round(value, 3)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _text(value: object) -> str:
    """Return the text of a cell; what is listed in one is separated by blanks, which no code or name has."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(map(_text, value))
    return "" if value is None else str(_plain(value))
