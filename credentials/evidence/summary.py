"""The summary of a pack as one HTML file to read and to print: no script, and nothing that is loaded."""

from collections.abc import Mapping, Sequence

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credentials.evidence.scopes import Scope
from credentials.rollouts.models import Push
from credentials.rollouts.states import counted
from credentials.rotation.models import Rotation
from portal.audit.chain.findings import SealedBreak
from portal.audit.labels import lines_of
from portal.audit.models import AuditEvent

HEADINGS: dict[str, Promise] = {
    "account": _("Account %(account)s"),
    "rotation": _("Rotation %(rotation)s of %(account)s"),
    "period": _("History from %(first_day)s to %(last_day)s"),
}
WORDS = {
    "client_id": _("Client ID"),
    "old": _("Fingerprint of the old secret"),
    "new": _("Fingerprint of the new secret"),
}
MOST_ENTRIES = 1000
MOST_PUSHES = 500


def render(
    scope: Scope,
    made: AuditEvent,
    facts: Mapping[str, object],
    events: Sequence[AuditEvent],
    lines: Mapping[str, object],
    breaks: Sequence[SealedBreak] = (),
) -> str:
    """Return the HTML. `events` are the first ones of the pack, `lines` the length of each of its files."""
    related = ("rollout__secret__account", "installation__instance", "container")
    pushes = list(scope.pushes.select_related(*related).order_by("requested", "pk")[:MOST_PUSHES])
    counts = {state: scope.pushes.filter(state=state).count() for state in Push.State}
    context = {
        "scope": scope,
        "heading": str(HEADINGS[scope.kind]) % {**scope.facts, **_days(scope)},
        "facts": facts,
        "outcome": _outcome(scope),
        "facts_in_words": [(word, scope.facts[key]) for key, word in WORDS.items() if scope.facts.get(key)],
        "made": made,
        "zone": timezone.get_current_timezone_name(),
        "counts": [counted(state, count) for state, count in counts.items() if count],
        "pushes": pushes,
        "lines": lines_of(events),
        "breaks": breaks,
        "shown": lines["events.jsonl"],
        "total_pushes": lines["pushes.jsonl"],
        "attempts": lines["attempts.jsonl"],
        "observations": lines["observations.jsonl"],
    }
    return render_to_string("evidence/summary.html", context)


def _outcome(scope: Scope) -> list[tuple[Promise, object]]:
    """Return how a rotation ended, or how far it was, and who started it."""
    if scope.kind != "rotation":
        return []
    state = Rotation.State(str(scope.facts["state"])).label
    return [
        (_("Outcome") if scope.facts["is_over"] else _("State"), state),
        (_("Started by"), scope.facts["started_by"]),
    ]


def _days(scope: Scope) -> dict[str, str]:
    first, last = (timezone.localdate(each).isoformat() for each in (scope.since, scope.until))
    return {"first_day": first, "last_day": last}
