"""The demo's part inside Django: people, inventory, an account, and a first rollout with its table."""

import secrets
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from django.core.management import call_command

from credentials.models import TechnicalAccount
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.starting import start_rollout
from credentials.rotation import services
from credentials.rotation.models import Rotation
from instances import ssh
from instances.models import Container, Installation, Instance
from instances.reaching import host_keys
from portal.audit.trail import Actor
from portal.people.services import create_user

ACCOUNT = "Triggers"
DEMO = Actor("demo")
ROLES = {"admin": "Admin", "helpdesk": "Helpdesk", "auditor": "Auditor"}
ROTATED = "Deliverability"
ROTATION_DONE = "done"
PATIENCE = 120.0  # seconds for the first rollout; it takes about ten
ENDED = {Push.State.SUCCEEDED, Push.State.FAILED, Push.State.CANCELLED, Push.State.SUPERSEDED}
Expected = Mapping[tuple[str, str], tuple[str, str]]


@dataclass(frozen=True)
class TourRow:
    """One line of the table of outcomes."""

    instance: str
    container: str
    state: str
    code: str
    attempts: int
    seconds: float
    expected: tuple[str, str]

    @property
    def is_as_expected(self) -> bool:
        return (self.state, self.code) == self.expected

    def cells(self) -> tuple[str, ...]:
        verdict = "as planned" if self.is_as_expected else f"EXPECTED {' '.join(self.expected)}"
        code, seconds = self.code or "-", f"{self.seconds:.1f}"
        return self.instance, self.container, self.state, code, str(self.attempts), seconds, verdict


def people() -> dict[str, str]:
    """Create the three logins; return their passwords, made for this run alone."""
    passwords = {name: "-".join(secrets.token_hex(2) for _ in range(4)) for name in ROLES}
    for name, role in ROLES.items():
        create_user(name=name, password=passwords[name], role=role, actor=DEMO)
    return passwords


def stock(*, inventory_csv: str, console_json: str, without_account: Collection[str] = ()) -> None:
    """Fill the portal as its people would: inventory, host keys, one account and who uses it.

    The instances named in `without_account` wait for another one.
    """
    call_command("import_inventory", inventory_csv, stdout=StringIO(), stderr=StringIO())
    for container in Container.objects.all():
        _scan(container)
    call_command("add_account", ACCOUNT, from_json=console_json, stdout=StringIO())
    used_by = (
        Instance.objects.filter(installations__isnull=False).exclude(name__in=without_account).distinct()
    )
    call_command("assign", ACCOUNT, *used_by.values_list("name", flat=True), stdout=StringIO())


def _scan(container: Container) -> None:
    try:
        host_keys.scan_container(container=container, actor=DEMO)
    except ssh.SSHError as error:
        if error.code != "connection_refused":  # the one that is down
            raise


def roll_out(expected: Expected) -> Iterator[list[TourRow]]:
    """Start a rollout to all that use the account; yield its table whenever it changed, until all ended."""
    secret = TechnicalAccount.objects.get(name=ACCOUNT).newest_version
    if secret is None:
        raise RuntimeError("the demo's account has no secret")
    rollout = start_rollout(
        version=secret,
        installations=Installation.objects.filter(instance__assignment__account__name=ACCOUNT),
        reason=Rollout.Reason.NEW,
        message="First rollout of the demo",
        actor=DEMO,
    )
    deadline = time.monotonic() + PATIENCE
    shown: list[TourRow] = []
    while time.monotonic() < deadline:
        rows = _rows(rollout, expected)
        if rows != shown:
            shown = rows
            yield rows
        if all(row.state in ENDED for row in rows):
            return
        time.sleep(0.3)


def rotate(*, console_json: str, instances: Sequence[str]) -> Iterator[str]:
    """Add an account, roll its secret out, and replace that; yield how far it is whenever that changed."""
    call_command("add_account", ROTATED, from_json=console_json, stdout=StringIO())
    call_command("assign", ROTATED, *instances, stdout=StringIO())
    call_command("rollout", ROTATED, wait=PATIENCE, stdout=StringIO(), stderr=StringIO())
    account = TechnicalAccount.objects.get(name=ROTATED)
    rotation = services.start(account=account, actor=DEMO, wave_rule="1, 100%", message="Shown by the demo")
    deadline, told = time.monotonic() + PATIENCE, ""
    while time.monotonic() < deadline:
        rotation = Rotation.objects.get(pk=rotation.pk)
        now = ROTATION_DONE if rotation.state == Rotation.State.DONE else _how_far(rotation)
        if now != told:
            told = now
            yield now
        if not rotation.is_open:
            return
        time.sleep(0.3)


def _how_far(rotation: Rotation) -> str:
    return f"{rotation.get_state_display()}: {rotation.get_wait_display()}"


def _rows(rollout: Rollout, expected: Expected) -> list[TourRow]:
    pushes = rollout.pushes.select_related("installation__instance", "container").prefetch_related("attempts")
    return [_row(push, expected) for push in pushes]


def _row(push: Push, expected: Expected) -> TourRow:
    instance, container, attempts = push.installation.instance.name, push.container.name, push.attempts.all()
    seconds = sum(attempt.seconds or 0 for attempt in attempts)
    planned = expected[instance, container]
    return TourRow(instance, container, push.state, push.code, len(attempts), round(seconds, 1), planned)


def table(rows: Sequence[TourRow]) -> str:
    """Return the outcomes as text, the unexpected ones marked."""
    lines = [("instance", "container", "outcome", "code", "attempts", "seconds", "")]
    lines += [row.cells() for row in rows]  # type: ignore[misc]  # both are seven strings
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
