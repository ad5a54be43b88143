"""Rotation after rotation where nlserver lies, and where it is honest: how often is a verdict false?

The portal's own delivery runs on the containers in memory of `model/container.py`. Each world has one of four
kinds of encryption: fixed or random, with a key of its own for each container or one for all. In the suite a
few rotations are made; `make liars` makes a thousand of each sort and prints what it counted.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from pytest_django.fixtures import Settings

from credentials.models import TechnicalAccount
from credentials.rollouts.models import ProvenDigest, Push, Rollout
from credentials.rollouts.services import retry_pushes
from credentials.rollouts.starting import start_rollout
from instances.models import Container, Installation
from instances.visits import visit
from portal.plaintext import Secret
from tests.credentials.rollouts.model import seams
from tests.credentials.rollouts.model.container import HONEST, Nlserver, Process, Site
from tests.credentials.rollouts.model.promises import DOUBTS
from tests.credentials.rollouts.model.world import PERSON, World
from tests.factories import next_version

ROTATIONS = int(os.environ.get("LIARS_ROTATIONS") or 0) or 14
"""In each of the four kinds of worlds."""
SEED = int(os.environ.get("LIARS_SEED") or 1)
LIARS = [each for each in Nlserver if each not in HONEST and each != Nlserver.ENCRYPTS_ANEW]
WRONG_STAGES = ["begun", "configured"]
KINDS = {
    f"{'fixed' if fixed else 'random'} encryption, {'shared' if shared else 'own'} keys": (fixed, shared)
    for fixed in (False, True)
    for shared in (False, True)
}


@dataclass
class Fleet:
    """A world whose first account is rotated, with what was counted on the way."""

    world: World
    random: random.Random
    account: TechnicalAccount
    kind: str
    retries: bool = False
    """Whether somebody retries once what failed."""
    counted: Counter[str] = field(default_factory=Counter)
    texts: dict[object, str] = field(default_factory=dict)

    def rotate(self) -> None:
        """Enter a new version, roll it out everywhere, and hold each verdict against the file."""
        text = f"p8e-secret-rotated-{len(self.texts):06}"
        version = next_version(self.account, Secret(text), actor=PERSON)
        self.texts[version.pk] = text
        rollout = start_rollout(
            version=version, installations=Installation.objects.all(), reason="rotation", actor=PERSON
        )
        self._deliver(rollout)
        if self.retries:
            failed = rollout.pushes.filter(state="failed").values_list("pk", flat=True)
            retry_pushes(push_ids=failed, actor=PERSON)
            self._deliver(rollout)
        for push in rollout.pushes.select_related("container", "installation__instance"):
            self._count(push, text)

    def _deliver(self, rollout: Rollout) -> None:
        for _ in range(6):
            for container in Container.objects.all():
                visit.visit(container.pk)
            if not rollout.pushes.open().exists():
                return
            self.world.pass_time(3600)

    def _count(self, push: Push, text: str) -> None:
        held = self.world.sites[push.container.name].installed[push.installation.instance.name]
        holds = bool(held.values) and held.values[3] == text and not held.beside and not held.is_torn
        self.counted["pushes"] += 1
        self.counted[push.state] += 1
        self.counted["false successes"] += push.state == "succeeded" and not holds
        self.counted["not proven"] += push.code in DOUBTS
        self.counted[f"code {push.code}"] += bool(push.code)


@pytest.fixture(params=KINDS)
def fleet(transactional_db: None, settings: Settings, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    settings.PUSH_SECOND_LOOK = 0
    settings.PUSH_RETRY_DELAYS = [1, 1]
    fixed, shared = KINDS[request.param]
    world = World([])
    with seams.installed(world):
        world.make(deterministic=fixed, punctual=False, shared_key=shared)
        account = TechnicalAccount.objects.get(name="triggers")
        yield Fleet(world, random.Random(SEED), account, request.param)


def restore_at(fleet: Fleet, site: Site, stage: str, instance: str) -> None:
    """Put back what the file held after an earlier write of ours, once, when a push is at this stage."""

    def meanwhile(process: Process) -> None:
        if process.stage != stage or process.instance != instance:
            return
        site.meanwhile = lambda process: None
        proven = set(ProvenDigest.objects.values_list("digest", flat=True))
        known = [each for each in site.writes if each.instance == instance and each.digest in proven]
        if known:
            site.restore(fleet.random.choice(known))

    site.meanwhile = meanwhile


def tell(sort: str, fleet: Fleet) -> None:
    """Print what was counted, for whoever asked for many rotations."""
    if "LIARS_ROTATIONS" in os.environ:
        always = ("pushes", "succeeded", "false successes", "not proven")
        rest = sorted(name for name, count in fleet.counted.items() if count and name not in always)
        counts = ", ".join(f"{name} {fleet.counted[name]}" for name in (*always, *rest))
        print(f"\n{sort}, {fleet.kind}, seed {SEED}: {counts}")  # noqa: T201  # the figures of `make liars`


@pytest.mark.one_engine
@pytest.mark.timeout(600 + 2 * ROTATIONS)
def test_no_liar_that_a_file_can_show_gets_through(fleet: Fleet) -> None:
    for number in range(ROTATIONS):
        for site in fleet.world.sites.values():
            liar = fleet.random.random() < 0.8
            site.nlserver = fleet.random.choice(LIARS if liar else sorted(HONEST))
            if site.name == "one":  # here each liar has its turn, after a version that was proven
                site.nlserver = LIARS[number // 2 % len(LIARS)] if number % 2 else Nlserver.WORKS
            if fleet.random.random() < 0.3:
                instance = fleet.random.choice(sorted(site.installed))
                restore_at(fleet, site, fleet.random.choice(WRONG_STAGES), instance)
        fleet.rotate()
    tell("liars", fleet)
    assert fleet.counted["pushes"] == 4 * ROTATIONS
    assert fleet.counted["false successes"] == 0
    assert fleet.counted["failed"] > 0


@pytest.mark.slow
@pytest.mark.one_engine
@pytest.mark.timeout(600 + 2 * ROTATIONS)
def test_no_honest_server_is_doubted(fleet: Fleet) -> None:
    """Killed before it wrote or after, or writing late: in the end everything succeeds."""
    fleet.retries = True
    for _ in range(ROTATIONS):
        for site in fleet.world.sites.values():
            site.nlserver = fleet.random.choice(sorted(HONEST))

            def work_again(process: Process, site: Site = site) -> None:
                if process.stage == "configured" and site.nlserver != Nlserver.WRITES_LATE:
                    site.nlserver = Nlserver.WORKS

            site.meanwhile = work_again
        fleet.rotate()
    tell("honest servers", fleet)
    assert fleet.counted["not proven"] == fleet.counted["false successes"] == 0
    assert fleet.counted["succeeded"] == fleet.counted["pushes"] == 4 * ROTATIONS
