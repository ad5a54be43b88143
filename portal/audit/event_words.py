"""What the rows about the history itself say, with the findings of verifications in words."""

from collections.abc import Mapping, Sequence

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from portal.audit.chain.findings import in_words, shown
from portal.audit.labels import HISTORY, Meaning, form_of, in_words_of, named, tells
from portal.audit.models import AuditEvent
from portal.audit.verified import VERIFIED, Result, Verified
from portal.punctuation import labelled, with_semicolons


@tells("")
def events_without_object(events: Sequence[AuditEvent]) -> Mapping[int, Meaning]:
    """Say in words what a verification found, why a kept head was given up, and what was exported."""
    about = [event for event in events if event.action.startswith("history.")]
    exports = [event for event in events if event.action == "list.exported"]
    return {event.seq: _meaning(event) for event in about} | _exports(exports)


def _meaning(event: AuditEvent) -> Meaning:
    label = _alarm(event)
    verified = _verified(event) if event.action == VERIFIED else {}
    facts = {**verified, **_findings(event), **_found(event), **_filters(event)}
    return Meaning(label, facts, is_alarm=bool(label))


def _alarm(event: AuditEvent) -> Promise | str:
    """Return what a verification is called that found something."""
    if event.action != VERIFIED:
        return ""
    if Verified(event).result == Result.BROKEN:
        return _("History verified: it is not intact")
    return _("History verified: intact, but one noted head is missing") if Verified(event).lacks_head else ""


def _verified(event: AuditEvent) -> dict[str, str]:
    """Say what a verification showed of the chain, of the noted head, and of the head that was kept."""
    told, details = Verified(event), event.details
    facts = {}
    if told.fits_together and not details.get("intact"):  # of a former release
        facts["intact"] = gettext("no: one noted head is missing, the entries fit together")
    if "expected_head_found" in details and not details.get("expected_head"):
        facts["expected_head_found"] = gettext("no earlier head was given")
    if details.get("kept_head") not in ("", None, details.get("head")):
        facts["kept_head"] = gettext(
            "%(head)s: the newest head that was outside the database before this verification, with which "
            "the chain was compared; it may be a few entries older than the chain"
        ) % {"head": details["kept_head"]}
    return facts


def _findings(event: AuditEvent) -> dict[str, str]:
    texts = [labelled(each["event"], each["problem"]) for each in shown(event.details.get("findings"))]
    return {"findings": with_semicolons(texts)} if texts else {}


def _found(event: AuditEvent) -> dict[str, str]:
    found = event.details.get("found")
    return (
        {"found": in_words(str(found.get("code")), found.get("params") or {})}
        if isinstance(found, dict)
        else {}
    )


def _filters(event: AuditEvent) -> dict[str, str]:
    found = event.details.get("filters")
    return {"filters": in_words_of(found, {}, form_of(HISTORY))} if isinstance(found, dict) and found else {}


def _exports(events: Sequence[AuditEvent]) -> dict[int, Meaning]:
    """Say to what lists were narrowed, as their forms do; a statement for each kind of row."""
    filters = {event.seq: event.details.get("filters") for event in events}
    ids: dict[str, set[str]] = {}
    for found in filters.values():
        for key, value in found.items() if isinstance(found, dict) else ():
            ids.setdefault(key, set()).add(str(value))
    names = {key: named(key, values) for key, values in ids.items()}
    of = {event.seq: str(event.details.get("list")) for event in events}
    forms = {each: form_of(each) for each in set(of.values())}
    return {
        seq: Meaning(facts={"filters": in_words_of(found, names, forms[of[seq]])})
        for seq, found in filters.items()
        if isinstance(found, dict) and found
    }
