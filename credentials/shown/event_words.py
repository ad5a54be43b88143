"""What the rows of the history say beyond what was recorded: the account of a push, and what its file holds.

Nothing of it is part of an event, so old events are told in the same way, and no export or hash changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from credentials.adobe.ims import TokenVerdict
from credentials.rollouts.models import HOLDING, Attempt, Push
from instances.failures import Code
from portal.audit.labels import Meaning, tells
from portal.audit.models import AuditEvent

HELD = {
    "push.failed": _("Push incomplete: the file holds the secret"),
    "push.superseded": _("Push superseded: the file held its secret"),
}
"""Ends that say less than what the attempt proved."""
_SHOWN_BY_ATTEMPT = _("the attempt showed that the file held this secret")
"""Why an entry is called otherwise than its action."""


@tells("push")
def pushes(events: Sequence[AuditEvent]) -> Mapping[int, Meaning]:
    """Name the account of each push, its outcome code in words, and a proof despite a bad end."""
    ids = {pk for event in events if (pk := uuid_of(event.target_id))}
    accounts = {
        str(pk): name
        for pk, name in Push.objects.filter(pk__in=ids).values_list("pk", "rollout__secret__account__name")
    }
    proven = Attempt.objects.filter(push__in=ids, proof__in=HOLDING).exclude(verdict=Push.State.SUCCEEDED)
    held = {(str(push), number) for push, number in proven.values_list("push", "number")}
    return {event.seq: _push(event, accounts, held) for event in events}


def uuid_of(text: str) -> UUID | None:
    """Return the id that an event keeps; None for what is no id."""
    try:
        return UUID(text)
    except ValueError:  # a changed row of the history must not break its page
        return None


def _push(event: AuditEvent, accounts: Mapping[str, str], held: Iterable[tuple[str, int]]) -> Meaning:
    facts = _in_words(event, "code", Code.choices)
    if "account" not in event.details:
        facts["account"] = accounts.get(event.target_id, "")
    is_held = (event.target_id, event.details.get("attempt")) in held
    if is_held and event.action in HELD:
        facts["proof"] = str(_SHOWN_BY_ATTEMPT)
    label = HELD.get(event.action, "") if is_held else ""
    # a retry has no end of its own: the page of the push has it
    url = reverse("push", args=[event.target_id]) if event.target_id in accounts else ""
    return Meaning(label, facts, url=url)


@tells("technicalaccount")
def accounts(events: Sequence[AuditEvent]) -> Mapping[int, Meaning]:
    """Say Adobe's answers in words."""
    return {event.seq: Meaning(facts=_in_words(event, "verdict", TokenVerdict.choices)) for event in events}


def _in_words(event: AuditEvent, key: str, choices: Iterable[tuple[object, object]]) -> dict[str, str]:
    """Return a detail with its code in words; the code stays, since people search for it."""
    code = event.details.get(key)
    words = {value: str(label) for value, label in choices}
    return {key: f"{words[code]} ({code})"} if isinstance(code, str) and code in words else {}
