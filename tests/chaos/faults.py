"""What a fault does, and how it ends. Each is a generator: up to its first yield it strikes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.chaos.plan import NOTHING
from tests.chaos.proxy import Proxy
from tests.chaos.services import LEASE
from tests.chaos.site import Site
from tests.chaos.steps import Steps, Wait, pause
from tests.chaos.workers import Worker
from tests.services.redis_server import RedisServer

if TYPE_CHECKING:
    from tests.chaos.rounds import Round

SOON = 10.0
STOP_SECONDS = 90.0


# One container


def strike_site(site: Site, fault: str, seconds: float, *, lasting: bool) -> Steps[None]:
    """Strike, wait until it is over, mend."""
    SITE_FAULTS[fault](site)
    if lasting:
        site.proxy.set_entry("pass")  # this connection is lost for ever, the next one is in order
        return
    yield pause(seconds)
    if fault in ("deaf", "mute"):
        site.proxy.reset()  # what was swallowed is gone, so the connection cannot go on
    if fault == "container disk full":
        if site.disk:
            site.disk.empty()
    elif fault != "reset":
        site.sshd.start()
        site.proxy.heal()


def _reset(site: Site) -> None:
    site.proxy.reset()
    site.proxy.set_entry("pass")


def _fill(site: Site) -> None:
    if site.disk:
        site.disk.fill()
    site.proxy.heal()


def _network(mode: str, *ways: str) -> Callable[[Site], None]:
    def strike(site: Site) -> None:
        site.proxy.set_entry(mode, ways)  # type: ignore[arg-type]  # the words of the table below
        site.proxy.set(mode, ways)  # type: ignore[arg-type]

    return strike


SITE_FAULTS: dict[str, Callable[[Site], None]] = {
    "reset": _reset,
    "refuse": lambda site: site.proxy.refuse(),
    "stall": _network("hold", "in", "out"),
    "drip": _network("drip", "in", "out"),
    "deaf": _network("drop", "in"),
    "mute": _network("drop", "out"),
    "container killed": Site.kill,
    "container disk full": _fill,
}


# The portal


def strike_portal(round_: "Round") -> Steps[None]:
    """Strike all that this round's fault concerns, wait until it is over, mend."""
    yield from PORTAL_FAULTS[round_.plan.fault](round_)


def _kill_workers(round_: "Round") -> Steps[None]:
    for worker in round_.victims():
        worker.kill()
    round_.struck()
    yield pause(0)


def _freeze_workers(round_: "Round") -> Steps[None]:
    """Stop workers for longer than their leases last, until others have taken over what they held."""
    victims = round_.victims(leave_one=True)
    for worker in victims:
        worker.freeze()
    round_.struck(over_after=LEASE)  # what counts is how soon others take over, not when these go on
    pids = {worker.pid for worker in victims}
    if not (yield Wait(lambda: not pids & set(round_.view.owners.values()), round_.takeover)):
        kept = sorted(name for name, owner in round_.view.owners.items() if owner in pids)
        round_.result.troubles.append(f"nobody took over from a frozen worker: {', '.join(kept)}")
    yield pause(round_.plan.seconds)
    for worker in victims:
        worker.thaw()


def _stop_workers(round_: "Round") -> Steps[None]:
    victims = round_.victims()
    for worker in victims:
        worker.ask_to_stop()
    round_.struck()
    yield Wait(lambda: not any(worker.is_stopping for worker in victims), STOP_SECONDS)


def _cut_off(way: Callable[[Worker], Proxy]) -> Callable[["Round"], Steps[None]]:
    """Nothing passes between some workers and a service that all others still have."""

    def strike(round_: "Round") -> Steps[None]:
        proxies = [way(worker) for worker in round_.victims(leave_one=True)]
        for proxy in proxies:
            proxy.set_entry("hold")
            proxy.set("hold")
        round_.struck()
        yield pause(round_.plan.seconds + LEASE)
        for proxy in proxies:
            proxy.heal()

    return strike


def _end_redis(end: Callable[[RedisServer], None]) -> Callable[["Round"], Steps[None]]:
    def strike(round_: "Round") -> Steps[None]:
        round_.services.redis_doors.refuse()
        end(round_.services.redis)
        round_.struck()
        yield pause(round_.plan.seconds)
        round_.services.redis.start()
        round_.services.redis_doors.heal()

    return strike


def _empty_redis(round_: "Round") -> Steps[None]:
    round_.services.redis.flush()
    round_.struck()
    yield pause(0)


def _black_hole_redis(round_: "Round") -> Steps[None]:
    doors = round_.services.redis_doors
    doors.hold()
    round_.struck()
    yield pause(round_.plan.seconds)
    doors.heal()


def _restart_postgres(round_: "Round") -> Steps[None]:
    round_.services.postgres.stop()
    round_.services.postgres_doors.refuse()
    round_.struck()
    yield pause(min(round_.plan.seconds, 2))
    round_.services.postgres.start()
    round_.services.postgres_doors.heal()


def _crash_postgres(round_: "Round") -> Steps[None]:
    round_.services.postgres.crash()
    round_.services.postgres_doors.refuse()
    round_.struck()
    yield pause(min(round_.plan.seconds, 2))
    round_.services.postgres.restart()
    round_.services.postgres_doors.heal()


def _cut_postgres(round_: "Round") -> Steps[None]:
    round_.services.cut_connections()
    round_.struck()
    yield pause(0)


def _black_hole_postgres(round_: "Round") -> Steps[None]:
    doors = round_.services.postgres_doors
    doors.hold()
    round_.struck()
    yield pause(round_.plan.seconds + LEASE)
    doors.heal()


def _fill_postgres(round_: "Round") -> Steps[None]:
    disk, errors = round_.services.postgres.disk, round_.services.postgres.disk_errors()
    if disk:
        disk.fill()
    round_.struck()
    yield pause(round_.plan.seconds)
    if disk:
        disk.empty()
    if round_.services.postgres.disk_errors() == errors:
        round_.without_effect()
    if round_.services.postgres.has_ended:
        round_.services.postgres.restart()


def _step_clock(sign: int) -> Callable[["Round"], Steps[None]]:
    def strike(round_: "Round") -> Steps[None]:
        round_.services.clock.step(sign * round_.plan.step)
        yield Wait(lambda: round_.services.is_clock_right, SOON)
        round_.struck()

    return strike


def _nothing(round_: "Round") -> Steps[None]:
    round_.struck()
    yield pause(0)


PORTAL_FAULTS: dict[str, Callable[["Round"], Steps[None]]] = {
    NOTHING: _nothing,
    "worker killed": _kill_workers,
    "worker frozen": _freeze_workers,
    "worker told to stop": _stop_workers,
    "worker without redis": _cut_off(lambda worker: worker.redis),
    "worker without postgres": _cut_off(lambda worker: worker.postgres),
    "redis stopped": _end_redis(RedisServer.stop),
    "redis killed": _end_redis(RedisServer.kill),
    "redis emptied": _empty_redis,
    "redis black hole": _black_hole_redis,
    "postgres restarted": _restart_postgres,
    "postgres crashed": _crash_postgres,
    "postgres connections cut": _cut_postgres,
    "postgres black hole": _black_hole_postgres,
    "postgres disk full": _fill_postgres,
    "clock forward": _step_clock(1),
    "clock back": _step_clock(-1),
}
