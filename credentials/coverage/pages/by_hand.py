"""Pages for containers that the portal cannot reach: the runbook to print, its script, and the report."""

import hashlib
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from credentials.coverage import by_hand, runbook
from credentials.coverage.by_hand import NotReported, Report, account_of
from credentials.models import ClientSecret, TechnicalAccount
from instances.models import Installation
from instances.nlserver import read_back_script
from portal.audit.trail import Actor
from portal.no_secrets import Form
from portal.permissions import permission_required

PASTE_LIMIT = 100_000
"""Characters that the field takes at all; what is longer than a block is refused with a reason."""


class VersionField(forms.ModelChoiceField):  # type: ignore[type-arg]  # not generic when it runs
    """A version of the account in use."""

    def label_from_instance(self, obj: ClientSecret) -> str:
        return _("Version %(number)s was set (%(fingerprint)s)") % {
            "number": obj.version,
            "fingerprint": obj.fingerprint,
        }


class ReportForm(Form):
    """What the read-back script printed, and what was done before."""

    block = forms.CharField(
        label=gettext_lazy("What the read-back script printed"),
        max_length=PASTE_LIMIT,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "autocomplete": "off"}),
        help_text=gettext_lazy("From READ-BACK 1 BEGIN to READ-BACK 1 END. It holds no secret."),
    )
    version = VersionField(
        label=gettext_lazy("What was done before"),
        queryset=ClientSecret.objects.none(),
        required=False,
        empty_label=gettext_lazy("Nothing was set: someone only looked"),
    )
    note = forms.CharField(label=gettext_lazy("Note"), required=False, max_length=by_hand.MOST)
    host_compared = forms.BooleanField(
        label=gettext_lazy("I compared the name of the server: the script ran on the right one."),
        required=False,
    )

    def __init__(self, *args: Any, installation: Installation, **kwargs: Any) -> None:  # Any: Django's own
        super().__init__(*args, **kwargs)
        account = account_of(installation)
        if account:
            usable = ClientSecret.objects.usable().filter(account=account).order_by("-version")
            self.fields["version"].queryset = usable  # type: ignore[attr-defined]


@require_GET
@permission_required("credentials.view_technicalaccount", raise_exception=True)
def hand_runbook(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show the commands for a version on an installation that the portal cannot reach, to be printed."""
    installation = _installation(pk)
    account = account_of(installation)
    version = _version(account, request.GET.get("version", ""))
    script = read_back_script()
    context = {
        "installation": installation,
        "account": account,
        "version": version,
        "steps": runbook.steps(installation, version) if version else [],
        "read_back": runbook.read_back_command(installation),
        "script": script,
        "script_digest": hashlib.sha256(script.encode()).hexdigest(),
        "is_by_hand": by_hand.by_hand().filter(pk=pk).exists(),
    }
    return render(request, "coverage/runbook.html", context)


def _installation(pk: UUID) -> Installation:
    rows = Installation.objects.select_related("instance__assignment__account__goal", "container")
    return get_object_or_404(rows, pk=pk)


def _version(account: TechnicalAccount | None, number: str) -> ClientSecret | None:
    """Return the version that is asked for, if it can be used; else the goal of the account."""
    if account is None:
        return None
    usable = ClientSecret.objects.usable().filter(account=account).select_related("account")
    is_number = number.isascii() and number.isdecimal() and len(number) < 6
    found = usable.filter(version=int(number)).first() if is_number else None
    return found or (usable.filter(pk=account.goal_id).first() if account.goal_id else None)


@require_GET
@permission_required("credentials.view_technicalaccount", raise_exception=True)
def hand_script(request: HttpRequest) -> HttpResponse:
    """Hand out the read-back script; it holds no value."""
    answer = HttpResponse(read_back_script(), content_type="text/x-shellscript; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{runbook.SCRIPT_NAME}"'
    return answer


@require_http_methods(["GET", "POST"])
@permission_required("rollouts.start_rollout", raise_exception=True)
def hand_report(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Take what the script printed there; nothing that was typed is lost if it is refused."""
    installation = _installation(pk)
    form = _form(request, installation)
    if request.method == "POST" and form.is_valid():
        typed = dict(form.cleaned_data)
        try:
            done = by_hand.report(
                installation=installation, text=typed.pop("block"), actor=Actor.of(request), **typed
            )
        except NotReported as error:
            form.add_error(error.field, str(error))
        else:
            messages.success(request, _said(done))
            return redirect("installation", pk)
    context = {
        "installation": installation,
        "form": form,
        "asks_host": bool(form.errors.get("host_compared")) or bool(request.POST.get("host_compared")),
    }
    return render(request, "coverage/hand_report.html", context)


def _form(request: HttpRequest, installation: Installation) -> ReportForm:
    if request.method == "POST":
        return ReportForm(request.POST, installation=installation)
    asked = _version(account_of(installation), request.GET.get("version", ""))
    return ReportForm(
        installation=installation, initial={"version": asked if "version" in request.GET else None}
    )


def _said(done: Report) -> str:
    text = _("It is kept and shown as reported by hand by %s, not as proven.") % done.row.by
    if done.known:
        text += " " + _("The encrypted secret is that of %s.") % done.known
    return text
