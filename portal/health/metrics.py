"""Figures for Prometheus, read from the database when it asks.

Web servers and workers are many processes, and the database is the truth: so no process counts for itself.
Every part of the portal registers a collector; one that fails takes no other with it.
"""

import logging
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from portal.health.bounded import Bounded

logger = logging.getLogger(__name__)
PATIENCE = 5.0  # seconds; Prometheus waits ten
Collect = Callable[[], Iterable[Metric]]
_collectors: dict[str, Collect] = {}


def collector(name: str) -> Callable[[Collect], Collect]:
    """Register a function that reads figures from the database."""

    def register(collect: Collect) -> Collect:
        _collectors[name] = collect
        return collect

    return register


def gauge(name: str, text: str, value: float | None = None) -> GaugeMetricFamily:
    """Return one figure; without a value it has no sample, so that `absent()` sees it."""
    family = GaugeMetricFamily(f"portal_{name}", text)
    if value is not None:
        family.add_metric([], value)
    return family


@dataclass(eq=False)  # registries keep their collectors in a dict
class Gathered(Collector):
    """What all collectors gave, and which of them failed."""

    families: list[Metric] = field(default_factory=list)
    works: dict[str, bool] = field(default_factory=dict)
    seconds: float = 0.0

    def collect(self) -> Iterator[Metric]:
        is_up = bool(self.works) and all(self.works.values())
        yield gauge("up", "1 if every figure could be read from the database.", is_up)
        yield _build_info()
        yield gauge("scrape_seconds", "How long reading the figures took.", self.seconds)
        works = GaugeMetricFamily(
            "portal_collector_up", "1 if these figures were read.", labels=["collector"]
        )
        for name in _collectors:
            works.add_metric([name], self.works.get(name, False))
        yield works
        yield from self.families


def exposition(accept: str) -> tuple[bytes, str]:
    """Return all figures in the format that the scraper accepts, and its content type.

    A database that does not answer in time costs the figures, not the answer.
    """
    try:
        gathered = _gathering.start().result(PATIENCE)
    except TimeoutError:
        logger.warning("no figures", extra={"reason": f"the database took over {PATIENCE:g} seconds"})
        gathered = Gathered(seconds=PATIENCE)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(gathered)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _gather() -> Gathered:
    started = time.monotonic()
    gathered = Gathered()
    for name, collect in _collectors.items():
        try:
            gathered.families += collect()
            gathered.works[name] = True
        except Exception as error:  # noqa: BLE001  # whatever it is, the other figures are still wanted
            gathered.works[name] = False
            reason = f"{type(error).__name__}: {error}"
            logger.warning("no figures", extra={"collector": name, "reason": reason})
    gathered.seconds = time.monotonic() - started
    return gathered


_gathering = Bounded(_gather)


def _build_info() -> Metric:
    try:
        release = version("campaign-credential-portal")
    except PackageNotFoundError:  # run in place, without an installation
        release = "unknown"
    info = GaugeMetricFamily("portal_build_info", "The running release.", labels=["version", "python"])
    info.add_metric([release, platform.python_version()], 1)
    return info
