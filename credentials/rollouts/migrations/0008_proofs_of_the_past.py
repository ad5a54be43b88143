"""Derives what the past has proven, by the rule that a push is judged by now.

The former rule took a rewritten file for a proof, so some successes were none, and their digests would vouch
for the next one. A root proof of the past is a clean push before which the file held no secret or another
one, whose digest no other version claims. Everything else that counts follows from those: the proofs of the
attempts, and what each installation holds. A success that is left without a proof is marked for the admins.

What was stored as a digest without being one, perhaps a secret that a container sent, is removed.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Count, F, OuterRef, Q, Subquery
from django.utils import timezone

from portal.audit.append_only import writable
from portal.audit.chain import audit_keys, canonical
from portal.audit.models import AuditHead

DIGEST = re.compile(r"[0-9a-f]{64}")
DIGESTS = re.compile(r"((?:[0-9a-f]{64}|empty)(?:,(?:[0-9a-f]{64}|empty))*)?")
BATCH = 1000
CLAIMS = Q(verdict="succeeded") | Q(code__in=["reload_failed", "reload_not_confirmed"])


class Claim(NamedTuple):
    """An attempt that was called written, with what decides whether it is proven."""

    attempt: UUID
    before: str
    after: str
    kind: str
    codes: dict[str, int]
    version: UUID
    client_id: str
    fingerprint: str

    @property
    def is_root(self) -> bool:
        """Whether nlserver ended well and left one secret that was not the one before."""
        is_one = bool(DIGEST.fullmatch(self.after))
        one_before = self.before in ("", "empty") or bool(DIGEST.fullmatch(self.before))
        is_clean = self.kind == "push" and self.codes.get("config") == 0
        return is_clean and is_one and one_before and self.before != self.after

    @property
    def plaintext(self) -> tuple[str, str]:
        """What tells one secret from another, whichever version or account it was entered for."""
        return self.client_id, self.fingerprint


def forwards(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    attempts = apps.get_model("rollouts", "Attempt").objects
    if not attempts.exists():
        return
    with writable(schema_editor, "rollouts_attempt"):
        scrubbed = _scrub(apps)
        _keep_roots(apps)
        _prove_attempts(apps)
    _hold(apps)
    unproven = _mark(apps)
    _record(apps, scrubbed=scrubbed, unproven=unproven, proven=attempts.exclude(proof="").count())


def _scrub(apps: Apps) -> int:
    """Empty whatever has not a digest's shape; return how many values that were."""
    places = (
        ("rollouts", "Attempt", "before_digest"),
        ("rollouts", "Attempt", "after_digest"),
        ("rollouts", "ProvenWrite", "digest"),
        ("instances", "Installation", "observed_digest"),
    )
    count = 0
    for app, model, field in places:
        rows = apps.get_model(app, model).objects.exclude(**{field: ""})
        wrong = [
            pk for pk, value in rows.values_list("pk", field).iterator(BATCH) if not DIGESTS.fullmatch(value)
        ]
        for chunk in _chunks(wrong):
            count += rows.filter(pk__in=chunk).update(**{field: ""})
    several = apps.get_model("instances", "Installation").objects.filter(observed_digest__contains=",")
    several.update(observed_digest="")
    return count


def _claims(apps: Apps) -> Iterator[list[Claim]]:
    attempts = apps.get_model("rollouts", "Attempt").objects.filter(CLAIMS, finished__isnull=False)
    rows = attempts.order_by("started", "pk").values_list(
        "pk", "before_digest", "after_digest", "kind", "exit_codes", "push__rollout__secret",
        "push__rollout__secret__client_id", "push__rollout__secret__fingerprint",
    )  # fmt: skip
    yield from _chunks(Claim(*row) for row in rows.iterator(BATCH))


def _keep_roots(apps: Apps) -> None:
    proven = apps.get_model("rollouts", "ProvenDigest")
    for claims in _claims(apps):
        roots = (claim for claim in claims if claim.is_root)
        rows = (
            proven(digest=claim.after, secret_id=claim.version, attempt_id=claim.attempt) for claim in roots
        )
        proven.objects.bulk_create(rows, ignore_conflicts=True)
    plaintext = ("secret__client_id", "secret__fingerprint")
    shared = proven.objects.order_by().values("digest").annotate(count=Count("*")).filter(count__gt=1)
    for row in list(shared):
        same = proven.objects.filter(digest=row["digest"])
        if same.order_by().values(*plaintext).distinct().count() > 1:
            same.delete()  # one of them is false, and nobody knows which


def _prove_attempts(apps: Apps) -> None:
    attempts = apps.get_model("rollouts", "Attempt").objects
    proven = apps.get_model("rollouts", "ProvenDigest").objects
    for claims in _claims(apps):
        rows = proven.filter(digest__in={claim.after for claim in claims}).values_list(
            "digest", "secret__client_id", "secret__fingerprint"
        )
        known = {digest: (client, fingerprint) for digest, client, fingerprint in rows}
        right = [claim for claim in claims if known.get(claim.after) == claim.plaintext]
        for proof, wanted in (("changed", True), ("recognized", False)):
            attempts.filter(pk__in=[claim.attempt for claim in right if claim.is_root is wanted]).update(
                proof=proof
            )


def _hold(apps: Apps) -> None:
    """Say anew what each installation was last known to hold."""
    held = apps.get_model("rollouts", "ProvenWrite")
    held.objects.all().delete()
    attempts = apps.get_model("rollouts", "Attempt").objects.exclude(proof="")
    newest = attempts.filter(push__installation=OuterRef("pk")).order_by("-push__rollout__fence", "-number")
    rows = (
        apps.get_model("instances", "Installation")
        .objects.order_by("pk")
        .annotate(
            secret=Subquery(newest.values("push__rollout__secret")[:1]),
            fence=Subquery(newest.values("push__rollout__fence")[:1]),
            digest=Subquery(newest.values("after_digest")[:1]),
        )
        .exclude(fence=None)
        .values_list("pk", "secret", "fence", "digest")
    )
    held.objects.bulk_create(
        (
            held(installation_id=pk, secret_id=secret, fence=fence, digest=digest)
            for pk, secret, fence, digest in rows
        ),
        batch_size=BATCH,
    )


def _mark(apps: Apps) -> int:
    """Mark the successes that nothing proves any more; return how many still are the last word there."""
    pushes = apps.get_model("rollouts", "Push").objects
    newer = Q(installation__proven_write__fence__gte=F("rollout__fence"))
    unproven = pushes.filter(state="succeeded").exclude(newer)
    unproven = unproven.exclude(attempts__proof__in=["changed", "recognized"])
    for chunk in _chunks(list(unproven.values_list("pk", flat=True))):
        pushes.filter(pk__in=chunk).update(is_unproven=True)
    return int(pushes.filter(is_unproven=True, replaced=False).count())


def _record(apps: Apps, **counts: int) -> None:
    """Record an event in form 1, whatever columns the trail has by now: those that came later are empty in it."""
    events = apps.get_model("audit", "AuditEvent").objects
    head = AuditHead.objects.select_for_update().get(pk=1)
    key = head.key_in_use
    event: dict[str, Any] = {
        "seq": head.seq + 1,
        "at": timezone.now(),
        "actor_id": None,
        "actor_name": "portal",
        "ip": "",
        "action": "portal.proofs_derived",
        "target_type": "",
        "target_id": "",
        "target_name": "",
        "details": counts,
        "request_id": "",
        "prev_hash": head.hash,
    }
    digest = audit_keys.seal(canonical.encode(canonical.form_1(**event)), key)
    events.create(**event, hash=digest)
    head.seq, head.hash = head.seq + 1, digest
    head.seal = head.expected_seal(key)
    head.save(update_fields=["seq", "hash", "seal"])


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, BATCH)):
        yield chunk


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0003_index_by_group"),
        ("credentials", "0002_secrets_per_key"),
        ("instances", "0003_jump_hosts"),
        ("rollouts", "0007_proof"),
    ]

    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
