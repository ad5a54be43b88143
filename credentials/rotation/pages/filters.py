"""What the list of rotations is narrowed to."""

from datetime import date

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _
from django_filters import DateFilter

from credentials.rotation.models import Rotation
from portal.day_input import DayInput
from portal.web.filters import Filters


class RotationFilters(Filters):
    """In which days a rotation was under way: begun before their end, and not ended before the first."""

    since = DateFilter(label=_("From"), widget=DayInput, method="under_way_since")
    until = DateFilter("requested", "date__lte", label=_("Until"), widget=DayInput)

    class Meta(Filters.Meta):
        model = Rotation

    def under_way_since(self, rows: QuerySet[Rotation], _name: str, day: date) -> QuerySet[Rotation]:
        return rows.filter(Q(ended=None) | Q(ended__date__gte=day))
