"""What a seed means: which container meets which fault at which stage, and what happens to the portal."""

import random
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
    "written",
    "reload",
    "report",
    "outcome",
    "between",
)
"""`line`: the values are with the container, the portal waits for the database to note the commit point.
`cut`: noted, and the newline is under way. `newline`: values and newline are under way. `outcome`: the
portal has the report and waits for the database. `between`: one of two pushes of a container is over.
"""
SITE_FAULTS = ("reset", "refuse", "stall", "drip", "deaf", "mute", "container killed", "container disk full")
"""`deaf`: nothing reaches the container any more; `mute`: nothing comes back from it."""
LASTING = ("stall", "drip", "deaf", "mute")
"""Faults that can last for ever: then the portal's own deadlines are what ends them."""
PORTAL_FAULTS = (
    "worker killed",
    "worker frozen",
    "worker told to stop",
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
PEOPLE = ("nobody", "nobody", "newer rollout", "cancel", "retry")
LASTING_EVERY = 9
DOUBLE = 4
"""So many containers, the first ones, carry two instances."""
NEEDS_TWO = "between"
LOCKING = ("line", "outcome")


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
    hours: float
    publishing: bool
    late: bool
    strikes_all: bool
    anchors: tuple[tuple[int, str], ...]
    injections: tuple[Injection, ...]

    @property
    def planned(self) -> int:
        return len(self.anchors) + len(self.injections)


def calm_plan() -> Plan:
    """A round in which nothing happens: it shows how fast this machine is just now."""
    return Plan(0, NOTHING, "nobody", 0, 0, False, False, False, (), ())


def make_plan(seed: int, *, sites: int, without: frozenset[str] = frozenset()) -> Plan:
    """Return the round of this seed on so many containers; `without` names faults that cannot be had here."""
    chance = random.Random(f"round {seed}")
    lasting = seed % LASTING_EVERY == 0
    # Beside a fault that lasts for ever only the broker's: all others end the connection that lasts.
    usable = BROKER_FAULTS if lasting else PORTAL_FAULTS
    portal_faults = [fault for fault in usable if fault not in without]
    fault = portal_faults[seed % len(portal_faults)]
    people = chance.choice(PEOPLE)
    publishing = fault in PUBLISHING and chance.random() < 0.5
    order = list(range(sites))
    chance.shuffle(order)
    anchored = sorted(order[: sites // 2], key=lambda site: site >= DOUBLE)
    return Plan(
        seed=seed,
        fault=fault,
        people=people,
        seconds=round(chance.uniform(1.0, 4.0), 1),
        hours=round(chance.uniform(1, 12), 1),
        publishing=publishing,
        # A worker that is told to stop waits for its reports: what is held back until it ended would hold it.
        late=chance.random() < 0.5 and fault != "worker told to stop",
        strikes_all=chance.random() < 0.5,
        anchors=tuple(
            [(site, "queued") for site in anchored] if publishing else _anchors(anchored, people, chance)
        ),
        injections=tuple(
            _injection(site, lasting=lasting, without=without, chance=chance) for site in order[sites // 2 :]
        ),
    )


def _anchors(sites: list[int], people: str, chance: random.Random) -> list[tuple[int, str]]:
    # A person's rollout would wait for the row that these two stages lock.
    stages = [stage for stage in STAGES if people != "newer rollout" or stage not in LOCKING]
    anchors: list[tuple[int, str]] = []
    deck: list[str] = []
    for site in sites:
        if not deck:
            deck = chance.sample(stages, len(stages))
        usable = [stage for stage in deck if stage != NEEDS_TWO or site < DOUBLE]
        stage = (usable or [stage for stage in stages if stage != NEEDS_TWO])[0]
        if stage in deck:
            deck.remove(stage)
        anchors.append((site, stage))
    return anchors


def _injection(site: int, *, lasting: bool, without: frozenset[str], chance: random.Random) -> Injection:
    faults = [fault for fault in (LASTING if lasting else SITE_FAULTS) if fault not in without]
    # With the report here the connection no longer matters; and only one that exists can be lost for ever.
    left_out = {"outcome"} | ({"queued"} if lasting else set()) | (set() if site < DOUBLE else {NEEDS_TWO})
    stages = [stage for stage in STAGES if stage not in left_out]
    return Injection(
        site=site,
        stage=chance.choice(stages),
        fault=chance.choice(faults),
        seconds=round(chance.uniform(0.5, 4.0), 1),
        lasting=lasting,
    )
