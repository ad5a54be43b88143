"""`erase_name`: takes a person's name out of the portal, as a recorded act; what they did stays."""

from argparse import ArgumentParser

from django.contrib.auth.models import User
from django.core.management.base import CommandError

from portal.audit.operator import operator
from portal.command_line import add_json, as_json, did_you_mean, insist_on_phrase, wrong_call
from portal.no_secrets import Command as SafeCommand
from portal.people.erasing import NobodyOfThatName, StillActive, erase_name

PHRASE = "erase this name"


class Command(SafeCommand):
    help = (
        "Erase the name of somebody who asked to be forgotten: everywhere the portal shows erased-N instead, "
        "where N is the number of the entry in the history that says so. What they did stays, and the "
        "history verifies as before. Backups and logs keep the name until you remove them."
    )

    group = "History"
    summary = "Erase a person's name, as a recorded act; what they did stays"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="a deactivated user's name, or one that the history shows")
        parser.add_argument("--reason", required=True, help="why, for everybody who asks later; not the name")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        add_json(parser)

    def handle(
        self, *args: str, name: str, reason: str, yes: bool, json: bool = False, **options: object
    ) -> None:
        if not reason.strip():
            raise wrong_call("Say in --reason why.")
        if name.casefold() in reason.casefold():
            raise wrong_call("The reason stays for ever, so it must not hold the name.")
        if not yes:
            insist_on_phrase(self.stderr if json else self.stdout, PHRASE, "Nothing was erased.")
        try:
            done = erase_name(name=name, reason=reason.strip(), actor=operator())
        except NobodyOfThatName as error:
            near = did_you_mean(name, User.objects.values_list("username", flat=True))
            raise CommandError(f"Neither a user nor the history has the name {name}.{near}") from error
        except StillActive as error:
            text = f"{name} can still sign in. Deactivate the person first, on the page Users."
            raise CommandError(text) from error
        if json:
            facts = {"event": done.event.seq, "replacement": done.replacement}
            facts |= {"names": done.names, "rows": done.rows, "kept_in_form_1": done.kept}
            self.stdout.write(as_json(facts))
            return
        self.stdout.write(
            f"The name is now {done.replacement}: replaced {done.names} times in the history and in "
            f"{done.rows} rows elsewhere. Entry {done.event.seq} of the history says so."
        )
        if done.kept:
            self.stdout.write(
                f"{done.kept} older entries of the history keep it: their hashes need the name itself."
            )
        self.stdout.write("Backups and logs still have it. Next: verify_audit.")
