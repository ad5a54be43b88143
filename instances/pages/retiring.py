"""Retiring an instance, a container or an installation on a page of its own, and taking it back.

The page says before what will happen; a message says afterwards what did.
"""

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods

from instances.inventory import retiring
from instances.inventory.retiring import Retirement, RetiringError, Row
from instances.models import Container, Installation, Instance, Retirable
from portal.audit.trail import Actor
from portal.no_secrets import Form
from portal.permissions import permission_required

KINDS = ("instance", "container", "installation")
"""What can be retired, as addresses name it."""


class ReasonForm(Form):
    """Why something is retired, or taken back."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=retiring.MOST,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=gettext_lazy(
            "For example a ticket number. It is shown to everybody, and kept in the history."
        ),
    )

    def clean_reason(self) -> str:
        return retiring.clean_reason(self.cleaned_data["reason"])


@require_http_methods(["GET", "POST"])
@permission_required("instances.change_inventory", raise_exception=True)
def retire(request: HttpRequest, pk: UUID, kind: str) -> HttpResponse:
    """Say what will happen, ask why, and retire."""
    row = _row(kind, pk)
    if already := _retired_with(row):
        messages.info(request, _already(already))
        return redirect(_page_of(row))
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            done = retiring.retire(row=row, reason=form.cleaned_data["reason"], actor=Actor.of(request))
        except RetiringError as error:
            form.add_error(None, str(error))
        else:
            _tell(request, done)
            return redirect(_page_of(row))
    context = {"row": row, "kind": kind, "form": form, "back": _page_of(row)}
    return render(request, "instances/retire.html", context | {"forecast": retiring.foresee(row)})


def _tell(request: HttpRequest, done: Retirement) -> None:
    """Say what a retirement did, or that somebody was faster."""
    if not done.is_new:
        messages.info(request, _already(done.row))
        return
    parts = [_("%s is retired. Its history stays.") % done.row]
    if cancelled := done.counts.get("cancelled", 0):
        text = ngettext("%d push was cancelled.", "%d pushes were cancelled.", cancelled)
        parts.append(text % cancelled)
    if given_up := done.counts.get("given_up", 0):
        text = ngettext(
            "%d push with an unknown outcome ended as failed.",
            "%d pushes with an unknown outcome ended as failed.",
            given_up,
        )
        parts.append(text % given_up)
    messages.success(request, " ".join(parts))


@require_http_methods(["GET", "POST"])
@permission_required("instances.change_inventory", raise_exception=True)
def take_back(request: HttpRequest, pk: UUID, kind: str) -> HttpResponse:
    """Say what comes back, ask why, and end a retirement."""
    row = _row(kind, pk)
    if row.retired is None:
        messages.info(request, _("%s is in use.") % row.label)
        return redirect(_page_of(row))
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        reason, seen = form.cleaned_data["reason"], request.POST.get("seen", "")
        try:
            retiring.take_back(row=row, reason=reason, actor=Actor.of(request), seen=seen)
        except RetiringError as error:
            form.add_error(None, str(error))
        else:
            text = _("%s is in use again. Nothing was pushed or read: start that yourself where you want it.")
            messages.success(request, text % row.label)
            return redirect(_page_of(row))
        row = _row(kind, pk)
    context = {
        "row": row,
        "kind": kind,
        "form": form,
        "back": _page_of(row),
        "count": retiring.foresee_return(row),
        "seen": row.retired.isoformat() if row.retired else "",
    }
    return render(request, "instances/take_back.html", context)


def _row(kind: str, pk: UUID) -> Row:
    if kind == "instance":
        return get_object_or_404(Instance, pk=pk)
    if kind == "container":
        return get_object_or_404(Container, pk=pk)
    return get_object_or_404(Installation.objects.select_related("instance", "container"), pk=pk)


def _retired_with(row: Row) -> Retirable | None:
    """Return what is retired so that this row is; None if it is in use."""
    if isinstance(row, Installation):
        return row.retired_with
    return row if row.retired else None


def _already(row: Retirable) -> str:
    return _("%(name)s was retired on %(day)s by %(who)s: %(reason)s") % {
        "name": row.label,
        "day": f"{localtime(row.retired):%Y-%m-%d %H:%M}",
        "who": row.retired_by,
        "reason": row.retired_reason,
    }


def _page_of(row: Row) -> str:
    """Return the address of the page that shows a row: an installation is on that of its container."""
    if isinstance(row, Instance):
        return reverse("instance", args=[row.pk])
    if isinstance(row, Container):
        return reverse("container", args=[row.pk])
    return reverse("container", args=[row.container_id]) + "#contents"
