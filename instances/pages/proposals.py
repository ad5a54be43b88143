"""The page of what readings propose, and the decisions about it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from instances.discovery import dismissals
from instances.discovery.dismissals import LONGEST, Outdated
from instances.discovery.models import Dismissal, Reading
from instances.discovery.proposal_list import Wanted, listed
from instances.discovery.proposal_words import advice, what
from instances.discovery.proposals import MOST_NAMED, NOT_SAID_ELSEWHERE, Kind, Proposal
from instances.inventory import proposed
from instances.inventory.editing import InventoryError
from instances.models import Instance
from portal.audit.trail import Actor
from portal.no_secrets import Form
from portal.permissions import permission_required

PAGE = 50
SIGNS: Mapping[str, str] = {
    Kind.CREATE: "draft",
    Kind.ADD: "draft",
    Kind.GONE: "failed",
    Kind.ORGANIZATION: "partial",
    Kind.MIXED: "partial",
    Kind.BUILD: "draft",
    Kind.OLD: "partial",
    Kind.JWT: "partial",
}
"""How each is drawn, by the states that `status` knows."""


class ProposalFilter(Form):
    """What the list of proposals is narrowed to."""

    q = forms.CharField(label=gettext_lazy("Instance or container"), required=False, max_length=100)
    kind = forms.ChoiceField(
        label=gettext_lazy("What"),
        required=False,
        choices=[
            ("", gettext_lazy("Any")),
            *Kind.choices,
            (NOT_SAID_ELSEWHERE, gettext_lazy("Anything but JWT and old builds")),
        ],
    )
    show = forms.ChoiceField(
        label=gettext_lazy("Decided"),
        required=False,
        choices=[("", gettext_lazy("Waiting for a decision")), ("left", gettext_lazy("Left as it is"))],
    )


class LeavingForm(Form):
    """Why a proposal is left as it is."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=LONGEST,
        error_messages={"required": gettext_lazy("Say why it is left as it is, so that others know.")},
    )


@dataclass(frozen=True)
class Row:
    """One proposal as the page shows it; `left` if somebody decided to leave it."""

    proposal: Proposal
    sign: str
    what: str
    advice: str
    left: Dismissal | None


@require_GET
@permission_required("instances.view_container", raise_exception=True)
def proposal_list(request: HttpRequest) -> HttpResponse:
    """Show what does not fit the inventory, and what was decided about it."""
    form = ProposalFilter(request.GET)
    form.is_valid()
    found = listed(wanted_by(form))
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page_obj": page,
        "rows": [
            Row(each, SIGNS[each.kind], what(each), advice(each), left) for each, left in with_decisions(page)
        ],
        "environments": Instance.Environment.choices,
        "roles": Instance.Role.choices,
        "is_filtered": bool(request.GET.get("q") or request.GET.get("kind") or request.GET.get("show")),
        "was_read": Dismissal.objects.exists()
        or Reading.objects.filter(state=Reading.State.SUCCEEDED).exists(),
        "longest": LONGEST,
    }
    return render(request, "instances/proposals.html", context)


def wanted_by(form: ProposalFilter) -> Wanted:
    """Return what the filters, which were validated, narrow the list to."""
    typed = form.cleaned_data
    return Wanted(
        kind=typed.get("kind") or "", text=typed.get("q") or "", is_left=typed.get("show") == "left"
    )


def with_decisions(found: Iterable[Proposal]) -> list[tuple[Proposal, Dismissal | None]]:
    """Return proposals, each with the decision to leave it, if there is one; one statement."""
    rows = list(found)
    dismissals = Dismissal.objects.all()
    if len(rows) <= MOST_NAMED:
        dismissals = dismissals.filter(proposal__in=[each.key for each in rows])
    left = {row.proposal: row for row in dismissals}
    return [(each, left.get(each.key)) for each in rows]


@require_POST
@permission_required("instances.change_inventory", raise_exception=True)
def proposal_decide(request: HttpRequest) -> HttpResponse:
    """Apply a proposal, leave it as it is, or take it up again; then show the list where the person was."""
    key, do = request.POST.get("proposal", "")[:64], request.POST.get("do", "")
    try:
        if do == "apply":
            _apply(request, key)
        elif do == "leave":
            _leave(request, key)
        elif do == "take_up":
            dismissals.take_up(key=key, actor=Actor.of(request))
            messages.success(request, _("It is proposed again."))
        else:
            messages.error(request, _("Nothing was changed: choose what to do with a proposal."))
    except (Outdated, InventoryError) as error:
        messages.error(request, str(error))
    back = request.POST.get("back", "")
    is_safe = url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return redirect(back if is_safe and back.startswith(reverse("proposals")) else "proposals")


def _apply(request: HttpRequest, key: str) -> None:
    installation = proposed.apply(
        key=key,
        actor=Actor.of(request),
        environment=request.POST.get("environment", Instance.Environment.PRODUCTION.value),
        role=request.POST.get("role", Instance.Role.MKT.value),
    )
    names = {"instance": installation.instance, "container": installation.container}
    messages.success(
        request, _("%(instance)s is now listed on %(container)s. Nothing has been pushed to it yet.") % names
    )


def _leave(request: HttpRequest, key: str) -> None:
    form = LeavingForm(request.POST)
    if form.is_valid():
        dismissals.leave(key=key, reason=form.cleaned_data["reason"], actor=Actor.of(request))
        messages.success(request, _("It is left as it is. It comes back when something else is seen."))
    else:
        messages.error(request, " ".join(str(text) for texts in form.errors.values() for text in texts))
