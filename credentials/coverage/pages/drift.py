"""Drift: the list of files that differ, and what a person does about one of them."""

from contextlib import suppress
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from credentials.coverage.drift import NotAccepted, accept, drifted, drifting
from credentials.keys.keyring import UnreadableSecret
from credentials.rollouts.pages.previews import said_of
from credentials.rollouts.starting import RolloutError, repair, repaired
from credentials.services import AccountError
from instances.models import Installation
from portal.audit.trail import Actor
from portal.no_secrets import Form
from portal.permissions import permission_required
from portal.punctuation import labelled

PAGE = 25


class AcceptForm(Form):
    """Why what is there is right."""

    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=250)
    observation = forms.IntegerField(min_value=1, widget=forms.HiddenInput)


@require_GET
@permission_required("credentials.view_technicalaccount", raise_exception=True)
def drift_list(request: HttpRequest) -> HttpResponse:
    """List the installations whose file differs, with what differs."""
    return _list(request)


@require_POST
@permission_required("rollouts.start_rollout", raise_exception=True)
def drift_accept(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Accept what an installation holds, with a reason."""
    installation = get_object_or_404(Installation.objects.select_related("instance", "container"), pk=pk)
    form = AcceptForm(request.POST, auto_id="refused-%s")
    if not form.is_valid():
        return _list(request, pk, form)
    try:
        accept(installation=installation, actor=Actor.of(request), **form.cleaned_data)
    except NotAccepted as error:
        form.add_error(None, str(error))
        return _list(request, pk, form)
    messages.success(request, _("What %s holds is accepted. Nothing was pushed.") % installation.label)
    return redirect("drift")


@require_POST
@permission_required("rollouts.start_rollout", raise_exception=True)
def drift_push(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Push once more what the installation is to hold."""
    installation = get_object_or_404(Installation.objects.select_related("instance", "container"), pk=pk)
    try:
        started = repair(
            installations=[installation], actor=Actor.of(request), message=_("Changed on the container")
        )
    except (AccountError, RolloutError, UnreadableSecret) as error:
        messages.error(request, labelled(installation.label, error))
        return redirect("drift")
    messages.success(request, _("Rollout %(number)s was started.") % {"number": started[0].number})
    return redirect("rollout", started[0].pk)


def _list(request: HttpRequest, chosen: UUID | None = None, form: AcceptForm | None = None) -> HttpResponse:
    """Show the list; a refused form is shown at its installation, with what was typed.

    `at` names the installation whose page of the list is wanted.
    """
    place = _place_of(chosen or request.GET.get("at", ""))
    if form and place is None:
        for problem in form.non_field_errors():
            messages.error(request, str(problem))
        return redirect("drift")
    number = request.GET.get("page") if place is None else place // PAGE + 1
    page = Paginator(drifting().values_list("pk", flat=True), PAGE).get_page(number)
    shown = drifted(Q(pk__in=list(page)))
    said = said_of(repaired([each.installation for each in shown]))
    rows = [
        (
            each,
            form if form and each.installation.pk == chosen else _form(each.seen.pk),
            said.get(each.installation.pk),
        )
        for each in shown
    ]
    context = {"page_obj": page, "rows": rows}
    return render(request, "coverage/drift.html", context)


def _place_of(installation: UUID | str) -> int | None:
    """Return how many stand before an installation in the list; None if it is not there."""
    with suppress(ValidationError):
        if row := drifting().filter(pk=installation or None).select_related("instance", "container").first():
            name, container = row.instance.name, row.container.name
            same = Q(instance__name=name, container__name__lt=container)
            return drifting().filter(Q(instance__name__lt=name) | same).count()
    return None


def _form(observation: int) -> AcceptForm:
    """Return the form of one installation: the page has many, each with ids of its own."""
    return AcceptForm(initial={"observation": observation}, auto_id=f"accept-{observation}-%s")
