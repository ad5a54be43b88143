"""Pages of rollouts and pushes: the list, the live detail, and what failed with its retry."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from credentials.keys.keyring import UnreadableSecret
from credentials.rollouts.models import HOLDING, Attempt, Push, Rollout
from credentials.rollouts.pages.columns import FAILED, PLACE
from credentials.rollouts.pages.failing import Failing, failing_of, may_pass
from credentials.rollouts.pages.filters import FailedPushFilters, PushFilters, RolloutFilters
from credentials.rollouts.pages.forms import RetryForm, SelectionForm, UnprovenForm
from credentials.rollouts.pages.orders import FAILED_ORDERS, ROLLOUT_ORDERS
from credentials.rollouts.pages.previews import said_of
from credentials.rollouts.pages.tickets import (
    since_of,
    teams_for,
    tell,
    tickets_of,
)
from credentials.rollouts.pages.timing import timing_of
from credentials.rollouts.progress import (
    FAILURES_FIRST,
    PushLine,
    Retries,
    named,
    progress_of,
    push_lines,
    retries_of,
    with_names,
)
from credentials.rollouts.services import (
    Obstacle,
    Retried,
    can_look_again,
    cancel_rollout,
    look_again,
    obstacles,
    retry_pushes,
    tries_by_itself,
)
from credentials.rollouts.starting import RolloutError, push_again, pushed_again
from credentials.services import AccountError
from instances.failures import Code
from instances.inventory.contacts import Team, contacts_by_team
from instances.menders import in_words
from instances.models import Contact
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.permissions import permission_required
from portal.presets import Preset
from portal.web.exports import in_order
from portal.web.lists import page_of

PAGE = 25
FAILED_PAGE = 50  # people retry a page of them at a time
ATTEMPTS_PAGE = 20
RETRIES_SHOWN = 20
SECONDS_UNDER_WAY, SECONDS_LATELY, SECONDS_CALM = 2, 10, 30
"""How often the list of failed pushes asks what is new: while retries run, after them, and else."""
RETRIED_LAST = "retried_last"
"""In the session: the ids of the pushes of the last retry, whose outcome is shown first."""
READ_AGAIN = 3
"""How often a push and its attempts are read at most until nothing was written in between."""
FRESH = 10
"""For this number of seconds, distances such as "5 s ago" may stand still while nothing else is new."""


@dataclass(frozen=True)
class Retry:
    """What a person retried: who, when and why, and which outcome the push had then."""

    who: str
    at: datetime
    message: str
    was_unknown: bool
    outcome: str
    """The heading of the outcome code that it had."""


@dataclass(frozen=True)
class FailedRow:
    """One push on the page of failed pushes: how it is, who retried it last, and why nobody can now."""

    line: PushLine
    last_retry: Attempt | None
    obstacle: Obstacle | None
    failing: Failing
    teams: Sequence[Team]
    is_beyond_filters: bool
    """Whether it is shown only because it was retried lately."""

    @property
    def push(self) -> Push:
        return self.line.push

    @property
    def can_be_chosen(self) -> bool:
        return self.obstacle is None and self.push.retry_phase != "retrying"

    @property
    def restarts_pipelined(self) -> bool:
        return self.push.installation.instance.uses_triggers

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for a person: it is not sent again now, and no retry has mended it."""
        return self.push.state not in (Push.State.QUEUED, Push.State.RUNNING, Push.State.SUCCEEDED)

    @property
    def since(self) -> datetime | None:
        return since_of(self.push, self.failing)

    @property
    def menders(self) -> str:
        """Who can mend it, in words."""
        return in_words(self.push.code, is_alike=self.failing.is_alike)


@require_GET
@permission_required("rollouts.view_rollout", raise_exception=True)
def rollout_list(request: HttpRequest) -> HttpResponse:
    """List rollouts, newest first."""
    filters = RolloutFilters(request.GET)
    order = ROLLOUT_ORDERS.of(request.GET)
    rollouts = filters.qs.select_related("secret__account").order_by(*order.fields)
    page = page_of(rollouts, request.GET, PAGE)
    progress = progress_of(page)
    rows = [(rollout, progress[rollout.pk]) for rollout in page]
    context = {
        "form": filters.form,
        "order": order,
        "page_obj": page,
        "rows": rows,
        "is_narrowed": filters.is_narrowed,
    }
    return render(request, "rollouts/rollout_list.html", context)


@require_GET
@permission_required("rollouts.view_rollout", raise_exception=True)
def rollout_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show a rollout; htmx asks for its live part alone, every two seconds while something is open."""
    rollout = get_object_or_404(Rollout.objects.select_related("secret__account"), pk=pk)
    filters = PushFilters(request.GET, rollout.pushes.order_by(*FAILURES_FIRST))
    state, pushes = filters.chosen.get("state", ""), filters.qs
    progress = progress_of([rollout])[rollout.pk]
    paginator = Paginator(pushes.values_list("pk", flat=True), PAGE)
    paginator.count = progress.counts.get(state, 0) if state else progress.total  # counted already
    page = paginator.get_page(request.GET.get("page"))
    context = {
        "rollout": rollout,
        "progress": progress,
        "page_obj": page,
        "lines": push_lines(with_names(pushes.filter(pk__in=list(page)), *PLACE)),
        "timing": timing_of(rollout, progress),
        "state": state,
    }
    part = _is_live_part(request)
    return render(request, f"rollouts/{'_rollout_live' if part else 'rollout_detail'}.html", context)


@require_POST
@permission_required("rollouts.start_rollout", raise_exception=True)
def rollout_cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Cancel what is still queued."""
    rollout = get_object_or_404(Rollout, pk=pk)
    count = cancel_rollout(rollout=rollout, actor=Actor.of(request))
    text = ngettext("%(count)s queued push was cancelled.", "%(count)s queued pushes were cancelled.", count)
    if count:
        messages.success(request, text % {"count": count})
    else:
        messages.info(request, _("Nothing was queued any more, so nothing was cancelled."))
    return redirect("rollout", pk)


@require_GET
@permission_required("rollouts.view_rollout", raise_exception=True)
def push_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show one push with all its attempts, and who retried it when and why.

    htmx asks for the live part alone; a message that somebody is typing there survives.
    """
    return _push_page(request, _push(pk), RetryForm())


@require_POST
@permission_required("rollouts.retry_push", raise_exception=True)
def push_retry(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Retry one push."""
    push = _push(pk)
    form = RetryForm(request.POST)
    if not form.is_valid():
        return _push_page(request, push, form)
    message: str = form.cleaned_data["message"]
    _tell(request, retry_pushes(push_ids=[push.pk], actor=Actor.of(request), message=message))
    return redirect("push", pk)


@require_GET
@permission_required("rollouts.view_rollout", raise_exception=True)
def failed_pushes(request: HttpRequest) -> HttpResponse:
    """List all pushes that wait for a person, with cause and next step, and what became of retries.

    htmx asks for its live part: banner, rows, distances and button come together, or nothing is new.
    """
    if _is_live_part(request) and _is_told(request):
        return HttpResponse(status=204)
    return _failed_page(request, SelectionForm())


@require_POST
@permission_required("rollouts.retry_push", raise_exception=True)
def failed_pushes_retry(request: HttpRequest) -> HttpResponse:
    """Retry exactly the chosen pushes."""
    form = SelectionForm(request.POST)
    if not form.is_valid():
        return _failed_page(request, form)
    ids = [push.pk for push in form.cleaned_data["push"]]
    _tell(request, retry_pushes(push_ids=ids, actor=Actor.of(request), message=form.cleaned_data["message"]))
    query = request.GET.urlencode()
    return redirect(reverse("failed_pushes") + (f"?{query}" if query else ""))


@require_POST
@permission_required("rollouts.retry_push", raise_exception=True)
def push_look(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Have the file of a failed push read once more."""
    push = _push(pk)
    form = RetryForm(request.POST)
    if not form.is_valid():
        return _push_page(request, push, form)
    if look_again(push_id=push.pk, actor=Actor.of(request), message=form.cleaned_data["message"]):
        messages.success(request, _("The portal is looking at the container's file now."))
    else:
        messages.warning(request, _("Nothing to look at: the push has moved on."))
    return redirect("push", pk)


@require_GET
@permission_required("rollouts.view_rollout", raise_exception=True)
def unproven_successes(request: HttpRequest) -> HttpResponse:
    """List what an earlier release called succeeded without a proof."""
    return _unproven_page(request, UnprovenForm())


@require_POST
@permission_required("rollouts.start_rollout", raise_exception=True)
def unproven_push_again(request: HttpRequest) -> HttpResponse:
    """Push the current version to the chosen installations, and so find out what they hold."""
    form = UnprovenForm(request.POST)
    if not form.is_valid():
        return _unproven_page(request, form)
    pushes = form.cleaned_data["push"].select_related("rollout__secret", "installation__instance")
    try:
        started = push_again(pushes=pushes, actor=Actor.of(request), message=form.cleaned_data["message"])
    except (AccountError, RolloutError, UnreadableSecret) as error:
        form.add_error("push", str(error))
        return _unproven_page(request, form)
    for rollout in started:
        messages.success(request, _("Rollout %(number)s was started.") % {"number": rollout.number})
    return redirect("rollout", started[0].pk) if len(started) == 1 else redirect("rollouts")


def _unproven_page(request: HttpRequest, form: UnprovenForm) -> HttpResponse:
    pushes = named(Push.objects.unproven().order_by("-requested", "pk"))
    page = Paginator(pushes, FAILED_PAGE).get_page(request.GET.get("page"))
    said = said_of(pushed_again(page))
    rows = [(push, said.get(push.installation_id)) for push in page]
    context = {"form": form, "page_obj": page, "rows": rows, "chosen": set(request.POST.getlist("push"))}
    return render(request, "rollouts/unproven.html", context)


def _is_live_part(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def _push(pk: UUID) -> Push:
    return get_object_or_404(named(Push.objects.all()), pk=pk)


def _teams(push: Push, failing: Failing, contacts: Mapping[str, Contact]) -> list[Team]:
    environment = push.installation.instance.environment
    return teams_for(push.code, contacts, [environment], is_alike=failing.is_alike)


def _push_page(request: HttpRequest, push: Push, form: RetryForm) -> HttpResponse:
    push, page = _read_together(push, request.GET.get("page"))
    contacts = contacts_by_team()
    failing = failing_of([push.pk]).get(push.pk, Failing())
    newer = push.newer
    waits = push.state in (Push.State.FAILED, Push.State.UNKNOWN) and not newer
    tickets = tickets_of([(push, failing)]) if waits else []
    tell(tickets, contacts)
    context = {
        "push": push,
        "line": push_lines([push])[0],
        "form": form,
        "page_obj": page,
        "retries": _retries(push),
        "obstacle": obstacles([push]).get(push.pk),
        "can_look_again": can_look_again(push),
        "is_open": push.state in Push.OPEN,
        "is_part": _is_live_part(request),
        "retry_news": _retry_news(push),
        "newer": newer,
        "holds_all_the_same": push.state == Push.State.FAILED and _holds(push),
        "failing": failing,
        "since": since_of(push, failing),
        "menders": in_words(push.code, is_alike=failing.is_alike),
        "teams": _teams(push, failing, contacts),
        "tickets": tickets,
        "tries_by_itself": tries_by_itself(),
        "can_a_retry_help": push.state == Push.State.UNKNOWN
        or may_pass(push.code, is_alike=failing.is_alike),
    }
    part = context["is_part"]
    return render(request, f"rollouts/{'_push_live' if part else 'push_detail'}.html", context)


def _read_together(push: Push, number: str | None) -> tuple[Push, Page[Attempt]]:
    """Return a push and a page of its attempts as they were at one moment.

    A worker writes both while they are read: a queued push next to its running attempt contradicts itself.
    """
    for _try in range(READ_AGAIN):
        page = Paginator(push.attempts.order_by("-number"), ATTEMPTS_PAGE).get_page(number)
        page.object_list = list(page.object_list)
        former, push = push, _push(push.pk)
        if (push.state, push.tries) == (former.state, former.tries):
            break
    return push, page


def _retry_news(push: Push) -> str:
    """Return what became of the last retry by a person, as `retry_phase` says it; empty after two hours."""
    is_old = push.finished and timezone.now() - push.finished > Push.RETRIES_SHOWN
    return "" if is_old else push.retry_phase


def _holds(push: Push) -> bool:
    """Whether the last attempt showed that the file holds this version, whatever else went wrong."""
    last = push.attempts.order_by("-number").values_list("proof", flat=True).first()
    return last in HOLDING


def _retries(push: Push) -> list[Retry]:
    """Return the last retries of a push by people, newest first."""
    words = dict(Code.choices)
    events = AuditEvent.objects.filter(target_type="push", target_id=str(push.pk), action="push.retried")
    return [
        Retry(
            who=event.actor_name,
            at=event.at,
            message=event.details.get("message", ""),
            was_unknown=event.details.get("was") == Push.State.UNKNOWN,
            outcome=str(words.get(event.details.get("code"), "")),
        )
        for event in events.order_by("-seq")[:RETRIES_SHOWN]
    ]


def _failed_page(request: HttpRequest, selection: SelectionForm) -> HttpResponse:
    filters = FailedPushFilters(request.GET, Push.objects.waiting_or_retried())
    order = FAILED_ORDERS.of(request.GET)
    shown = filters.qs.order_by(*order.fields)
    page = Paginator(shown.values_list("pk", flat=True), FAILED_PAGE).get_page(request.GET.get("page"))
    contacts = contacts_by_team()
    rows = _failed_rows(list(page), filters, contacts)
    tickets = tickets_of([(row.push, row.failing) for row in rows if row.is_waiting], filters.query)
    tell(tickets, contacts)
    mine = retries_of(_retried_last(request))
    others = retries_of(_retried(filters).exclude(pk__in=_last_ids(request)))
    context = {
        "form": filters.form,
        "is_narrowed": filters.is_narrowed,
        "order": order,
        "selection": selection,
        "chosen": set(request.POST.getlist("push")),
        "page_obj": page,
        "met": filters.met(Push.objects.waiting_or_retried()).count() if filters.keeps_retried else None,
        "mended": filters.filter_queryset(Push.objects.mended_lately()).count(),
        "rows": rows,
        "can_any_be_retried": any(row.can_be_chosen for row in rows),
        "restarts": sum(row.can_be_chosen and row.restarts_pipelined for row in rows),
        "tries_by_itself": tries_by_itself(),
        "presets": _presets(request, filters),
        "retries": mine,
        "others": others,
        "is_any_under_way": bool(mine.under_way or others.under_way),
        "tickets": tickets,
        "is_part": _is_live_part(request),
        "told": f"{_news_of(request, filters)}.{int(time.time())}",
        "live_seconds": _pause(mine, others),
    }
    part = context["is_part"]
    return render(request, f"rollouts/{'_failed_live' if part else 'failed_pushes'}.html", context)


def _pause(*retries: Retries) -> int:
    if any(each.under_way for each in retries):
        return SECONDS_UNDER_WAY
    return SECONDS_LATELY if any(each.total for each in retries) else SECONDS_CALM


def _presets(request: HttpRequest, filters: FailedPushFilters) -> list[Preset]:
    """Return the ready filters of a person who mends failures at all."""
    if not request.user.has_perm("rollouts.retry_push"):
        return []
    return filters.presets(is_admin=request.user.has_perm("instances.change_inventory"))


def _retried(filters: FailedPushFilters) -> QuerySet[Push]:
    return filters.filter_queryset(Push.objects.retried_lately())


def _last_ids(request: HttpRequest) -> list[str]:
    """Return the ids of the pushes that this person retried with the last press of a button."""
    ids: list[str] = request.session.get(RETRIED_LAST, [])
    return ids


def _retried_last(request: HttpRequest) -> QuerySet[Push]:
    return Push.objects.retried_lately().filter(pk__in=_last_ids(request))


def _news_of(request: HttpRequest, filters: FailedPushFilters) -> str:
    """Return a short sign of what became of retries: another one where anything is new."""
    fields = ("pk", "state", "cause", "retried")
    rows = [
        list(found.order_by("pk").values_list(*fields))
        for found in (_retried(filters), _retried_last(request))
    ]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


def _is_told(request: HttpRequest) -> bool:
    """Whether a page that shows retries knows all that is new, and its distances are fresh."""
    told, _point, at = request.headers.get("X-Told", "").partition(".")
    is_fresh = at.isascii() and at.isdigit() and abs(time.time() - int(at[:12])) < FRESH
    return is_fresh and told == _news_of(request, FailedPushFilters(request.GET))


def _failed_rows(
    pks: Sequence[UUID], filters: FailedPushFilters, contacts: Mapping[str, Contact]
) -> list[FailedRow]:
    """Return these rows in their order; one whose push is gone meanwhile is left out."""
    shown = in_order(with_names(Push.objects.filter(pk__in=pks), *FAILED), pks)
    retries, prevented, failing = _last_retries(shown), obstacles(shown), failing_of(pks)
    met = set(filters.met(Push.objects.filter(pk__in=pks)).order_by().values_list("pk", flat=True))
    return [
        FailedRow(
            line,
            retries.get(line.push.pk),
            prevented.get(line.push.pk),
            failing.get(line.push.pk, Failing()),
            _teams(line.push, failing.get(line.push.pk, Failing()), contacts),
            line.push.pk not in met,
        )
        for line in push_lines(shown)
    ]


def _last_retries(pushes: Sequence[Push]) -> Mapping[UUID, Attempt]:
    """Return the last attempt of each push that a person asked for, if there is one."""
    made = Attempt.objects.filter(push__in=pushes, cause=Attempt.Cause.RETRY).order_by("number")
    return {retry.push_id: retry for retry in made.only("push", "caused_by", "message", "started")}


def _tell(request: HttpRequest, result: Retried) -> None:
    count = len(result.pushes)
    if count:
        request.session[RETRIED_LAST] = [str(push.pk) for push in result.pushes]
        text = ngettext(
            "The retry of %(count)s push was requested.",
            "The retry of %(count)s pushes was requested.",
            count,
        )
        messages.success(request, text % {"count": count})
    for push, reason in result.refused:
        messages.warning(
            request,
            _("Not retried: %(push)s. %(reason)s") % {"push": push.installation.label, "reason": reason},
        )
