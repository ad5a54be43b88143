"""Figures of rollouts and pushes. Each query reads an index, however long the history is."""

from collections.abc import Iterator
from datetime import datetime
from statistics import quantiles

from django.db.models import Count, Exists, Max, Min, OuterRef, Subquery
from django.db.models.functions import Now
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from credentials.rollouts.models import Duty, Push, Rollout
from instances.models import Container
from portal.health.metrics import collector, gauge

LAST_ROLLOUTS = 100


@collector("pushes")
def pushes() -> Iterator[Metric]:
    counts = dict.fromkeys([(state, "") for state in Push.State.values], 0)
    for state, code, count in Push.objects.order_by().values_list("state", "code").annotate(count=Count("*")):
        counts[state, code] = count
    family = GaugeMetricFamily("portal_pushes", "Pushes by state and outcome code.", labels=["state", "code"])
    for labels, count in counts.items():
        family.add_metric(labels, count)
    yield family
    is_open = sum(count for (state, _), count in counts.items() if state in Push.OPEN)
    yield gauge("open_pushes", "Pushes that are queued, running or unknown.", is_open)
    waiting = Push.objects.needing_attention().count()
    yield gauge("pushes_needing_attention", "Failed and unknown pushes that wait for a person.", waiting)


@collector("delays")
def delays() -> Iterator[Metric]:
    due = Push.objects.due().filter(state=Push.State.QUEUED).aggregate(oldest=Min("due"))["oldest"]
    yield gauge(
        "oldest_due_push_age_seconds", "Since when the oldest due push has waited; 0: none.", _age(due)
    )
    unknown = Push.objects.filter(state=Push.State.UNKNOWN)
    since = unknown.aggregate(oldest=Min("unknown_since"))["oldest"]
    yield gauge(
        "oldest_unknown_push_age_seconds", "How long the oldest push is unknown; 0: none.", _age(since)
    )
    in_use = Container.objects.not_retired()
    expired = in_use.filter(lease_token__isnull=False, lease_expires__lt=Now()).count()
    yield gauge(
        "expired_leases", "Containers whose deliverer vanished and that nobody took over yet.", expired
    )
    done = Duty.objects.filter(name="reconcile").values_list("done", flat=True).first()
    at = done.timestamp() if done else None
    yield gauge("reconciler_last_run_timestamp_seconds", "When a reconciler last ran.", at)


@collector("rollouts")
def rollouts() -> Iterator[Metric]:
    last = Rollout.objects.aggregate(last=Max("number"))["last"] or 0
    yield CounterMetricFamily("portal_rollouts", "Rollouts started.", value=last)
    seconds = GaugeMetricFamily(
        "portal_rollout_seconds",
        f"From a rollout's request to its last outcome, of the last {LAST_ROLLOUTS} that ended.",
        labels=["quantile"],
    )
    if durations := _durations():
        for quantile, value in zip(("0.5", "0.95", "1"), _quantiles(durations), strict=True):
            seconds.add_metric([quantile], value)
    yield seconds


def _durations() -> list[float]:
    """Return how long the newest rollouts took, without those that are still open."""
    own = Push.objects.filter(rollout=OuterRef("pk")).order_by()
    newest = Rollout.objects.order_by("-number").filter(~Exists(own.open().filter(finished=None)))
    ended = own.filter(finished__isnull=False).order_by("-finished").values("finished")[:1]
    rows = newest.annotate(ended=Subquery(ended)).values_list("requested", "ended")[:LAST_ROLLOUTS]
    return [(ended - requested).total_seconds() for requested, ended in rows if ended]


def _quantiles(values: list[float]) -> tuple[float, float, float]:
    cuts = quantiles([*values, *values], n=20, method="inclusive")  # it wants two at least
    return cuts[9], cuts[18], max(values)


def _age(since: datetime | None) -> float:
    return max(0.0, (timezone.now() - since).total_seconds()) if since else 0.0
