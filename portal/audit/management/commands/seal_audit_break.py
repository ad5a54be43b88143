"""`seal_audit_break`: records a break of the audit chain as it is, so that the chain goes on from there."""

from argparse import ArgumentParser

from django.core.management.base import CommandError

from portal.audit.operator import operator
from portal.audit.sealing import ChangedMeanwhile, NothingToSeal, examine, seal_break
from portal.no_secrets import Command as SafeCommand

PHRASE = "seal this break"


class Command(SafeCommand):
    help = (
        "Seal what verify_audit finds: it stays visible for ever, a later change in it is found, and the "
        "history counts as intact from there on. First find out what happened, and copy the database."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reason", required=True, help="what happened, for everybody who asks later")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: str, reason: str, yes: bool, **options: object) -> None:
        if not reason.strip():
            raise CommandError("Say in --reason what happened.")
        try:
            walk = examine(self._progress)
            self.stdout.write("\n".join(f"event {each.seq}: {each.problem}" for each in walk.findings))
            self.stdout.write(f"Problems in the chain: {walk.problems}.")
            if not yes:
                self._ask()
            event = seal_break(reason=reason.strip(), actor=operator(), looked_at=walk)
        except NothingToSeal as error:
            raise CommandError(
                "The chain has no break to seal. A kept head that is not in it: accept_audit_head."
            ) from error
        except ChangedMeanwhile as error:
            raise CommandError("The break changed meanwhile. Look at it again.") from error
        sealed = (
            f"Events {event.details['first']} to {event.details['last']} are sealed by event {event.seq}."
        )
        self.stdout.write(f"{sealed} Next: verify_audit.")

    def _ask(self) -> None:
        self.stdout.write(f'This cannot be undone. Type "{PHRASE}" to go on:')
        self.stdout.flush()
        try:
            answer = input()
        except EOFError:
            answer = ""
        if answer.strip() != PHRASE:
            raise CommandError("Nothing was sealed.")

    def _progress(self, events: int) -> None:
        if events % 20_000 == 0:
            self.stderr.write(f"{events} events verified …")
