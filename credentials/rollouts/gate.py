"""Which containers may start now, and which wait until others are done."""

import uuid
from collections import Counter, deque


class Gate:
    """Lets so many members of each group start at a time; those that wait take nobody's place.

    A group is all that is behind one jump host, or belongs to one rollout. Not thread-safe: its user has a
    lock.
    """

    def __init__(self, limit: int) -> None:
        self._limit = max(1, limit)
        self._inside: dict[uuid.UUID, uuid.UUID] = {}  # container: group
        self._counts: Counter[uuid.UUID] = Counter()  # of those inside
        self._waiting: dict[uuid.UUID, deque[uuid.UUID]] = {}  # group: containers, first come first

    def may_start(self, container: uuid.UUID, group: uuid.UUID | None) -> bool:
        """Let a container in. False: it waits here, until `leave` of another one returns it."""
        if group is None or container in self._inside:
            return True
        if self._counts[group] >= self._limit:
            self._waiting.setdefault(group, deque()).append(container)
            return False
        self._enter(container, group)
        return True

    def leave(self, container: uuid.UUID) -> uuid.UUID | None:
        """Let a container out, and return who may start in its place: asked again, `may_start` lets it in."""
        group = self._inside.pop(container, None)
        if group is None:
            return None
        self._counts[group] -= 1
        if not self._counts[group]:
            del self._counts[group]
        if group not in self._waiting:
            return None
        following = self._waiting[group].popleft()
        if not self._waiting[group]:
            del self._waiting[group]
        self._enter(following, group)
        return following

    def _enter(self, container: uuid.UUID, group: uuid.UUID) -> None:
        self._inside[container] = group
        self._counts[group] += 1


class Gates:
    """Two gates, both of which a container has to pass; who waits at one holds no place at the other.

    A jump host drops connections when too many come at once, and one that is dead must not be dialed for
    each of the hundreds of containers behind it. A rollout leaves places to others, however large it is.
    """

    def __init__(self, *, per_jump_host: int, per_rollout: int) -> None:
        self._jump_hosts, self._rollouts = Gate(per_jump_host), Gate(per_rollout)
        self._rollout_of: dict[uuid.UUID, uuid.UUID] = {}

    def may_start(
        self, container: uuid.UUID, *, jump_host: uuid.UUID | None, rollout: uuid.UUID | None
    ) -> tuple[bool, list[uuid.UUID]]:
        """Let a container in, or keep it waiting; and return who may start because it waits elsewhere now."""
        if rollout is not None:
            self._rollout_of[container] = rollout
        if not self._rollouts.may_start(container, rollout):
            return False, _listed(self._jump_hosts.leave(container))
        if not self._jump_hosts.may_start(container, jump_host):
            return False, _listed(self._rollouts.leave(container))
        return True, []

    def is_slow(self, container: uuid.UUID) -> list[uuid.UUID]:
        """Give its rollout's place to who comes next: a container that does not answer holds nobody back."""
        return _listed(self._rollouts.leave(container))

    def answers(self, container: uuid.UUID) -> tuple[bool, list[uuid.UUID]]:
        """Like `may_start`, for one that was let in before and may have been slow since."""
        if self._rollouts.may_start(container, self._rollout_of.get(container)):
            return True, []
        return False, _listed(self._jump_hosts.leave(container))

    def leave(self, container: uuid.UUID) -> list[uuid.UUID]:
        """Let a container out of both; return who may start in its place."""
        self._rollout_of.pop(container, None)
        return _listed(self._jump_hosts.leave(container)) + _listed(self._rollouts.leave(container))


def _listed(container: uuid.UUID | None) -> list[uuid.UUID]:
    return [] if container is None else [container]
