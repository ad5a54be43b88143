"""`housekeeping`: what is kept for a while only, and what of it may go now."""

from argparse import ArgumentParser

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from portal import retention
from portal.audit.operator import operator
from portal.command_line import add_json, as_json, moment, table
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = gettext_lazy(
        "Remove what was kept for as long as the settings KEEP_…_DAYS say, as the scheduler does each day by "
        "itself. Evidence is never removed. With --dry-run, count only."
    )
    summary = gettext_lazy("What is kept for a while only, and what of it may go now")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help=_("remove nothing, and count what would go")
        )
        add_json(parser)

    def handle(self, *args: str, dry_run: bool = False, json: bool = False, **options: object) -> None:
        actor = operator()
        rows = [
            (kind, retention.count_old(kind) if dry_run else retention.remove_old(kind, actor=actor))
            for kind in retention.kinds()
        ]
        if json:
            counts = [
                {"kind": kind.name, "days": kind.days, "before": kind.before(), "rows": count}
                for kind, count in rows
            ]
            self.stdout.write(as_json({"removed": not dry_run, "kinds": counts}))
            return
        heading = _("would go") if dry_run else _("removed")
        lines = [(kind.label, _days(kind), moment(kind.before()), count) for kind, count in rows]
        self.stdout.write(table((_("what"), _("kept"), _("older than"), heading), lines))


def _days(kind: retention.Kind) -> str:
    return (
        ngettext("%(days)s day (%(setting)s)", "%(days)s days (%(setting)s)", kind.days)
        % {"days": kind.days, "setting": kind.setting}
        if kind.days
        else _("for ever (%s)") % kind.setting
    )
