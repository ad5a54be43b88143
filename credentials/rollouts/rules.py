"""The rule book: what forbids starting, sending or retrying a push. Every place that needs to know asks here.

Obstacles are codes; their words are for the place that shows them. The paths lead from a push, which need not
be stored: a push that is about to be started can be asked about as well.
"""

from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.states import State
from instances.failures import Code
from instances.models import (
    CONTAINER_ON,
    NONE_RETIRED,
    NOT_BY_HAND,
    NOT_HOSTED,
    Container,
    ContainerQuerySet,
    HostKey,
)
from instances.requirements import Is, OneOf, Requirement, Same

M = TypeVar("M", bound=Model)

NOT_REPLACED = Is("replaced", "replaced", False)
VERSION_USABLE = Is("version_not_usable", "rollout__secret__state", ClientSecret.State.USABLE)
ACCOUNT_ACTIVE = Is("account_not_active", "rollout__secret__account__state", TechnicalAccount.State.ACTIVE)
ASSIGNED = Same(
    "not_assigned", "installation__instance__assignment__account_id", "rollout__secret__account_id"
)
DESIRED = Same("not_desired", "id", "installation__desired__push")
INSTANCE_NOT_HOSTED = NOT_HOSTED.of("installation__instance")
PUSH_CONTAINER_ON = CONTAINER_ON.of("container")
PUSH_NOT_BY_HAND = NOT_BY_HAND.of("container")
NOT_RETIRED = tuple(each.of("installation") for each in NONE_RETIRED)
NOT_CALLED_OFF = OneOf("called_off", "state", tuple(set(State) - {State.CANCELLED, State.SUPERSEDED}))
NOT_OVER = OneOf("not_failed", "state", (State.FAILED, State.UNKNOWN))


@dataclass(frozen=True)
class _HasKey(Requirement):
    """A failed push needs a host key of the container, approved or expected. Any other push does not."""

    def is_met_by(self, row: Model) -> bool:
        """Read `has_key`, which the caller noted on the push: a list asks for all of its pushes at once."""
        return bool(getattr(row, "state") != State.FAILED or getattr(row, "has_key"))  # noqa: B009

    def condition(self) -> Q:
        return ~Q(state=State.FAILED) | Q(Exists(with_key().filter(pk=OuterRef(self.path))))


def with_key() -> ContainerQuerySet:
    """Return the containers with a host key that is approved, or expected at the first sight."""
    known = Q(host_keys__state=HostKey.State.APPROVED) | Q(expected_host_key__isnull=False)
    return Container.objects.filter(known)


HAS_KEY = _HasKey("no_host_key", "container_id")


@dataclass(frozen=True)
class _KeyDecided(Requirement):
    """Where another host key was shown than expected, an admin decides about it before anything is retried.

    The decision shows by a key that was approved since the failure, or by an approved one that a scan has
    seen since. Until then a retry would fail in the same way, and somebody may be impersonating the server.
    """

    def is_met_by(self, row: Model) -> bool:
        """Read `is_key_decided`, which the caller noted on the push, as with `has_key`."""
        is_other_failure = (getattr(row, "state"), getattr(row, self.path)) != _OTHER_KEY  # noqa: B009
        return bool(is_other_failure or getattr(row, "is_key_decided"))  # noqa: B009

    def condition(self) -> Q:
        state, code = _OTHER_KEY
        return ~Q(**{"state": state, self.path: code}) | Q(Exists(_decided_since("finished")))


def _decided_since(moment: str) -> "QuerySet[HostKey]":
    """Return the keys that are approved, and were approved or seen after this column of an outer push."""
    since = Q(approved__gt=OuterRef(moment)) | Q(seen__gt=OuterRef(moment))
    return HostKey.objects.filter(since, container=OuterRef("container_id"), state=HostKey.State.APPROVED)


_OTHER_KEY = (State.FAILED, Code.HOST_KEY_CHANGED)
KEY_DECIDED = _KeyDecided("host_key_undecided", "code")


def with_key_decided(pushes: "QuerySet[M]") -> "QuerySet[M]":
    """Return those of these pushes for which `KEY_DECIDED` is met."""
    return pushes.filter(KEY_DECIDED.condition())


SENDING = (
    NOT_REPLACED,
    VERSION_USABLE,
    ACCOUNT_ACTIVE,
    ASSIGNED,
    INSTANCE_NOT_HOSTED,
    *NOT_RETIRED,
    PUSH_NOT_BY_HAND,
)
"""Checked again in the transaction before the values go out: whatever changed since the start counts."""

STARTING = (
    *NOT_RETIRED,
    VERSION_USABLE,
    ACCOUNT_ACTIVE,
    INSTANCE_NOT_HOSTED,
    ASSIGNED,
    PUSH_NOT_BY_HAND,
    PUSH_CONTAINER_ON,
)
"""A missing host key does not forbid a start: the form warns, and the attempt fails before the login."""

RETRYING = (
    NOT_REPLACED,
    NOT_CALLED_OFF,
    NOT_OVER,
    *NOT_RETIRED,
    ACCOUNT_ACTIVE,
    INSTANCE_NOT_HOSTED,
    ASSIGNED,
    VERSION_USABLE,
    DESIRED,
    PUSH_NOT_BY_HAND,
    PUSH_CONTAINER_ON,
    HAS_KEY,
    KEY_DECIDED,
)
"""None depends on what was seen on a container before, such as its build: a retry sees it anew."""
