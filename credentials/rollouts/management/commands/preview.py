"""`preview`: what the command `rollout` would do with the same choices; nothing is started or asked."""

import sys
from argparse import ArgumentParser

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.ims_check import AdobeAnswer, answer_about
from credentials.models import ClientSecret
from credentials.rollouts import preview_words
from credentials.rollouts.management.commands.rollout import (
    add_choice,
    installations_named,
    left_out,
    version_named,
)
from credentials.rollouts.preview import Preview, Row, preview
from portal.command_line import add_json, as_json, moment, table
from portal.no_secrets import Command as SafeCommand

HEADINGS = (
    gettext_lazy("INSTANCE"),
    gettext_lazy("CONTAINER"),
    gettext_lazy("WHAT"),
    gettext_lazy("WHY"),
    gettext_lazy("SEEN"),
)


class Command(SafeCommand):
    help = gettext_lazy(
        "Say what `rollout` with the same account, instances and version would do at each installation, and "
        "how long it would take; nothing is started, and nobody is asked. "
        "The exit code is 0 only if everything would be pushed and nothing is likely to fail."
    )
    summary = gettext_lazy("Say what a rollout would do at each installation, and how long it would take")
    group = "Rollouts"

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_choice(parser)
        add_json(parser)

    def handle(
        self,
        *args: str,
        account: str,
        instance: list[str],
        secret_version: int | None = None,
        json: bool = False,
        **options: object,
    ) -> None:
        version = version_named(account, secret_version)
        chosen = installations_named(version.account, instance)
        said = preview(version, chosen, leaves_out=left_out(instance))
        answer = answer_about(version)
        self.stdout.write(as_json(_facts(version, answer, said)) if json else _text(answer, said))
        if not said.is_clean or (answer and answer.is_refusal):
            sys.exit(1)


def _text(answer: AdobeAnswer | None, said: Preview) -> str:
    counts = [preview_words.headline(group, said.total) for group in said.groups]
    if not said.starts:
        counts.append(_("Nothing would start."))
    rows = [
        (row.instance, row.container, row.fate.value, row.why or "-", moment(row.seen)) for row in said.rows
    ]
    further = [
        *counts,
        *preview_words.also(said),
        preview_words.does(said),
        preview_words.how_long(said),
        preview_words.judged_by(said),
    ]
    return "\n".join([table(HEADINGS, rows), "", *filter(None, further)])


def _facts(version: ClientSecret, answer: AdobeAnswer | None, said: Preview) -> dict[str, object]:
    found = said.estimate
    return {
        "account": version.account.name,
        "version": version.version,
        "ims": answer.verdict if answer else None,
        "starts": said.starts,
        "counts": [{"what": each.fate, "why": each.why, "count": each.count} for each in said.groups],
        "seconds": {"from": round(found.low, 1), "to": round(found.high, 1)} if found else None,
        "judged_by": found.judged_by if found else None,
        "workers": found.workers if found else None,
        "installations": [_row(row) for row in said.rows],
    }


def _row(row: Row) -> dict[str, object]:
    return {
        "instance": row.instance,
        "container": row.container,
        "what": row.fate,
        "why": row.why,
        "also": list(row.also),
        "replaces": row.account or None,
        "supersedes": row.rollout,
        "seen": row.seen,
        "in_words": preview_words.in_words(row),
    }
