"""What the rows of the history say beyond what was recorded: the account of a push, and what its file holds.

Nothing of it is part of an event, so old events are told in the same way, and no export or hash changes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from django.db.models import OuterRef, Subquery
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credentials.adobe.ims import TokenVerdict
from credentials.rollouts.models import HOLDING, Attempt, Push
from instances.failures import Code
from portal.audit.labels import Meaning, label, tells
from portal.audit.models import AuditEvent

HELD = {
    "push.failed": _("Push incomplete: the file holds the secret"),
    "push.superseded": _("Push superseded: the file held its secret"),
}
"""Ends that say less than what the attempt proved."""
_SHOWN_BY_ATTEMPT = _("the attempt showed that the file held this secret")
"""Why an entry is called otherwise than its action."""
ASKED = ("push.retried", "push.look_requested")
ENDED = ("push.succeeded", "push.failed", "push.unknown", "push.superseded", "push.cancelled")


@tells("push")
def pushes(events: Sequence[AuditEvent]) -> Mapping[int, Meaning]:
    """Name the account of each push, its outcome code in words, and a proof despite a bad end."""
    ids = {pk for event in events if (pk := uuid_of(event.target_id))}
    accounts = {
        str(pk): name
        for pk, name in Push.objects.filter(pk__in=ids).values_list("pk", "rollout__secret__account__name")
    }
    proven = Attempt.objects.filter(push__in=ids, proof__in=HOLDING).exclude(verdict=Push.State.SUCCEEDED)
    held: set[tuple[str, object]] = {
        (str(push), number) for push, number in proven.values_list("push", "number")
    }
    found = {event.seq: _push(event, accounts, held) for event in events}
    for seq, end in _ends([event.seq for event in events]).items():
        facts = {**found[seq].facts, "outcome": _outcome(end, held)}
        found[seq] = replace(found[seq], facts=facts)
    return found


def _ends(events: Collection[int]) -> Mapping[int, AuditEvent | None]:
    """Return what became of the retries and looks among events: the first end of its push after each."""
    of_push = {"target_type": "push", "target_id": OuterRef("target_id"), "seq__gt": OuterRef("seq")}
    ends = AuditEvent.objects.filter(**of_push, action__in=ENDED).order_by("seq")
    columns = {f"end_{name}": Subquery(ends.values(name)[:1]) for name in ("seq", "action", "details")}
    asked = AuditEvent.objects.filter(seq__in=events, action__in=ASKED).order_by().annotate(**columns)
    return {
        event: AuditEvent(seq=seq, action=action, details=details, target_id=target) if seq else None
        for event, target, seq, action, details in asked.values_list("seq", "target_id", *columns)
    }


def _outcome(end: AuditEvent | None, held: Collection[tuple[str, object]]) -> str:
    """Return an end in words, with the number of its entry."""
    if end is None:
        return gettext("none yet")
    what = _label(end, held) or label(end.action)
    return gettext("%(what)s (event %(number)s)") % {"what": what, "number": end.seq}


def uuid_of(text: str) -> UUID | None:
    """Return the id that an event keeps; None for what is no id."""
    try:
        return UUID(text)
    except ValueError:  # a changed row of the history must not break its page
        return None


def _push(event: AuditEvent, accounts: Mapping[str, str], held: Collection[tuple[str, object]]) -> Meaning:
    facts = _in_words(event, "code", Code.choices)
    if "account" not in event.details:
        facts["account"] = accounts.get(event.target_id, "")
    other = _label(event, held)
    if other:
        facts["proof"] = str(_SHOWN_BY_ATTEMPT)
    url = reverse("push", args=[event.target_id]) if event.target_id in accounts else ""
    return Meaning(other, facts, url=url)


def _label(event: AuditEvent, held: Collection[tuple[str, object]]) -> Promise | str:
    """Return what an end is called whose attempt proved more than its action says; else nothing."""
    is_held = (event.target_id, event.details.get("attempt")) in held
    return HELD.get(event.action, "") if is_held else ""


@tells("technicalaccount")
def accounts(events: Sequence[AuditEvent]) -> Mapping[int, Meaning]:
    """Say Adobe's answers in words."""
    return {event.seq: Meaning(facts=_in_words(event, "verdict", TokenVerdict.choices)) for event in events}


def _in_words(event: AuditEvent, key: str, choices: Iterable[tuple[object, object]]) -> dict[str, str]:
    """Return a detail with its code in words; the code stays, since people search for it."""
    code = event.details.get(key)
    words = {value: str(label) for value, label in choices}
    return {key: f"{words[code]} ({code})"} if isinstance(code, str) and code in words else {}
