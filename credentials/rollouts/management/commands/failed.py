"""`failed`: the pushes that wait for a person, with cause and next step."""

import sys
from argparse import ArgumentParser

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.models import TechnicalAccount
from credentials.rollouts.models import Push
from credentials.rollouts.progress import PushLine, push_lines
from credentials.rollouts.progress import named as with_related
from credentials.rollouts.reporting import advice
from credentials.rollouts.services import refusal
from portal.command_line import add_json, as_json, moment, named, table
from portal.no_secrets import Command as SafeCommand

HEADINGS = (
    gettext_lazy("INSTANCE"),
    gettext_lazy("CONTAINER"),
    gettext_lazy("ACCOUNT"),
    gettext_lazy("ROLLOUT"),
    gettext_lazy("STATE"),
    gettext_lazy("CODE"),
    gettext_lazy("ATTEMPTS"),
    gettext_lazy("CHANGED"),
)


class Command(SafeCommand):
    help = gettext_lazy(
        "List the pushes that wait for a person, with cause and next step; `retry ROLLOUT` tries them again. "
        "The exit code is 0 only if there is none."
    )
    group = "Rollouts"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", help=_("only those of this technical account"))
        add_json(parser)

    def handle(self, *args: str, account: str | None, json: bool, **options: object) -> None:
        pushes = Push.objects.needing_attention()
        if account:
            found = named(TechnicalAccount.objects.all(), account, _("There is no technical account %s."))
            pushes = pushes.filter(rollout__secret__account=found)
        lines = push_lines(with_related(pushes))
        if json:
            self.stdout.write(as_json({"failed": [_facts(line) for line in lines]}))
        elif lines:
            self.stdout.write("\n".join([table(HEADINGS, map(_row, lines)), *advice(lines)]))
        else:
            self.stdout.write(_("Nothing waits for a person."))
        if lines:
            sys.exit(1)


def _facts(line: PushLine) -> dict[str, object]:
    push, explanation = line.push, line.push.explanation
    return {
        "instance": push.installation.instance.name,
        "container": push.container.name,
        "account": push.rollout.secret.account.name,
        "rollout": push.rollout.number,
        "version": push.rollout.secret.version,
        "state": push.state,
        "code": push.code,
        "cause": str(explanation.cause) if explanation else None,
        "next_step": str(explanation.next_step) if explanation else None,
        "no_retry": refusal(push) or None,
        "attempts": line.attempts,
        "changed": line.changed,
    }


def _row(line: PushLine) -> tuple[object, ...]:
    push = line.push
    where = (push.installation.instance.name, push.container.name, push.rollout.secret.account.name)
    return (*where, push.rollout.number, push.state, push.code or "-", line.attempts, moment(line.changed))
