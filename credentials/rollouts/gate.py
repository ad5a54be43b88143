"""Who may start next, and who waits until others are done."""

import uuid
from collections import Counter, deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Group = TypeVar("Group")


@dataclass(frozen=True)
class Way:
    """What a container shares with others on the way there: a jump host, or else the lookup of its name."""

    jump_host: uuid.UUID | None = None
    by_name: bool = False


class Inside(Generic[Group]):
    """Who is inside, and how many of each group."""

    def __init__(self) -> None:
        self._groups: dict[uuid.UUID, Group] = {}
        self._counts: Counter[Group] = Counter()

    def __len__(self) -> int:
        return len(self._groups)

    def __contains__(self, container: uuid.UUID) -> bool:
        return container in self._groups

    def count(self, group: Group) -> int:
        return self._counts[group]

    def enter(self, container: uuid.UUID, group: Group) -> None:
        self._groups[container] = group
        self._counts[group] += 1

    def leave(self, container: uuid.UUID) -> None:
        """Let a container out, if it is inside."""
        if container in self._groups:
            group = self._groups.pop(container)
            self._counts[group] -= 1
            if not self._counts[group]:
                del self._counts[group]


class Gates:
    """Has the containers of each rollout wait for their turn; who waits takes no place and no connection.

    The next one is of the rollout that has the fewest inside. No rollout has more than `per_rollout` inside,
    and beyond `shared` in all comes only who is the first of its rollout: so a retry finds a place, however
    many large rollouts are under way.

    On their way, at most `per_jump_host` share a jump host, which drops connections when too many come at
    once, and must not be dialed by hundreds if it is dead; and at most `lookups` names are looked up.

    Not thread-safe: its user has a lock.
    """

    def __init__(self, *, per_rollout: int, shared: int, per_jump_host: int, lookups: int) -> None:
        self._per_rollout, self._shared = max(1, per_rollout), shared
        self._per_jump_host, self._lookups = max(1, per_jump_host), max(1, lookups)
        self._known: dict[uuid.UUID, tuple[uuid.UUID | None, Way]] = {}
        # Rollouts in the order of their turns, the ways within each in theirs, first come first on each way.
        self._waiting: dict[uuid.UUID | None, dict[Way, deque[uuid.UUID]]] = {}
        self._waits: set[uuid.UUID] = set()
        self._rollouts: Inside[uuid.UUID | None] = Inside()
        self._answered: Inside[uuid.UUID | None] = Inside()
        self._ways: Inside[Way] = Inside()

    def wait(self, container: uuid.UUID, *, rollout: uuid.UUID | None, way: Way) -> None:
        """Have a container wait, until it is the `following` one."""
        self._known[container] = rollout, way
        self._waits.add(container)
        self._waiting.setdefault(rollout, {}).setdefault(way, deque()).append(container)

    def waits(self, container: uuid.UUID) -> bool:
        return container in self._waits

    def following(self) -> uuid.UUID | None:
        """Let in whose turn it is; None: nobody who waits may start now."""
        for rollout in sorted(self._waiting, key=self._rollouts.count):
            if not self._has_place(rollout, self._rollouts):
                break  # nor have the others, which have as many inside or more
            for way in self._waiting[rollout]:
                if self._is_free(way):
                    return self._let_in(rollout, way)
        return None

    def is_on(self, container: uuid.UUID, way: Way) -> bool:
        return self._known[container][1] == way

    def is_looked_up(self, container: uuid.UUID) -> None:
        """Let the next name be looked up; the way through a jump host stays taken."""
        if not self._known[container][1].jump_host:
            self._ways.leave(container)

    def is_slow(self, container: uuid.UUID) -> None:
        """Take back a place among its rollout: a container that does not answer holds nobody back."""
        self._rollouts.leave(container)

    def answers(self, container: uuid.UUID) -> bool:
        """Whether one that was let in, and may have been slow since, has a place; if not, it waits again.

        What counts is who has answered before. Were those counted that may answer any moment, and all were
        slow, each would find its place taken by the next, and nobody would ever have one.
        """
        rollout, way = self._known[container]
        self._rollouts.leave(container)
        if self._has_place(rollout, self._answered):
            self._answered.enter(container, rollout)
            self._rollouts.enter(container, rollout)
            return True
        self._ways.leave(container)
        self.wait(container, rollout=rollout, way=way)
        return False

    def leave(self, container: uuid.UUID) -> None:
        """Let a container out, if it is inside; nobody leaves while it waits."""
        self._known.pop(container, None)
        self._rollouts.leave(container)
        self._answered.leave(container)
        self._ways.leave(container)

    def _has_place(self, rollout: uuid.UUID | None, among: Inside[uuid.UUID | None]) -> bool:
        inside = among.count(rollout)
        return not inside or (inside < self._per_rollout and len(among) < self._shared)

    def _is_free(self, way: Way) -> bool:
        if way.jump_host:
            return self._ways.count(way) < self._per_jump_host
        return not way.by_name or self._ways.count(way) < self._lookups

    def _let_in(self, rollout: uuid.UUID | None, way: Way) -> uuid.UUID:
        """Let in the first on this way; then it is the other ways' turn, and the other rollouts'."""
        ways = self._waiting.pop(rollout)
        line = ways.pop(way)
        container = line.popleft()
        if line:
            ways[way] = line
        if ways:
            self._waiting[rollout] = ways
        self._waits.discard(container)
        self._rollouts.enter(container, rollout)
        self._ways.enter(container, way)
        return container
