"""`policy`: how often accounts' secrets are replaced, and what the portal does then."""

from argparse import ArgumentParser

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.by_name import active_account
from credentials.models import TechnicalAccount
from credentials.rotation.due import standing_of
from credentials.rotation.models import Policy, PolicyKind
from credentials.rotation.plans import RuleError
from credentials.rotation.policies import remove_policy, set_policy
from credentials.rotation.services import USUAL_STOP, USUAL_WAVES, RotationError
from portal.audit.operator import operator
from portal.command_line import add_json, as_json, moment, table, wrong_call
from portal.no_secrets import Command as SafeCommand

HEADINGS = (
    gettext_lazy("ACCOUNT"),
    gettext_lazy("POLICY"),
    gettext_lazy("DAYS"),
    gettext_lazy("DUE"),
    gettext_lazy("IS DUE"),
    gettext_lazy("STOPPED"),
    gettext_lazy("SET BY"),
)


class Command(SafeCommand):
    help = gettext_lazy(
        "Show the rotation policies of accounts, or set the policy of one: every how many days its secret is "
        "replaced, and whether the portal reminds, opens a rotation up to its canary, or runs one by itself. "
        "What is set here acts in the name of the person at the command line."
    )
    group = "Accounts and secrets"
    summary = gettext_lazy("Every how many days a secret is replaced, and what the portal does then")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", nargs="?", help=_("name of the technical account; all without it"))
        parser.add_argument("--interval", type=int, metavar="DAYS", help=_("7 to 730; sets the policy"))
        parser.add_argument("--policy", choices=PolicyKind.values, help=_("what is done when it is due"))
        parser.add_argument("--waves", default=USUAL_WAVES, metavar="RULE", help=_("as for rotate start"))
        parser.add_argument("--stop", default=USUAL_STOP, metavar="RULE", help=_("as for rotate start"))
        parser.add_argument(
            "--message", default="", help=_("for the history of each rotation that it starts")
        )
        parser.add_argument(
            "--migration-closed", action="store_true", help=_("the JWT credential was deleted in the console")
        )
        parser.add_argument("--remove", action="store_true", help=_("remove the policy of the account"))
        add_json(parser)

    def handle(self, *args: str, account: str | None = None, json: bool = False, **options: object) -> None:
        wants_change = bool(options["remove"] or options["interval"] or options["policy"])
        if wants_change and account is None:
            raise wrong_call(_("Name the technical account."))
        found = active_account(account) if account else None
        if found and wants_change:
            _change(found, options)
        rows = Policy.objects.select_related("account__goal", "set_by")
        self._show(list(rows.filter(account=found) if found else rows), json=json)

    def _show(self, rows: list[Policy], *, json: bool) -> None:
        if json:
            self.stdout.write(as_json({"policies": [as_dict(row) for row in rows]}))
        elif rows:
            self.stdout.write(table(HEADINGS, map(_row, rows)))
        else:
            self.stdout.write(_("No policy: nobody is reminded."))


def _change(account: TechnicalAccount, options: dict[str, object]) -> None:
    if options["remove"]:
        if not remove_policy(account=account, actor=operator()):
            raise CommandError(_("%s has no policy.") % account)
        return
    interval, kind = options["interval"], options["policy"]
    if not isinstance(interval, int) or not kind:
        raise wrong_call(_("Give both --interval DAYS and --policy."))
    try:
        set_policy(
            account=account,
            interval=interval,
            kind=str(kind),
            wave_rule=str(options["waves"]),
            stop_rule=str(options["stop"]),
            is_migration_closed=bool(options["migration_closed"]),
            message=str(options["message"]),
            actor=operator(),
        )
    except (RotationError, RuleError) as error:
        raise CommandError(str(error)) from None


def as_dict(policy: Policy) -> dict[str, object]:
    """Return a policy for machines; `due` is null where nothing is in use, or is being replaced."""
    standing = standing_of(policy)
    return {
        "account": policy.account.name,
        "policy": policy.kind,
        "interval_days": policy.interval,
        "waves": policy.wave_rule,
        "stop": policy.stop_rule,
        "message": policy.message,
        "due": standing.due if standing else None,
        "is_due": bool(standing and standing.is_due),
        "stopped": standing.why if standing else "",
        "set_by": policy.set_by_name,
        "set_at": policy.set_at,
    }


def _row(policy: Policy) -> tuple[object, ...]:
    standing = standing_of(policy)
    due = moment(standing.due) if standing else "-"
    is_due = _("yes") if standing and standing.is_due else _("no")
    why = standing.why if standing and standing.why else "-"
    return (policy.account.name, policy.kind, policy.interval, due, is_due, why, policy.set_by_name)
