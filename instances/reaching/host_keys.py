"""Host keys: scanned or offered, approved by an admin, revoked. Nothing is trusted because it was seen.

A key that was revoked once is never approved by a machine again, only by a person. And a key that may not be
the container's own is approved only by its fingerprint, which has to come from somewhere else than the scan.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from secrets import compare_digest

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from instances import ssh
from instances.models import Container, ExpectedHostKey, HostKey
from instances.reaching import jump_hosts, policy
from instances.reaching.notices import note_changed
from instances.reaching.taken_keys import Asking
from portal.audit.names import PersonName
from portal.audit.trail import PORTAL, Actor, Details, record

DOUBTS: dict[str, Promise] = {
    "revoked": _("This key was revoked or rejected before."),
    "unexpected": _("Another key is expected here."),
    "changed": _("Another key is or was approved here."),
    "several": _("The server showed several keys of this type."),
}
"""Why a key may not be the container's own, so that its fingerprint has to be entered."""


class FingerprintNeeded(Exception):
    """The key may not be the container's own, and its fingerprint was not given."""


class FingerprintDiffers(Exception):
    """The given fingerprint is not the one of the key that is to be approved."""


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
            "The scan is not complete. The server showed %(seen)s, but could not be asked for its other key "
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
    jump host asks for a login: with one, it raises as `portal_key.held` as well. A key whose
    fingerprint an admin gave beforehand is approved; every other one waits for a person.
    """
    return store_scan(container=container, shown=ask(container), actor=actor)


def ask(container: Container) -> ssh.Shown:
    """Return the keys that a container's server shows; raises as `scan_container`.

    Needs no database if the jump host was read along with the container.
    """
    host = container.jump_host
    return ssh.scan(
        container.address,
        container.port,
        policy=policy.address_policy(),
        deadlines=policy.scan_deadlines(),
        tick=policy.ends_after(policy.SCAN_SECONDS),
        jump=jump_hosts.jump_to(host, Asking.of(host).offer) if host else None,
    )


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
        approved = approve_host_key(
            key=match, actor=actor, fingerprint=expected.fingerprint, expected_by=expected.given_by
        )
    is_expected_missing = expected is not None and match is None
    return Scan(tuple(keys), approved, is_expected_missing, shown.missing, shown.error)


def doubt_about(key: HostKey, all_keys: Collection[HostKey], expected: str = "") -> str:
    """Return why a key may not be the container's own, a name in `DOUBTS`; an empty text for a first key.

    `all_keys` are those of the container, `expected` the fingerprint that was given in advance, if any.
    """
    if key.state == HostKey.State.REVOKED:
        return "revoked"
    if expected and not compare_digest(expected, key.fingerprint):
        return "unexpected"
    others = [other for other in all_keys if other.pk != key.pk]
    if any(other.approved or other.state == HostKey.State.APPROVED for other in others):
        return "changed"
    if any(other.type == key.type and other.state == HostKey.State.OFFERED for other in others):
        return "several"
    return ""


@transaction.atomic
def approve_host_key(*, key: HostKey, actor: Actor, fingerprint: str = "", expected_by: str = "") -> HostKey:
    """Trust a key from now on. What it replaces is revoked: the keys of its type, and those shown no more.

    `fingerprint` is what somebody learnt of the key elsewhere. It must be the key's own, and there must be
    one wherever there is a doubt (`doubt_about`), asked anew here: another key may have been approved since
    the page was made. An expectation of another key ends. `expected_by` names who gave the fingerprint in
    advance.
    Raises `FingerprintNeeded` or `FingerprintDiffers`. Approving an approved key changes nothing.
    """
    _lock(key.container)
    key = HostKey.objects.select_related("container").get(pk=key.pk)
    if fingerprint and not compare_digest(fingerprint.encode(), key.fingerprint.encode()):
        raise FingerprintDiffers
    if key.state == HostKey.State.APPROVED:
        return key
    expected = ExpectedHostKey.objects.filter(container=key.container).first()
    doubt = doubt_about(key, list(key.container.host_keys.all()), expected.fingerprint if expected else "")
    if doubt and not fingerprint:
        raise FingerprintNeeded
    return _trust(key, actor, expected, doubt=doubt, was_entered=bool(fingerprint), expected_by=expected_by)


@transaction.atomic
def approve_first_keys(
    *, container: Container, keys: Iterable[HostKey], actor: Actor, fingerprints: Collection[str] = ()
) -> list[HostKey]:
    """Trust several first keys of one container at once, as one scan shows them: one of each type.

    `fingerprints` are those that somebody learnt elsewhere; a key needs none. Raises `FingerprintNeeded` if
    there is a doubt about one of the keys by now; then none is approved. Returns those that were approved.
    """
    _lock(container)
    known = {key.pk: key for key in container.host_keys.select_related("container")}
    expected = ExpectedHostKey.objects.filter(container=container).first()
    chosen = [known[key.pk] for key in keys if key.pk in known]
    expectation = expected.fingerprint if expected else ""
    if any(doubt_about(key, list(known.values()), expectation) for key in chosen):
        raise FingerprintNeeded
    # the one that was shown last comes first, since it replaces those that were shown before it
    return [
        _trust(key, actor, expected, was_entered=key.fingerprint in fingerprints)
        for key in sorted(chosen, key=lambda key: key.seen, reverse=True)
        if key.state != HostKey.State.APPROVED
    ]


def _trust(
    key: HostKey,
    actor: Actor,
    expected: ExpectedHostKey | None,
    *,
    doubt: str = "",
    was_entered: bool,
    expected_by: str = "",
) -> HostKey:
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
            **_end_expectation(expected, key),
            "doubt": doubt,
            "fingerprint_entered": was_entered and not expected_by,
            "expected_by": PersonName(expected_by),
        },
    )
    return key


def _end_expectation(expected: ExpectedHostKey | None, key: HostKey) -> Details:
    """Forget a fingerprint that is not the approved one; return which it was and who gave it."""
    if expected is None or expected.fingerprint == key.fingerprint:
        return {"no_longer_expected": ""}
    expected.delete()
    return {
        "no_longer_expected": expected.fingerprint,
        "expectation_was_given_by": PersonName(expected.given_by),
    }


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
        note_changed(container, key)
        record(
            "host_key.offered",
            actor=PORTAL,
            target=container,
            details={"key": str(key), "address": _address(container)},
        )
    return key


def expected_of(container: Container) -> str:
    """Return the fingerprint that was given in advance for a container; empty without one."""
    expected = getattr(container, "expected_host_key", None)
    return expected.fingerprint if expected else ""


def state_of(keys: Collection[HostKey], expected: str = "") -> str:
    """Say how all keys of one container stand: approved, changed, unexpected, offered, or an empty string.

    Changed: the server showed another key in the place of an approved one, and nobody has decided on it yet.
    Unexpected: it has never shown the one whose fingerprint was given in advance, but others.
    """
    approved, offered = [], []
    for key in keys:
        if key.state == HostKey.State.APPROVED:
            approved.append(key)
        elif key.state == HostKey.State.OFFERED:
            offered.append(key)
    if not approved:
        is_other = expected and all(key.fingerprint != expected for key in keys)
        return ("unexpected" if is_other else "offered") if offered else ""
    types, seen = {key.type for key in approved}, max(key.seen for key in approved)
    return "changed" if any(key.type in types or key.seen > seen for key in offered) else "approved"


def in_host_key_state(containers: QuerySet[Container], state: str) -> QuerySet[Container]:
    """Return those whose keys stand so, as `state_of` has it, by conditions that a database can join on.

    `needed` are those without an approved key for which a person has to do something: not those whose key
    was given in advance, which nobody has asked yet or which show another one. `shown` are all that wait for
    an approval.
    """
    is_approved, is_offered, is_changed = _host_key_conditions()
    is_unexpected = _is_unexpected()
    conditions = {
        "changed": (is_approved, is_changed),
        "approved": (is_approved, ~is_changed),
        "shown": (is_offered, ~is_approved),
        "unexpected": (is_offered, ~is_approved, is_unexpected),
        "offered": (is_offered, ~is_approved, ~is_unexpected),
        "": (~is_approved, ~is_offered),
        "needed": (~is_approved, Q(is_offered) | Q(expected_host_key=None), ~is_unexpected),
    }
    return containers.filter(*conditions[state])


def _is_unexpected() -> Q:
    """Return whether a key was given in advance that the container has never shown."""
    shown = HostKey.objects.filter(container=OuterRef("pk"))
    expected = shown.filter(fingerprint=OuterRef("expected_host_key__fingerprint"))
    return Q(expected_host_key__isnull=False) & ~Q(Exists(expected))


def without_approved(containers: QuerySet[Container]) -> QuerySet[Container]:
    """Return those without an approved key."""
    is_approved, _is_offered, _is_changed = _host_key_conditions()
    return containers.filter(~is_approved)


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
