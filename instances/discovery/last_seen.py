"""When somebody or something last looked at a container: by a reading, a push, a look, or a person's hand."""

from datetime import timedelta

from django.db.models import Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest, Now

from instances.discovery.models import Reading
from instances.models import Container, Installation


def last_seen() -> Greatest:
    """Return an annotation for containers: the last sight of any file there, or the last successful reading.

    Readings count by themselves: they also show that nothing is installed there.
    """
    here = OuterRef("pk")
    installed = Installation.objects.filter(container=here).order_by().values("container")
    sight = Subquery(installed.annotate(last=Max("observed")).values("last"))
    read = Reading.objects.filter(container=here, state=Reading.State.SUCCEEDED).order_by("-asked")
    reading = Subquery(read.values("finished")[:1])
    # SQLite calls nothing the greatest of nothing and a moment.
    return Greatest(Coalesce(sight, reading), Coalesce(reading, sight))


def not_seen_for(rows: QuerySet[Container], time: timedelta) -> QuerySet[Container]:
    """Return those containers that nobody has looked at for this time, since they were entered."""
    since = Now() - time
    return rows.alias(seen=last_seen()).filter(Q(seen=None, created__lt=since) | Q(seen__lt=since))


def never_seen(rows: QuerySet[Container]) -> QuerySet[Container]:
    """Return those containers that nobody has ever looked at."""
    return rows.alias(seen=last_seen()).filter(seen=None)
