"""The summary of a pack as one HTML file to read and to print: no script, and nothing that is loaded."""

from collections.abc import Mapping, Sequence

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credentials.coverage.holding import ACCOUNT
from credentials.coverage.past import versions_seen
from credentials.evidence import rows
from credentials.evidence.scopes import Scope
from credentials.rollouts.models import Push
from credentials.rollouts.states import counted
from credentials.rotation.models import Rotation
from instances.discovery.models import Observation
from instances.models import Installation
from portal.audit.chain.findings import SealedBreak
from portal.audit.labels import lines_of
from portal.audit.models import AuditEvent
from portal.audit.operator import in_words

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
MOST_SEEN = 500


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
        "seen": _seen(scope),
        "reach": _reach(scope),
    }
    return render_to_string("evidence/summary.html", context)


def _outcome(scope: Scope) -> list[tuple[Promise, object]]:
    """Return how a rotation ended, or how far it was, and who started it."""
    if scope.kind != "rotation":
        return []
    state = Rotation.State(str(scope.facts["state"])).label
    return [
        (_("Outcome") if scope.facts["is_over"] else _("State"), state),
        (_("Started by"), in_words(str(scope.facts["started_by"]))),
    ]


def _seen(scope: Scope) -> list[tuple[Observation, object]]:
    """Return the first observations of the pack, each with the version that it showed, or None."""
    seen = list(rows.with_names(scope.observations.order_by("pk"))[:MOST_SEEN])
    found = versions_seen([each for each in seen if each.digest], timezone.now())
    return [(each, found.get(each.pk)) for each in seen]


def _reach(scope: Scope) -> tuple[int, int] | None:
    """Return how many installations the account has now, and how many of them have a push in the pack."""
    account = scope.facts.get("account_id")
    if not account:
        return None
    mine = Installation.objects.not_retired().filter(**{ACCOUNT: account})
    return mine.count(), mine.filter(pk__in=scope.pushes.order_by().values("installation")).count()


def _days(scope: Scope) -> dict[str, str]:
    first, last = (timezone.localdate(each).isoformat() for each in (scope.since, scope.until))
    return {"first_day": first, "last_day": last}
