"""`verify_audit`: walks the whole audit chain. Exit code 0 only if it is intact, sealed breaks apart.

It records nothing in the history, unless it is told to, for monitoring. An intact chain's head is kept in the
file outside the database.
"""

import json
import sys
from argparse import ArgumentParser

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from portal.audit.chain.findings import SealedBreak, Verification
from portal.audit.chain.kept_head import Head
from portal.audit.chain.verification import verify
from portal.audit.operator import operator
from portal.audit.services import record_verification
from portal.command_line import wrong_call
from portal.keys.known import KeysRefused, problem_of
from portal.keys.registry import named
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = gettext_lazy("Verify that no audit event was changed, removed or added by hand.")

    group = "History"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help=_("print one JSON object"))
        parser.add_argument(
            "--expect-head",
            default="",
            metavar="SEQ:HASH",
            help=_("a head noted earlier elsewhere, which must still be in the chain"),
        )
        parser.add_argument(
            "--record",
            action="store_true",
            help=_("add the result to the history, where monitoring reads it"),
        )

    def handle(
        self, *args: str, json: bool = False, expect_head: str = "", record: bool = False, **options: object
    ) -> None:
        if problem := problem_of(named("audit_key")):  # with another key every event would look changed
            raise KeysRefused([problem])
        try:
            expected = str(Head.parse(expect_head)) if expect_head.strip() else ""
        except ValueError as error:
            raise wrong_call(f"--expect-head: {error}") from error
        result = verify(expected_head=expected, progress=self._progress)
        if record:
            record_verification(result=result, actor=operator())
        self.stdout.write(_as_json(result) if json else _as_text(result))
        if not result.is_intact:
            sys.exit(1)

    def _progress(self, events: int) -> None:
        if events % 20_000 == 0:
            self.stderr.write(_("%s events verified…") % events)


def _as_text(result: Verification) -> str:
    lines = [
        _("event %(seq)s: %(problem)s") % {"seq": finding.seq, "problem": finding.problem}
        for finding in result.findings
    ]
    lines += [_sealed_as_text(each) for each in result.sealed_breaks]
    lines.append(
        ngettext("%(count)s event, head %(head)s", "%(count)s events, head %(head)s", result.events)
        % {"count": result.events, "head": result.head}
    )
    lines.append(
        _("kept head %s") % result.kept_head if result.kept_head else _("no head was kept here before")
    )
    return "\n".join([*lines, _verdict(result)])


def _sealed_as_text(each: SealedBreak) -> str:
    when = each.at.strftime("%Y-%m-%d %H:%M:%S %Z")
    found = _("problems: %s") % each.problems
    return _("sealed break, %(span)s (%(found)s), by event %(seq)s, %(who)s, %(when)s: %(reason)s") % {
        "span": each.span,
        "found": found,
        "seq": each.seq,
        "who": each.who,
        "when": when,
        "reason": each.reason,
    }


def _verdict(result: Verification) -> str:
    if not result.is_intact:
        return _("The audit trail is NOT intact.")
    if not result.sealed_breaks:
        return _("The audit trail is intact.")
    spans = ", ".join(each.span for each in result.sealed_breaks)
    count = len(result.sealed_breaks)
    return _(
        "The audit trail is intact since event %(intact_since)s; sealed breaks: %(count)s (%(spans)s)."
    ) % {"intact_since": result.intact_since, "count": count, "spans": spans}


def _as_json(result: Verification) -> str:
    return json.dumps(
        {
            "intact": result.is_intact,
            "events": result.events,
            "head": result.head,
            "kept_head": result.kept_head or None,
            "last_at": result.last_at.isoformat() if result.last_at else None,
            "findings": [finding.shown() for finding in result.findings],
            "intact_since": result.intact_since,
            "sealed_breaks": [_sealed_as_json(each) for each in result.sealed_breaks],
        }
    )


def _sealed_as_json(each: SealedBreak) -> dict[str, object]:
    return {
        "event": each.seq,
        "at": each.at.isoformat(),
        "by": each.who,
        "reason": each.reason,
        "first": each.first,
        "last": each.last,
        "problems": each.problems,
        "findings": each.findings,
    }
