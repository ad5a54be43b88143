"""`accept_audit_head`: gives up a kept head that is no longer in the history, as a recorded act."""

from argparse import ArgumentParser

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.audit.chain import kept_head
from portal.audit.operator import operator
from portal.command_line import add_json, as_json, wrong_call
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = gettext_lazy(
        "Accept that the history no longer contains the head that was kept outside the database, for example "
        "after a dump was loaded by hand. The history records who accepted which head, and why."
    )

    group = "History"
    summary = gettext_lazy("Accept, as a recorded act, that the history no longer contains the kept head")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reason", required=True, help=_("what happened, for everybody who asks later"))
        add_json(parser)

    def handle(self, *args: str, reason: str, json: bool = False, **options: object) -> None:
        if not reason.strip():
            raise wrong_call(_("Say in --reason what happened."))
        try:
            event = kept_head.accept(reason=reason.strip(), actor=operator())
        except kept_head.NothingToAccept as error:
            raise CommandError(
                _("There is nothing to accept: no kept head is missing in the chain.")
            ) from error
        kept = kept_head.read()
        head = str(kept.head) if kept else None
        said = _("Event %(seq)s records it. The kept head is now %(head)s.") % {
            "seq": event.seq,
            "head": head or "-",
        }
        self.stdout.write(as_json({"event": event.seq, "kept_head": head}) if json else said)
