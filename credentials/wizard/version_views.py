"""Another secret for an account in use: enter it, ask Adobe, roll it out."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from credentials.entry import usable_secret
from credentials.ims_check import answer_about, ask
from credentials.keyring import UnreadableSecret
from credentials.models import TechnicalAccount
from credentials.rollouts.models import Rollout
from credentials.rollouts.services import RolloutError
from credentials.services import AccountError, add_secret
from credentials.wizard import services
from credentials.wizard.choices import Selection, posted, select
from credentials.wizard.forms import InstallationsForm, NewSecretForm, RolloutForm
from credentials.wizard.review import commands
from instances.models import Installation
from portal.audit.models import Actor


def _active_account(pk: UUID) -> TechnicalAccount:
    return get_object_or_404(TechnicalAccount, pk=pk, state=TechnicalAccount.State.ACTIVE)


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
@permission_required("credentials.enter_secret", raise_exception=True)
def account_secret(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Enter another secret of an account in use; it becomes the next version."""
    account = _active_account(pk)
    posted_data = (request.POST, request.FILES) if request.method == "POST" else ()
    form = NewSecretForm(*posted_data, account=account)
    if request.method == "POST" and form.is_valid():
        _version, is_new = add_secret(account=account, secret=form.secret, actor=Actor.of(request))
        if not is_new:
            messages.info(request, _("This is the secret that is current already: nothing was changed."))
        return redirect("account_rollout", account.pk)
    context = {"account": account, "form": form, "current": account.current_secret}
    return render(request, "wizard/secret.html", context)


@require_POST
@permission_required("credentials.enter_secret", raise_exception=True)
def account_check(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask Adobe about the current secret of an account in use."""
    account = _active_account(pk)
    secret = usable_secret(account)
    if secret:
        try:
            answer = ask(secret=secret, actor=Actor.of(request))
        except UnreadableSecret as error:
            messages.error(request, str(error))
        else:
            level = messages.SUCCESS if answer.is_valid else messages.WARNING
            messages.add_message(request, level, f"{answer.label}: {answer.next_step}")
    return redirect("account_rollout" if request.POST.get("back") == "rollout" else "account", account.pk)


@require_http_methods(["GET", "POST"])
@permission_required("rollouts.start_rollout", raise_exception=True)
def account_rollout(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Roll the current secret out again: to all installations of the account, or to those that are chosen."""
    account = _active_account(pk)
    selection = _selection(request, account)
    initial = {"reason": _usual_reason(account)}
    form = RolloutForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST":
        chosen = InstallationsForm(request.POST, selection=selection)
        if form.is_valid() and chosen.is_valid():
            try:
                rollout = services.roll_out(
                    account=account,
                    installations=selection.chosen,
                    **form.cleaned_data,
                    actor=Actor.of(request),
                )
            except (AccountError, RolloutError) as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, _("The rollout has started."))
                return redirect("rollout", rollout.pk)
        for problem in chosen.non_field_errors():
            form.add_error(None, problem)
    context = _context(account, selection, form)
    return render(request, "wizard/rollout.html", context)


def _usual_reason(account: TechnicalAccount) -> str:
    """A secret that was rolled out before is no rotation the second time."""
    secret = usable_secret(account)
    return Rollout.Reason.REPAIR if secret and secret.rollouts.exists() else Rollout.Reason.ROTATION


def _selection(request: HttpRequest, account: TechnicalAccount) -> Selection:
    using = account.assignments.values_list("instance", flat=True)
    shown = None if "all" in request.GET else using
    if request.method == "POST":
        return select(account=account, chosen=posted(request.POST), instances=shown)
    everything = Installation.objects.filter(instance__in=using).values_list("pk", flat=True)
    return select(account=account, chosen=set(everything), instances=shown)


def _context(account: TechnicalAccount, selection: Selection, form: RolloutForm) -> dict[str, object]:
    secret = usable_secret(account)
    return {
        "account": account,
        "secret": secret,
        "answer": answer_about(secret),
        "selection": selection,
        "commands": commands(account, selection),
        "form": form,
    }
