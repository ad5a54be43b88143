"""`rollout`: delivers the current secret of an account to its installations."""

import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.by_name import active_account
from credentials.keys.keyring import UnreadableSecret
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Rollout
from credentials.rollouts.reporting import as_json, as_table, wait
from credentials.rollouts.starting import Consent, NotConfirmed, RolloutError, start
from credentials.rollouts.versions import usual_reason
from credentials.services import AccountError
from instances.models import CONTAINER_ON, NOT_BY_HAND, Installation, Instance
from instances.requirements import Requirement, all_met
from portal.audit.operator import operator
from portal.command_line import did_you_mean, wrong_call
from portal.no_secrets import Command as SafeCommand

PATIENCE = 900.0  # seconds, for --wait without a number


class Command(SafeCommand):
    help = gettext_lazy(
        "Deliver an account's newest secret to all its installations, or to those of some instances. "
        "Adobe is asked first whether it accepts the secret, unless it said so within the last hour. With "
        "--wait, the exit code is 0 only if every push succeeded; without, if the rollout was started."
    )

    group = "Rollouts"

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_choice(parser)
        parser.add_argument(
            "--reason",
            choices=Rollout.Reason.values,
            help=_("found out from the account's history if missing"),
        )
        parser.add_argument("--message", default="", help=_("kept in the history"))
        answer = parser.add_mutually_exclusive_group()
        answer.add_argument(
            "--unconfirmed",
            action="store_true",
            help=_("start even if Adobe does not say whether it accepts"),
        )
        answer.add_argument(
            "--despite-refusal", action="store_true", help=_("start although Adobe refuses the secret")
        )
        parser.add_argument(
            "--wait",
            nargs="?",
            type=float,
            const=PATIENCE,
            metavar="SECONDS",
            help=_("wait until every push has an outcome (at most %d seconds)") % PATIENCE,
        )
        parser.add_argument("--json", action="store_true", help=_("print one JSON object"))

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
        chosen = version_named(account, secret_version)
        consent = Consent.WAIVED if unconfirmed else Consent.NEEDED
        try:
            rollout = start(
                version=chosen,
                installations=list(_startable(chosen.account, instance)),
                reason=reason or usual_reason(chosen),
                message=message[:250],
                actor=operator(),
                consent=Consent.DESPITE_REFUSAL if despite_refusal else consent,
            )
        except NotConfirmed as error:
            option = "--despite-refusal" if error.answer.is_refusal else "--unconfirmed"
            raise CommandError(
                _("%(error)s\nTo start it all the same, add %(option)s.") % {"error": error, "option": option}
            ) from None
        except (AccountError, RolloutError, UnreadableSecret) as error:
            raise CommandError(str(error)) from None
        self.stderr.write(_("Rollout %s was started.") % rollout.number)
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
        command.stderr.write(_("Nobody waits any more; rollout %s goes on by itself.") % rollout.number)
        raise
    command.stdout.write(as_json(rollout, **more) if json else as_table(rollout))
    if progress and progress.counts.get("succeeded", 0) < progress.total:
        sys.exit(1)


def add_choice(parser: ArgumentParser) -> None:
    """Add what says which version goes where."""
    parser.add_argument("account", help=_("name of the technical account"))
    parser.add_argument("--instance", action="append", default=[], help=_("only this instance; repeatable"))
    parser.add_argument(
        "--secret-version",
        metavar="NUMBER",
        type=int,
        help=_("roll back, or on, to this version of the secret"),
    )


def version_named(name: str, number: int | None) -> ClientSecret:
    """Return the version with this number, without one the newest usable one."""
    account = active_account(name)
    if number is None:
        if account.newest_version is None:
            raise CommandError(_("%s has no client secret yet.") % name)
        return account.newest_version
    found = account.secrets.filter(version=number).first()
    if found is None:
        raise wrong_call(_("%(name)s has no version %(number)s.") % {"name": name, "number": number})
    return found


def installations_named(account: TechnicalAccount, names: list[str]) -> QuerySet[Installation]:
    """Return the account's installations, or those of named instances; the error names what does not fit."""
    using = Installation.objects.not_retired().filter(instance__assignment__account=account)
    known = set(using.values_list("instance__name", flat=True))
    if unknown := sorted(set(names) - known):
        message = _("No installation of these instances uses %(account)s: %(names)s.") % {
            "account": account,
            "names": ", ".join(unknown),
        }
        if Instance.objects.retired().filter(name__in=unknown).exists():
            message += _(" Retired ones do not count.")
        raise wrong_call(message + did_you_mean(unknown[0], known))
    return using.filter(instance__name__in=names) if names else using


def left_out(names: list[str]) -> list[Requirement]:
    """Return what an installation must meet so as not to be left out: that of a named instance never is."""
    return [] if names else [NOT_BY_HAND.of("container"), CONTAINER_ON.of("container")]


def _startable(account: TechnicalAccount, names: list[str]) -> QuerySet[Installation]:
    found = installations_named(account, names).filter(all_met(left_out(names)))
    return found.select_related("instance")
