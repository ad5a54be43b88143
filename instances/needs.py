"""What an instance may need, as the list of instances can be narrowed to it and the home page counts it.

Rooms above add what they know of: this one must not know them.
"""

from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from instances.models import Installation, Instance
from instances.nlserver import MIN_BUILD

_NEEDS: dict[str, tuple[Promise, Q, Q]] = {}


def register(name: str, label: Promise, *, instance: Q | None = None, installation: Q | None = None) -> None:
    """Add a need: a condition of the instance, or of one of its installations that can be pushed to."""
    _NEEDS[name] = (label, instance or Q(), installation or Q())


def choices() -> list[tuple[str, Promise]]:
    """Return the needs as choices of a form."""
    return [(name, label) for name, (label, _instance, _installation) in _NEEDS.items()]


def in_need(rows: QuerySet[Instance], name: str) -> QuerySet[Instance]:
    """Return those instances that have a need; only what can be pushed to counts."""
    _label, instance, installation = _NEEDS[name]
    having = Installation.objects.pushable().filter(installation).values("instance")
    return rows.filter(instance, pk__in=having)


register("jwt", _("JWT credential"), installation=Q(observed_jwt=True))
register("old", _("Build below 7.4.1"), installation=Q(observed_build__lt=MIN_BUILD))
