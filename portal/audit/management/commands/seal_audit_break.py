"""`seal_audit_break`: records a break of the audit chain as it is, so that the chain goes on from there."""

from argparse import ArgumentParser

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.audit.chain.sealing import ChangedMeanwhile, NothingToSeal, examine, seal_break
from portal.audit.operator import operator
from portal.command_line import add_json, as_json, insist_on_phrase, wrong_call
from portal.no_secrets import Command as SafeCommand

PHRASE = "seal this break"


class Command(SafeCommand):
    help = gettext_lazy(
        "Seal what verify_audit finds: it stays visible for ever, a later change in it is found, and the "
        "history counts as intact from there on. First find out what happened, and copy the database."
    )

    group = "History"
    summary = gettext_lazy("Seal a break of the history as it is, as a recorded act")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reason", required=True, help=_("what happened, for everybody who asks later"))
        parser.add_argument("--yes", action="store_true", help=_("do not ask"))
        add_json(parser)

    def handle(self, *args: str, reason: str, yes: bool, json: bool = False, **options: object) -> None:
        if not reason.strip():
            raise wrong_call(_("Say in --reason what happened."))
        try:
            walk = examine(self._progress)
            say = self.stderr if json else self.stdout
            say.write(
                "\n".join(
                    _("event %(seq)s: %(problem)s") % {"seq": each.seq, "problem": each.problem}
                    for each in walk.findings
                )
            )
            say.write(_("Problems in the chain: %s.") % walk.problems)
            if not yes:
                insist_on_phrase(say, PHRASE, _("Nothing was sealed."))
            event = seal_break(reason=reason.strip(), actor=operator(), looked_at=walk)
        except NothingToSeal as error:
            raise CommandError(
                _("The chain has no break to seal. A kept head that is not in it: accept_audit_head.")
            ) from error
        except ChangedMeanwhile as error:
            raise CommandError(_("The break changed meanwhile. Look at it again.")) from error
        if json:
            facts = {name: event.details[name] for name in ("first", "last", "problems")}
            self.stdout.write(as_json({"event": event.seq, **facts}))
            return
        sealed = _("Events %(first)s to %(last)s are sealed by event %(seq)s.") % {
            "first": event.details["first"],
            "last": event.details["last"],
            "seq": event.seq,
        }
        self.stdout.write(sealed + " " + _("Next: verify_audit."))

    def _progress(self, events: int) -> None:
        if events % 20_000 == 0:
            self.stderr.write(_("%s events verified…") % events)
