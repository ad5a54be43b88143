"""`add_account`: an account from the console's JSON file. The secret never comes from argv."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import replace

from django.core.management.base import CommandError
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables

from credentials.adobe.console_json import MAX_BYTES, ConsoleJSONError, ConsoleValues, decode, read
from credentials.entry import IDS, AccountEntry, Judged, judge, judge_console, set_values
from credentials.ims_check import AdobeAnswer, ask
from credentials.models import ClientSecret, TechnicalAccount
from credentials.services import AccountError
from credentials.values import CLIENT_SECRET, LABELS
from credentials.wizard.models import Draft
from credentials.wizard.services import activate_draft, begin
from portal.audit.operator import operator
from portal.command_line import STDIN, add_json, as_json, read_input, wrong_call
from portal.no_secrets import Command as SafeCommand
from portal.plaintext import Secret
from portal.punctuation import labelled


class Command(SafeCommand):
    help = gettext_lazy(
        "Add a technical account. Values come from the console's JSON file or from options, the client "
        "secret from a file or standard input, never from the command line. Adobe is asked whether it "
        "accepts them; if it refuses, the account stays a draft and the exit code is 1."
    )

    group = "Accounts and secrets"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help=_("name of the account"))
        parser.add_argument(
            "--from-json", metavar="FILE", help=_("JSON file of the console, or - for standard input")
        )
        parser.add_argument("--secret-file", metavar="FILE", help=_("file with the client secret, or -"))
        parser.add_argument("--organization", default="", help=_("Organization ID, without --from-json"))
        parser.add_argument(
            "--client-id", default="", help=_("Client ID; with --from-json, the one to choose")
        )
        parser.add_argument(
            "--technical-account", default="", help=_("Technical account ID, without --from-json")
        )
        parser.add_argument("--way", choices=TechnicalAccount.Way.values, default=TechnicalAccount.Way.NEW)
        parser.add_argument(
            "--accept-unusual", action="store_true", help=_("accept values of an unusual form")
        )
        parser.add_argument("--no-check", action="store_true", help=_("do not ask Adobe"))
        add_json(parser)

    @sensitive_variables()
    def handle(self, *args: str, name: str, way: str, no_check: bool, json: bool, **options: object) -> None:
        if len(name) > 80 or not name.strip() or not name.isprintable():
            raise wrong_call(_("The name must have 1 to 80 visible characters."))
        try:
            draft, secret = _create(name.strip(), way, options, self.stderr.write)
        except AccountError as error:
            raise CommandError(str(error)) from error
        answer = None if no_check else ask(version=secret, actor=operator())
        is_refused = answer is not None and answer.is_refusal
        if not is_refused:
            activate_draft(draft=draft, actor=operator())
        (self._write_json if json else self._write_text)(draft.account, secret, answer)
        if is_refused:
            sys.exit(1)

    def _write_json(
        self, account: TechnicalAccount, version: ClientSecret, answer: AdobeAnswer | None
    ) -> None:
        found = {
            "account": account.name,
            "id": str(account.pk),
            "state": account.state,
            "version": version.version,
            "fingerprint": version.fingerprint,
            "ims": str(answer.verdict) if answer else None,
        }
        self.stdout.write(as_json(found))

    def _write_text(
        self, account: TechnicalAccount, version: ClientSecret, answer: AdobeAnswer | None
    ) -> None:
        self.stdout.write(
            _("%(account)s: %(state)s, secret version %(version)s, %(fingerprint)s")
            % {
                "account": account,
                "state": account.state,
                "version": version.version,
                "fingerprint": version.fingerprint,
            }
        )
        if answer:
            self.stdout.write(
                _("Adobe: %(label)s. %(next_step)s") % {"label": answer.label, "next_step": answer.next_step}
            )
        if account.state == TechnicalAccount.State.DRAFT:
            self.stdout.write(
                _("The account stays a draft: correct its values in the wizard, or delete it there.")
            )


@sensitive_variables()
@transaction.atomic
def _create(
    name: str, way: str, options: dict[str, object], tell: Callable[[str], object]
) -> tuple[Draft, ClientSecret]:
    draft = begin(name=name, way=way, actor=operator())
    secret = set_values(account=draft.account, entry=_entry(draft.account, options, tell), actor=operator())
    if secret is None:
        raise CommandError(_("The file does not say which client secret to use: give it with --secret-file."))
    return draft, secret


@sensitive_variables()
def _entry(
    account: TechnicalAccount, options: dict[str, object], tell: Callable[[str], object]
) -> AccountEntry:
    if options["from_json"] == STDIN and options["secret_file"] == STDIN:
        raise wrong_call(_("Only one of --from-json and --secret-file can be standard input."))
    judged = _judged(account, options, tell)
    if judged.entry is None:
        raise CommandError(
            "\n".join(labelled(LABELS[name], problem) for name, problem in judged.problems.items())
        )
    if judged.entry.doubts and not options["accept_unusual"]:
        doubts = "\n".join(
            labelled(LABELS.get(each.field, _("Values")), each.message) for each in judged.entry.doubts
        )
        raise CommandError(
            _("%(doubts)s\nIf it is right all the same, run again with --accept-unusual.")
            % {"doubts": doubts}
        )
    return judged.entry


@sensitive_variables()
def _judged(account: TechnicalAccount, options: dict[str, object], tell: Callable[[str], object]) -> Judged:
    typed = _decoded(_read(options["secret_file"], tell)) if options["secret_file"] else ""
    if not options["from_json"]:
        names = ("organization", "client_id", "technical_account")
        given = {field: str(options[name]) for field, name in zip(IDS, names, strict=True)}
        return judge(given | {CLIENT_SECRET: typed})
    found = _found(_read(options["from_json"], tell), str(options["client_id"]))
    if typed:
        found = replace(found, client_secrets=(Secret(typed),))
    return judge_console(found, account=account)


@sensitive_variables()
def _decoded(data: bytes) -> str:
    try:
        return decode(data)
    except ConsoleJSONError:
        raise CommandError(_("The secret file is not a text file.")) from None


@sensitive_variables()
def _found(data: bytes, client_id: str) -> ConsoleValues:
    try:
        return read(data, client_id=client_id)
    except ConsoleJSONError as error:
        raise CommandError(str(error)) from None


@sensitive_variables()
def _read(name: object, tell: Callable[[str], object]) -> bytes:
    return read_input(str(name), most=MAX_BYTES + 1, tell=tell)
