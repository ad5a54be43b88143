"""What the list of rotations is narrowed to."""

from datetime import date
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _
from django_filters import DateFilter

from credentials.rotation.models import Rotation
from portal.web.filters import Filters


class DayFilter(DateFilter):
    """A day, with the calendar of the browser. Its label is a text, also a lazy one."""

    def __init__(self, field_name: str, lookup: str, *, label: Any, method: str | None = None) -> None:
        widget = forms.DateInput({"type": "date"}, format="%Y-%m-%d")
        super().__init__(field_name, lookup, label=label, method=method, widget=widget)


class RotationFilters(Filters):
    """In which days a rotation was under way: begun before their end, and not ended before the first."""

    since = DayFilter("ended", "date__gte", label=_("From"), method="under_way_since")
    until = DayFilter("requested", "date__lte", label=_("Until"))

    class Meta(Filters.Meta):
        model = Rotation
        fields: list[str] = []

    def under_way_since(self, rows: QuerySet[Rotation], _name: str, day: date) -> QuerySet[Rotation]:
        return rows.filter(Q(ended=None) | Q(ended__date__gte=day))
