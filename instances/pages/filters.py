"""What the lists of instances and containers are narrowed to."""

from datetime import timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy as _
from django_filters import CharFilter, ChoiceFilter

from instances import needs
from instances.discovery.last_seen import never_seen, not_seen_for
from instances.models import NOT_BY_HAND, Container, Installation, Instance, JumpHost
from instances.reaching import host_keys
from portal.web.filters import ANY, RETIRED, Filters, ShowFilter

WEEK = timedelta(days=7)
SWITCHES = {
    "on": Q(is_enabled=True) & NOT_BY_HAND.condition(),
    "off": Q(is_enabled=False) & NOT_BY_HAND.condition(),
    "by_hand": ~NOT_BY_HAND.condition(),
}
ON_JWT = Installation.objects.not_retired().filter(container=OuterRef("pk"), observed_jwt=True)


class InventoryFilters(Filters):
    """A list that shows what is in use, or what is retired, and can be searched."""

    @property
    def shows_retired(self) -> bool:
        return self.chosen.get("show") == RETIRED

    @property
    def retired_count(self) -> int:
        """How many retired ones fit the text that was searched for."""
        everything: Any = self.queryset  # never None, as the stubs have it
        rows = self.filters["q"].filter(everything.all(), self.chosen.get("q"))
        count: int = self.filters["show"].filter(rows, RETIRED).count()
        return count


class InstanceFilters(InventoryFilters):
    """What the list of instances is narrowed to."""

    q = CharFilter("name", "icontains", label=_("Search"), max_length=100)
    environment = ChoiceFilter(label=_("Environment"), choices=Instance.Environment.choices, empty_label=ANY)
    deployment = ChoiceFilter(label=_("Deployment"), choices=Instance.Deployment.choices, empty_label=ANY)
    role = ChoiceFilter(label=_("Role"), choices=Instance.Role.choices, empty_label=ANY)
    show = ShowFilter()
    need = ChoiceFilter(label=_("Needs attention"), choices=[], empty_label=ANY, method="in_need")

    class Meta(Filters.Meta):
        model = Instance

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: the signature of django-filter
        super().__init__(*args, **kwargs)
        self.filters["need"].extra["choices"] = needs.choices()  # rooms above add theirs

    def in_need(self, rows: QuerySet[Instance], _name: str, need: str) -> QuerySet[Instance]:
        return needs.in_need(rows, need)


class ContainerFilters(InventoryFilters):
    """What the list of containers is narrowed to."""

    q = CharFilter(label=_("Search"), max_length=100, method="called")
    host_key = ChoiceFilter(
        label=_("Host key"),
        choices=[
            ("approved", _("Approved")),
            ("changed", _("Changed")),
            ("unexpected", _("Not the expected one")),
            ("needed", _("No usable host key")),
            ("offered", _("Shown, not approved")),
            ("none", _("Not scanned")),
        ],
        empty_label=ANY,
        method="with_host_key",
    )
    switch = ChoiceFilter(
        label=_("On or off"),
        choices=[("on", _("On")), ("off", _("Off")), ("by_hand", _("By hand"))],
        empty_label=ANY,
        method="switched",
    )
    seen = ChoiceFilter(
        label=_("Last seen"),
        choices=[("old", _("Not for a week")), ("never", _("Never"))],
        empty_label=ANY,
        method="last_seen",
    )
    jwt = ChoiceFilter(
        label=_("JWT credential"), choices=[("yes", _("Still there"))], empty_label=ANY, method="on_jwt"
    )
    show = ShowFilter()
    jump_host = ChoiceFilter(label=_("Jump host"), choices=[], empty_label=ANY)

    class Meta(Filters.Meta):
        model = Container

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: the signature of django-filter
        super().__init__(*args, **kwargs)
        hosts = [(str(pk), name) for pk, name in JumpHost.objects.values_list("pk", "name")]
        if hosts:
            self.filters["jump_host"].extra["choices"] = hosts
        else:
            del self.filters["jump_host"]

    def called(self, rows: QuerySet[Container], _name: str, text: str) -> QuerySet[Container]:
        return rows.filter(Q(name__icontains=text) | Q(address__icontains=text))

    def with_host_key(self, rows: QuerySet[Container], _name: str, state: str) -> QuerySet[Container]:
        return host_keys.in_host_key_state(rows, "" if state == "none" else state)

    def switched(self, rows: QuerySet[Container], _name: str, switch: str) -> QuerySet[Container]:
        return rows.filter(SWITCHES[switch])

    def last_seen(self, rows: QuerySet[Container], _name: str, seen: str) -> QuerySet[Container]:
        return not_seen_for(rows, WEEK) if seen == "old" else never_seen(rows)

    def on_jwt(self, rows: QuerySet[Container], _name: str, _yes: str) -> QuerySet[Container]:
        return rows.filter(Exists(ON_JWT))
