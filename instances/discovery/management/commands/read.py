"""`read`: has containers read, and says what every instance there holds."""

import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence

from instances.discovery.models import Reading
from instances.discovery.services import ask
from instances.failures import Code
from instances.models import Container
from portal.audit.operator import operator
from portal.command_line import add_json, as_json, did_you_mean, wrong_call
from portal.no_secrets import Command as SafeCommand

PATIENCE = 120.0  # seconds
PAUSE = 0.5


class Command(SafeCommand):
    help = (
        "Have containers read by a worker: the build, and whose account each instance's file holds. Nothing "
        "there is changed. With --wait, the exit code is 0 only if every container was read."
    )

    group = "Inventory"
    summary = "Read what containers hold; also a test of the login"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("containers", nargs="*", metavar="CONTAINER", help="names of containers")
        parser.add_argument("--all", action="store_true", help="all containers that are on")
        parser.add_argument(
            "--wait",
            nargs="?",
            type=float,
            const=PATIENCE,
            metavar="SECONDS",
            help=f"wait until each was read (at most {PATIENCE:.0f} seconds)",
        )
        add_json(parser)

    def handle(
        self,
        *args: str,
        containers: Sequence[str],
        all: bool,  # noqa: A002  # the option's name
        wait: float | None,
        json: bool,
        **options: object,
    ) -> None:
        readings = ask(containers=_chosen(containers, all), actor=operator())
        if wait is not None:
            readings = _ended(readings, wait)
        if json:
            self.stdout.write(as_json({"readings": [_as_dict(each) for each in readings]}))
        else:
            self.stdout.write("\n".join(line for each in readings for line in _lines(each)))
        if wait is not None and any(each.state != Reading.State.SUCCEEDED for each in readings):
            sys.exit(1)


def _chosen(names: Sequence[str], is_all: bool) -> list[Container]:
    if bool(names) == is_all:
        raise wrong_call("Name containers, or give --all.")
    rows = Container.objects.all()
    if is_all:
        return list(rows.in_use())
    found = {row.name: row for row in rows.filter(name__in=names)}
    for name in names:
        if name not in found:
            near = did_you_mean(name, rows.values_list("name", flat=True))
            raise wrong_call(f"There is no container {name}.{near}")
        if found[name].retired:
            raise wrong_call(f"{name} is retired: nobody logs in there.")
        if not found[name].is_enabled:
            raise wrong_call(f"{name} is off: nobody logs in there.")
    return [found[name] for name in dict.fromkeys(names)]


def _ended(readings: list[Reading], seconds: float) -> list[Reading]:
    """Wait for their end, at most for some seconds, and return them as they are then."""
    deadline = time.monotonic() + seconds
    while True:
        fresh = Reading.objects.select_related("container").in_bulk([each.pk for each in readings])
        found = [fresh[each.pk] for each in readings]
        if all(each.finished for each in found) or time.monotonic() > deadline:
            return found
        time.sleep(PAUSE)


def _lines(reading: Reading) -> list[str]:
    name, build = reading.container.name, reading.build or "unknown"
    if reading.state == Reading.State.FAILED:
        return [f"{name}: failed, {Code(reading.code).label} ({reading.code})"]
    if not reading.finished:
        return [f"{name}: {reading.get_state_display()}"]
    known = {each.instance.name: each for each in reading.container.installations.select_related("instance")}
    lines = [f"{name}: build {build}, {len(reading.found)} instances"]
    for instance, unread in sorted(reading.found.items()):
        installation = known.get(instance)
        holds = installation.observed_client_id or "no account" if installation else "not in the inventory"
        lines.append(f"  {instance}: {f'not read ({unread})' if unread else holds}")
    lines += [
        f"  {instance}: in the inventory, but not there"
        for instance, row in known.items()
        if instance not in reading.found and not (row.retired or row.instance.retired)
    ]
    return lines


def _as_dict(reading: Reading) -> dict[str, object]:
    return {
        "container": reading.container.name,
        "reading": str(reading.pk),
        "state": reading.state,
        "code": reading.code,
        "build": reading.build,
        "instances": reading.found,
        "strange": reading.strange,
        "further": reading.further,
        "finished": reading.finished,
    }
