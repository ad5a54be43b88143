"""`verify_audit`: walks the whole audit chain. Exit code 0 only if it is intact.

It writes nothing, unless it is told to record what it saw, for monitoring.
"""

import json
import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from portal.audit.models import Verification
from portal.audit.operator import operator
from portal.audit.services import record_verification
from portal.audit.verification import verify
from portal.keys.known import KeysRefused, problem_of
from portal.keys.registry import named


class Command(BaseCommand):
    help = "Verify that no audit event was changed, removed or added by hand."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--expect-head",
            default="",
            metavar="SEQ:HASH",
            help="a head noted earlier elsewhere, which must still be in the chain",
        )

        parser.add_argument(
            "--record", action="store_true", help="add the result to the history, where monitoring reads it"
        )

    def handle(
        self, *args: str, json: bool = False, expect_head: str = "", record: bool = False, **options: object
    ) -> None:
        if problem := problem_of(named("audit_key")):  # with another key every event would look changed
            raise KeysRefused([problem])
        result = verify(expected_head=expect_head.strip(), progress=self._progress)
        if record:
            record_verification(result=result, actor=operator())
        self.stdout.write(_as_json(result) if json else _as_text(result))
        if not result.is_intact:
            sys.exit(1)

    def _progress(self, events: int) -> None:
        if events % 20_000 == 0:
            self.stderr.write(f"{events} events verified …")


def _as_text(result: Verification) -> str:
    lines = [f"event {finding.seq}: {finding.problem}" for finding in result.findings]
    verdict = "The audit trail is intact." if result.is_intact else "The audit trail is NOT intact."
    return "\n".join([*lines, f"{result.events} events, head {result.head}", verdict])


def _as_json(result: Verification) -> str:
    return json.dumps(
        {
            "intact": result.is_intact,
            "events": result.events,
            "head": result.head,
            "last_at": result.last_at.isoformat() if result.last_at else None,
            "findings": [{"event": finding.seq, "problem": finding.problem} for finding in result.findings],
        }
    )
