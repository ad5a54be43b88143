"""The keys that belong to this database, each by a fingerprint that gives nothing away."""

from django.db import models
from django.db.models.functions import Now


class KnownKey(models.Model):
    """One key of this portal. Every process compares its own keys with these rows before it writes.

    A secret key's fingerprint is an HMAC under the key itself; the SSH key's is that of its public half. The
    key ring's is that of one key, which every ring has to contain.
    """

    name = models.CharField(max_length=40, primary_key=True)
    fingerprint = models.CharField(max_length=64)
    since = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name} {self.fingerprint}"
