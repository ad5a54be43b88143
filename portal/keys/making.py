"""Makes keys: all of them for an empty database, and the SSH key for a portal that never had one.

Nothing else makes a key. A new one instead of a lost one would write a history that never verifies again,
encrypt secrets that no other process can read, and be accepted by no container.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import IntegrityError, transaction

from portal.keys.known import KeysRefused
from portal.keys.models import KnownKey
from portal.keys.registry import registered
from portal.private_files import key_file


def make_missing() -> None:
    """Make the keys that a new portal lacks, where its settings look for them."""
    for key in registered():
        if key.held() or key.is_made_late or key.path is None or os.environ.get(f"{key.setting}_FILE"):
            continue  # somebody named a file for it and has to put it there
        try:
            text = key_file(key.path, key.make)
        except OSError:
            if key.is_optional:
                continue  # its place is read-only here: another process has it
            raise
        if not key.is_optional:
            setattr(settings, key.setting, text)


@contextmanager
def claimed(name: str, fingerprint: str) -> Iterator[None]:
    """Write a new key's file in this block: the database lets only one process do so, and only once."""
    try:
        with transaction.atomic():
            KnownKey.objects.create(name=name, fingerprint=fingerprint)
            yield
    except IntegrityError:
        raise KeysRefused(
            [f"This portal has its {name} already. Restore it; no second one was made."]
        ) from None
