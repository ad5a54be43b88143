"""Which containers may start now, and which wait until others are done."""

import uuid
from collections import deque


class Gate:
    """Lets so many containers behind one jump host start at a time; those that wait take nobody's place.

    A jump host drops connections when too many come at once, and one that is dead must not be dialed for
    each of the hundreds of containers behind it. Not thread-safe: its user has a lock.
    """

    def __init__(self, *, per_jump_host: int) -> None:
        self._limit = max(1, per_jump_host)
        self._inside: dict[uuid.UUID, uuid.UUID] = {}  # container: jump host
        self._waiting: dict[uuid.UUID, deque[uuid.UUID]] = {}  # jump host: containers, first come first

    def may_start(self, container: uuid.UUID, jump_host: uuid.UUID | None) -> bool:
        """Let a container in. False: it waits here, until `leave` of another one returns it."""
        if jump_host is None or container in self._inside:
            return True
        if self._is_full(jump_host):
            self._waiting.setdefault(jump_host, deque()).append(container)
            return False
        self._inside[container] = jump_host
        return True

    def leave(self, container: uuid.UUID) -> uuid.UUID | None:
        """Let a container out, and return who may start in its place: asked again, `may_start` lets it in."""
        jump_host = self._inside.pop(container, None)
        if jump_host is None or jump_host not in self._waiting:
            return None
        following = self._waiting[jump_host].popleft()
        if not self._waiting[jump_host]:
            del self._waiting[jump_host]
        self._inside[following] = jump_host
        return following

    def _is_full(self, jump_host: uuid.UUID) -> bool:
        return sum(each == jump_host for each in self._inside.values()) >= self._limit
