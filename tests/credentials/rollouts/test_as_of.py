"""As of a moment, against what the files really held: a history of random events on a sandbox container.

Pushes, changes by hand, restored files and readings come in a random order over real connections. After each
event the moment and the file are noted. In the end every moment is asked for: what is called known must be
true, and moments between two equal sights must be known.
"""

import hashlib
import random
import re
from dataclasses import dataclass
from datetime import datetime
from time import sleep

import pytest
from django.utils import timezone

from credentials.coverage.cells import Wanted
from credentials.models import TechnicalAccount
from credentials.rollouts.models import ProvenDigest
from credentials.rollouts.versions import enter
from instances.discovery.as_of import as_of
from instances.discovery.services import ask
from portal.audit.trail import Actor
from portal.plaintext import Secret
from tests.credentials.coverage.both_ways import cells_as_of
from tests.credentials.rollouts.conftest import SECOND, MakeSite, Site, Start, deliver_all
from tests.credentials.rollouts.test_drifting import THIRD, set_by_hand

pytestmark = pytest.mark.django_db
EVENTS = (("read", 60), ("push", 14), ("by hand", 10), ("restore", 8), ("rewrite", 8))
TICK = 0.003  # seconds; SQLite keeps thousandths


@dataclass(frozen=True)
class Moment:
    """What was true just after an event."""

    at: datetime
    digest: str
    changes: int
    """How often the file had been written until then."""
    sight: int
    """How often the portal had seen the file until then."""


def held(site: Site) -> str:
    """Return what a sight of the file as it is now says of its secret."""
    found = re.search(
        r"""authIMSTAClientSecret\s*=\s*["']([^"']*)""", site.container.config("prod1").read_text()
    )
    return hashlib.sha256(found[1].encode()).hexdigest() if found and found[1] else ""


def history(site: Site, start: Start, account: TechnicalAccount, actor: Actor, events: int) -> list[Moment]:
    """Let events happen, and return what was true after each."""
    chance = random.Random(events)
    versions = [account.newest_version, enter(account=account, plaintext=Secret(SECOND), actor=actor)[0]]
    path = site.container.config("prod1")
    backups, moments, changes, sights = [path.read_text()], [], 0, 0
    for _ in range(events):
        event = chance.choices([name for name, _ in EVENTS], [weight for _, weight in EVENTS])[0]
        before = path.stat()
        if event == "push":
            start(site, secret=chance.choice(versions))
            deliver_all(site)
        elif event == "read":
            ask(containers=[site.row], actor=actor)
            deliver_all(site)
        elif event == "by hand":
            set_by_hand(site, THIRD)
        else:
            path.write_text(path.read_text() if event == "rewrite" else chance.choice(backups))
        changes += (path.stat().st_ino, path.stat().st_mtime_ns) != (before.st_ino, before.st_mtime_ns)
        sights += event in ("push", "read")
        backups = [*backups, path.read_text()][-5:]
        sleep(TICK)
        moments.append(Moment(timezone.now(), held(site), changes, sights))
        sleep(TICK)
    return moments


def are_true(site: Site, moments: list[Moment]) -> None:
    """Ask for every moment."""
    known_of_sure = sure = 0
    seen_after = {moment.sight: moment.changes for moment in moments}
    """Number of a sight -> how often the file had been written by the time of the last event after it."""
    first_after = {moment.sight: moment.changes for moment in reversed(moments)}
    for moment in moments:
        answer = as_of(installation_id=site.installation.pk, moment=moment.at)
        if answer.certainty == "known":
            assert answer.before
            assert answer.before.digest == moment.digest, f"called known, and it was not so: {moment}"
        # Between two sights with nothing written from the first one to the second.
        following = first_after.get(moment.sight + 1)
        if moment.sight and following == seen_after[moment.sight] == first_after[moment.sight]:
            sure += 1
            known_of_sure += answer.certainty == "known"
    assert sure
    assert known_of_sure >= 0.95 * sure, f"{known_of_sure} of {sure}"


def versions_are_true(moments: list[Moment]) -> None:
    """What the map says of a known moment is a version whose digest the file had then."""
    for moment in moments[:: max(1, len(moments) // 50)]:
        (cell,) = cells_as_of(Wanted(), moment.at)
        if cell.certainty == "known" and cell.held:
            assert ProvenDigest.objects.filter(secret=cell.held.id, digest=moment.digest).exists()


@pytest.mark.parametrize(
    "events", [15, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_whatever_is_called_known_is_true(
    make_site: MakeSite, start: Start, account: TechnicalAccount, actor: Actor, events: int
) -> None:
    site = make_site()
    moments = history(site, start, account, actor, events)
    are_true(site, moments)
    versions_are_true(moments)
