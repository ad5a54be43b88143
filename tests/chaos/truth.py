"""What really happened, by the containers' own files, against what the portal says."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portal.plaintext import Secret
from tests.chaos.desk import PushRow
from tests.chaos.site import Site

WRITTEN_CODES = ("reload_failed", "reload_not_confirmed")
"""Failures that say: it is in the file."""
OPEN_CODES = ("write_not_confirmed", "changed_again", "not_comparable")
"""Failures that say: the secret in the file is another one, and nobody can tell yet which."""
FAILURES = ("failed", "cancelled")


@dataclass
class Judgement:
    """Each list names what should not be, but for `torn`: a write that was cut off leaves half a file, and
    only people can put the other half back. `duplicates` only counts, for the same values twice do no harm;
    `told_written` counts failures of which the portal says itself that the values are in the file.
    """

    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    duplicates: int = 0
    told_written: int = 0
    states: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.wrong or self.stale or self.unresolved)


def judge(
    sites: Sequence[Site],
    pushes: Sequence[PushRow],
    rollouts: Sequence[int],
    secrets: Mapping[int, Secret],
) -> Judgement:
    """Compare every push of these rollouts with its container. The world must have come to rest."""
    judgement = Judgement()
    for site in sites:
        site.read_log()
        for instance in site.instances:
            own = [push for push in pushes if (push.site, push.instance) == (site.name, instance)]
            judge_installation(judgement, _facts(site, instance, secrets), own, rollouts)
    judgement.states.update(push.state for push in pushes)
    return judgement


@dataclass(frozen=True)
class Facts:
    """One installation: which rollouts' values were written, in order, and which stand in the file now."""

    name: str
    written: tuple[int, ...]
    held: int
    is_torn: bool = False

    def applied(self, rollout: int) -> bool:
        return rollout in self.written or rollout == self.held


def _facts(site: Site, instance: str, secrets: Mapping[int, Secret]) -> Facts:
    known = {site.container.fingerprint(secret): number for number, secret in secrets.items()}
    written = [known.get(write.secret, 0) for write in site.writes() if write.instance == instance]
    secret = site.held(instance)
    held = known.get(site.container.fingerprint(secret), 0) if secret else 0
    return Facts(f"{instance} on {site.name}", tuple(written), held, is_torn=not site.is_whole(instance))


def judge_installation(
    judgement: Judgement, facts: Facts, pushes: Sequence[PushRow], rollouts: Sequence[int]
) -> None:
    """Add what is to be said of one installation and its pushes of these rollouts."""
    missing = set(rollouts) - {push.rollout for push in pushes}
    judgement.lost += [f"{facts.name}: no push of rollout {number}" for number in sorted(missing)]
    for push in pushes:
        told = f"{facts.name}, rollout {push.rollout}: {push.state} {push.code}".rstrip()
        if push.is_open:
            (judgement.unresolved if push.state == "unknown" else judgement.lost).append(told)
        elif reason := contradiction(push, facts.applied(push.rollout), facts.held):
            judgement.wrong.append(f"{told}: {reason}")
        judgement.told_written += push.state in FAILURES and push.code in WRITTEN_CODES
    in_round = [number for number in facts.written if number in rollouts]
    judgement.duplicates += len(in_round) - len(set(in_round))
    steps = zip(facts.written, facts.written[1:], strict=False)
    if any(later < earlier and later in rollouts for earlier, later in steps):
        judgement.stale.append(f"{facts.name}: written in the order {facts.written[-6:]}")
    if facts.is_torn:
        told = ", ".join(f"{push.rollout}: {push.state} {push.code}".rstrip() for push in pushes)
        judgement.torn.append(f"{facts.name}: {told}")
    elif facts.written and facts.held < max(facts.written):
        judgement.stale.append(f"{facts.name}: {facts.held} stands where {max(facts.written)} was written")


def contradiction(push: PushRow, applied: bool, held: int) -> str:
    """Return in what the container contradicts an outcome, or an empty string.

    A failure may have been applied if its code says so to people; what only the row knows excuses nothing.
    """
    if push.state == "succeeded":
        if not applied:
            return "it was never written"
        return "" if held >= push.rollout else f"the file holds {held}"
    says_written = push.code in WRITTEN_CODES
    if push.state == "failed" and says_written and not applied:
        return "it was never written"
    if push.state in FAILURES and applied and not says_written and push.code not in OPEN_CODES:
        return "it was written"
    return "it was written" if applied and push.is_written is False else ""
