"""What a seeded portal has seen: readings of every container, and observations of every installation."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from instances.discovery.models import Observation, Reading
from instances.models import Installation
from tests.benchmarks.fleet import Fleet
from tests.benchmarks.rows import store

SPAN = timedelta(days=365)
READINGS = 2
STRAY_EVERY = 25
"""Containers on which an instance was found that nobody entered."""


def seed_seen(fleet: Fleet, sights: int) -> None:
    """Read every container, and see every installation this number of times over a year."""
    store(_readings(fleet))
    store(_observations(fleet, sights))


def _readings(fleet: Fleet) -> Iterator[Reading]:
    there: dict[UUID, list[Installation]] = {}
    for installation in fleet.installations:
        there.setdefault(installation.container_id, []).append(installation)
    for number, (container, rows) in enumerate(there.items()):
        found = {row.instance.name: "" for row in rows}
        found |= {f"stray{number:05}": ""} if number % STRAY_EVERY == 0 else {}
        for back in range(READINGS, 0, -1):
            at = fleet.now - timedelta(hours=back)
            yield Reading(
                id=fleet.uuid(),
                container_id=container,
                state=Reading.State.SUCCEEDED,
                asked_by="henry",
                asked=at,
                due=at,
                started=at,
                finished=at + timedelta(seconds=1),
                build=rows[0].observed_build,
                found=found,
            )


def _observations(fleet: Fleet, sights: int) -> Iterator[Observation]:
    """Yield them in the order of time: each installation was on JWT first, then below 7.4.1, then neither."""
    for turn in range(sights):
        at = fleet.now - SPAN * (1 - turn / sights)
        for number, installation in enumerate(fleet.installations):
            jwt, build = _state(turn, number, sights)
            yield Observation(
                installation_id=installation.pk,
                at=at,
                last_seen=at + SPAN / sights / 2,
                ended=None if turn == sights - 1 else at + SPAN / sights,
                source=Observation.Source.READ,
                source_id="seeded",
                last_source=Observation.Source.READ,
                last_source_id="seeded",
                client_id=installation.observed_client_id,
                digest=f"{turn:064x}",
                build=build,
                is_jwt=jwt,
                stamp=str(turn),
                is_milestone=turn == 0 or _state(turn - 1, number, sights) != (jwt, build),
            )


def _state(turn: int, number: int, sights: int) -> tuple[bool, int]:
    """Return whether an installation is on JWT at a turn, and its build."""
    done = turn / sights + (number % 100) / 100
    return done < 0.5, 9352 if done < 0.8 else 9394
