"""The step at which Adobe is asked whether it accepts the values.

The page asks by itself when it is opened, and goes on by itself after a yes: there is nothing to decide then.
"""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django_htmx.http import HttpResponseClientRedirect

from credentials.entry import usable_secret
from credentials.ims_check import answer_about
from credentials.inquiries import ask
from credentials.keys.keyring import UnreadableSecret
from credentials.models import ClientSecret
from credentials.wizard.pages import Page
from portal.audit.trail import Actor


def check_page(page: Page) -> HttpResponse:
    """Ask Adobe, show the answer, and go on unless the answer is no."""
    request, secret = page.request, usable_secret(page.draft.account)
    is_part = request.headers.get("HX-Request") == "true"
    if secret is None:
        return redirect(page.url(page.progress.first_open))
    if request.method == "POST" and request.POST.get("action") == "ask":
        try:
            ask(version=secret, actor=Actor.of(request))
        except UnreadableSecret as error:
            messages.error(request, str(error))
        if request.POST.get("then") == "continue" and _goes_on(page, secret):
            messages.success(request, _("Adobe accepts the values."))
            url = page.url(page.next_step)
            return HttpResponseClientRedirect(url) if is_part else redirect(url)
        if not is_part:
            return redirect(page.url(page.step))
    elif request.method == "POST":
        return _checked(page)
    answer = answer_about(secret)
    template = "_answer" if is_part else "check"
    return page.show(template, secret=secret, answer=answer)


def _goes_on(page: Page, secret: ClientSecret) -> bool:
    answer = answer_about(secret)
    return answer is not None and answer.is_valid and page.finish()


def _checked(page: Page) -> HttpResponse:
    answer = answer_about(usable_secret(page.draft.account))
    if answer is None or answer.is_refusal:
        messages.error(
            page.request, _("Adobe has not accepted these values. Ask again, or enter the right ones.")
        )
        return redirect(page.url(page.step))
    done = page.finish()
    return (
        page.go_on() if done else page.show("check", secret=usable_secret(page.draft.account), answer=answer)
    )
