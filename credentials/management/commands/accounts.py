"""`accounts`: the technical accounts, their secrets by fingerprint, and how far these have come."""

from argparse import ArgumentParser

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.accounts import history
from credentials.ims_check import answer_about
from credentials.models import TechnicalAccount
from portal.command_line import add_json, as_json, moment, named, table
from portal.no_secrets import Command as SafeCommand

HEADINGS = (
    gettext_lazy("ACCOUNT"),
    gettext_lazy("STATE"),
    gettext_lazy("VERSION"),
    gettext_lazy("FINGERPRINT"),
    gettext_lazy("ENTERED"),
    gettext_lazy("ADOBE"),
    gettext_lazy("INSTANCES"),
    gettext_lazy("PROVEN"),
    gettext_lazy("CLIENT ID"),
)


class Command(SafeCommand):
    help = gettext_lazy(
        "List technical accounts: state, goal by its fingerprint (before the first rollout: the secret "
        "that was entered), Adobe's last answer, and how many installations are proven to hold it. "
        "No command shows a secret."
    )
    group = "Accounts and secrets"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", nargs="?", help=_("only this one"))
        parser.add_argument(
            "--state", choices=TechnicalAccount.State.values, help=_("only those in this state")
        )
        add_json(parser)

    def handle(
        self, *args: str, account: str | None, state: str | None, json: bool, **options: object
    ) -> None:
        rows = TechnicalAccount.objects.order_by("name")
        if account:
            rows = rows.filter(pk=named(rows, account, _("There is no technical account %s.")).pk)
        found = list(rows.filter(state=state) if state else rows)
        sizes, current = history.sizes(found), history.goal_counts(found)
        facts = [_facts(each, sizes[each.pk], current.get(each.pk, 0)) for each in found]
        if json:
            self.stdout.write(as_json({"accounts": facts}))
        elif facts:
            self.stdout.write(table(HEADINGS, map(_row, facts)))
        else:
            self.stdout.write(_("No account."))


def _facts(account: TechnicalAccount, size: history.Size, proven: int) -> dict[str, object]:
    secret = account.goal or account.newest_version
    answer = answer_about(secret)
    return {
        "account": account.name,
        "id": str(account.pk),
        "state": account.state,
        "client_id": account.client_id,
        "organization_id": account.organization_id,
        "version": secret.version if secret else None,
        "fingerprint": secret.fingerprint if secret else None,
        "entered": moment(secret.entered) if secret else None,
        "ims": str(answer.verdict) if answer else None,
        "instances": size.instances,
        "installations": size.installations,
        "proven": proven,
    }


def _row(facts: dict[str, object]) -> tuple[object, ...]:
    names = ("account", "state", "version", "fingerprint", "entered", "ims", "instances")
    proven = _("%(done)s of %(total)s") % {"done": facts["proven"], "total": facts["installations"]}
    return (*(_shown(facts[name]) for name in names), proven, _shown(facts["client_id"]))


def _shown(value: object) -> str:
    return "-" if value in (None, "") else str(value)
