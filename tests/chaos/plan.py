"""What a seed means: which container meets which fault at which stage, and what happens to the portal."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

STAGES = (
    "queued",
    "connecting",
    "login",
    "preparing",
    "line",
    "cut",
    "newline",
    "before write",
    "torn",
    "written",
    "reload",
    "report",
    "outcome",
    "between",
)
"""`line`: the values are with the container, the portal waits for the database to note the commit point.
`cut`: noted, and the newline is under way. `newline`: values and newline are under way. `outcome`: the
portal has the report and waits for the database. `between`: one of two pushes of a container is over.
`torn`: nlserver writes the file in place, and has written a part of it.
"""
SITE_FAULTS = ("reset", "refuse", "stall", "drip", "deaf", "mute", "container killed", "container disk full")
"""`deaf`: nothing reaches the container any more; `mute`: nothing comes back from it."""
LASTING = ("stall", "drip", "deaf", "mute")
"""Faults that can last for ever: then the portal's own deadlines are what ends them."""
WORKER_FAULTS = (
    "worker killed",
    "worker frozen",
    "worker told to stop",
    "worker without redis",
    "worker without postgres",
)
PORTAL_FAULTS = (
    *WORKER_FAULTS,
    "redis stopped",
    "redis killed",
    "redis emptied",
    "redis black hole",
    "postgres restarted",
    "postgres crashed",
    "postgres connections cut",
    "postgres black hole",
    "postgres disk full",
    "clock forward",
    "clock back",
)
NOTHING = "nothing"
PUBLISHING = ("redis stopped", "redis black hole")
"""Faults that may be there already when the rollout is started."""
BROKER_FAULTS = tuple(fault for fault in PORTAL_FAULTS if fault.startswith("redis"))
PEOPLE = ("nobody", "nobody", "cancel", "retry")
NEWER_SHARE = 0.5
"""How often people start a newer rollout, where they may."""
LASTING_EVERY = 12
PUBLISHING_EVERY = 3
ALL_SHARE = 0.6
DOUBLE = 4
"""So many containers, the first ones, carry two instances."""
NEEDS_TWO = "between"
LOCKING = ("outcome", "line")
NOT_OF_SITES = ("outcome",)
"""With the report in the portal the connection no longer matters: such a fault would hit nothing."""
DEALT = ("between", "reload", "cut", "newline", "torn", "report", "before write", "login", "queued",
         "connecting", "written", "preparing", *LOCKING)  # fmt: skip
"""The order in which a portal's fault comes to the stages. The locking ones stand side by side, so that many
rounds have neither."""
STEPS = (30.0, 300.0, 1200.0, 3600.0, 36000.0)
"""Seconds by which the clock is stepped. Leases, delays and what tells a step from a delay lie in between."""
LONG_EVERY = 2
LONG_HOLES = {
    "redis black hole": (6.0, 9.0),
    "worker without redis": (6.0, 9.0),
    "postgres black hole": (21.0, 24.0),
    "worker without postgres": (21.0, 24.0),
}
"""Longer than the portal itself waits: 5 s for Redis, 20 s for a connection from the pool."""


@dataclass(frozen=True)
class Injection:
    """One fault at one stage on one container. `seconds` is how long it lasts, unless it just happens."""

    site: int
    stage: str
    fault: str
    seconds: float
    lasting: bool = False


@dataclass(frozen=True)
class Plan:
    """One round. `anchors` are containers that wait at a stage until the portal's fault strikes.

    `publishing`: the broker's fault begins before the rollout is started. `strikes_all`: all workers that
    hold an anchor are struck, not just one. `late`: what the network held back arrives only after the fault.
    """

    seed: int
    fault: str
    people: str
    seconds: float
    step: float
    publishing: bool
    late: bool
    strikes_all: bool
    anchors: tuple[tuple[int, str], ...]
    injections: tuple[Injection, ...]

    @property
    def cards(self) -> set[tuple[str, str]]:
        """What is to meet: faults and stages."""
        anchors = {(self.fault, stage) for _, stage in self.anchors}
        return anchors | {(each.fault, each.stage) for each in self.injections}

    @property
    def planned(self) -> int:
        return len(self.anchors) + len(self.injections)


def calm_plan() -> Plan:
    """A round in which nothing happens: it shows how fast this machine is just now."""
    return Plan(0, NOTHING, "nobody", 0, 0, False, False, False, (), ())


def possible(without: frozenset[str] = frozenset()) -> Iterator[tuple[str, str]]:
    """Every fault and stage that can meet; `without` names faults that cannot be had here."""
    for fault in (*SITE_FAULTS, *PORTAL_FAULTS):
        stages = _stages_of_sites(lasting=False) if fault in SITE_FAULTS else STAGES
        yield from ((fault, stage) for stage in stages if fault not in without)


def make_plan(seed: int, *, sites: int, without: frozenset[str] = frozenset()) -> Plan:
    """Return the round of this seed on so many containers; `without` names faults that cannot be had here.

    Faults and stages are dealt like cards, so that as many seeds in a row as there are cards leave none out;
    the rest is by chance.
    """
    chance = random.Random(f"round {seed}")
    lasting = seed % LASTING_EVERY == 0
    fault, time = _portal_fault(seed, lasting=lasting, without=without)
    publishing = fault in PUBLISHING and time % PUBLISHING_EVERY == PUBLISHING_EVERY - 1
    anchored = sites // 2
    stages = ["queued"] * anchored
    if not publishing:
        deal = time - time // PUBLISHING_EVERY if fault in PUBLISHING else time
        stages = [DEALT[(deal * anchored + each) % len(DEALT)] for each in range(anchored)]
    met = _site_faults(seed, sites - anchored, lasting=lasting, without=without)
    order = _seated([*stages, *(stage for _, stage in met)], sites, chance)
    return Plan(
        seed=seed,
        fault=fault,
        people=_people(stages, chance),
        seconds=_seconds(fault, time, chance),
        step=STEPS[time % len(STEPS)],
        publishing=publishing,
        # A worker that is told to stop waits for its reports: what is held back until it ended would hold it.
        late=chance.random() < 0.5 and fault != "worker told to stop",
        strikes_all=chance.random() < ALL_SHARE,
        anchors=tuple(zip(order[:anchored], stages, strict=True)),
        injections=tuple(
            Injection(site, stage, fault, round(chance.uniform(0.5, 4.0), 1), lasting)
            for site, (fault, stage) in zip(order[anchored:], met, strict=True)
        ),
    )


def _portal_fault(seed: int, *, lasting: bool, without: frozenset[str]) -> tuple[str, int]:
    """The portal's fault of a round, and which time it is that one comes."""
    if lasting:
        # Beside a fault that lasts for ever only the broker's: all others end the connection that lasts.
        time, place = divmod(seed // LASTING_EVERY, len(BROKER_FAULTS))
        return BROKER_FAULTS[place], time
    # Those of workers come twice as often: each concerns only what the struck ones hold.
    others = [fault for fault in PORTAL_FAULTS if fault not in without and fault not in WORKER_FAULTS]
    half = len(others) // 2
    cycle = [*WORKER_FAULTS, *others[:half], *WORKER_FAULTS, *others[half:]]
    turn, place = divmod(seed - seed // LASTING_EVERY - 1, len(cycle))
    fault = cycle[place]
    return fault, turn * cycle.count(fault) + cycle[:place].count(fault)


def _stages_of_sites(*, lasting: bool) -> list[str]:
    # Only a connection that exists can be lost for ever.
    left_out = {*NOT_OF_SITES, *(["queued"] if lasting else [])}
    return [stage for stage in STAGES if stage not in left_out]


def _site_faults(seed: int, count: int, *, lasting: bool, without: frozenset[str]) -> list[tuple[str, str]]:
    """The faults of single containers in a round, and their stages: each meets each after so many."""
    faults = [fault for fault in (LASTING if lasting else SITE_FAULTS) if fault not in without]
    stages = _stages_of_sites(lasting=lasting)
    number = seed // LASTING_EVERY if lasting else seed - seed // LASTING_EVERY - 1
    met = []
    for card in range(number * count, (number + 1) * count):
        turn, place = divmod(card, len(stages))
        met.append((faults[(turn + place) % len(faults)], stages[place]))
    return met


def _seated(stages: list[str], sites: int, chance: random.Random) -> list[int]:
    """A container for each stage; some stages need one that carries two instances."""
    double, single = list(range(min(DOUBLE, sites))), list(range(DOUBLE, sites))
    chance.shuffle(double)
    reserved = [double.pop() for stage in stages if stage == NEEDS_TWO]
    rest = double + single
    chance.shuffle(rest)
    return [(reserved if stage == NEEDS_TWO else rest).pop() for stage in stages]


def _people(stages: list[str], chance: random.Random) -> str:
    # A person's rollout would wait for the row that these stages lock.
    if not set(LOCKING) & set(stages) and chance.random() < NEWER_SHARE:
        return "newer rollout"
    return chance.choice(PEOPLE)


def _seconds(fault: str, time: int, chance: random.Random) -> float:
    is_long = time % LONG_EVERY == LONG_EVERY - 1
    shortest, longest = LONG_HOLES.get(fault, (1.0, 4.0)) if is_long else (1.0, 4.0)
    return round(chance.uniform(shortest, longest), 1)
