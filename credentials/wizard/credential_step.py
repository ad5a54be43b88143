"""Where there is the console's file: the account's name, its notes, and the console's steps in one list."""

from django.http import HttpResponse

from credentials.entry import usable_secret
from credentials.taken import Taken, linked
from credentials.wizard.forms import CredentialForm
from credentials.wizard.pages import Page
from credentials.wizard.steps import console_steps


def credential_page(page: Page) -> HttpResponse:
    """Take name and notes; show what the file said, and all steps of the console as one list."""
    account = page.draft.account
    form = CredentialForm(page.request.POST or None, step=page.step, account=account)
    if page.request.method == "POST" and form.is_valid():
        try:
            if _keep(page, form):
                return page.go_on()
        except Taken as taken:
            form.add_error("name", linked(taken, page.request.user))
    return page.show(
        "credential",
        form=form,
        stored=usable_secret(account),
        console_steps=console_steps(account.way),
    )


def _keep(page: Page, form: CredentialForm) -> bool:
    name = form.cleaned_data["name"]
    if page.request.POST.get("action") == "steps":
        return page.go_by(has_json=False, notes=form.notes, name=name)
    return page.finish(form.notes, name=name)
