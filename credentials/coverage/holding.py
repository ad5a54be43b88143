"""What installations hold and desire now, and what that makes of them: one query for any number of them."""

from functools import reduce
from itertools import starmap
from operator import add, or_
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    CharField,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    UUIDField,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from credentials.coverage.states import Fact
from credentials.models import ClientSecret, GoalChange, TechnicalAccount
from credentials.rollouts.models import Attempt, ProvenDigest, Push, is_as_seen
from credentials.rollouts.settlement import SENT
from instances.discovery.models import EMPTY_ORGANIZATION, Observation, Reading, open_sight
from instances.models import CONTAINER_ON, NOT_BY_HAND, NOT_HOSTED, Installation
from portal.json_columns import JSONText

ACCOUNT = "instance__assignment__account"
LASTING = ("gone", "none", "unreadable", "too_big")
"""Why a file was not read, by the script's words: what another reading would find as well."""
COMPARED = ("client_id", "account_id", "organization_id", "digest", "is_jwt")
"""What of two sights must be equal: the file may be written anew, and its build may change."""


def covered() -> QuerySet[Installation]:
    """Return the installations that count: an active account is used there, and Adobe does not set it.

    What is retired does not.
    """
    active = Q(**{f"{ACCOUNT}__state": TechnicalAccount.State.ACTIVE})
    return Installation.objects.not_retired().filter(NOT_HOSTED.of("instance").condition() & active)


def with_holding(rows: QuerySet[Installation]) -> "QuerySet[Any]":  # Any: installations with annotations
    """Annotate installations with what they hold and what that makes of them.

    `goal_version`, `desired_version`, `proven_version`, `by_hand_version` (confirmed by a person),
    `seen_version` (its digest was proven elsewhere), `told_version` (a person reported that it was set) and
    `held_version` are ids of versions, or None. `is_told` says that a person saw the file last, and not the
    portal: then nothing is proven there, whatever was once; `is_reported` that a person reported what they
    set after the last proven write. `is_open` says whether a push is open, `has_failed` whether the desired
    one failed, `is_drifted` whether the file differs from what it is compared with,
    `is_accepted` whether a person accepted what is there, `is_usable` whether the held version can still be
    used. `goal_since` says when the goal became what it is. `with_facts` makes one number of all that.
    """
    return (
        rows.annotate(seen=open_sight())
        .annotate(
            seen_id=F("seen__pk"),
            goal_version=F(f"{ACCOUNT}__goal"),
            goal_since=Subquery(
                GoalChange.objects.filter(account=OuterRef(ACCOUNT)).order_by("-pk").values("at")[:1]
            ),
            desired_version=Case(When(desired__version__account=F(ACCOUNT), then=F("desired__version"))),
            is_told=_is_told(),
            proven_version=_known_from("proven_write", unless=Q(seen__last_source=Observation.Source.HAND)),
            by_hand_version=Case(
                When(_is_contradicted(), then=None), default=_known_from("confirmed_version")
            ),
            seen_version=_seen_elsewhere(),
            told_version=_known_from("reported_version"),
            is_reported=_is_reported(),
            is_open=Exists(Push.objects.open().filter(installation=OuterRef("pk"))),
            has_failed=Exists(Push.objects.filter(pk=OuterRef("desired__push"), state=Push.State.FAILED)),
            is_accepted=_is_accepted(),
        )
        .annotate(
            held_version=Case(
                # It overrides the server's organization: no version works there, whatever its secret.
                When(seen__organization_id__contains=EMPTY_ORGANIZATION, then=None),
                default=Coalesce("proven_version", "by_hand_version", "seen_version", "told_version"),
                output_field=UUIDField(),
            )
        )
        .annotate(is_drifted=_is_drifted(), is_usable=_is_usable())
    )


def with_facts(rows: QuerySet[Installation]) -> "QuerySet[Any]":  # Any: installations with annotations
    """Annotate installations as `with_holding` does, and with `facts`: what their state follows from.

    The number of a `states.Fact`, which has each fact once: a state in SQL would repeat them in its cases.
    """
    bits = starmap(_bit, _conditions().items())
    found: QuerySet[Any] = with_holding(rows).annotate(facts=reduce(add, bits))
    return found


def _conditions() -> dict[Fact, Q | Exists]:
    """Return what has to be true for each fact, of installations that have what `with_holding` annotates."""
    decided = Q(goal_since=None) | Q(desired__since__gt=F("goal_since"))
    return {
        Fact.OPEN: Q(is_open=True),
        Fact.FAILED: Q(has_failed=True),
        Fact.DRIFTED: Q(is_drifted=True),
        Fact.ACCEPTED: Q(is_accepted=True),
        Fact.WORKING: Q(is_usable=True),
        Fact.DECIDED: decided,
        Fact.GONE: _is_gone(),
        Fact.ROTATING: Q(**{f"{ACCOUNT}__is_rotating": True}),
        Fact.ON: CONTAINER_ON.of("container").condition(),
        Fact.BY_HAND: ~NOT_BY_HAND.of("container").condition(),
        Fact.HOLDS: Q(held_version__isnull=False),
        Fact.HOLDS_GOAL: Q(held_version=F("goal_version")),
        Fact.HOLDS_DESIRED: Q(held_version=F("desired_version")),
        Fact.DESIRES: Q(desired_version__isnull=False),
        Fact.DESIRES_GOAL: Q(desired_version=F("goal_version")),
        Fact.TOLD: Q(is_told=True),
        Fact.PROVEN: Q(proven_version__isnull=False),
        Fact.CONFIRMED: Q(by_hand_version__isnull=False),
        Fact.SEEN: Q(seen_version__isnull=False),
    }


def _bit(fact: Fact, condition: Q | Exists) -> Case:
    return Case(When(condition, then=Value(fact.value)), default=Value(0), output_field=IntegerField())


def _is_gone() -> Exists:
    """Whether a reading that began after the file was seen last found none, or none that can be read.

    Asked is the newest successful one. It says nothing about a file beyond the most that are read.
    """
    there = OuterRef(OuterRef("container"))
    mine = Reading.objects.filter(container=there, state=Reading.State.SUCCEEDED)
    later = Reading.objects.filter(started__gt=OuterRef("seen__last_seen"))
    found = later.annotate(word=JSONText("found", OuterRef("instance__name")))
    lost = Q(word__in=LASTING) | Q(word=None, further=0)
    return Exists(found.filter(lost, pk=Subquery(mine.order_by("-asked").values("pk")[:1])))


def _is_told() -> Case:
    """Whether the newest sight is what a person pasted."""
    told = When(seen__last_source=Observation.Source.HAND, then=Value(True))
    return Case(told, default=Value(False), output_field=BooleanField())


def _known_from(held: str, *, unless: Q | None = None) -> Case:
    """Return the version that was known there, if the file still is as it was then."""
    whens = [When(unless, then=None)] if unless else []
    return Case(*whens, When(is_as_seen(held=f"{held}__"), then=F(f"{held}__secret")))


def _is_contradicted() -> Exists:
    """Whether the secret that a person confirmed was proven to be another version's since."""
    others = ProvenDigest.objects.filter(digest=OuterRef("confirmed_version__digest"))
    return Exists(others.exclude(secret=OuterRef("confirmed_version__secret")))


def _seen_elsewhere() -> Subquery:
    """Return the version whose digest this is, if it was proven on another installation."""
    known = ProvenDigest.objects.filter(
        digest=OuterRef("observed_digest"),
        secret__client_id=OuterRef("observed_client_id"),
        secret__account__technical_account_id=OuterRef("observed_account_id"),
    ).exclude(digest="")
    return Subquery(known.order_by("secret__version").values("secret")[:1])


def _is_accepted() -> Case:
    """Whether a person accepted a sight that is newer than the last proven write."""
    newer = Q(proven_write__observation=None) | Q(
        accepted_sight__observation__gt=F("proven_write__observation")
    )
    reported = Q(reported_version=None) | Q(
        accepted_sight__observation__gt=F("reported_version__observation")
    )
    accepted = Q(accepted_sight__isnull=False) & newer & reported
    return Case(When(accepted, then=Value(True)), default=Value(False), output_field=BooleanField())


def _is_reported() -> Case:
    """Whether a person reported what they set there, after the last proven write."""
    newer = Q(proven_write__observation=None) | Q(
        reported_version__observation__gt=F("proven_write__observation")
    )
    reported = Q(reported_version__isnull=False) & newer
    return Case(When(reported, then=Value(True)), default=Value(False), output_field=BooleanField())


def _baseline(name: str) -> Case:
    """Return what a column of the sight is compared with: what was accepted or reported last, or proven.

    Without any of them, the first sight.
    """
    first = Observation.objects.filter(installation=OuterRef("pk")).order_by("pk").values(name)[:1]
    whens = [
        When(is_accepted=True, then=F(f"accepted_sight__observation__{name}")),
        When(is_reported=True, then=F(f"reported_version__observation__{name}")),
        When(proven_write__observation__isnull=False, then=F(f"proven_write__observation__{name}")),
    ]
    if name == "digest":  # a write that was proven before sights were kept
        whens.append(When(proven_write__isnull=False, then=F("proven_write__digest")))
    kind = BooleanField() if name == "is_jwt" else CharField()
    return Case(*whens, default=Subquery(first), output_field=kind)


def _is_drifted() -> Case:
    """Whether the file differs from what it is compared with, and the portal's own pushes do not explain it.

    Never while a push is open, or after one that failed when the values were out: then that one needs you.
    One that never sent any explains nothing.
    """
    differs = reduce(or_, (~Q(**{f"seen__{name}": _baseline(name)}) for name in COMPARED))
    own = Push.objects.filter(installation=OuterRef("pk"), replaced=False, state=Push.State.FAILED)
    sent = Attempt.objects.filter(push=OuterRef("pk"), kind=Attempt.Kind.PUSH, stage__in=SENT)
    wrote = Exists(own.exclude(is_written=False).filter(Exists(sent)))
    drifted = Q(seen_id__isnull=False, is_open=False) & differs & ~Q(wrote)
    return Case(When(drifted, then=Value(True)), default=Value(False), output_field=BooleanField())


def _is_usable() -> Exists:
    usable = ClientSecret.objects.filter(state=ClientSecret.State.USABLE)
    return Exists(usable.filter(pk=OuterRef("held_version")))
