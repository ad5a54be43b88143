"""Calls to Adobe: those of `portal.calls.http`, to addresses that the settings give."""

from collections.abc import Mapping

from django.utils.translation import gettext_lazy as _

from portal.calls import http
from portal.calls.http import DEADLINE, MAX_BODY, Answer, Failure, Form, NoAnswer, Route
from portal.plaintext import Secret

__all__ = ["DEADLINE", "MAX_BODY", "Answer", "Form", "NoAnswer", "Route", "call"]


def call(
    method: str,
    url: str,
    route: Route,
    *,
    form: Form | None = None,
    headers: Mapping[str, str] | None = None,
    bearer: Secret | None = None,
) -> Answer:
    """Send one request to Adobe and return the answer; `NoAnswer` if none came. Nothing else is raised."""
    try:
        return http.call(method, url, route, form=form, headers=headers, bearer=bearer)
    except NoAnswer as error:
        if error.failure is Failure.ADDRESS_INVALID:
            text = _("Adobe's address in the settings is not valid.")
            raise NoAnswer(error.failure, text) from None
        raise
