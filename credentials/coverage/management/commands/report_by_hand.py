"""`report_by_hand`: keeps what the read-back script printed on a container that the portal cannot reach."""

from argparse import ArgumentParser

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.coverage.by_hand import NotReported, Report, report
from credentials.models import ClientSecret
from instances.models import Container, Installation
from instances.nlserver.read_back import MOST
from portal.audit.operator import operator
from portal.command_line import add_json, as_json, named, read_input, wrong_call
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = gettext_lazy(
        "Keep what the read-back script printed on a container that is marked by hand, as reported by you: "
        "never as proven. With --set, say which version was set there before. The runbook with the script is "
        "on the page of the installation."
    )
    group = "Accounts and secrets"
    summary = gettext_lazy("Report what was set by hand where the portal cannot go")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("container", metavar="CONTAINER")
        parser.add_argument("instance", metavar="INSTANCE")
        parser.add_argument(
            "--file", required=True, metavar="FILE", help=_("what the script printed; - for standard input")
        )
        parser.add_argument(
            "--set", type=int, metavar="VERSION", help=_("the version that was set there before")
        )
        parser.add_argument("--note", default="", help=_("why, or a ticket number; kept in the history"))
        parser.add_argument(
            "--host-compared",
            action="store_true",
            help=_("the name of the server was compared, and is right"),
        )
        add_json(parser)

    def handle(
        self,
        *args: str,
        container: str,
        instance: str,
        file: str,
        set: int | None = None,  # noqa: A002  # the option's own word
        note: str = "",
        host_compared: bool = False,
        json: bool = False,
        **options: object,
    ) -> None:
        installation = _installation(container, instance)
        version = _version(installation, set) if set is not None else None
        text = read_input(file, most=MOST * 4).decode("utf-8", "replace")
        try:
            done = report(
                installation=installation,
                text=text,
                actor=operator(),
                version=version,
                host_compared=host_compared,
                note=note,
            )
        except NotReported as error:
            again = _(" Give --host-compared if it is right.") if error.field == "host_compared" else ""
            raise CommandError(
                _("Nothing was kept. %(error)s%(again)s") % {"error": error, "again": again}
            ) from error
        self.stdout.write(as_json(_as_dict(done)) if json else _in_words(done))


def _installation(container: str, instance: str) -> Installation:
    row = named(Container.objects.all(), container, _("There is no container %s."))
    rows = Installation.objects.filter(container=row, instance__name=instance)
    found = rows.select_related("instance__assignment__account", "container").first()
    if found is None:
        raise wrong_call(
            _("The inventory has no instance %(instance)s on %(container)s.")
            % {"instance": instance, "container": container}
        )
    return found


def _version(installation: Installation, number: int) -> ClientSecret:
    mine = ClientSecret.objects.filter(account__assignments__instance=installation.instance_id)
    version = mine.select_related("account").filter(version=number).first()
    if version is None:
        raise wrong_call(_("The account in use there has no version %s.") % number)
    return version


def _as_dict(done: Report) -> dict[str, object]:
    return {
        "container": done.row.installation.container.name,
        "instance": done.row.installation.instance.name,
        "set": done.row.version.version if done.row.version else None,
        "known": done.known.version if done.known else None,
        "proven": False,
        "reported": done.row.at,
        "reported_by": done.row.by,
        "measured": done.row.measured,
        "host": done.row.host,
        "observation": done.row.observation_id,
    }


def _in_words(done: Report) -> str:
    said = (
        _("version %(version)s was set") % {"version": done.row.version.version}
        if done.row.version
        else _("only looked")
    )
    known = (
        _(" The encrypted secret is that of version %(version)s.") % {"version": done.known.version}
        if done.known
        else ""
    )
    return _("%(installation)s: kept as reported by hand by %(by)s (%(said)s), not proven.%(known)s") % {
        "installation": done.row.installation.label,
        "by": done.row.by,
        "said": said,
        "known": known,
    }
