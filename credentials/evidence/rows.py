"""Pushes, attempts and observations as lines of a pack. Never what a container printed, and no ciphertext."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from credentials.rollouts.models import Attempt, Push
from instances.discovery.models import Observation
from instances.models import Installation

CHUNK = 1000
Row = dict[str, object]


def pushes(rows: QuerySet[Push]) -> Iterator[Row]:
    """Yield each push with its state as it is now."""
    related = ("rollout__secret__account", "installation__instance", "container")
    found = rows.select_related(*related).order_by("requested", "pk")
    for push in found.iterator(chunk_size=CHUNK):
        version = push.rollout.secret
        yield {
            "push": str(push.pk),
            "rollout": push.rollout.number,
            "reason": push.rollout.reason,
            "account": version.account.name,
            "version": version.version,
            "fingerprint": version.fingerprint,
            "instance": push.installation.instance.name,
            "container": push.container.name,
            "state": push.state,
            "code": push.code,
            "in_the_file": push.is_written,
            "requested": _moment(push.requested),
            "requested_by": push.rollout.requested_by_name,
            "finished": _moment(push.finished),
        }


def attempts(rows: QuerySet[Push]) -> Iterator[Row]:
    """Yield each attempt of these pushes, without what the container printed."""
    found = Attempt.objects.filter(push__in=rows.order_by().values("pk")).defer("output")
    for attempt in found.order_by("started", "pk").iterator(chunk_size=CHUNK):
        yield {
            "attempt": str(attempt.pk),
            "push": str(attempt.push_id),
            "number": attempt.number,
            "kind": attempt.kind,
            "cause": attempt.cause,
            "caused_by": attempt.caused_by,
            "version": attempt.secret_version,
            "fingerprint": attempt.secret_fingerprint,
            "worker": attempt.worker,
            "started": _moment(attempt.started),
            "finished": _moment(attempt.finished),
            "stage": attempt.stage,
            "verdict": attempt.verdict,
            "code": attempt.code,
            "exit_codes": attempt.exit_codes,
            "digest_before": attempt.before_digest,
            "digest_after": attempt.after_digest,
            "proof": attempt.proof,
            "build": attempt.build,
            "host_key": attempt.host_key,
        }


def observations(rows: QuerySet[Observation]) -> Iterator[Row]:
    """Yield what was seen of installations; of one that was removed the names are not known any more."""
    for seen in with_names(rows.order_by("pk")).iterator(chunk_size=CHUNK):
        yield {
            "observation": seen.pk,
            "instance": seen.instance,
            "container": seen.container,
            "first_seen": _moment(seen.at),
            "last_seen": _moment(seen.last_seen),
            "sights": seen.sights,
            "source": seen.source,
            "source_id": seen.source_id,
            "build": seen.build,
            "client_id": seen.client_id,
            "technical_account_id": seen.account_id,
            "organization_id": seen.organization_id,
            "digest": seen.digest,
            "is_jwt": seen.is_jwt,
        }


def with_names(rows: QuerySet[Observation]) -> QuerySet[Any]:  # Any: observations with two names more
    """Return observations with `instance` and `container`, the names of what they were seen on, or None."""
    # A join would leave out what was removed.
    there = Installation.objects.filter(pk=OuterRef("installation"))
    return rows.annotate(
        instance=Subquery(there.values("instance__name")), container=Subquery(there.values("container__name"))
    )


def _moment(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="microseconds") if at else None
