"""`erase_name`: takes a person's name out of the portal, as a recorded act; what they did stays."""

from argparse import ArgumentParser

from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from portal.audit.operator import operator
from portal.command_line import add_json, as_json, did_you_mean, insist_on_phrase, wrong_call
from portal.no_secrets import Command as SafeCommand
from portal.people.erasing import NobodyOfThatName, StillActive, erase_name

PHRASE = "erase this name"


class Command(SafeCommand):
    help = gettext_lazy(
        "Erase the name of somebody who asked to be forgotten: everywhere the portal shows erased-N instead, "
        "where N is the number of the entry in the history that says so. What they did stays, and the "
        "history verifies as before. Backups and logs keep the name until you remove them."
    )

    group = "History"
    summary = gettext_lazy("Erase a person's name, as a recorded act; what they did stays")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help=_("a deactivated user's name, or one that the history shows"))
        parser.add_argument(
            "--reason", required=True, help=_("why, for everybody who asks later; not the name")
        )
        parser.add_argument("--yes", action="store_true", help=_("do not ask"))
        add_json(parser)

    def handle(
        self, *args: str, name: str, reason: str, yes: bool, json: bool = False, **options: object
    ) -> None:
        if not reason.strip():
            raise wrong_call(_("Say in --reason why."))
        if name.casefold() in reason.casefold():
            raise wrong_call(_("The reason stays for ever, so it must not hold the name."))
        if not yes:
            insist_on_phrase(self.stderr if json else self.stdout, PHRASE, _("Nothing was erased."))
        try:
            done = erase_name(name=name, reason=reason.strip(), actor=operator())
        except NobodyOfThatName as error:
            near = did_you_mean(name, User.objects.values_list("username", flat=True))
            raise CommandError(
                _("Neither a user nor the history has the name %(name)s.%(near)s")
                % {"name": name, "near": near}
            ) from error
        except StillActive as error:
            text = _("%s can still sign in. Deactivate the person first, on the page Users.") % name
            raise CommandError(text) from error
        if json:
            facts = {"event": done.event.seq, "replacement": done.replacement}
            facts |= {"names": done.names, "rows": done.rows, "kept_in_form_1": done.kept}
            self.stdout.write(as_json(facts))
            return
        self.stdout.write(
            _(
                "The name is now %(replacement)s. Replaced in the history: %(names)s; rows elsewhere: "
                "%(rows)s. Entry %(seq)s of the history says so."
            )
            % {"replacement": done.replacement, "names": done.names, "rows": done.rows, "seq": done.event.seq}
        )
        if done.kept:
            self.stdout.write(
                ngettext(
                    "%s older entry of the history keeps it: its hash needs the name itself.",
                    "%s older entries of the history keep it: their hashes need the name itself.",
                    done.kept,
                )
                % done.kept
            )
        self.stdout.write(_("Backups and logs still have it. Next: verify_audit."))
