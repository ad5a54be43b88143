"""What the list of accounts is narrowed to."""

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _
from django_filters import CharFilter, ChoiceFilter

from credentials.coverage.tallies import accounts_in_need
from credentials.models import TechnicalAccount
from portal.web.filters import ANY, Filters

Accounts = QuerySet[TechnicalAccount]
NAMES = ("name", "client_id", "organization_id")


class AccountFilters(Filters):
    """What the list of accounts is narrowed to."""

    q = CharFilter(label=_("Search"), max_length=200, method="called")
    state = ChoiceFilter(label=_("State"), choices=TechnicalAccount.State.choices, empty_label=ANY)
    coverage = ChoiceFilter(
        label=_("Goal"), choices=[("behind", _("Needs you"))], empty_label=ANY, method="behind"
    )

    class Meta(Filters.Meta):
        model = TechnicalAccount

    def called(self, accounts: Accounts, _name: str, text: str) -> Accounts:
        found = Q()
        for name in NAMES:
            found |= Q(**{f"{name}__icontains": text})
        return accounts.filter(found)

    def behind(self, accounts: Accounts, _name: str, _behind: str) -> Accounts:
        return accounts.filter(pk__in=accounts_in_need())
