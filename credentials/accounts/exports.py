"""The list of accounts as a file. Of secrets it has versions and fingerprints."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from django.utils.translation import gettext_lazy

from credentials.accounts import history
from credentials.accounts.filters import AccountFilters
from credentials.accounts.views import ORDERS
from credentials.models import TechnicalAccount
from portal.web.exports import Export, Row, in_order, register, values

VALUES = (
    *("state", "way", "organization_id", "client_id", "technical_account_id", "technical_account_email"),
    *("product", "product_profile", "project", "created"),
)
GOAL = ("goal", "goal_fingerprint", "goal_entered", "goal_entered_by")


def _rows(keys: Sequence[UUID]) -> Iterator[Row]:
    accounts = in_order(TechnicalAccount.objects.select_related("goal").defer("goal__ciphertext"), keys)
    sizes, holding = history.sizes(accounts), history.goal_counts(accounts)
    for account in accounts:
        goal = account.goal
        yield {
            "account": account.name,
            **values(account, VALUES),
            "goal": goal and goal.version,
            "goal_fingerprint": goal and goal.fingerprint,
            "goal_entered": goal and goal.entered,
            "goal_entered_by": goal and goal.entered_by_name,
            "instances": sizes[account.pk].instances,
            "installations": sizes[account.pk].installations,
            "holding_goal": holding.get(account.pk, 0),
        }


register(
    Export(
        name="accounts",
        title=gettext_lazy("Accounts"),
        permission="credentials.view_technicalaccount",
        columns=("account", *VALUES, *GOAL, "instances", "installations", "holding_goal"),
        filters=AccountFilters,
        orders=ORDERS,
        rows=_rows,
    )
)
