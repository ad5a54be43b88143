"""`status`: what the home page says, for a terminal or a script."""

import sys
from argparse import ArgumentParser

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.home.counting import count_all
from credentials.home.needs import Need, needs
from credentials.rollouts.models import Rollout
from credentials.rollouts.progress import Progress, progress_of, with_open_pushes
from credentials.rollouts.reporting import tally
from portal.command_line import add_json, as_json, table
from portal.health.models import Worker
from portal.no_secrets import Command as SafeCommand

URGENT = ("danger", "warning", "unknown")
"""Tones of what needs a person; the others are for information."""
MOST = 20  # rollouts


class Command(SafeCommand):
    help = gettext_lazy(
        "Say what needs a person now, what is under way, and whether workers run. The exit code is 0 only if "
        "nothing needs a person and at least one worker runs."
    )
    group = "Rollouts"

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_json(parser)

    def handle(self, *args: str, json: bool, **options: object) -> None:
        found = [need for need in needs(count_all()) if need.count]
        rollouts = list(with_open_pushes(Rollout.objects.select_related("secret__account"))[:MOST])
        progress = progress_of(rollouts)
        under_way = [(each, progress[each.pk]) for each in rollouts]
        workers = Worker.objects.at_work().count()
        is_well = bool(workers) and not any(need.tone in URGENT for need in found)
        if json:
            self.stdout.write(as_json(_facts(is_well, workers, found, under_way)))
        else:
            self.stdout.write(_text(workers, found, under_way))
        if not is_well:
            sys.exit(1)


def _facts(
    is_well: bool, workers: int, found: list[Need], under_way: list[tuple[Rollout, Progress]]
) -> dict[str, object]:
    return {
        "ok": is_well,
        "workers": workers,
        "needs": [
            {
                "count": need.count,
                "text": need.sentence,
                "urgent": need.tone in URGENT,
                "page": need.url,
                "names": [link.text for link in need.links],
            }
            for need in found
        ],
        "under_way": [
            {
                "rollout": rollout.number,
                "account": rollout.secret.account.name,
                "version": rollout.secret.version,
                "requested": rollout.requested,
                "requested_by": rollout.requested_by_name,
                "ended": progress.ended,
                "total": progress.total,
                "shown_state": progress.shown_state,
                "states": progress.counts,
            }
            for rollout, progress in under_way
        ],
    }


def _text(workers: int, found: list[Need], under_way: list[tuple[Rollout, Progress]]) -> str:
    parts = [
        _("No worker runs: nothing is delivered.")
        if not workers
        else _("Workers: %(workers)s.") % {"workers": workers}
    ]
    if found:
        rows = [(need.count, need.sentence) for need in found]
        parts.append(table((_("COUNT"), _("WHAT NEEDS A PERSON")), rows))
    else:
        parts.append(_("Nothing needs a person."))
    if under_way:
        lines = [
            (
                each.number,
                each.secret.account.name,
                _("%(done)s of %(total)s") % {"done": progress.ended, "total": progress.total},
                tally(progress),
            )
            for each, progress in under_way
        ]
        parts.append(table((_("ROLLOUT"), _("ACCOUNT"), _("ENDED"), _("STATES")), lines))
    return "\n\n".join(parts)
