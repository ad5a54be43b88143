"""Records drift in the history, once for each sight that differs."""

from django.db import transaction
from django.db.models import Q

from credentials.coverage.drift import Drift, drifted
from credentials.coverage.models import FoundDrift
from credentials.coverage.notices import note_drift
from portal.audit.trail import PORTAL, Entry, record_all
from portal.processes.housekeeping import hourly


@hourly
def record_drift() -> int:
    """Record what has drifted and is not in the history yet; return how many installations that is."""
    told = FoundDrift.objects.values("observation")
    found = {each.seen.pk: each for each in drifted(~Q(seen_id__in=told))}
    if not found:
        return 0
    with transaction.atomic():
        # One by one, since another process may do the same just now: only what was made here is recorded.
        fresh = [
            each for each in found.values() if FoundDrift.objects.get_or_create(observation=each.seen)[1]
        ]
        if fresh:
            note_drift(fresh)
            record_all([_entry(each) for each in fresh], actor=PORTAL)
    return len(fresh)


def _entry(drift: Drift) -> Entry:
    details: dict[str, object] = {
        "differs": [each.name for each in drift.differences],
        "observation": drift.seen.pk,
        "compared_with": drift.baseline.pk,
        "version": drift.version.number if drift.version else None,
        "account": drift.version.account if drift.version else "",
    }
    return Entry("drift.found", drift.installation, details)
