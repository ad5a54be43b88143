"""The history: everybody's for those who may see it, one's own for the rest."""

import json
import time
from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from portal.audit.export import stream
from portal.audit.forms import HistoryForm, PositionForm, visible_to
from portal.audit.models import Actor, AuditEvent, AuditHead
from portal.audit.services import record_export, record_reading, record_verification
from portal.audit.verification import verify
from portal.audit.words import Line, line_of

PAGE = 50
SAME_READING = 900  # seconds in which the same filters count as one reading
MOST_TO_VERIFY = 200_000  # events; about ten seconds


@dataclass(frozen=True)
class Stretch:
    """One page of the history, and the numbers at which its neighbours begin."""

    lines: list[Line]
    newer: int | None
    older: int | None


@require_GET
@permission_required("audit.view_auditevent", raise_exception=True)
def history(request: HttpRequest) -> HttpResponse:
    """List events, newest first, through filters."""
    form = HistoryForm(request.GET)
    _note_reading(request, form.chosen())
    stretch = _stretch(request, form)
    context = {"form": form, "stretch": stretch, "is_filtered": bool(form.chosen())}
    return render(request, "audit/event_list.html", context)


@require_GET
@permission_required("audit.view_auditevent", raise_exception=True)
def history_event(request: HttpRequest, seq: int) -> HttpResponse:
    """Show one event with all its details."""
    event = get_object_or_404(visible_to(request.user, AuditEvent.objects.all()), seq=seq)
    _note_reading(request, {"event": str(seq)})
    return render(request, "audit/event_detail.html", {"line": line_of(event), "event": event})


@require_POST
@permission_required("audit.export_events", raise_exception=True)
def history_export(request: HttpRequest) -> HttpResponseBase:
    """Send the filtered events as CSV. A POST, since the export itself is recorded."""
    form = HistoryForm(request.GET)
    until = record_export(filters=form.chosen(), actor=Actor.of(request))
    events = form.select(visible_to(request.user, AuditEvent.objects.filter(seq__lt=until.seq)))
    response = StreamingHttpResponse(stream(events), content_type="text/csv; charset=utf-8")
    name = f"history-{timezone.localdate()}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_http_methods(["GET", "POST"])
@permission_required("audit.export_events", raise_exception=True)
def history_verify(request: HttpRequest) -> HttpResponse:
    """Verify the chain on request, and show what the last verification saw."""
    length = AuditHead.objects.get(pk=1).seq
    if request.method == "POST" and length <= MOST_TO_VERIFY:
        record_verification(result=verify(), actor=Actor.of(request))
        return redirect("history_verify")
    if request.method == "POST":
        messages.warning(
            request, _("The history is too long for a page. Run verify_audit on the portal's server.")
        )
    last = AuditEvent.objects.filter(action="history.verified").first()
    context = {"last": last, "length": length, "is_too_long": length > MOST_TO_VERIFY}
    return render(request, "audit/verification.html", context)


def _note_reading(request: HttpRequest, filters: dict[str, str]) -> None:
    """Record a reading once: turning pages or reloading within a quarter of an hour adds nothing."""
    reading = json.dumps(filters, sort_keys=True)
    former, at = request.session.get("history_read", ("", 0.0))
    if reading == former and time.time() - at < SAME_READING:
        return
    record_reading(filters=filters, actor=Actor.of(request))
    request.session["history_read"] = (reading, time.time())


def _stretch(request: HttpRequest, form: HistoryForm) -> Stretch:
    """Return the events before or after a number: by key, since an offset slows down with every page."""
    position = PositionForm(request.GET)
    numbers = position.cleaned_data if position.is_valid() else {}
    before, after = numbers.get("before"), numbers.get("after")
    events = form.select(visible_to(request.user, AuditEvent.objects.all()))
    if after is not None:
        found = list(events.filter(seq__gt=after).order_by("seq")[: PAGE + 1])
        shown = found[:PAGE][::-1]
        more_newer, more_older = len(found) > PAGE, True
    else:
        chosen = events.filter(seq__lt=before) if before is not None else events
        found = list(chosen.order_by("-seq")[: PAGE + 1])
        shown = found[:PAGE]
        more_newer, more_older = before is not None, len(found) > PAGE
    newer = shown[0].seq if shown and more_newer else None
    older = shown[-1].seq if shown and more_older else None
    return Stretch([line_of(event) for event in shown], newer, older)
