"""`read`: has containers read, and says what every instance there holds."""

import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from instances.discovery.models import Reading
from instances.discovery.services import ask
from instances.failures import Code
from instances.models import NOT_BY_HAND, Container
from instances.requirements import obstacle
from portal.audit.operator import operator
from portal.command_line import add_json, as_json, did_you_mean, wrong_call
from portal.no_secrets import Command as SafeCommand
from portal.punctuation import labelled

PATIENCE = 120.0  # seconds
PAUSE = 0.5


class Command(SafeCommand):
    help = gettext_lazy(
        "Have containers read by a worker: the build, and whose account each instance's file holds. Nothing "
        "there is changed. With --wait, the exit code is 0 only if every container was read."
    )

    group = "Inventory"
    summary = gettext_lazy("Read what containers hold; also a test of the login")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("containers", nargs="*", metavar="CONTAINER", help=_("names of containers"))
        parser.add_argument("--all", action="store_true", help=_("all containers that are on"))
        parser.add_argument(
            "--wait",
            nargs="?",
            type=float,
            const=PATIENCE,
            metavar="SECONDS",
            help=_("wait until each was read (at most %d seconds)") % PATIENCE,
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
        raise wrong_call(_("Name containers, or give --all."))
    rows = Container.objects.all()
    if is_all:
        return list(rows.in_use())
    found = {row.name: row for row in rows.filter(name__in=names)}
    for name in names:
        if name not in found:
            near = did_you_mean(name, rows.values_list("name", flat=True))
            raise wrong_call(_("There is no container %(name)s.%(near)s") % {"name": name, "near": near})
        if found[name].retired:
            raise wrong_call(_("%s is retired: nobody logs in there.") % name)
        if obstacle(found[name], [NOT_BY_HAND]):
            raise wrong_call(_("%s is marked by hand: nobody logs in there. See report_by_hand.") % name)
        if not found[name].is_enabled:
            raise wrong_call(_("%s is off: nobody logs in there.") % name)
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
    name, build = reading.container.name, reading.build or _("unknown")
    if reading.state == Reading.State.FAILED:
        return [
            _("%(name)s: failed, %(label)s (%(code)s)")
            % {"name": name, "label": Code(reading.code).label, "code": reading.code}
        ]
    if not reading.finished:
        return [labelled(name, reading.get_state_display())]
    known = {each.instance.name: each for each in reading.container.installations.select_related("instance")}
    lines = [
        ngettext(
            "%(name)s: build %(build)s, %(count)s instance",
            "%(name)s: build %(build)s, %(count)s instances",
            len(reading.found),
        )
        % {"name": name, "build": build, "count": len(reading.found)}
    ]
    for instance, unread in sorted(reading.found.items()):
        installation = known.get(instance)
        holds = (
            installation.observed_client_id or _("no account") if installation else _("not in the inventory")
        )
        lines.append("  " + labelled(instance, _("not read (%s)") % unread if unread else holds))
    lines += [
        "  " + _("%s: in the inventory, but not there") % instance
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
