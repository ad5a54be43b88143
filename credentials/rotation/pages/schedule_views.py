"""Pages of maintenance windows, and of an account's rotation policy."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from credentials.models import TechnicalAccount
from credentials.rotation import adobe
from credentials.rotation.authority import PERMISSION
from credentials.rotation.due import standing_of
from credentials.rotation.maintenance import remove_window, save_window
from credentials.rotation.models import MaintenanceWindow, Policy, Rotation
from credentials.rotation.notices import DUE
from credentials.rotation.pages.schedule_forms import PolicyForm, WindowForm
from credentials.rotation.plans import RuleError
from credentials.rotation.policies import remove_policy, set_policy
from credentials.rotation.services import RotationError, is_in_use
from credentials.rotation.waits import Wait
from credentials.rotation.window_words import in_words, lines
from portal.audit.trail import Actor
from portal.notices.sending import is_anybody_told
from portal.permissions import permission_required


@require_GET
@permission_required("rotation.view_rotation", raise_exception=True)
def window_list(request: HttpRequest) -> HttpResponse:
    """List the maintenance windows of each environment, and which are open now."""
    found = [(line, [(row, in_words(row)) for row in line.rows]) for line in lines()]
    return render(request, "rotation/windows.html", {"lines": found})


@require_http_methods(["GET", "POST"])
@permission_required(PERMISSION, raise_exception=True)
def window_add(request: HttpRequest) -> HttpResponse:
    """Add a maintenance window."""
    form = WindowForm(request.POST if request.method == "POST" else None)
    if _is_saved(request, form):
        return redirect("rotation_windows")
    return render(request, "rotation/window_form.html", {"form": form})


@require_http_methods(["GET", "POST"])
@permission_required(PERMISSION, raise_exception=True)
def window_edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Edit a maintenance window."""
    row = get_object_or_404(MaintenanceWindow, pk=pk)
    name = in_words(row)  # the form writes into the row
    form = WindowForm(request.POST if request.method == "POST" else None, instance=row)
    if _is_saved(request, form):
        return redirect("rotation_windows")
    return render(request, "rotation/window_form.html", {"form": form, "window": row, "name": name})


def _is_saved(request: HttpRequest, form: WindowForm) -> bool:
    if request.method != "POST" or not form.is_valid():
        return False
    row = save_window(form.save(commit=False), actor=Actor.of(request))
    messages.success(request, _("%s was saved.") % in_words(row))
    return True


@require_http_methods(["GET", "POST"])
@permission_required(PERMISSION, raise_exception=True)
def window_remove(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Remove a maintenance window, after a question."""
    row = get_object_or_404(MaintenanceWindow, pk=pk)
    name = in_words(row)
    if request.method == "POST":
        remove_window(row, actor=Actor.of(request))
        messages.success(request, _("%s was removed.") % name)
        return redirect("rotation_windows")
    others = MaintenanceWindow.objects.filter(environment=row.environment).exclude(pk=pk)
    waiting = Rotation.objects.open().filter(wait=Wait.WINDOW)
    context = {"window": row, "name": name, "is_last": not others.exists(), "waiting": waiting.count()}
    return render(request, "rotation/window_remove.html", context)


@require_http_methods(["GET", "POST"])
@permission_required(PERMISSION, raise_exception=True)
def policy(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Set how often an account's secret is replaced, and what the portal does then."""
    account = get_object_or_404(TechnicalAccount.objects.select_related("goal"), pk=pk)
    row = Policy.objects.select_related("account__goal", "set_by").filter(account=account).first()
    form = PolicyForm(request.POST if request.method == "POST" else None, account=account, policy=row)
    if request.method == "POST" and form.is_valid():
        try:
            set_policy(account=account, actor=Actor.of(request), **form.cleaned_data)
        except (RotationError, RuleError) as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("The rotation policy was set."))
            return redirect("account", pk)
    context = {
        "account": account,
        "form": form,
        "policy": row,
        "standing": standing_of(row) if row else None,
        "open": Rotation.objects.open().filter(account=account).first(),
        "has_api": adobe.has_api(account),
        "is_active": is_in_use(account),
        "is_anybody_told": is_anybody_told(DUE),
    }
    return render(request, "rotation/policy.html", context)


@require_POST
@permission_required(PERMISSION, raise_exception=True)
def policy_remove(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Remove the policy of an account: nobody is reminded any more."""
    account = get_object_or_404(TechnicalAccount, pk=pk)
    if remove_policy(account=account, actor=Actor.of(request)):
        messages.success(request, _("The rotation policy was removed."))
    return redirect("account", pk)
