"""The last steps of the wizard: Adobe's answer, the instances, and the review that starts the rollout."""

from collections.abc import Collection
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from credentials.entry import usable_secret
from credentials.ims_check import answer_about, ask
from credentials.keys.keyring import UnreadableSecret
from credentials.models import TechnicalAccount
from credentials.rollouts.services import RolloutError
from credentials.services import AccountError
from credentials.wizard import services
from credentials.wizard.choices import change_of, gaps, pushable, select
from credentials.wizard.forms import MOVES, InstallationsForm, InstanceSearch, ReviewForm, moved_to, pressed
from credentials.wizard.pages import Page
from credentials.wizard.prose import AFTERWARDS
from credentials.wizard.review import commands
from instances.models import Instance
from portal.audit.models import Actor


def check_page(page: Page) -> HttpResponse:
    """Ask Adobe, show the answer, and go on unless the answer is no."""
    request, secret = page.request, usable_secret(page.draft.account)
    is_part = request.headers.get("HX-Request") == "true"
    if secret is None:
        return redirect(page.url(page.progress.first_open))
    if request.method == "POST" and request.POST.get("action") == "ask":
        try:
            ask(secret=secret, actor=Actor.of(request))
        except UnreadableSecret as error:
            messages.error(request, str(error))
        if not is_part:
            return redirect(page.url(page.step))
    elif request.method == "POST":
        return _checked(page)
    answer = answer_about(secret)
    template = "_answer" if is_part else "check"
    return page.show(template, secret=secret, answer=answer)


def _checked(page: Page) -> HttpResponse:
    answer = answer_about(usable_secret(page.draft.account))
    if answer is None or answer.is_refusal:
        messages.error(
            page.request, _("Adobe has not accepted these values. Ask again, or enter the right ones.")
        )
        return redirect(page.url(page.step))
    done = page.change(
        lambda: services.finish_step(
            draft=page.draft,
            stamp=page.stamp,
            step=page.step,
            next_step=page.next_step,
            notes={},
            confirmed=not page.leaves,
            actor=Actor.of(page.request),
        )
    )
    return (
        page.go_on() if done else page.show("check", secret=usable_secret(page.draft.account), answer=answer)
    )


def instances_page(page: Page) -> HttpResponse:
    """Choose instances; their containers come with them. Whatever button is pressed, the choice is kept."""
    search = InstanceSearch(page.request.GET)
    instances = search.select(Instance.objects.all())
    if page.request.method != "POST":
        return _choose(page, search, instances)
    action = pressed(page.request.POST, "done")
    change = change_of(page.request.POST, action, instances)
    done = page.change(
        lambda: services.choose_installations(
            draft=page.draft,
            stamp=page.stamp,
            step=page.step,
            next_step=page.next_step,
            change=change,
            confirmed=action == "done",
            actor=Actor.of(page.request),
        )
    )
    if not done:
        return _choose(page, search, instances, ticked=change.added)
    if action in MOVES:
        return redirect(page.url(page.step) + moved_to(page.request, search))
    form = InstallationsForm(page.request.POST, total=page.draft.installations.filter(pushable()).count())
    if page.leaves or form.is_valid():
        return page.go_on()
    return _choose(page, search, instances, form=form)


def _choose(
    page: Page,
    search: InstanceSearch,
    instances: QuerySet[Instance],
    *,
    form: InstallationsForm | None = None,
    ticked: Collection[UUID] | None = None,
) -> HttpResponse:
    selection = select(
        account=page.draft.account,
        chosen=page.draft.installations.all(),
        instances=instances,
        page=page.request.GET.get("page"),
        ticked=ticked,
    )
    return page.show("instances", form=form, search=search, selection=selection)


def review_page(page: Page) -> HttpResponse:
    """Show exactly what will happen, and start it."""
    action = pressed(page.request.POST, "start")
    form = ReviewForm(page.request.POST or None)
    if (
        page.request.method == "POST"
        and action != "turn"
        and form.is_valid()
        and page.request.user.has_perm("rollouts.start_rollout")
    ):
        try:
            _ask_again_if_old(page)
            rollout = services.start(
                draft=page.draft,
                stamp=page.stamp,
                message=form.cleaned_data["message"],
                actor=Actor.of(page.request),
            )
        except services.StaleDraft as stale:
            page.draft, page.is_stale = stale.draft, True
        except (AccountError, RolloutError, UnreadableSecret) as error:
            form.add_error(None, str(error))
        else:
            messages.success(page.request, _("The rollout has started."))
            return redirect("rollout", rollout.pk)
    return page.show("review", form=form, **_review(page))


def _ask_again_if_old(page: Page) -> None:
    """Ask Adobe once more about a draft that was left alone for a while; `AccountError` unless it says yes.

    The answer is fresh then: starting once more goes on without a yes, unless the answer is no.
    """
    secret = usable_secret(page.draft.account)
    answer = answer_about(secret)
    if secret is None or (answer and answer.is_fresh):
        return
    answer = ask(secret=secret, actor=Actor.of(page.request))
    if not answer.is_valid:
        text = _("Adobe was asked again, since its answer was old. %(answer)s: %(next_step)s")
        raise AccountError(text % {"answer": answer.label, "next_step": answer.next_step})


def _review(page: Page) -> dict[str, object]:
    account, secret = page.draft.account, usable_secret(page.draft.account)
    chosen = page.draft.installations.all()
    selection = select(
        account=account,
        chosen=chosen,
        instances=Instance.objects.filter(pk__in=chosen.filter(pushable()).order_by().values("instance")),
        page=page.request.POST.get("turn") or page.request.GET.get("page"),
    )
    is_migration = account.way == TechnicalAccount.Way.MIGRATION
    return {
        "selection": selection,
        "gaps": gaps(chosen),
        "secret": secret,
        "answer": answer_about(secret),
        "commands": commands(account, selection),
        "afterwards": AFTERWARDS if is_migration else None,
    }
