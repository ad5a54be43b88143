"""What the lists of rollouts and pushes are narrowed to."""

from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django_filters import CharFilter, ChoiceFilter

from credentials.models import TechnicalAccount
from credentials.rollouts.models import Push, Rollout, is_retried_lately
from credentials.rollouts.pages.failing import with_failing
from instances.failures import Code
from instances.menders import Mender, mended_by
from portal.names import has_name
from portal.presets import Preset, preset
from portal.web.filters import Filters

ALL = _("All")
RETRIED_FIT = ("mender", "code", "state")
"""What a push that was retried lately need not match: who can mend it, what happened, its state."""


def _is(name: str, value: str) -> Q:
    """Return the condition of one of `RETRIED_FIT`. After a retry in vain others can mend it than before."""
    if name != "mender":
        return Q(**{name: value})
    retried = Push.objects.needing_attention().filter(state=Push.State.FAILED, retried__isnull=False)
    alike = Q(pk__in=with_failing(retried.order_by()).filter(Q(is_alike=True)).values("pk"))
    return (Q(code__in=mended_by(value)) & ~alike) | (Q(code__in=mended_by(value, is_alike=True)) & alike)


class OfAccount(Filters):
    """A list that can be limited to one account."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: the signature of django-filter
        super().__init__(*args, **kwargs)
        accounts = TechnicalAccount.objects.values_list("pk", "name")
        # Read once, asked for twice.
        self.filters["account"].extra["choices"] = [(str(pk), name) for pk, name in accounts]


class RolloutFilters(OfAccount):
    """Which rollouts to list."""

    account = ChoiceFilter("secret__account", label=_("Account"), choices=[], empty_label=ALL)
    reason = ChoiceFilter(label=_("Reason"), choices=Rollout.Reason.choices, empty_label=ALL)

    class Meta(Filters.Meta):
        model = Rollout


class PushFilters(Filters):
    """Which pushes of one rollout to show."""

    state = ChoiceFilter(label=_("State"), choices=Push.State.choices, empty_label=ALL)

    class Meta(Filters.Meta):
        model = Push


class FailedPushFilters(OfAccount):
    """Which failed and unknown pushes to show; one that was just retried fits whatever its outcome is now.

    Names are whole: a retry of all that was found must not take mkt-20 for mkt-2.
    """

    account = ChoiceFilter("rollout__secret__account", label=_("Account"), choices=[], empty_label=ALL)
    instance = CharFilter(
        "installation__instance__name",
        label=_("Instance"),
        max_length=40,
        widget=forms.TextInput({"placeholder": "prod1, prod*"}),
        method="called",
    )
    container = CharFilter(
        "container__name",
        label=_("Container"),
        max_length=80,
        widget=forms.TextInput({"placeholder": "mkt-2, mkt-*"}),
        method="called",
    )
    mender = ChoiceFilter(
        label=_("Who can mend it"), choices=Mender.choices, empty_label=ALL, method="mended_by"
    )
    code = ChoiceFilter(label=_("What happened"), choices=Code.choices, empty_label=ALL, method="ended")
    state = ChoiceFilter(
        label=_("State"),
        choices=[(each.value, each.label) for each in (Push.State.FAILED, Push.State.UNKNOWN)],
        empty_label=ALL,
        method="ended",
    )

    class Meta(Filters.Meta):
        model = Push

    def called(self, pushes: QuerySet[Push], column: str, name: str) -> QuerySet[Push]:
        return pushes.filter(has_name(column, name))

    def mended_by(self, pushes: QuerySet[Push], name: str, mender: str) -> QuerySet[Push]:
        return pushes.filter(_is(name, mender) | is_retried_lately())

    def ended(self, pushes: QuerySet[Push], name: str, value: str) -> QuerySet[Push]:
        return pushes.filter(_is(name, value) | is_retried_lately())

    @property
    def keeps_retried(self) -> bool:
        """Whether pushes may be shown that match only because they were retried lately."""
        return any(self.chosen.get(name) for name in RETRIED_FIT)

    def met(self, pushes: QuerySet[Push]) -> QuerySet[Push]:
        """Return those that match all that was chosen, whether or not they were retried."""
        for name in RETRIED_FIT:
            if value := self.chosen.get(name):
                pushes = pushes.filter(_is(name, value))
        return self.filter_queryset(pushes)

    @property
    def query(self) -> str:
        """What narrows the list besides the cause, for an address; never what looks like a secret."""
        kept = {name: value for name, value in self.chosen.items() if name not in ("state", "code", "mender")}
        return urlencode(kept)

    def presets(self, *, is_admin: bool) -> list[Preset]:
        """Return the link that narrows the list to what this person can mend."""
        mine = Mender.ADMIN if is_admin else Mender.HELPDESK
        return [preset(_("Yours to mend"), {"mender": mine.value}, self.chosen)]
