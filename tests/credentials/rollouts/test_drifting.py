"""Drift over real connections: ways to change a file that the next reading finds, and a fleet left alone."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from credentials.coverage.drift import Drift, drifted
from credentials.coverage.findings import record_drift
from credentials.models import TechnicalAccount
from credentials.rollouts.models import ProvenWrite
from credentials.rollouts.versions import enter
from instances.discovery.models import Reading
from instances.discovery.services import ask
from instances.models import Installation
from portal.audit.trail import Actor
from portal.plaintext import Secret
from portal.sandbox.config_files import Shape
from tests.credentials.rollouts.conftest import FIRST, SECOND, MakeSite, Site, Start, deliver_all

pytestmark = pytest.mark.django_db
THIRD = "p8e-third-secret-of-this-test-0000003"
ORGANIZATION, CLIENT = "0A1B2C3D4E5F60718293A4B5@AdobeOrg", "0123456789abcdef0123456789abcdef"
ACCOUNT = "1A2B3C4D5E6F708192A3B4C5@techacct.adobe.com"


def set_by_hand(site: Site, secret: str = THIRD, client: str = CLIENT, account: str = ACCOUNT) -> None:
    values = f"{ORGANIZATION}/{client}/{account}/{secret}"
    site.container.run("config", "-instance:prod1", f"-setimsoauth:{values}")


def edit(old: str, new: str) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        path = site.container.config("prod1")
        text, count = re.subn(old, new, path.read_text(), flags=re.DOTALL)
        assert count, old
        path.write_text(text)

    return change


def copied_from_another(site: Site) -> None:
    site.container.config("prod1").write_text(Shape.JWT.text("prod1"))


WAYS: dict[str, tuple[Callable[[Site], None], set[str]]] = {
    "another secret was set by hand": (set_by_hand, {"digest"}),
    "another client was set by hand": (
        lambda site: set_by_hand(site, FIRST, "f" * 32),
        {"client_id", "digest"},
    ),
    "the client id was edited": (
        edit('authIMSTAClientId="[^"]*"', f'authIMSTAClientId="{"e" * 32}"'),
        {"client_id"},
    ),
    "the account id was edited": (
        edit('authIMSTAId="[^"]*"', 'authIMSTAId="X@techacct.adobe.com"'),
        {"account_id"},
    ),
    "the organization was emptied": (edit('IMSOrgId="[^"]*"', 'IMSOrgId=""'), {"organization_id"}),
    "the organization was changed": (edit('IMSOrgId="[^"]*"', 'IMSOrgId="FF@AdobeOrg"'), {"organization_id"}),
    "the secret was removed": (edit('authIMSTAClientSecret="[^"]*"', 'authIMSTAClientSecret=""'), {"digest"}),
    "a JWT key was added": (edit("<ims ", '<ims authIMSTAPrivateKey="@a2V5" '), {"is_jwt"}),
    "the account was removed": (edit("<ims [^>]*>", ""), {"client_id", "account_id", "digest"}),
    "a file of another server was copied": (
        copied_from_another,
        {"client_id", "account_id", "organization_id", "digest", "is_jwt"},
    ),
}


@pytest.fixture
def site(make_site: MakeSite, start: Start) -> Site:
    """A container whose file was written by a push that is proven."""
    made = make_site()
    start(made)
    deliver_all(made)
    return made


def read(site: Site, actor: Actor) -> list[Drift]:
    [reading] = ask(containers=[site.row], actor=actor)
    deliver_all(site)
    assert Reading.objects.get(pk=reading.pk).state == "succeeded"
    return drifted()


def test_the_next_reading_finds_what_was_changed_in_ten_ways(site: Site, actor: Actor) -> None:
    """One after the other on one container, since each is undone by putting the proven file back."""
    path: Path = site.container.config("prod1")
    proven = path.read_text()
    for way, (change, names) in WAYS.items():
        change(site)
        [found] = read(site, actor)
        assert {each.name for each in found.differences} == names, way
        assert found.is_proven
        path.write_text(proven)
    assert read(site, actor) == []


def test_a_file_that_was_written_anew_with_the_same_content_is_no_drift(site: Site, actor: Actor) -> None:
    path: Path = site.container.config("prod1")
    for _ in range(2):
        path.write_text(path.read_text())
        assert read(site, actor) == []


def test_a_file_that_was_restored_names_the_version_it_holds(
    site: Site, actor: Actor, account: TechnicalAccount, start: Start
) -> None:
    path: Path = site.container.config("prod1")
    backup = path.read_text()
    version, _new = enter(account=account, plaintext=Secret(SECOND), actor=actor)
    start(site, secret=version)
    deliver_all(site)
    assert site.secret() == SECOND
    path.write_text(backup)
    [found] = read(site, actor)
    assert found.version
    assert found.expected
    assert (found.version.number, found.expected.number) == (1, 2)
    assert [each.name for each in found.differences] == ["digest"]
    start(site, secret=version)
    deliver_all(site)
    assert read(site, actor) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_readings_of_an_untouched_fleet_of_two_hundred_give_no_alarm(
    make_site: MakeSite, start: Start, actor: Actor
) -> None:
    names = tuple(f"prod{number}" for number in range(10))
    sites = [make_site(f"mkt-{number}", instances=names) for number in range(20)]
    start(*sites)
    for each in sites:
        deliver_all(each, rounds=40)
    assert Installation.objects.count() == ProvenWrite.objects.proven().count() == 200
    for _ in range(20):
        ask(containers=[each.row for each in sites], actor=actor)
        for each in sites:
            deliver_all(each)
        assert drifted() == []
    assert Reading.objects.filter(state="succeeded").count() == 400
    assert record_drift() == 0
