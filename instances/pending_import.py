"""An uploaded inventory file between preview and confirmation: a private file that lives for an hour."""

import os
import time
import uuid
from pathlib import Path

from django.conf import settings

from portal.home import folder

LIFETIME = 3600.0


def keep(data: bytes, *, user_id: int) -> uuid.UUID:
    """Store an upload for its owner and return its id; uploads older than an hour are removed."""
    place = folder(settings.PORTAL_HOME / "imports")
    for old in place.iterdir():
        _remove_if_old(old)
    upload = uuid.uuid4()
    handle = os.open(_path(upload, user_id), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return upload


def read(upload: uuid.UUID, *, user_id: int) -> bytes | None:
    """Return an upload to its owner, or None once it is gone."""
    try:
        return _path(upload, user_id).read_bytes()
    except FileNotFoundError:
        return None


def discard(upload: uuid.UUID, *, user_id: int) -> None:
    """Remove an upload; it may be gone already."""
    _path(upload, user_id).unlink(missing_ok=True)


def _path(upload: uuid.UUID, user_id: int) -> Path:
    return Path(settings.PORTAL_HOME) / "imports" / f"{user_id}-{upload}.csv"


def _remove_if_old(path: Path) -> None:
    try:
        if time.time() - path.stat().st_mtime > LIFETIME:
            path.unlink()
    except FileNotFoundError:
        pass  # another request removed it
