"""A house with all that a rotation needs: containers behind real SSH, Adobe's stand-ins, a worker's steps."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day

import pytest
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.starting import start_rollout
from credentials.rotation import actions, deleting, engine, services
from credentials.rotation.maintenance import save_window
from credentials.rotation.models import MaintenanceWindow, Rotation, Weekday
from credentials.rotation.waits import Wait
from credentials.rotation.windows import LONGEST
from credentials.services import activate, add_secret, assign
from instances.models import Container, Installation
from instances.visits import visit
from portal.audit.trail import Actor
from portal.plaintext import Secret
from portal.sandbox.console import ConsoleAccount
from portal.sandbox.console_api import StandInConsole
from portal.sandbox.ims import StandInIMS
from tests.credentials.rollouts.conftest import (  # noqa: F401  # fixtures
    MakeSite,
    Site,
    _own_key,
    make_site,
)

PATIENCE = 180.0


def _place(rotation: Rotation) -> tuple[object, ...]:
    return rotation.state, rotation.wait, rotation.params


@dataclass
class House:
    """The portal with one account, its containers, and Adobe."""

    sites: list[Site]
    adobe: ConsoleAccount
    console: StandInConsole
    ims: StandInIMS
    account: TechnicalAccount
    actor: Actor

    def begin(self, **options: object) -> Rotation:
        """Start a rotation as the admin does."""
        return services.start(account=self.account, actor=self.actor, **options)  # type: ignore[arg-type]

    def step(self) -> None:
        """Do what the workers do: the rotation's steps, then whatever is due on the containers."""
        self.take_steps()
        for pk in list(Container.objects.in_use().values_list("pk", flat=True)):
            for _ in range(12):
                if not visit.visit(pk):
                    break

    def run(self, rotation: Rotation, *, until: Callable[[Rotation], bool] | None = None) -> Rotation:
        """Let the workers work until the rotation has ended, or waits as `until` says."""
        wanted = until or (lambda row: row.ended is not None)
        end = time.monotonic() + PATIENCE
        while not wanted(row := self.now(rotation)):
            is_left = time.monotonic() < end and row.ended is None
            assert is_left, f"{row.state}, {row.wait}, {row.params}"
            self.step()
            if _place(self.now(rotation)) == _place(row):
                time.sleep(0.1)  # something is waited for that only the clock brings
        return row

    def wait(self, rotation: Rotation, wait: Wait) -> Rotation:
        """Let the workers work until the rotation waits for this."""
        return self.run(rotation, until=lambda row: row.wait == wait)

    def take_steps(self) -> None:
        """Take the rotation's steps, while nobody goes to a container."""
        Rotation.objects.open().update(due=Now())
        engine.work(threading.Event())

    def wait_without_visits(self, rotation: Rotation, wait: Wait) -> None:
        """Take steps until the rotation waits for this."""
        end = time.monotonic() + PATIENCE
        while self.now(rotation).wait != wait:
            assert time.monotonic() < end
            self.take_steps()
            time.sleep(0.05)

    def now(self, rotation: Rotation) -> Rotation:
        return Rotation.objects.select_related("account", "old", "new").get(pk=rotation.pk)

    def campaign_signs_in(self) -> None:
        """Let every Campaign server get a token with what its file holds, as it does when it needs one."""
        for secret in filter(None, self.plaintexts()):
            form = {"client_id": self.adobe.client_id, "client_secret": secret}
            self.ims.answer(form | {"grant_type": "client_credentials", "scope": "openid,AdobeID"})

    def finish(self, rotation: Rotation) -> Rotation:
        """Let workers and Campaign servers do their work until the rotation has ended."""

        def is_over(row: Rotation) -> bool:
            if row.wait == Wait.CANARY_UNUSED:
                self.campaign_signs_in()
            return row.ended is not None

        return self.run(rotation, until=is_over)

    def plaintexts(self) -> list[str | None]:
        """What the files of the containers really hold."""
        return [site.secret(site.installation.instance.name) for site in self.sites]

    def at_adobe(self) -> list[str]:
        """The secrets that Adobe has of the credential, the oldest first."""
        return [each.plaintext.reveal() for each in self.console.secrets(self.adobe)]

    def newest(self) -> ClientSecret:
        return self.account.secrets.order_by("-version")[0]

    def installations(self) -> list[Installation]:
        return [site.installation for site in self.sites]

    def pushes(self) -> list[Push]:
        return list(Push.objects.order_by("rollout__number", "container__name"))


@pytest.fixture(autouse=True)
def _quick(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ROTATION_IDLE = 0.5
    settings.ROTATION_PAUSE = 0.1
    settings.ROTATION_ASK_INTERVAL = 0.5
    monkeypatch.setattr(deleting, "CLOCKS_APART", timedelta(seconds=0.3))
    monkeypatch.setattr(deleting, "AFTER_DELETION", timedelta(seconds=1))
    monkeypatch.setattr(actions, "FIRST_PAUSE", timedelta(seconds=0.3))
    monkeypatch.setattr(engine, "ring", lambda: None)


MakeHouse = Callable[..., House]


@pytest.fixture
def make_house(make_site: MakeSite, actor: Actor, settings: Settings) -> Iterator[MakeHouse]:  # noqa: F811
    adobe = ConsoleAccount()
    with StandInIMS() as ims, StandInConsole(ims, slow_seconds=1) as console:
        console.register(adobe)
        settings.IMS_BASE_URL, settings.ADOBE_CONSOLE_URL = ims.url, console.url

        def make(count: int = 2, *, has_api: bool = True, environments: tuple[str, ...] = ()) -> House:
            sites = [
                make_site(f"mkt-{number}", instances=(f"prod{number}",)) for number in range(1, count + 1)
            ]
            account = TechnicalAccount.objects.create(
                name="Triggers",
                organization_id=adobe.organization_id,
                client_id=adobe.client_id,
                technical_account_id=adobe.technical_account_id,
                numeric_organization_id=adobe.numeric_organization_id if has_api else "",
                credential_id=adobe.credential_id if has_api else "",
            )
            version, _is_new = add_secret(account=account, plaintext=adobe.secrets[0], actor=actor)
            activate(account=account, actor=actor)
            for site, environment in zip(sites, environments, strict=False):
                type(site.installation.instance).objects.filter(installations=site.installation).update(
                    environment=environment
                )
            instances = [site.installation.instance for site in sites]
            assign(account=account, instances=instances, actor=actor)
            rows = Installation.objects.all()
            start_rollout(version=version, installations=rows, reason=Rollout.Reason.NEW, actor=actor)
            house = House(sites, adobe, console, ims, account, actor)
            house.step()
            assert set(house.plaintexts()) == {adobe.secrets[0].reveal()}
            house.account.refresh_from_db()
            return house

        yield make


def other_secret(text: str = "p8e-entered-by-hand-0000000000000001") -> Secret:
    return Secret(text)


def close_windows(environment: str = "production") -> MaintenanceWindow:
    """Leave an environment one window, which opens in twelve hours."""
    MaintenanceWindow.objects.filter(environment=environment).delete()
    opens = datetime.now(UTC) + timedelta(hours=12)
    row = MaintenanceWindow(
        environment=environment, weekdays=Weekday.values, starts=opens.time(), minutes=1, zone="UTC"
    )
    return save_window(row, actor=Actor("alice"))


def open_window(row: MaintenanceWindow) -> None:
    """Let it be open at all times from now on."""
    row.starts, row.minutes = time_of_day(0), LONGEST
    save_window(row, actor=Actor("alice"))
