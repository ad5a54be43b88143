"""Pages of rotations: the list, starting one, watching it, and its verbs, explained before they are done."""

import time
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Case, F, QuerySet, Value, When
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from credentials.models import TechnicalAccount
from credentials.rollouts.models import Push
from credentials.rotation import deleting, gates, moving, reading, services, verbs, waits
from credentials.rotation.due import is_unplanned, upcoming
from credentials.rotation.models import Rotation
from credentials.rotation.pages import causes
from credentials.rotation.pages.filters import RotationFilters
from credentials.rotation.pages.forms import NUMBERS, StartForm, VerbForm, secret_form
from credentials.rotation.plans import RuleError, waves_in_words
from credentials.rotation.services import RotationError, gate_of, may_start, start
from credentials.rotation.verbs import VERBS, Verb
from credentials.rotation.window_words import lines
from credentials.services import AccountError
from instances.models import Installation
from portal.audit.trail import Actor
from portal.permissions import permission_required
from portal.presets import preset, quarters
from portal.web.times import duration

PAGE = 25
LIVE_SECONDS = 3


@require_GET
@permission_required("rotation.view_rotation", raise_exception=True)
def rotation_list(request: HttpRequest) -> HttpResponse:
    """List rotations: the open ones first, then the newest; and which come next."""
    filters = RotationFilters(request.GET, listed())
    found = filters.qs.select_related("account", "old", "new")
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    open_ones = [each for each in page if each.is_open]
    ended = [each for each in page if not each.is_open]
    chosen = filters.chosen
    context = {
        "open_ones": open_ones,
        "ended": ended,
        "page_obj": page,
        "form": filters.form,
        "presets": [preset(*each, chosen) for each in quarters(timezone.localdate())],
        "is_narrowed": bool(chosen),
        "upcoming": [] if chosen else upcoming(),
        "is_unplanned": not chosen and is_unplanned(),
    }
    return render(request, "rotation/list.html", context)


def listed() -> QuerySet[Rotation]:
    """Return all rotations in the order of their list."""
    waits_for_person = Case(When(wait__in=waits.FOR_PEOPLE, then=Value(0)), default=Value(1))
    return Rotation.objects.order_by(F("ended").desc(nulls_first=True), waits_for_person, "-number")


@require_http_methods(["GET", "POST"])
@permission_required("rotation.manage_rotation", raise_exception=True)
def rotation_start(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Plan a rotation of an account's secret, and start it."""
    account = get_object_or_404(TechnicalAccount.objects.select_related("goal"), pk=pk)
    already = Rotation.objects.open().filter(account=account).first()
    if already and request.method == "GET":
        return redirect("rotation", already.pk)
    form = StartForm(request.POST if request.method == "POST" else None, account=account)
    if request.method == "POST" and form.is_valid():
        try:
            rotation = _start(form, account, Actor.of(request))
        except (RotationError, RuleError, AccountError) as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("The rotation has started."))
            return redirect("rotation", rotation.pk)
    total = moving.installations(account)
    context = {
        "account": account,
        "form": form,
        "problem": may_start(account),
        "open": already,
        "idle": duration(settings.ROTATION_IDLE),
        "total": total.count(),
        "pushable": total.filter(pk__in=Installation.objects.pushable().values("pk")).count(),
        "failed": Push.objects.needing_attention().filter(installation__in=total.order_by()).count(),
        "windows": lines(total.order_by().values_list("instance__environment", flat=True).distinct()),
        "by_hand": list(moving.by_hand(account).select_related("instance", "container")[:20]),
        "proposed": moving.propose_canary(account, account.goal) if account.goal else None,
    }
    return render(request, "rotation/start.html", context)


def _start(form: StartForm, account: TechnicalAccount, actor: Actor) -> Rotation:
    typed = dict(form.cleaned_data)
    organization, credential = (typed.pop(name) for name in NUMBERS)
    return start(account=account, actor=actor, numbers=(organization, credential), **typed)


@require_GET
@permission_required("rotation.view_rotation", raise_exception=True)
def rotation_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show a rotation; htmx asks for its live part alone, every few seconds while it is open."""
    begin = time.monotonic()
    rotation = _rotation(pk)
    page, cells = reading.cells(rotation, request.GET.get("page"))
    ways = reading.in_the_way(rotation)
    context = {
        "rotation": rotation,
        "steps": reading.steps(rotation),
        "cause": waits.cause(rotation.wait, rotation.params),
        "next_step": waits.next_step(rotation.wait, rotation.params),
        "needs_person": rotation.needs_person,
        **_buttons(request, rotation),
        "waves": reading.wave_lines(rotation),
        "at_adobe": reading.at_adobe(rotation),
        "passed": rotation.passed.all(),
        "calls": rotation.calls.all(),
        "ways": causes.with_causes(ways.first(reading.SHOWN)),
        "not_reloaded": causes.not_reloaded(rotation),
        "failed": causes.failed(rotation),
        "wave_rule": waves_in_words(rotation.wave_rule),
        "rule_change": causes.stop_rule_change(rotation),
        "ways_more": max(0, len(ways) - reading.SHOWN),
        "cells": cells,
        "page_obj": page,
        "left_out": list(gates.left_out(rotation.old).select_related("instance", "container")[:20]),
        "idle_hours": deleting.idle_time().total_seconds() / 3600,
        "windows": lines(_environments(rotation)),
        "is_api": rotation.way == Rotation.Way.API,
    }
    # An account of thousands of installations takes seconds: its page asks again so much less often.
    context["live_seconds"] = max(LIVE_SECONDS, round(10 * (time.monotonic() - begin)))
    is_part = request.headers.get("HX-Request") == "true"
    return render(request, "rotation/_live.html" if is_part else "rotation/detail.html", context)


def _environments(rotation: Rotation) -> Any:  # Any: a query set of values
    """Return the environments that a rotation pushes to, as long as windows hold it up."""
    if not rotation.is_open or rotation.is_leak:
        return ()
    found = moving.installations(rotation.account).order_by()
    return found.values_list("instance__environment", flat=True).distinct()


def _buttons(request: HttpRequest, rotation: Rotation) -> dict[str, list[tuple[Verb, bool]]]:
    """Return the verbs for this person, and which of them is the likely one.

    While the rotation goes on by itself, those by which a person would do its work are kept apart.
    """
    if not request.user.has_perm("rotation.manage_rotation"):
        return {"verbs": [], "detours": []}
    found = [(verb, verbs.is_answer(verb, rotation)) for verb in verbs.offered(rotation)]
    if rotation.needs_person:
        return {"verbs": found, "detours": []}
    return {
        "verbs": [each for each in found if each[0].name not in verbs.DETOURS],
        "detours": [each for each in found if each[0].name in verbs.DETOURS],
    }


def _rotation(pk: UUID) -> Rotation:
    related = ("account", "old", "new", "canary__instance", "canary__container", "acts_for")
    return get_object_or_404(Rotation.objects.select_related(*related), pk=pk)


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
@permission_required("rotation.manage_rotation", raise_exception=True)
def rotation_verb(request: HttpRequest, pk: UUID, name: str) -> HttpResponse:
    """Say what a verb will do, and do it."""
    rotation, verb = _rotation(pk), VERBS.get(name)
    if verb is None:
        raise Http404
    if "plaintext" in verb.fields and not request.user.has_perm("credentials.enter_secret"):
        raise Http404
    form = _form(request, verb, rotation)
    if request.method == "POST" and form.is_valid():
        try:
            verbs.run(verb, rotation, actor=Actor.of(request), **_values(form, verb))
        except (RotationError, RuleError, AccountError) as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, str(verb.done))
            return redirect("rotation", rotation.pk)
    if request.method == "GET" and not verb.can(rotation):
        messages.info(request, _("That is no longer possible: the rotation has moved on."))
        return redirect("rotation", rotation.pk)
    context = {
        "rotation": rotation,
        "verb": verb,
        "form": form,
        "text": verb.explain(rotation) if verb.can(rotation) else "",
        "shown": _passable(rotation) if name == "pass-gate" else [],
        "gate": gate.value if (gate := gate_of(rotation)) else "",
        "takes_secret": "plaintext" in verb.fields,
        "not_reloaded": causes.not_reloaded(rotation) if verb.name in verbs.DELETING else (),
    }
    return render(request, "rotation/verb.html", context)


def _passable(rotation: Rotation) -> list[str]:
    return [each.passable for each in reading.in_the_way(rotation).first(services.MOST_PASSED)]


def _form(request: HttpRequest, verb: Verb, rotation: Rotation) -> Any:  # Any: one of two kinds of form
    posted = request.method == "POST"
    if "plaintext" in verb.fields:
        return secret_form(rotation, *((request.POST, request.FILES) if posted else ()))
    return VerbForm(request.POST if posted else None, verb=verb, rotation=rotation)


def _values(form: Any, verb: Verb) -> dict[str, Any]:  # Any: what the verb takes
    return {"plaintext": form.secret} if "plaintext" in verb.fields else form.values(verb)
