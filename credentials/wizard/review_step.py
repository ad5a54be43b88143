"""The last step: what will happen, in full, and the button that starts the rollout."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from credentials.adobe.guide import AFTERWARDS
from credentials.entry import usable_secret
from credentials.ims_check import answer_about
from credentials.inquiries import ask
from credentials.keys.keyring import UnreadableSecret
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.choosing import left_out, select
from credentials.rollouts.pages.choosing import (
    commands,
    pressed,
)
from credentials.rollouts.pages.forms import ReviewForm
from credentials.rollouts.pages.previews import ShownPreview, alone, is_asked_for_alone, is_inline, shown
from credentials.rollouts.preview import preview
from credentials.rollouts.starting import RolloutError
from credentials.services import AccountError
from credentials.wizard import services
from credentials.wizard.models import Draft
from credentials.wizard.pages import Page
from instances.models import NONE_RETIRED, PUSHABLE, Instance
from portal.audit.trail import Actor


def review_page(page: Page) -> HttpResponse:
    """Show exactly what will happen, and start it."""
    if page.request.method == "GET" and is_asked_for_alone(page.request):
        return alone(page.request, _preview(page.draft, usable_secret(page.draft.account)))
    action = pressed(page.request.POST, "start")
    form = ReviewForm(page.request.POST or None, initial={"message": page.draft.message})
    if page.leaves:
        if form.is_valid() and _is_kept(page, form.cleaned_data["message"]):
            return page.go_on()
    elif (
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


def _is_kept(page: Page, message: str) -> bool:
    """Keep a message for the start. False: somebody else was first, and the page says so."""
    actor = Actor.of(page.request)
    return page.change(
        lambda: services.keep_message(draft=page.draft, stamp=page.stamp, message=message, actor=actor)
    )


def _ask_again_if_old(page: Page) -> None:
    """Ask Adobe once more about a draft that was left alone for a while; `AccountError` unless it says yes.

    The answer is fresh then: starting once more goes on without a yes, unless the answer is no.
    """
    secret = usable_secret(page.draft.account)
    answer = answer_about(secret)
    if secret is None or (answer and answer.is_fresh):
        return
    answer = ask(version=secret, actor=Actor.of(page.request))
    if not answer.is_valid:
        text = _("Adobe was asked again, since its answer was old. %(answer)s: %(next_step)s")
        raise AccountError(text % {"answer": answer.label, "next_step": answer.next_step})


def _review(page: Page) -> dict[str, object]:
    account, secret = page.draft.account, usable_secret(page.draft.account)
    chosen = page.draft.installations.all()
    selection = select(
        account=account,
        chosen=chosen,
        instances=Instance.objects.filter(pk__in=chosen.filter(PUSHABLE).order_by().values("instance")),
        page=page.request.POST.get("turn") or page.request.GET.get("page"),
    )
    is_migration = account.way == TechnicalAccount.Way.MIGRATION
    return {
        "selection": selection,
        "preview": _preview(page.draft, secret) if is_inline(page.request, selection.total) else None,
        "left_out": left_out(chosen),
        "secret": secret,
        "campaign_user": settings.CAMPAIGN_USER,
        "answer": answer_about(secret),
        "commands": commands(account, selection),
        "afterwards": AFTERWARDS if is_migration else None,
    }


def _preview(draft: Draft, version: ClientSecret | None) -> ShownPreview | None:
    """Return what would happen to the chosen ones; what is retired would be left out."""
    if version is None:
        return None
    chosen = draft.installations.all()
    return shown(preview(version, chosen, assigns=True, activates=True, leaves_out=NONE_RETIRED))
