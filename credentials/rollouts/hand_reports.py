"""What people report of containers that the portal cannot reach: their word, and never a proof."""

from django.db import models
from django.db.models.functions import Now

from credentials.models import ClientSecret
from instances.discovery.models import Observation
from instances.models import Installation
from portal.audit import append_only
from portal.audit.names import declare_names


class HandReport(models.Model):
    """What a person pasted of the read-back script, from a container that the portal cannot reach.

    It is that person's word, with a checksum against mistakes and no proof against anybody: somebody with a
    shell can write such a block.
    """

    id = models.BigAutoField(primary_key=True)
    installation = models.ForeignKey(Installation, models.PROTECT, related_name="hand_reports")
    at = models.DateTimeField(db_default=Now())
    by = models.CharField(max_length=150)
    note = models.CharField(max_length=250, blank=True)
    nonce = models.CharField(max_length=32, unique=True)
    """Another one each time the script runs, so that no block is taken twice."""
    measured = models.DateTimeField()
    """By the container's clock."""
    host = models.CharField(max_length=255)
    version = models.ForeignKey(ClientSecret, models.PROTECT, null=True, related_name="+")
    """What the person says was set there; None: they only looked."""
    before = models.CharField(max_length=64, blank=True)
    """The digest of the encrypted secret that was known until then; empty if none was."""
    digest = models.CharField(max_length=64, blank=True)
    stamp = models.CharField(max_length=120, blank=True)
    observation = models.ForeignKey(Observation, models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-pk"]
        default_permissions = ()
        indexes = [
            models.Index(fields=["installation", "-id"], name="hand_report_by_number"),
            models.Index(fields=["host"], name="hand_report_by_host"),
            models.Index(fields=["digest"], name="hand_report_by_digest"),
        ]

    def __str__(self) -> str:
        return f"{self.installation}, reported by {self.by}"


append_only.register(HandReport)
declare_names(HandReport, "by")


class ReportedVersion(models.Model):
    """The version that a person said was set on an installation, last. It counts while the file is seen so.

    It is never called proven, and gives way to what is proven of the digest.
    """

    installation = models.OneToOneField(
        Installation, models.CASCADE, primary_key=True, related_name="reported_version"
    )
    report = models.ForeignKey(HandReport, models.PROTECT, related_name="+")
    secret = models.ForeignKey(ClientSecret, models.PROTECT, related_name="+")
    digest = models.TextField()
    observation = models.ForeignKey(Observation, models.PROTECT, related_name="+")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.secret} on {self.installation}, reported by hand"
