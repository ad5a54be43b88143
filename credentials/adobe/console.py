"""The secrets of one credential, at Adobe's I/O Management API: list, create, delete.

No models. The calls are those that Adobe documents for rotating client secrets. Error bodies, and the answer
to a third secret, are not documented, so only the status counts. A secret is shown once, in the answer that
creates it: where that answer is lost, Adobe has a secret that nobody knows, and only a list tells.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from credentials.adobe.http import Answer, NoAnswer, Route, call
from portal.plaintext import Secret

SCOPES = (
    "AdobeID",
    "openid",
    "read_organizations",
    "additional_info.projectedProductContext",
    "additional_info.roles",
    "adobeio_api",
    "read_client_secret",
    "manage_client_secrets",
)
"""What a token needs for these calls; the project needs the I/O Management API."""
MOST_SECRETS = 2
"""A credential holds no more of them at a time."""
_UUID = re.compile(r"[0-9A-Za-z-]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,32}")
_MILLISECONDS = re.compile(r"[0-9]{1,13}")
_DONE = (requests.codes.ok, requests.codes.created, requests.codes.no_content)


class Problem(TextChoices):
    """Why a call did not do what it was for. The values are stable, the labels are for people."""

    NOT_SIGNED_IN = "not_signed_in", _("Adobe did not accept the token")
    FORBIDDEN = "forbidden", _("The credential may not manage its secrets")
    NOT_FOUND = "not_found", _("Adobe does not know this credential or secret")
    OTHER_CREDENTIAL = "other_credential", _("The numbers belong to another credential")
    FULL = "full", _("The credential already has two secrets")
    THROTTLED = "throttled", _("Adobe asks for a pause")
    ADOBE_FAILED = "adobe_failed", _("An error at Adobe")
    UNREACHABLE = "unreachable", _("Adobe not reached")
    ANSWER_LOST = "answer_lost", _("No answer, so it may have been done")
    UNCLEAR = "unclear", _("Answer not understood")


class ConsoleError(Exception):
    """A call that did not do what it was for. The text is for people and holds no value.

    `may_have_been_done`: whether Adobe may have done it all the same, which only a list tells.
    """

    def __init__(self, problem: Problem, detail: str, *, may_have_been_done: bool = False) -> None:
        super().__init__(detail)
        self.problem = problem
        self.may_have_been_done = may_have_been_done


@dataclass(frozen=True)
class AdobeSecret:
    """One secret as Adobe lists it; never its value. `last_used`: None if no token was ever made with it."""

    uuid: str
    created: datetime | None
    expires: datetime | None
    """None: it does not, or Adobe did not say."""
    last_used: datetime | None


@dataclass(frozen=True)
class NewSecret:
    """A secret that was just made: the only time that its value is shown."""

    uuid: str
    plaintext: Secret


@dataclass(frozen=True)
class Credential:
    """A credential at Adobe, by the numeric ids of its organization and of itself, and how it is reached."""

    organization: str
    credential: str
    client_id: str
    base_url: str
    route: Route

    def __post_init__(self) -> None:
        if not (_NUMBER.fullmatch(self.organization) and _NUMBER.fullmatch(self.credential)):
            raise ValueError("the ids of organization and credential are numbers")

    def list(self, token: Secret) -> Sequence[AdobeSecret]:
        """Return the secrets that Adobe has of it, the oldest first. `ConsoleError` if that is not known."""
        answer = self._own(self._call("GET", "", token))
        rows = answer.json.get("client_secrets")
        if not isinstance(rows, list) or len(rows) > 2 * MOST_SECRETS:
            raise _unclear(answer)
        found = [_listed(row) for row in rows]
        if None in found:
            raise _unclear(answer)
        return sorted(filter(None, found), key=lambda each: (each.created is None, each.created, each.uuid))

    def create(self, token: Secret) -> NewSecret:
        """Make a second secret. `ConsoleError` if there is none, or if nobody knows."""
        answer = self._own(self._call("POST", "", token), may_have_been_done=True)
        uuid, plaintext = answer.json.get("uuid"), answer.json.get("client_secret")
        if not (isinstance(uuid, str) and _UUID.fullmatch(uuid) and isinstance(plaintext, str) and plaintext):
            raise _unclear(answer, may_have_been_done=True)
        return NewSecret(uuid, Secret(plaintext))

    def delete(self, token: Secret, uuid: str) -> None:
        """Delete a secret for ever; one that Adobe does not know any more is `Problem.NOT_FOUND`."""
        if not _UUID.fullmatch(uuid):
            raise ValueError("not the id of a secret")
        self._call("DELETE", f"/{uuid}", token)

    def _own(self, answer: Answer, *, may_have_been_done: bool = False) -> Answer:
        """Return an answer about this credential; `ConsoleError` for one about another, as the ids say it."""
        named = answer.json.get("client_id")
        if named is not None and named != self.client_id:
            text = _("These numbers belong to another credential.")
            raise ConsoleError(Problem.OTHER_CREDENTIAL, str(text), may_have_been_done=may_have_been_done)
        return answer

    def _call(self, method: str, path: str, token: Secret) -> Answer:
        changes = method != "GET"
        url = (
            f"{self.base_url.rstrip('/')}/console/organizations/{self.organization}"
            f"/credentials/{self.credential}/secrets{path}"
        )
        try:
            answer = call(method, url, self.route, headers={"x-api-key": self.client_id}, bearer=token)
        except NoAnswer as error:
            is_lost = changes and error.may_have_arrived
            problem = Problem.ANSWER_LOST if is_lost else Problem.UNREACHABLE
            raise ConsoleError(problem, str(error.reason), may_have_been_done=is_lost) from None
        if answer.status not in _DONE:
            raise _refused(method, answer)
        return answer


def _refused(method: str, answer: Answer) -> ConsoleError:
    """Judge by the status alone. An error at Adobe, or before it, may have come after the change."""
    status = answer.status
    known = {
        requests.codes.unauthorized: Problem.NOT_SIGNED_IN,
        requests.codes.forbidden: Problem.FORBIDDEN,
        requests.codes.not_found: Problem.NOT_FOUND,
        requests.codes.too_many_requests: Problem.THROTTLED,
    }
    problem = known.get(status, Problem.UNCLEAR)
    if status >= requests.codes.internal_server_error:
        problem = Problem.ADOBE_FAILED
    elif method == "POST" and status in (requests.codes.bad_request, requests.codes.conflict):
        problem = Problem.FULL
    may = method != "GET" and problem in (Problem.ADOBE_FAILED, Problem.UNCLEAR)
    text = _("Adobe answered %s.") % status
    return ConsoleError(problem, text, may_have_been_done=may)


def _unclear(answer: Answer, *, may_have_been_done: bool = False) -> ConsoleError:
    text = _("Adobe answered %s, but not with what was asked for.") % answer.status
    return ConsoleError(Problem.UNCLEAR, text, may_have_been_done=may_have_been_done)


def _listed(row: Any) -> AdobeSecret | None:  # Any: whatever JSON holds
    """Return a secret of the list; None for what is none, or may have been used at a time not understood."""
    if not isinstance(row, dict):
        return None
    uuid, usages = row.get("uuid"), row.get("secret_usages") or []
    if not isinstance(uuid, str) or not _UUID.fullmatch(uuid) or not isinstance(usages, list):
        return None
    used = [_moment(each.get("last_used_at")) if isinstance(each, dict) else None for each in usages]
    if None in used:
        return None
    last_used = max(filter(None, used), default=None)
    return AdobeSecret(uuid, _moment(row.get("created_at")), _moment(row.get("expires_at")), last_used)


def _moment(value: object) -> datetime | None:
    """Return a moment that Adobe gives as a text of milliseconds; None for `PERMANENT` and the like."""
    text = str(value)
    if not _MILLISECONDS.fullmatch(text):
        return None
    return datetime.fromtimestamp(int(text) / 1000, UTC)
