"""Confirming by hand what an installation holds."""

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from credentials.coverage.confirming import NotConfirmable, confirm, obstacle
from credentials.coverage.holding import covered, with_holding
from credentials.models import ClientSecret
from instances.models import Installation
from portal.audit.trail import Actor
from portal.no_secrets import Form
from portal.permissions import permission_required


class ConfirmForm(Form):
    """Why a person is sure."""

    reason = forms.CharField(label=gettext_lazy("Why you are sure"), max_length=250)
    digest = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)


@require_http_methods(["GET", "POST"])
@permission_required("rollouts.start_rollout", raise_exception=True)
def confirm_by_hand(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask, then note that an installation holds what it is to hold."""
    installation = get_object_or_404(Installation.objects.select_related("instance", "container"), pk=pk)
    row = with_holding(covered().filter(pk=pk)).first()
    version = row and ClientSecret.objects.select_related("account").filter(pk=row.desired_version).first()
    form = ConfirmForm(
        request.POST if request.method == "POST" else None, initial={"digest": installation.observed_digest}
    )
    if request.method == "POST" and form.is_valid():
        try:
            confirm(installation=installation, actor=Actor.of(request), **form.cleaned_data)
        except NotConfirmable as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("It is confirmed, and shown as confirmed, not as proven."))
            return redirect("installation", pk)
    prevented = obstacle(row, version) if row else _("Nothing is compared there.")
    context = {"installation": installation, "version": version, "form": form, "prevented": prevented}
    return render(request, "coverage/confirm.html", context)
