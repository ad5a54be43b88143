"""Decides which container may start next, and which ones wait until others are done."""

import uuid
from collections import Counter, deque
from collections.abc import Mapping
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


class FairQueue:
    """Fair queue: waiting containers hold neither a slot nor a connection.

    The next container is of the group (a rollout, say) that has the fewest inside. No group has more than
    `per_group` inside, and beyond `shared` in all only the first of a group comes in: so a retry finds a
    slot, however many large rollouts are under way.

    On their way, at most `per_jump_host` share a jump host, which drops connections when too many come at
    once, and must not be dialed by hundreds if it is dead; and at most `lookups` names are looked up.
    `limits` gives some groups another number than `per_group`.

    Not thread-safe: its user has a lock.
    """

    def __init__(
        self,
        *,
        per_group: int,
        shared: int,
        per_jump_host: int,
        lookups: int,
        limits: Mapping[uuid.UUID, int] | None = None,
    ) -> None:
        self._per_group, self._shared = max(1, per_group), shared
        self._limits = dict(limits or {})
        self._per_jump_host, self._lookups = max(1, per_jump_host), max(1, lookups)
        self._known: dict[uuid.UUID, tuple[uuid.UUID | None, Way]] = {}
        # Groups in the order of their turns, the ways within each in theirs, first come first on each way.
        self._waiting: dict[uuid.UUID | None, dict[Way, deque[uuid.UUID]]] = {}
        self._waits: set[uuid.UUID] = set()
        self._inside: Inside[uuid.UUID | None] = Inside()
        self._answered: Inside[uuid.UUID | None] = Inside()
        self._ways: Inside[Way] = Inside()

    def wait(self, container: uuid.UUID, *, group: uuid.UUID | None, way: Way) -> None:
        """Have a container wait, until it is the `following` one."""
        self._known[container] = group, way
        self._waits.add(container)
        self._waiting.setdefault(group, {}).setdefault(way, deque()).append(container)

    def waits(self, container: uuid.UUID) -> bool:
        return container in self._waits

    def following(self) -> uuid.UUID | None:
        """Let in the container whose turn it is; None if none of those that wait may start now."""
        for group in sorted(self._waiting, key=self._inside.count):
            if not self._has_place(group, self._inside):
                if group in self._limits:
                    continue
                break  # nor have the others, which have as many inside or more
            for way in self._waiting[group]:
                if self._is_free(way):
                    return self._let_in(group, way)
        return None

    def is_on(self, container: uuid.UUID, way: Way) -> bool:
        return self._known[container][1] == way

    def is_looked_up(self, container: uuid.UUID) -> None:
        """Let the next name be looked up; the way through a jump host stays taken."""
        if not self._known[container][1].jump_host:
            self._ways.leave(container)

    def is_slow(self, container: uuid.UUID) -> None:
        """Give back its place in its group: a container that does not answer holds up no other."""
        self._inside.leave(container)

    def answers(self, container: uuid.UUID) -> bool:
        """Whether one that was let in, and may have been slow since, has a place; if not, it waits again.

        Only those that have answered count. If those counted, too, that may answer any moment, and all were
        slow, each would find its place taken by the next, and none would ever have one.
        """
        group, way = self._known[container]
        self._inside.leave(container)
        if self._has_place(group, self._answered):
            self._answered.enter(container, group)
            self._inside.enter(container, group)
            return True
        self._ways.leave(container)
        self.wait(container, group=group, way=way)
        return False

    def leave(self, container: uuid.UUID) -> None:
        """Let a container out, if it is inside; one that waits stays."""
        self._known.pop(container, None)
        self._inside.leave(container)
        self._answered.leave(container)
        self._ways.leave(container)

    def _has_place(self, group: uuid.UUID | None, among: Inside[uuid.UUID | None]) -> bool:
        inside = among.count(group)
        most = self._limits.get(group, self._per_group) if group else self._per_group
        return not inside or (inside < most and len(among) < self._shared)

    def _is_free(self, way: Way) -> bool:
        if way.jump_host:
            return self._ways.count(way) < self._per_jump_host
        return not way.by_name or self._ways.count(way) < self._lookups

    def _let_in(self, group: uuid.UUID | None, way: Way) -> uuid.UUID:
        """Let in the first on this way; then it is the other ways' turn, and the other groups'."""
        ways = self._waiting.pop(group)
        line = ways.pop(way)
        container = line.popleft()
        if line:
            ways[way] = line
        if ways:
            self._waiting[group] = ways
        self._waits.discard(container)
        self._inside.enter(container, group)
        self._ways.enter(container, way)
        return container
