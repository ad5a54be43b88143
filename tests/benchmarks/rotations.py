"""The rotations of a seeded portal: one that is open, and one that has ended for each other account."""

from datetime import time, timedelta

from credentials.models import TechnicalAccount
from credentials.rollouts.models import Rollout
from credentials.rotation.models import MaintenanceWindow, Policy, PolicyKind, Rotation, Wave, Weekday
from credentials.rotation.waits import Wait
from instances.models import Instance
from tests.benchmarks.fleet import Fleet
from tests.benchmarks.rows import store

WAVES = 6


def seed_rotations(fleet: Fleet) -> None:
    """Rotate the newest secret in; the first account's installations are still being verified."""
    rotations = [_rotation(fleet, account, number) for number, account in enumerate(fleet.accounts)]
    store(rotations)
    first = fleet.accounts[0]
    TechnicalAccount.objects.filter(pk=first.pk).update(is_rotating=True)
    newest = Rollout.objects.filter(secret__account=first).order_by("-number")[:WAVES]
    kinds = [Wave.Kind.CANARY, *[Wave.Kind.WAVE] * (WAVES - 1)]
    waves = [
        Wave(rotation=rotations[0], rollout=rollout, kind=kind, position=place, label="10%")
        for place, (rollout, kind) in enumerate(zip(reversed(newest), kinds, strict=False))
    ]
    store(waves)
    store([_policy(fleet, account) for account in fleet.accounts])
    store([_window(fleet, number) for number in range(len(fleet.accounts))])


def _rotation(fleet: Fleet, account: TechnicalAccount, number: int) -> Rotation:
    versions = fleet.secrets[account.pk]
    is_open = number == 0
    return Rotation(
        id=fleet.uuid(),
        number=len(fleet.accounts) - number,
        account=account,
        old=versions[-2],
        new=versions[-1],
        state=Rotation.State.VERIFYING if is_open else Rotation.State.DONE,
        wait=Wait.NOT_VERIFIED if is_open else Wait.ENDED,
        params={"count": 3} if is_open else {},
        way=Rotation.Way.BY_HAND,
        wave_rule="1, 10%, 100%",
        stop_rule="0",
        requested=fleet.now - timedelta(days=number + 1),
        requested_by_name="alice",
        acts_for=fleet.people[0],
        acts_for_name="alice",
        ended=None if is_open else fleet.now - timedelta(days=number),
    )


def _policy(fleet: Fleet, account: TechnicalAccount) -> Policy:
    return Policy(
        account=account,
        interval=90,
        kind=PolicyKind.OPEN,
        wave_rule="environment",
        stop_rule="0",
        set_at=fleet.now,
        set_by=fleet.people[0],
        set_by_name="alice",
    )


def _window(fleet: Fleet, number: int) -> MaintenanceWindow:
    return MaintenanceWindow(
        id=fleet.uuid(),
        environment=Instance.Environment.PRODUCTION,
        weekdays=[Weekday.values[number % 7]],
        starts=time(22),
        minutes=60,
        zone="Europe/Paris",
    )
