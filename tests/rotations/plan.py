"""What a rotation meets, determined by its seed."""

from dataclasses import dataclass, field
from random import Random

STATES = ("preparing", "checking", "canary", "waves", "verifying", "watching", "deleting")
FAULTS = (
    ("worker killed", 5),
    ("POST answer_lost", 3),
    ("POST fails_afterwards", 1),
    ("POST fails", 1),
    ("DELETE answer_lost", 3),
    ("DELETE fails_afterwards", 1),
    ("DELETE fails", 1),
    ("GET answer_lost", 2),
    ("GET garbage", 1),
    ("GET throttled", 1),
    ("GET slow", 1),
    ("IMS throttled", 2),
    ("container dead", 4),
    ("container added", 3),
    ("container removed", 2),
    ("file restored", 4),
    ("nlserver fails", 3),
    ("paused", 2),
)
RULES = ("environment", "role", "1, 50%", "100%", "1, 2, 100%")
STOPS = ("0", "1", "30%", "5")


@dataclass(frozen=True)
class Strike:
    """One fault: how long after the rotation came to a state for the first time."""

    fault: str
    state: str
    delay: float
    seconds: float
    """How long it lasts, where it does."""


@dataclass
class Plan:
    """One rotation."""

    seed: int
    wave_rule: str
    stop_rule: str
    is_leak: bool
    is_taken_back: str
    """The state in which it is taken back; empty: it is not."""
    is_left_waiting: bool
    """Whether a container stays dead until the rotation waits for somebody."""
    strikes: list[Strike] = field(default_factory=list)


def plan_of(seed: int) -> Plan:
    """Return the plan of a seed."""
    random = Random(seed)  # no secret
    plan = Plan(
        seed=seed,
        wave_rule=random.choice(RULES),
        stop_rule=random.choice(STOPS),
        is_leak=random.random() < 0.1,
        is_taken_back=random.choice(STATES[:6]) if random.random() < 0.15 else "",
        is_left_waiting=random.random() < 0.08,
    )
    names, weights = zip(*FAULTS, strict=True)
    for fault in random.choices(names, weights, k=random.randint(1, 4)):
        plan.strikes.append(
            Strike(fault, random.choice(STATES), random.uniform(0, 1.5), random.uniform(2.0, 6.0))
        )
    return plan
