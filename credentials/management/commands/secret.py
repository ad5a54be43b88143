"""`secret add`: another secret for an account in use. It never comes from argv or the environment."""

import sys
from argparse import ArgumentParser

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables

from credentials import values
from credentials.adobe.console_json import MAX_BYTES, ConsoleJSONError, decode, read
from credentials.by_name import active_account
from credentials.entry import IDS, entered_before, new_secret
from credentials.ims_check import AdobeAnswer, ask_before
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.versions import enter
from credentials.services import AccountError, record_ims_verdict
from credentials.values import CLIENT_SECRET, LABELS
from portal.audit.operator import operator
from portal.command_line import STDIN, add_json, as_json, read_input
from portal.no_secrets import Command as SafeCommand
from portal.plaintext import Secret


class Command(SafeCommand):
    help = gettext_lazy(
        "Enter another secret of an active account. Nothing changes until `rollout` delivers it. Adobe is "
        "asked first; a secret that Adobe refuses is not stored, and the exit code is 1."
    )
    group = "Accounts and secrets"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["add"])
        parser.add_argument("account", help=_("name of an active technical account"))
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument(
            "--from-json", metavar="FILE", help=_("JSON file of the console, or - for standard input")
        )
        source.add_argument("--secret-file", metavar="FILE", help=_("file with the client secret, or -"))
        parser.add_argument(
            "--accept-unusual", action="store_true", help=_("accept a secret of an unusual form")
        )
        parser.add_argument(
            "--accept-older",
            action="store_true",
            help=_("accept the secret of a version that was entered before"),
        )
        parser.add_argument("--no-check", action="store_true", help=_("do not ask Adobe"))
        add_json(parser)

    @sensitive_variables()
    def handle(
        self,
        *args: str,
        account: str,
        from_json: str | None = None,
        secret_file: str | None = None,
        no_check: bool = False,
        json: bool = False,
        **options: object,
    ) -> None:
        found = active_account(account)
        source = from_json or secret_file or STDIN
        data = read_input(source, most=MAX_BYTES + 1, tell=self.stderr.write)
        try:
            given = _from_json(data, found) if from_json else Secret(decode(data))
        except ConsoleJSONError as error:
            raise CommandError(str(error)) from None
        secret = _judged(given, accepts_unusual=bool(options.get("accept_unusual")))
        _refuse_older(secret, found, accepted=bool(options.get("accept_older")))
        answer = None if no_check else ask_before(client_id=found.client_id, plaintext=secret)
        if answer and answer.is_refusal:
            self._say(json, found, None, answer, is_new=False)
            sys.exit(1)
        try:
            version, is_new = enter(account=found, plaintext=secret, actor=operator())
        except AccountError as error:
            raise CommandError(str(error)) from None
        if answer:
            record_ims_verdict(version=version, verdict=answer.verdict, actor=operator())
        self._say(json, found, version, answer, is_new=is_new)

    def _say(
        self,
        json: bool,
        account: TechnicalAccount,
        version: ClientSecret | None,
        answer: AdobeAnswer | None,
        *,
        is_new: bool,
    ) -> None:
        if json:
            facts = {
                "account": account.name,
                "stored": version is not None,
                "new": is_new,
                "version": version.version if version else None,
                "fingerprint": version.fingerprint if version else None,
                "ims": str(answer.verdict) if answer else None,
            }
            self.stdout.write(as_json(facts))
            return
        if version:
            known = _("a new version") if is_new else _("known before: no new version was made")
            self.stdout.write(
                _("%(account)s: version %(version)s, %(fingerprint)s (%(known)s).")
                % {
                    "account": account,
                    "version": version.version,
                    "fingerprint": version.fingerprint,
                    "known": known,
                }
            )
        else:
            self.stdout.write(_("%(account)s: nothing was stored.") % {"account": account})
        if answer:
            self.stdout.write(
                _("Adobe: %(label)s. %(next_step)s") % {"label": answer.label, "next_step": answer.next_step}
            )
        if version:
            self.stdout.write(_("Next: rollout delivers it to the containers."))


@sensitive_variables()
def _from_json(data: bytes, account: TechnicalAccount) -> Secret:
    found = read(data, client_id=account.client_id)
    differing = [str(LABELS[name]) for name in IDS if getattr(found, name) != getattr(account, name)]
    if differing:
        raise CommandError(_("The file has another %s than this account.") % differing[0])
    secret = new_secret(found, account=account)
    if secret is None:
        raise CommandError(
            _("The file does not say which secret is the new one: give it with --secret-file.")
        )
    return secret


@sensitive_variables()
def _judged(plaintext: Secret, *, accepts_unusual: bool) -> Secret:
    checked = values.check(CLIENT_SECRET, plaintext.reveal())
    if checked.problem:
        raise CommandError(str(checked.problem))
    if checked.cautions and not accepts_unusual:
        doubts = "\n".join(str(caution.message) for caution in checked.cautions)
        raise CommandError(
            _("%(doubts)s\nIf it is right all the same, run again with --accept-unusual.")
            % {"doubts": doubts}
        )
    return Secret(checked.value)


@sensitive_variables()
def _refuse_older(plaintext: Secret, account: TechnicalAccount, *, accepted: bool) -> None:
    older = entered_before(plaintext, account=account)
    if older and not accepted:
        raise CommandError(
            _(
                "This is the secret of version %(version)s, which was entered before. To go on "
                "with that version, run again with --accept-older. `rollout --secret-version` "
                "rolls it out."
            )
            % {"version": older.version}
        )
