"""What a list of rows is narrowed to: filters of django-filter, in the address and on one bar.

Lists that are computed rather than selected (coverage, proposals, the history) have a form of their own
instead; both stand on the same bar (`templates/_filters.html`) and narrow the same files.
"""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from django_filters import ChoiceFilter, FilterSet

from portal.no_secrets import Form

ANY = _("Any")
RETIRED = "retired"


class Filters(FilterSet):
    """The filters of a list. A value that is refused narrows nothing, and its field says so."""

    class Meta:
        form = Form
        fields: Sequence[str] = ()  # those that a list declares, and none of its model besides

    @property
    def cleaned_data(self) -> dict[str, Any]:  # Any: values of whichever fields
        """The values that make sense, as of a form."""
        self.is_valid()
        return self.form.cleaned_data

    @property
    def chosen(self) -> dict[str, str]:
        """The filters that are set and make sense, as the address says them."""
        return {name: str(value) for name, value in self.cleaned_data.items() if value}

    @property
    def is_narrowed(self) -> bool:
        """Whether a filter is set, also one that makes no sense."""
        return self.form.has_changed()

    def filter_queryset(self, queryset: "QuerySet[Any]") -> "QuerySet[Any]":  # Any: of whichever model
        """Narrow the rows by every filter, also by one whose value was refused: as if it had none."""
        for name, each in self.filters.items():
            queryset = each.filter(queryset, self.cleaned_data.get(name))
        return queryset


class ShowFilter(ChoiceFilter):
    """Shows what is retired instead of what is in use."""

    def __init__(self) -> None:
        choices = [(RETIRED, _("Retired"))]
        super().__init__(label=_("Show"), choices=choices, empty_label=_("In use"))

    def filter(self, qs: Any, value: Any) -> Any:  # Any: rows of whichever model that can be retired
        return qs.retired() if value == RETIRED else qs.not_retired()
