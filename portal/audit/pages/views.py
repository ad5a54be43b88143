"""The history: all of it for people who may see it, their own events for the others."""

import time
from contextlib import suppress
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from portal.audit.chain import kept_head
from portal.audit.chain.kept_head import Head
from portal.audit.chain.sealed_breaks import sealed_breaks
from portal.audit.chain.verification import Walk
from portal.audit.export import file_name, stream, stream_json
from portal.audit.labels import line_of, page_url
from portal.audit.models import AuditEvent, AuditHead
from portal.audit.pages.forms import (
    EarlierHeadForm,
    ExplanationForm,
    HistoryForm,
    PositionForm,
    visible_to,
)
from portal.audit.pages.paging import stretch
from portal.audit.pages.presets import presets
from portal.audit.services import record_export, record_reading, record_verification
from portal.audit.signing.signing_key import known_fingerprint
from portal.audit.trail import Actor
from portal.audit.verified import NothingToExplain, explain, last_verified, noted_heads
from portal.permissions import permission_required

VERIFYING_SECONDS = 5.0  # of one request
WALK = "history_walk"
"""In the session: how far a verification is that takes several requests."""


@require_GET
@permission_required("audit.view_auditevent", raise_exception=True)
def history(request: HttpRequest) -> HttpResponse:
    """List events, newest first, through filters."""
    form = HistoryForm(request.GET)
    record_reading(filters=form.chosen(), actor=Actor.of(request))
    shown = stretch(form, PositionForm(request.GET), request.user)
    chosen = form.chosen()
    context = {"form": form, "stretch": shown, "is_filtered": bool(chosen), "presets": presets(chosen)}
    return render(request, "audit/event_list.html", context)


@require_GET
@permission_required("audit.view_auditevent", raise_exception=True)
def history_event(request: HttpRequest, seq: int) -> HttpResponse:
    """Show one event with all its details."""
    event = get_object_or_404(visible_to(request.user, AuditEvent.objects.all()), seq=seq)
    record_reading(filters={"event": str(seq)}, actor=Actor.of(request))
    context = {"line": line_of(event), "event": event, "page_url": page_url(event, request.user)}
    return render(request, "audit/event_detail.html", context)


@require_POST
@permission_required("audit.export_events", raise_exception=True)
def history_export(request: HttpRequest) -> HttpResponseBase:
    """Send the filtered events as CSV or JSON lines. A POST, since the export itself is recorded."""
    form = HistoryForm(request.GET)
    as_json = request.POST.get("format") == "json"
    last = AuditEvent.objects.values_list("seq", flat=True).first() or 0
    events = form.select(visible_to(request.user, AuditEvent.objects.filter(seq__lte=last)))
    record_export(
        filters=form.chosen(), objects=events.count(), last=last, as_json=as_json, actor=Actor.of(request)
    )
    response = StreamingHttpResponse(
        stream_json(events) if as_json else stream(events),
        content_type="application/x-ndjson" if as_json else "text/csv; charset=utf-8",
    )
    name = file_name("history", "jsonl" if as_json else "csv", is_narrowed=bool(form.chosen()))
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_http_methods(["GET", "POST"])
@permission_required("audit.export_events", raise_exception=True)
def history_verify(request: HttpRequest) -> HttpResponse:
    """Verify the chain on request, and show what the last verification saw.

    It always verifies the whole chain. If that takes longer than a browser should wait, it takes several
    requests, and the session keeps how far the walk is.
    """
    action = request.POST.get("action") if request.method == "POST" else "look"
    if action == "stop":
        request.session.pop(WALK, None)
        return redirect("history_verify")
    if action == "explain":
        return _explain(request)
    form = EarlierHeadForm(request.POST if action is None else None)
    left = request.session.get(WALK)
    if action == "look" or (form.is_bound and not form.is_valid()):
        return render(request, "audit/verification.html", _state(form, left))
    if left and action == "go_on":
        return _verify_on(request, Walk.resume(left))
    return _verify_on(request, Walk.begin(form.cleaned_data["head"] if form.is_bound else ""))


def _verify_on(request: HttpRequest, walk: Walk) -> HttpResponse:
    """Walk on for as long as a request may take; at the end, record what was found."""
    is_htmx = request.headers.get("HX-Request") == "true"
    if _walk_a_while(walk):
        request.session[WALK] = walk.leave()
        if is_htmx:
            return render(request, "audit/_verifying.html", _verifying(walk.leave()))
    else:
        request.session.pop(WALK, None)
        record_verification(result=walk.finish(), actor=Actor.of(request))
        if is_htmx:
            return HttpResponse(headers={"HX-Refresh": "true"})
    return redirect("history_verify")


def _explain(request: HttpRequest) -> HttpResponse:
    """Record why a noted head is not in the history; it is shown as explained then."""
    bound = ExplanationForm(request.POST)
    if not bound.is_valid():
        left = request.session.get(WALK)
        return render(request, "audit/verification.html", _state(EarlierHeadForm(), left, bound))
    with suppress(NothingToExplain):  # somebody else was faster
        explain(**bound.cleaned_data, actor=Actor.of(request))
    return redirect("history_verify")


def _state(
    form: EarlierHeadForm,
    left: dict[str, Any] | None,  # Any: plain JSON values
    bound: ExplanationForm | None = None,
) -> dict[str, object]:
    """Return what the page of the verification shows."""
    noted = noted_heads()
    return {
        "form": form,
        "last": last_verified(),
        "missing": [(each, _explaining(each.head, bound)) for each in noted if not each.explained],
        "explained": [each for each in noted if each.explained],
        "signing_key": known_fingerprint(),
        "head": AuditHead.objects.filter(pk=1).first(),
        "kept": kept_head.compare(),
        "sealed_breaks": sealed_breaks()[::-1],
        **_verifying(left),
    }


def _explaining(head: Head, bound: ExplanationForm | None) -> ExplanationForm:
    """Return the form that explains a missing head: the one that was sent, if it is about this one."""
    if bound and bound["head"].value() == str(head):
        return bound
    return ExplanationForm(initial={"head": str(head)}, auto_id=f"head-{head.seq}-%s")


def _walk_a_while(walk: Walk) -> bool:
    """Walk on for a few seconds. False: the walk is at its end."""
    deadline = time.monotonic() + VERIFYING_SECONDS
    while walk.batch():
        if time.monotonic() > deadline:
            return True
    return False


def _verifying(left: dict[str, Any] | None) -> dict[str, object]:  # Any: plain JSON values
    head = AuditHead.objects.filter(pk=1).first()
    return {"walk": left, "length": head.seq if head else 0}
