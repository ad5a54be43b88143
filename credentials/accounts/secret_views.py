"""Another secret for an account in use: enter it, ask Adobe, roll it out."""

from collections.abc import Collection
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from credentials.accounts.forms import GoalForm
from credentials.entry import is_usable, usable_secret
from credentials.ims_check import answer_about
from credentials.inquiries import ask
from credentials.keys.keyring import UnreadableSecret
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.choosing import change_of, select
from credentials.rollouts.models import Rollout
from credentials.rollouts.pages.choosing import (
    MOVES,
    InstallationsForm,
    InstanceSearch,
    commands,
    moved_to,
    pressed,
)
from credentials.rollouts.pages.forms import RolloutForm
from credentials.rollouts.pages.previews import ShownPreview, alone, is_asked_for_alone, is_inline, shown
from credentials.rollouts.preparations import Preparation, prepare
from credentials.rollouts.preview import preview
from credentials.rollouts.starting import Consent, RolloutError, start
from credentials.rollouts.versions import enter, make_goal, usual_reason
from credentials.secret_form import NewSecretForm
from credentials.services import AccountError
from instances.models import PUSHABLE, TARGET, Installation, Instance
from portal.audit.trail import Actor
from portal.permissions import permission_required
from portal.punctuation import labelled
from portal.web.times import duration

ANOTHER = gettext_lazy(
    "Another secret has been entered since. Nothing was done: reload the page and compare."
)


def _is_another(request: HttpRequest, version: ClientSecret) -> bool:
    """Whether the page that was sent showed another version than its address leads to now."""
    return request.POST.get("secret", str(version.pk)) != str(version.pk)


def _version(request: HttpRequest, account: TechnicalAccount) -> ClientSecret | None:
    """Return the usable version that the address names by its number, without one the newest."""
    if "version" not in request.GET:
        return usable_secret(account)
    number = request.GET["version"]
    named = account.secrets.filter(version=int(number)) if number.isdecimal() and len(number) < 10 else None
    version = named.first() if named else None
    if version is None or not is_usable(version, account):
        raise Http404
    return version


def rollout_url(version: ClientSecret) -> str:
    """Return the address of the page that rolls a version out."""
    account = version.account
    newest = usable_secret(account)
    named = "" if newest == version else f"?version={version.version}"
    return reverse("account_rollout", args=[account.pk]) + named


def _active_account(pk: UUID) -> TechnicalAccount:
    return get_object_or_404(TechnicalAccount, pk=pk, state=TechnicalAccount.State.ACTIVE)


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
@permission_required("credentials.enter_secret", raise_exception=True)
def account_secret(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Enter another secret of an account in use. Nothing changes until it is rolled out."""
    account = _active_account(pk)
    posted_data = (request.POST, request.FILES) if request.method == "POST" else ()
    form = NewSecretForm(*posted_data, account=account)
    if request.method == "POST" and form.is_valid():
        try:
            version, is_new = enter(account=account, plaintext=form.secret, actor=Actor.of(request))
        except AccountError as error:
            form.add_error(None, str(error))
        else:
            if not is_new:
                text = _("This is the secret of version %(version)s, which is already stored.")
                messages.info(request, text % {"version": version.version})
            return redirect(rollout_url(version))
    context = {
        "account": account,
        "form": form,
        "newest": account.newest_version,
        "idle": duration(settings.ROTATION_IDLE),
    }
    return render(request, "credentials/secret.html", context)


@require_POST
@permission_required("credentials.enter_secret", raise_exception=True)
def account_check(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask Adobe about a version of an account in use; htmx gets the answer and the buttons alone."""
    account = _active_account(pk)
    secret = _version(request, account)
    is_part = request.headers.get("HX-Request") == "true"
    problem: object = ""
    if secret and _is_another(request, secret):
        problem = ANOTHER
    elif secret:
        try:
            answer = ask(version=secret, actor=Actor.of(request))
        except UnreadableSecret as error:
            problem = error
        else:
            level = messages.SUCCESS if answer.is_valid else messages.WARNING
            if not is_part:
                messages.add_message(request, level, labelled(answer.label, answer.next_step))
    if is_part:
        context = _adobe(account, secret) | {"problem": problem, "is_part": True}
        return render(request, "credentials/_adobe.html", context)
    if problem:
        messages.error(request, str(problem))
    return redirect(_way_back(request, account, secret))


def _way_back(request: HttpRequest, account: TechnicalAccount, secret: ClientSecret | None) -> str:
    if secret and request.POST.get("back") == "rollout":
        return rollout_url(secret)
    return reverse("account", args=[account.pk])


@require_http_methods(["GET", "POST"])
@permission_required("rollouts.start_rollout", raise_exception=True)
def account_rollout(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Roll a usable version out: to all installations of the account, or to those that are chosen."""
    preparing = _Preparing(request, _active_account(pk))
    if request.method == "GET" and is_asked_for_alone(request):
        return alone(request, preparing.preview(), is_changing=True)
    form = RolloutForm(request.POST if request.method == "POST" else None, initial=preparing.initial)
    if request.method == "POST":
        ids = preparing.posted()
        action = pressed(request.POST, "start")
        chosen = Installation.objects.filter(PUSHABLE, pk__in=ids).select_related("instance")
        if action == "over":
            preparing.forget()
            return redirect(request.get_full_path())
        if action in ("start", "unconfirmed") and _is_startable(form, chosen):
            try:
                rollout = preparing.start(form, chosen, wants_yes=action == "start")
            except (AccountError, RolloutError, UnreadableSecret) as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, _("The rollout has started."))
                return redirect("rollout", rollout.pk)
        preparing.keep(ids, form)
        if action in MOVES and not form.errors:
            return redirect(preparing.moved())
    return render(request, "credentials/rollout.html", preparing.context() | {"form": form})


@require_http_methods(["GET", "POST"])
@permission_required("rollouts.start_rollout", raise_exception=True)
def account_goal(request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
    """Ask, then make a usable version the goal of its account. Nothing is pushed by that."""
    account = _active_account(pk)
    version = get_object_or_404(account.secrets, version=number, state=ClientSecret.State.USABLE)
    form = GoalForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            make_goal(version=version, actor=Actor.of(request), message=form.cleaned_data["message"])
        except AccountError as error:
            form.add_error(None, str(error))
        else:
            text = _("Version %s is now the goal. Nothing was pushed: a rollout does that.")
            messages.success(request, text % number)
            return redirect("account", pk)
    context = {"account": account, "version": version, "form": form}
    return render(request, "credentials/goal.html", context)


def _adobe(account: TechnicalAccount, secret: ClientSecret | None) -> dict[str, object]:
    """Return what the page says of Adobe's answer; it asks by itself unless `answer` is fresh."""
    named = f"?version={secret.version}" if secret and secret != usable_secret(account) else ""
    return {
        "account": account,
        "secret": secret,
        "answer": answer_about(secret),
        "version_query": named,
    }


def _is_startable(form: RolloutForm, chosen: QuerySet[Installation]) -> bool:
    some = InstallationsForm(QueryDict(), total=chosen.count())
    for problem in some.non_field_errors():
        form.add_error(None, problem)
    return form.is_valid() and some.is_valid()


class _Preparing:
    """What one person has chosen and typed so far for a rollout, and where they look for more."""

    def __init__(self, request: HttpRequest, account: TechnicalAccount) -> None:
        self.request, self.account = request, account
        self.version = _version(request, account)
        self.person = User.objects.get(username=request.user.get_username())
        self.stored = Preparation.objects.fresh().filter(account=account, person=self.person).first()
        self.search = InstanceSearch(request.GET)
        self.using = Instance.objects.not_retired().filter(assignment__account=account)
        shown = Instance.objects.not_retired() if "all" in request.GET else self.using
        self.instances = self.search.select(shown)

    @property
    def initial(self) -> dict[str, str]:
        if self.stored:
            return {"reason": self.stored.reason, "message": self.stored.message}
        reason = usual_reason(self.version) if self.version else Rollout.Reason.ROTATION
        return {"reason": Rollout.Reason.ROTATION if reason == Rollout.Reason.NEW else reason}

    @property
    def chosen(self) -> QuerySet[Installation]:
        if self.stored:
            return self.stored.installations.all()
        return Installation.objects.not_retired().filter(instance__assignment__account=self.account)

    def posted(self) -> set[UUID]:
        """Return what is chosen once the posted form counts."""
        change = change_of(self.request.POST, self.request.POST.get("action", ""), self.instances)
        return change.applied_to(self.chosen.values_list("pk", flat=True))

    def keep(self, ids: Collection[UUID], form: RolloutForm) -> None:
        """Store the choice, and what was typed as far as it may be shown again."""
        form.is_valid()
        typed = {name: str(form.cleaned_data.get(name, "")) for name in ("reason", "message")}
        self.stored = prepare(account=self.account, person=self.person, chosen=ids, **typed)

    def forget(self) -> None:
        """Begin anew, with all installations of the account."""
        if self.stored:
            self.stored.delete()

    def start(self, form: RolloutForm, chosen: Collection[Installation], *, wants_yes: bool) -> Rollout:
        """Start the rollout; with `wants_yes` only if Adobe accepts the secret, which may have to be asked.

        `AccountError`, `RolloutError` and `UnreadableSecret` say what prevents it.
        """
        version, typed = self.version, form.cleaned_data
        if version is None or _is_another(self.request, version):
            raise AccountError(ANOTHER)
        consent = Consent.DESPITE_REFUSAL if typed["despite_refusal"] else Consent.WAIVED
        return start(
            version=version,
            installations=list(chosen),
            reason=typed["reason"],
            message=typed["message"],
            actor=Actor.of(self.request),
            consent=Consent.NEEDED if wants_yes else consent,
            assigns=True,
        )

    def moved(self) -> str:
        """Return the address that the pressed button leads to."""
        is_wide = "all" in self.request.GET or pressed(self.request.POST, "") == "wide"
        further = "&all=1" if is_wide else ""
        if "version" in self.request.GET and self.version:
            further += f"&version={self.version.version}"
        if pressed(self.request.POST, "") == "preview":
            further += "&preview=1"
        part = "#preview" if pressed(self.request.POST, "") == "preview" else ""
        return self.request.path + moved_to(self.request, self.search) + further + part

    def context(self) -> dict[str, object]:
        secret = self.version
        selection = select(
            account=self.account,
            chosen=self.chosen,
            instances=self.instances,
            page=self.request.GET.get("page"),
        )
        own = Installation.objects.filter(instance__assignment__account=self.account)
        return {
            **_adobe(self.account, secret),
            "search": self.search,
            "selection": selection,
            "stored": self.stored,
            "own_count": own.filter(PUSHABLE).count(),
            "commands": commands(self.account, selection),
            "preview": self.preview() if is_inline(self.request, selection.total) else None,
        }

    def preview(self) -> ShownPreview | None:
        """Return what would happen as it is chosen now; what cannot be pushed to would be left out."""
        if self.version is None:
            return None
        return shown(preview(self.version, self.chosen, assigns=True, leaves_out=TARGET))
