"""What `check --database default`, the start and `/readyz` say about the keys."""

from collections.abc import Sequence

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError

from portal.health.readiness import ready_if
from portal.keys import known, registry
from portal.private_files import random_key


def register_secret_key() -> None:
    """Register what signs sessions: web servers with different keys end each other's sessions."""
    registry.register(
        registry.Key(
            "secret_key",
            held=registry.held_text("secret_key"),
            make=lambda: random_key(48),
            can_be_replaced=True,
        )
    )


@register(Tags.database)
def own_keys(databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """Refuse a key that is missing, or not the one that the database knows. An empty database knows none."""
    if not databases:
        return []
    try:
        if known.is_empty():
            return []
        texts = known.missing() + known.foreign(known.known_keys())
    except DatabaseError:
        texts = known.missing()
    return [Error(text, id="keys.E001") for text in texts]


@ready_if("keys")
def keys_fit() -> None:
    """A process whose keys are not those of the database must not be sent any work."""
    if problems := known.problems():
        raise known.KeysRefused(problems)
