"""`retry`: tries the failed and unknown pushes of one rollout again."""

import sys
from argparse import ArgumentParser

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from credentials.rollouts.management.commands.rollout import PATIENCE, watch
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.services import retry_pushes
from portal.audit.operator import operator
from portal.command_line import wrong_call
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = gettext_lazy(
        "Retry the failed and unknown pushes of a rollout. With --wait, the exit code is 0 only if every "
        "push of the rollout succeeded; without, if nothing had to be left alone."
    )

    group = "Rollouts"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("number", type=int, metavar="ROLLOUT", help=_("number of the rollout"))
        parser.add_argument("--message", default="", help=_("why; kept in the history"))
        parser.add_argument(
            "--wait",
            nargs="?",
            type=float,
            const=PATIENCE,
            metavar="SECONDS",
            help=_("wait until every push has an outcome (at most %d seconds)") % PATIENCE,
        )
        parser.add_argument("--json", action="store_true", help=_("print one JSON object"))

    def handle(
        self, *args: str, number: int, message: str, wait: float | None, json: bool, **options: object
    ) -> None:
        rollout = Rollout.objects.filter(number=number).select_related("secret__account").first()
        if rollout is None:
            newest = Rollout.objects.order_by("-number").values_list("number", flat=True).first()
            hint = _(" The newest is %s.") % newest if newest else ""
            raise wrong_call(_("There is no rollout %(number)s.%(hint)s") % {"number": number, "hint": hint})
        waiting = Push.objects.needing_attention().filter(rollout=rollout)
        ids = list(waiting.values_list("pk", flat=True))
        result = retry_pushes(push_ids=ids, actor=operator(), message=message[:250])
        for push, reason in result.refused:
            self.stderr.write(
                _("Not retried: %(installation)s. %(reason)s")
                % {"installation": push.installation.label, "reason": reason}
            )
        self.stderr.write(
            ngettext(
                "%(count)s push of rollout %(number)s is tried again.",
                "%(count)s pushes of rollout %(number)s are tried again.",
                len(result.pushes),
            )
            % {"count": len(result.pushes), "number": number}
        )
        left_alone = [
            {
                "instance": push.installation.instance.name,
                "container": push.container.name,
                "reason": reason,
            }
            for push, reason in result.refused
        ]
        retried = len(result.pushes)
        watch(self, rollout, seconds=wait, json=json, retried=retried, left_alone=left_alone)
        if result.refused:
            sys.exit(1)
