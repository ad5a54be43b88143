"""`rollout`: delivers the current secret of an account to its installations."""

import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from credentials.by_name import active_account
from credentials.keys.keyring import UnreadableSecret
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Rollout
from credentials.rollouts.reporting import as_json, as_table, wait
from credentials.rollouts.starting import Consent, NotConfirmed, RolloutError, start
from credentials.rollouts.versions import usual_reason
from credentials.services import AccountError
from instances.models import Installation, Instance
from portal.audit.operator import operator
from portal.command_line import did_you_mean, wrong_call
from portal.no_secrets import Command as SafeCommand

PATIENCE = 900.0  # seconds, for --wait without a number


class Command(SafeCommand):
    help = (
        "Deliver an account's newest secret to all its installations, or to those of some instances. "
        "Adobe is asked first whether it accepts the secret, unless it said so within the last hour. With "
        "--wait, the exit code is 0 only if every push succeeded; without, if the rollout was started."
    )

    group = "Rollouts"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", help="name of the technical account")
        parser.add_argument("--instance", action="append", default=[], help="only this instance; repeatable")
        parser.add_argument(
            "--secret-version",
            metavar="NUMBER",
            type=int,
            help="roll back, or on, to this version of the secret",
        )
        parser.add_argument(
            "--reason", choices=Rollout.Reason.values, help="found out from the account's history if missing"
        )
        parser.add_argument("--message", default="", help="kept in the history")
        answer = parser.add_mutually_exclusive_group()
        answer.add_argument(
            "--unconfirmed", action="store_true", help="start even if Adobe does not say whether it accepts"
        )
        answer.add_argument(
            "--despite-refusal", action="store_true", help="start although Adobe refuses the secret"
        )
        parser.add_argument(
            "--wait",
            nargs="?",
            type=float,
            const=PATIENCE,
            metavar="SECONDS",
            help=f"wait until every push has an outcome (at most {PATIENCE:.0f} seconds)",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(
        self,
        *args: str,
        account: str,
        instance: list[str],
        secret_version: int | None = None,
        reason: str | None,
        message: str,
        wait: float | None,
        json: bool,
        unconfirmed: bool = False,
        despite_refusal: bool = False,
        **options: object,
    ) -> None:
        chosen = _version(account, secret_version)
        consent = Consent.WAIVED if unconfirmed else Consent.NEEDED
        try:
            rollout = start(
                version=chosen,
                installations=_installations(chosen.account, instance),
                reason=reason or usual_reason(chosen),
                message=message[:250],
                actor=operator(),
                consent=Consent.DESPITE_REFUSAL if despite_refusal else consent,
            )
        except NotConfirmed as error:
            option = "--despite-refusal" if error.answer.is_refusal else "--unconfirmed"
            raise CommandError(f"{error}\nTo start it all the same, add {option}.") from None
        except (AccountError, RolloutError, UnreadableSecret) as error:
            raise CommandError(str(error)) from None
        self.stderr.write(f"Rollout {rollout.number} was started.")
        watch(self, rollout, seconds=wait, json=json)


def watch(
    command: BaseCommand, rollout: Rollout, *, seconds: float | None, json: bool, **more: object
) -> None:
    """Wait if asked to, print the outcome, and exit with 1 if something waited for did not succeed.

    With `json` the answer has what is given as `more`, too.
    """
    try:
        progress = wait(rollout, seconds=seconds, tell=command.stderr.write) if seconds is not None else None
    except KeyboardInterrupt:
        command.stderr.write(f"Nobody waits any more; rollout {rollout.number} goes on by itself.")
        raise
    command.stdout.write(as_json(rollout, **more) if json else as_table(rollout))
    if progress and progress.counts.get("succeeded", 0) < progress.total:
        sys.exit(1)


def _version(name: str, number: int | None) -> ClientSecret:
    """Return the version with this number, without one the newest usable one."""
    account = active_account(name)
    if number is None:
        if account.newest_version is None:
            raise CommandError(f"{name} has no client secret yet.")
        return account.newest_version
    found = account.secrets.filter(version=number).first()
    if found is None:
        raise wrong_call(f"{name} has no version {number}.")
    return found


def _installations(account: TechnicalAccount, names: list[str]) -> list[Installation]:
    """Return the account's installations on containers that are on; those of named instances, wherever."""
    using = Installation.objects.not_retired().filter(instance__assignment__account=account)
    known = set(using.values_list("instance__name", flat=True))
    if unknown := sorted(set(names) - known):
        message = f"No installation of these instances uses {account}: {', '.join(unknown)}."
        if Instance.objects.retired().filter(name__in=unknown).exists():
            message += " Retired ones do not count."
        raise wrong_call(message + did_you_mean(unknown[0], known))
    if names:
        return list(using.filter(instance__name__in=names).select_related("instance"))
    return list(using.filter(container__is_enabled=True).select_related("instance"))
