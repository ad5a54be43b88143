"""Which of the portal's SSH keys each server takes, and who would be lost without the former one.

Servers are offered the newest key and then the former one; what opened them is noted at every login, and
nothing else counts: neither that a line was installed, nor that somebody says so.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from django.db import DatabaseError, models
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from instances import ssh
from instances.models import CONTAINER_ON, NOT_BY_HAND, Container, JumpHost, TakesKey
from instances.reaching import portal_key
from instances.reaching.portal_key import Public
from portal.keys import registry
from portal.keys.known import known_keys

PUT_OFF = timedelta(minutes=10)
"""How long a server that hangs up on the newest key is offered the former one first.

Guards such as fail2ban count such endings, and would lock the portal out for all containers behind it.
"""
FRESH = timedelta(minutes=1)
"""How long the same answer is not noted again while there are two keys."""
FRESH_ALONE = timedelta(hours=1)
"""The same, while there is one."""


class State(models.TextChoices):
    """What is known of one server and the newest key."""

    NEW = "new", _("Takes the new key")
    FORMER = "former", _("Takes only the former key")
    NEITHER = "neither", _("Took neither key")
    NOT_ASKED = "not_asked", _("No connection since the new key was added")


@dataclass(frozen=True)
class Asking:
    """One server, asked at a visit which key it takes."""

    hop: Container | JumpHost
    newest: str
    has_two: bool
    offer: ssh.Offer

    @classmethod
    def of(cls, hop: Container | JumpHost) -> Self:
        """Return what is to be offered there now. Raises as `portal_key.held`."""
        key, former = portal_key.in_use()
        newest = ssh.name_of(key)
        offer = ssh.Offer(key, former, former_first=_is_put_off(hop, newest))
        return cls(hop, newest, former is not None, offer)

    @property
    def is_new(self) -> bool:
        """Whether the server let in who has the newest key; whether that is of use shows what follows."""
        return self.offer.login is not None and self.offer.login.taken == self.newest

    def note(self, *, token: UUID | None = None) -> None:
        """Note how the server answered, if it did; for a container under its lease's `token` alone.

        What is noted is never worth a push: a database that is away is left to what comes next.
        """
        login = self.offer.login
        if login is None or self.newest not in (login.taken, login.refused):
            return
        values = {
            "key_taken": login.taken,
            "key_refused": login.refused,
            "key_hung_up": login.hung_up,
            "key_way": way_to(self.hop),
        }
        if self._is_known(values):
            return
        rows = type(self.hop).objects.filter(pk=self.hop.pk, **({"lease_token": token} if token else {}))
        with suppress(DatabaseError):
            rows.update(**values, key_asked=Now())
        for name, value in values.items():
            setattr(self.hop, name, value)
        self.hop.key_asked = timezone.now()

    def _is_known(self, values: Mapping[str, object]) -> bool:
        is_same = all(getattr(self.hop, name) == value for name, value in values.items())
        return is_same and _is_recent(self.hop, FRESH if self.has_two else FRESH_ALONE)


def _is_put_off(hop: TakesKey, newest: str) -> bool:
    is_known = hop.key_hung_up and hop.key_refused == newest and hop.key_taken != ""
    return is_known and _is_recent(hop, PUT_OFF)


def _is_recent(hop: TakesKey, age: timedelta) -> bool:
    """Whether it was asked lately; a moment far ahead is from before the clock was set back."""
    return hop.key_asked is not None and abs(timezone.now() - hop.key_asked) < age


def way_to(hop: Container | JumpHost) -> str:
    """Return where a server is and who logs in: once one of it is edited, it may be another server."""
    way = f"{hop.login}@{hop.address}:{hop.port}"
    via = hop.jump_host_id if isinstance(hop, Container) else None
    return f"{way} through {via}" if via else way


def state_of(hop: Container | JumpHost, newest: str) -> State:
    """Say what is known of a server and the newest key, by its last login there."""
    if hop.key_way != way_to(hop):
        return State.NOT_ASKED
    if hop.key_taken == newest:
        return State.NEW
    if hop.key_refused != newest:
        return State.NOT_ASKED
    return State.FORMER if hop.key_taken else State.NEITHER


@dataclass(frozen=True)
class Waiting:
    """A server that did not take the newest key."""

    hop: Container | JumpHost
    state: State

    @property
    def kind(self) -> str:
        return self.hop.audit_name

    @property
    def is_off(self) -> bool:
        """Whether nobody goes there: it has to be switched on to be asked, or retired."""
        return isinstance(self.hop, Container) and not CONTAINER_ON.is_met_by(self.hop)

    @property
    def asked(self) -> datetime | None:
        """When it last answered, if that was about the newest key."""
        return None if self.state == State.NOT_ASKED else self.hop.key_asked

    def __str__(self) -> str:
        return f"{self.hop.name} ({'off' if self.is_off else self.state.value})"


@dataclass(frozen=True)
class Standing:
    """The portal's keys, and how far servers are with the newest."""

    present: Public
    """The key that the portal calls its own."""
    next: Public | None
    """The one that is to take its place, None if there is none."""
    past: Public | None
    """The one before, if it is still held and offered."""
    containers: Mapping[State, int]
    """Not retired, on or off; none are counted while there is one key, like jump hosts."""
    jump_hosts: Mapping[State, int]
    """Those that containers are reached through."""
    waiting: list[Waiting]
    """Who has not taken the newest key, jump hosts first; nobody while there is one key."""

    @property
    def newest(self) -> Public:
        return self.next or self.present

    @property
    def former(self) -> Public | None:
        """The key that is offered after the newest one, if there are two."""
        return self.past or (self.present if self.next else None)


def standing() -> Standing:
    """Return which keys there are and which servers take them. Raises as `portal_key.held`."""
    newest, oldest = portal_key.in_use()
    if oldest is None:
        return Standing(Public.of(newest), None, None, {}, {}, [])
    new, old = Public.of(newest), Public.of(oldest)
    row = known_keys().get("ssh_key")
    if row and row.fingerprint == new.fingerprint:
        return Standing(new, None, old, *_ask_for(new.fingerprint))
    return Standing(old, new, None, *_ask_for(new.fingerprint))


_SHOWN = ("name", "login", "address", "port", "key_taken", "key_refused", "key_asked", "key_way")


def _ask_for(newest: str) -> tuple[Counter[State], Counter[State], list[Waiting]]:
    logged_in_to = Container.objects.not_retired().filter(NOT_BY_HAND.condition())
    in_use = logged_in_to.order_by("name").only(*_SHOWN, "jump_host_id", "is_enabled")
    is_way = Exists(logged_in_to.filter(jump_host=OuterRef("pk")))
    through = JumpHost.objects.filter(is_way).order_by("name")
    containers = [Waiting(each, state_of(each, newest)) for each in in_use]
    jump_hosts = [Waiting(each, state_of(each, newest)) for each in through]
    return (
        Counter(each.state for each in containers),
        Counter(each.state for each in jump_hosts),
        [each for each in (*jump_hosts, *containers) if each.state != State.NEW],
    )


def still_needed() -> list[str]:
    """Return who has not taken the newest key of this process, a name each: they need the former one."""
    return [str(each) for each in _ask_for(portal_key.fingerprint())[2]]


registry.register(
    registry.Key(
        "ssh_key",
        path_setting="SSH_KEY_PATH",
        held=portal_key.held_names,
        make=ssh.generate_private_key,
        can_be_replaced=True,
        still_needed=still_needed,
        is_optional=True,
        first_made_by="portal_key",
    )
)
