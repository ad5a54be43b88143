"""Host keys: scanned or offered, approved by an admin, revoked. Nothing is trusted because it was seen.

A key that was revoked once is never approved by a machine again, only by a person.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from instances import jump_hosts, policy, ssh
from instances.models import Container, ExpectedHostKey, HostKey
from portal.audit.models import Actor, record


@dataclass(frozen=True)
class Scan:
    """What a scan brought: the keys that the server showed, and the one that was expected and so approved.

    `missing` names the key types that could not be asked for, because of `error`.
    """

    keys: tuple[HostKey, ...]
    approved: HostKey | None
    is_expected_missing: bool
    missing: tuple[str, ...] = ()
    error: ssh.SSHError | None = None


def missing_in_words(scan: Scan, container: Container) -> str:
    """Return which key types could not be asked for and why; an empty text if all could."""
    if scan.error is None:
        return ""
    words = {
        "types": ", ".join(scan.missing),
        "seen": ", ".join(key.type for key in scan.keys),
        "why": jump_hosts.failure_in_words(scan.error, container),
    }
    return (
        _(
            "The scan is not complete: %(seen)s was seen, then the server could not be asked for its other "
            "types (%(types)s). %(why)s What was seen is kept; scan again for the rest."
        )
        % words
    )


def approved_lines(container: Container) -> tuple[str, ...]:
    """Return the pinned keys, each `<type> <base64>`; empty where nothing was approved yet."""
    approved = HostKey.objects.filter(container=container.pk, state=HostKey.State.APPROVED)
    return tuple(key.line for key in approved.order_by("fingerprint"))


def scan_container(*, container: Container, actor: Actor) -> Scan:
    """Ask the container's SSH server for its host keys, without logging in there, and store them as offered.

    Takes about 12 seconds at most. Raises an `ssh.SSHError` if no key was seen; then nothing is stored. A
    jump host asks for a login: with one, it raises as `portal_key.private_key` as well. A key whose
    fingerprint an admin gave beforehand is approved; every other one waits for a person.
    """
    shown = ssh.scan(
        container.address,
        container.port,
        policy=policy.address_policy(),
        deadlines=policy.scan_deadlines(),
        tick=policy.ends_after(policy.SCAN_SECONDS),
        jump=jump_hosts.jump_to(container),
    )
    return store_scan(container=container, shown=shown, actor=actor)


@transaction.atomic
def store_scan(*, container: Container, shown: ssh.Shown, actor: Actor) -> Scan:
    """Keep what a scan saw, and approve the expected key if it is among it."""
    _lock(container)
    keys = [_seen(container, key.type, key.base64, key.fingerprint) for key in shown.keys]
    HostKey.objects.filter(pk__in=[key.pk for key in keys]).update(seen=timezone.now())
    expected = ExpectedHostKey.objects.filter(container=container).first()
    match = next((key for key in keys if expected and key.fingerprint == expected.fingerprint), None)
    record(
        "host_key.scanned",
        actor=actor,
        target=container,
        details={
            "address": _address(container),
            "shown": [str(key) for key in keys],
            **({"not_asked": list(shown.missing)} if shown.missing else {}),
        },
    )
    approved = None
    if match and expected and match.state == HostKey.State.OFFERED:
        approved = approve_host_key(key=match, actor=actor, expected_by=expected.given_by)
    is_expected_missing = expected is not None and match is None
    return Scan(tuple(keys), approved, is_expected_missing, shown.missing, shown.error)


@transaction.atomic
def approve_host_key(*, key: HostKey, actor: Actor, expected_by: str = "") -> HostKey:
    """Trust a key from now on. What it replaces is revoked: the keys of its type, and those shown no more.

    `expected_by` names who gave its fingerprint in advance. Approving an approved key changes nothing.
    """
    _lock(key.container)
    key = HostKey.objects.select_related("container").get(pk=key.pk)
    if key.state == HostKey.State.APPROVED:
        return key
    others = key.container.host_keys.filter(state=HostKey.State.APPROVED)
    replaced = list(others.filter(Q(type=key.type) | Q(seen__lt=key.seen)))
    HostKey.objects.filter(pk__in=[other.pk for other in replaced]).update(state=HostKey.State.REVOKED)
    key.state, key.approved, key.approved_by = HostKey.State.APPROVED, timezone.now(), actor.name
    key.save(update_fields=["state", "approved", "approved_by"])
    record(
        "host_key.approved",
        actor=actor,
        target=key.container,
        details={
            "key": str(key),
            "address": _address(key.container),
            "revoked": [str(other) for other in replaced],
            "expected_by": expected_by,
        },
    )
    return key


@transaction.atomic
def revoke_host_key(*, key: HostKey, actor: Actor) -> None:
    """Trust a key no longer, or reject one that was only offered. Only a person can approve it again."""
    _lock(key.container)
    key.refresh_from_db()
    if key.state == HostKey.State.REVOKED:
        return
    was, key.state = key.state, HostKey.State.REVOKED
    key.save(update_fields=["state"])
    record("host_key.revoked", actor=actor, target=key.container, details={"key": str(key), "was": was})


@transaction.atomic
def note_offered(*, container: Container, type: str, base64: str, fingerprint: str) -> HostKey:  # noqa: A002  # the key's own word
    """Keep a key that the server showed instead of an approved one, for an admin to judge."""
    _lock(container)
    is_new = not container.host_keys.filter(fingerprint=fingerprint).exists()
    key = _seen(container, type, base64, fingerprint)
    key.save(update_fields=["seen"])
    if is_new:
        record(
            "host_key.offered",
            actor=Actor("portal"),
            target=container,
            details={"key": str(key), "address": _address(container)},
        )
    return key


def state_of(keys: Iterable[HostKey]) -> str:
    """Say how all keys of one container stand: approved, changed, offered, or an empty string.

    Changed: the server showed another key in the place of an approved one, and nobody has decided on it yet.
    """
    approved, offered = [], []
    for key in keys:
        if key.state == HostKey.State.APPROVED:
            approved.append(key)
        elif key.state == HostKey.State.OFFERED:
            offered.append(key)
    if not approved:
        return "offered" if offered else ""
    types, seen = {key.type for key in approved}, max(key.seen for key in approved)
    return "changed" if any(key.type in types or key.seen > seen for key in offered) else "approved"


def in_host_key_state(containers: QuerySet[Container], state: str) -> QuerySet[Container]:
    """Return those whose keys stand so, as `state_of` has it, by conditions that a database can join on."""
    is_approved, is_offered, is_changed = _host_key_conditions()
    conditions = {
        "changed": (is_approved, is_changed),
        "approved": (is_approved, ~is_changed),
        "offered": (is_offered, ~is_approved),
        "": (~is_approved, ~is_offered),
    }
    return containers.filter(*conditions[state])


def _host_key_conditions() -> tuple[Exists, Exists, Exists]:
    """Return what tells the states apart: an approved key, an offered one, one offered instead of it."""
    keys = HostKey.objects.filter(container=OuterRef("pk"))
    approved = keys.filter(state=HostKey.State.APPROVED)
    offered = keys.filter(state=HostKey.State.OFFERED)
    beside = HostKey.objects.filter(container=OuterRef("container"), state=HostKey.State.APPROVED)
    same_type = Exists(beside.filter(type=OuterRef("type")))
    instead = Q(same_type) | ~Q(Exists(beside.filter(seen__gte=OuterRef("seen"))))
    return Exists(approved), Exists(offered), Exists(offered.filter(instead))


def _seen(container: Container, key_type: str, base64: str, fingerprint: str) -> HostKey:
    key, _created = HostKey.objects.get_or_create(
        container=container, fingerprint=fingerprint, defaults={"type": key_type, "base64": base64}
    )
    return key


def _lock(container: Container) -> None:
    """Decisions about one container's keys come one after another."""
    Container.objects.select_for_update().get(pk=container.pk)


def _address(container: Container) -> str:
    return f"{container.address}:{container.port}"
