"""An uploaded inventory file between preview and confirmation: a row that lives for an hour.

It is in the database because every web server of a deployment must find it, and because whatever process is
left removes it (`portal.short_lived`). `inventory_csv.readable` looks at a file before it comes here.
"""

import uuid

from instances.models import PendingUpload
from portal.short_lived import remove_expired_of


def keep(data: bytes, *, user_id: int) -> uuid.UUID:
    """Store an upload for its owner and return its id."""
    remove_expired_of(PendingUpload)
    return PendingUpload.objects.create(owner=user_id, content=data).pk


def read(upload: uuid.UUID, *, user_id: int) -> bytes | None:
    """Return an upload to its owner, or None once it is gone or an hour old."""
    remove_expired_of(PendingUpload)
    found = PendingUpload.objects.filter(pk=upload, owner=user_id).first()
    return bytes(found.content) if found else None


def discard(upload: uuid.UUID, *, user_id: int) -> None:
    """Remove an upload; it may be gone already."""
    PendingUpload.objects.filter(pk=upload, owner=user_id).delete()
