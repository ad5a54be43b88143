"""The step at which the four values enter the portal.

They come typed or in a file of the console, and what is accepted is stored by that very request, the secret
encrypted; a page never gets the secret back. So there are two kinds of trouble. What is *refused* (it would
break the command) is not stored, and the form comes back without the secret. What is merely *doubtful* (an
unusual form; values in each other's fields that the portal could put right) is stored and waits in the
draft, and a person confirms it with one button: nothing has to be entered twice, and nothing is carried
through the browser meanwhile.

A file that holds several secrets does not say which one is the newest. Its identifiers are stored then, and
the person enters the secret.
"""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_variables

from credentials.entry import REARRANGED, AccountEntry, Doubt, Judged, usable_secret
from credentials.services import AccountError
from credentials.taken import linked
from credentials.values import LABELS
from credentials.wizard import services
from credentials.wizard.forms import ValuesFileForm, ValuesForm
from credentials.wizard.models import Draft
from credentials.wizard.pages import Page
from credentials.wizard.prose import VALUES_STORED
from portal.audit.trail import Actor


def values_page(page: Page) -> HttpResponse:
    """Take typed values, a file of the console, or the confirmation of what is doubtful."""
    if page.request.method == "POST":
        return _POSTED.get(page.request.POST.get("action", ""), _typed)(page)
    return _show(page)


@sensitive_variables()
def _typed(page: Page) -> HttpResponse:
    account = page.draft.account
    form = ValuesForm(page.request.POST, account=account, stored=usable_secret(account))
    if form.is_valid() and _enter(page, form, form.judged):
        return page.go_on()
    return _show(page, form=form)


@sensitive_variables()
def _back(page: Page) -> HttpResponse:
    """Go back with what was typed stored. What cannot be stored is shown first: leaving it is a link then."""
    account = page.draft.account
    typed = ValuesForm(page.request.POST, account=account, stored=usable_secret(account))
    return _typed(page) if typed.has_changed() else page.go_on()


@sensitive_variables()
def _from_file(page: Page) -> HttpResponse:
    form = ValuesFileForm(page.request.POST, page.request.FILES, account=page.draft.account)
    if form.is_valid() and _enter(page, form, form.judged):
        return page.go_on()
    return _show(page, file_form=form)


def _confirmed(page: Page) -> HttpResponse:
    done = page.change(
        lambda: services.confirm_values(
            draft=page.draft,
            stamp=page.stamp,
            step=page.step,
            next_step=page.next_step,
            actor=Actor.of(page.request),
        )
    )
    return page.go_on() if done else _show(page)


_POSTED = {"file": _from_file, "confirm": _confirmed, "back": _back}


@sensitive_variables()
def _enter(page: Page, form: ValuesForm | ValuesFileForm, judged: Judged) -> bool:
    entry = judged.entry
    if entry is None:
        return False
    try:
        done = page.change(lambda: _store(page, entry))
    except AccountError as error:
        field = "client_id" if "client_id" in form.fields else None
        form.add_error(field, linked(error, page.request.user))
        return False
    if done:
        _tell(page, judged, entry, from_file=isinstance(form, ValuesFileForm))
    return done


@sensitive_variables()
def _store(page: Page, entry: AccountEntry) -> Draft:
    return services.enter_values(
        draft=page.draft,
        stamp=page.stamp,
        step=page.step,
        next_step=page.next_step,
        entry=entry,
        actor=Actor.of(page.request),
    )


def _tell(page: Page, judged: Judged, entry: AccountEntry, *, from_file: bool) -> None:
    for name in judged.stripped:
        messages.info(page.request, _("Spaces or line breaks around the %s were removed.") % LABELS[name])
    if entry.secret is None and from_file:
        tell_without_secret(page.request, page.draft)


def tell_without_secret(request: HttpRequest, draft: Draft) -> None:
    """Say that a file was read that does not tell which secret to use."""
    messages.warning(request, _without_secret(draft))


def _without_secret(draft: Draft) -> str:
    if usable_secret(draft.account) is None:
        return _("The identifiers are stored. The file does not say which client secret to use: enter it.")
    return _(
        "The identifiers are stored. The file does not say which client secret to use: the one entered "
        "before is kept. If the file has a newer one, go back to the values and enter it."
    )


def _show(
    page: Page, form: ValuesForm | None = None, file_form: ValuesFileForm | None = None
) -> HttpResponse:
    account = page.draft.account
    stored = usable_secret(account)
    waiting = page.draft.cautions
    return page.show(
        "values",
        prose=VALUES_STORED if stored else page.step.prose,
        form=form or ValuesForm(account=account, stored=stored),
        file_form=file_form or ValuesFileForm(account=account),
        stored=stored,
        cautions=[
            {"label": LABELS.get(each["field"], ""), "message": Doubt(each["field"], each["code"]).message}
            for each in waiting
        ],
        is_rearranged=_is_rearranged(waiting),
        confirm_text=_confirm_text(waiting),
    )


def _is_rearranged(waiting: list[dict[str, str]]) -> bool:
    return any(each["code"] == REARRANGED for each in waiting)


def _confirm_text(waiting: list[dict[str, str]]) -> str:
    if _is_rearranged(waiting):
        return _("They are correct now")
    return ngettext("I compared it: it is right", "I compared them: they are right", len(waiting))
