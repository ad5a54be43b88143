"""Rollout, Push and Attempt: the delivery of one secret version to a set of installations."""

import time
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any, Self, TypeVar

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Exists, F, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from credentials.models import ClientSecret
from credentials.rollouts import notes as attempt_notes
from credentials.rollouts import rules
from credentials.rollouts.hand_reports import HandReport, ReportedVersion
from credentials.rollouts.preparations import Preparation
from credentials.rollouts.states import State
from instances.discovery.models import Observation
from instances.failures import Code, Explanation, explain
from instances.menders import Mender, menders
from instances.models import Container, Installation, place_label
from instances.requirements import all_met, obstacle
from portal.audit import append_only
from portal.audit.names import declare_names
from portal.choices import WithChoices

__all__ = ["HandReport", "Preparation", "ReportedVersion"]  # models of this room: Django looks here


H = TypeVar("H", bound=models.Model)


class Rollout(WithChoices):
    """One decision to deliver one secret version. Its state is computed from its pushes."""

    audit_name = "rollout"

    class Reason(models.TextChoices):
        NEW = "new", _("New account")
        ROTATION = "rotation", _("Rotation")
        MIGRATION = "migration", _("Migration from JWT")
        REPAIR = "repair", _("Repair")
        ROLL_BACK = "roll_back", _("Roll back")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.PositiveIntegerField(_("number"), unique=True)
    fence = models.BigIntegerField(unique=True)
    secret = models.ForeignKey(ClientSecret, models.PROTECT, related_name="rollouts")
    reason = models.CharField(_("reason"), max_length=10, choices=Reason)
    message = models.CharField(_("message"), max_length=250, blank=True)
    requested = models.DateTimeField(_("requested"), auto_now_add=True)
    requested_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    requested_by_name = models.CharField(_("requested by"), max_length=150)

    class Meta:
        ordering = ["-number"]
        default_permissions = ("view",)
        permissions = [
            ("start_rollout", "Can start and cancel rollouts"),
            ("retry_push", "Can retry a failed or unknown push"),
        ]

    def __str__(self) -> str:
        return f"#{self.number} {self.secret.account}"

    @staticmethod
    def next_fence() -> int:
        """Return a number above every earlier one, also after the database was restored from a backup.

        Milliseconds since 1970, or one more than the last: a restored portal, or a clock that was set back,
        never hands out a number that containers have already seen.
        """
        last: int = Rollout.objects.aggregate(last=Max("fence"))["last"] or 0
        return max(time.time_ns() // 1_000_000, last + 1)


declare_names(Rollout, "requested_by_name")


def due_in(delay: timedelta = timedelta()) -> dict[str, object]:
    """Return what to store in a push that is to be delivered after `delay`, in database time."""
    return {"due": Now() + delay if delay else Now(), "put_off": Now()}


def _came_to_nothing() -> Q:
    """Whether a push was called off before it had failed, or may have left anything in a file."""
    superseded = Q(state=Push.State.SUPERSEDED, code__in=["", Code.NO_LONGER_WANTED])
    called_off = Q(state=Push.State.CANCELLED) | superseded
    # `is_written` knows three answers; "not true" must hold for the unknown one as well
    return called_off & (Q(is_written=False) | Q(is_written=None))


def is_retried_lately() -> Q:
    """Whether a person retried a push, and it has no outcome yet or got one lately."""
    lately = Q(finished=None) | Q(finished__gte=Now() - Push.RETRIES_SHOWN)
    return lately & Q(retried__isnull=False)


def _newer(installation: uuid.UUID | OuterRef, fence: int | OuterRef) -> "PushQuerySet":
    """Return the pushes to an installation after this fence that came to something or are under way."""
    later = Push.objects.filter(installation=installation, rollout__fence__gt=fence)
    return later.exclude(_came_to_nothing())


def _is_current() -> Q:
    """Whether no newer push to the same installation came to something or is under way."""
    newer = _newer(OuterRef("installation"), OuterRef("rollout__fence"))
    return Q(replaced=False) | Q(~Exists(newer))


def _is_due() -> Q:
    in_time = Q(due__lte=Now()) | Q(put_off__gt=Now())
    return in_time & Q(state__in=Push.WAITING, container__is_enabled=True, container__is_by_hand=False)


class PushQuerySet(models.QuerySet["Push"]):
    def due(self) -> Self:
        """Pushes to deliver now, and unknown ones to look at now, on containers that are on.

        If `put_off` is in the future, the clock was set back, and the push must not wait that long.
        """
        return self.filter(_is_due())

    def at_hand(self) -> Self:
        """Pushes that are due, and those that are marked as running."""
        return self.filter(_is_due() | Q(state=Push.State.RUNNING))

    def waiting(self) -> Self:
        """Pushes that are due or will be."""
        return self.filter(state__in=Push.WAITING)

    def open(self) -> Self:
        return self.filter(state__in=Push.OPEN)

    def wanted(self) -> Self:
        """Pushes that are still allowed, as they were when they were queued."""
        return self.filter(all_met(rules.SENDING))

    def needing_attention(self) -> Self:
        """Pushes that wait for a person. Counts per installation, by its last push that came to something.

        It is unknown, or it failed and the installation still desires it, or it was superseded or cancelled
        on the way and the installation does not hold what it desires since. What was called off before it
        came to anything hides nothing: an older failure counts again. What is retired waits for nobody.
        """
        last_one = Push.objects.filter(replaced=False)
        still_counts = Q(state=Push.State.UNKNOWN) | Q(pk=F("installation__desired__push"))
        plain = last_one.filter(still_counts, state__in=[Push.State.FAILED, Push.State.UNKNOWN])
        # Only where the last push was called off is the history asked.
        called_off = last_one.filter(state__in=[Push.State.CANCELLED, Push.State.SUPERSEDED])
        earlier = Push.objects.filter(installation=OuterRef("installation")).exclude(_came_to_nothing())
        before = called_off.annotate(
            last=Subquery(earlier.order_by("-rollout__fence").values("pk")[:1])
        ).order_by()
        # "Not in" on purpose: by the wanted states SQLite would read all pushes that ever failed.
        settled = [Push.State.SUCCEEDED, *Push.OPEN]
        as_desired = ProvenWrite.objects.proven().filter(
            installation=OuterRef("installation"), secret=F("installation__desired__version")
        )
        left_behind = (
            Push.objects.filter(pk__in=before.values("last"))
            .exclude(state__in=settled)
            .exclude(Exists(as_desired))
        )
        found = plain.order_by().values("pk").union(left_behind.order_by().values("pk"), all=True)
        return self.filter(all_met(rules.NOT_RETIRED), pk__in=found)

    def being_retried(self) -> Self:
        """Pushes that a person retried and that have no outcome yet, where no newer one replaced them."""
        sent = Q(state__in=[Push.State.QUEUED, Push.State.RUNNING])
        looked_at = Q(state=Push.State.UNKNOWN, cause=Attempt.Cause.RETRY)
        asked = Push.objects.filter(sent | looked_at, retried__isnull=False, finished=None)
        return self._of_retries(asked)

    def sent_again(self) -> Self:
        """Those of `being_retried` that are not unknown: they alone do not need attention for that time."""
        return self.being_retried().exclude(state=Push.State.UNKNOWN)

    def mended_lately(self) -> Self:
        """Pushes whose retry has succeeded in the last two hours, where no newer one replaced them."""
        # "Not in" on purpose: by the wanted state SQLite would read all pushes that ever succeeded.
        others = [each for each in Push.State if each != Push.State.SUCCEEDED]
        return self._of_retries(Push.objects.retried_lately().exclude(state__in=others))

    def _of_retries(self, retried: "PushQuerySet") -> Self:
        # By their ids: joined with the inventory first, SQLite would read every push.
        found = retried.filter(_is_current()).order_by().values("pk")
        return self.filter(all_met(rules.NOT_RETIRED), pk__in=found)

    def retried_lately(self) -> Self:
        """Pushes that a person retried, without an outcome yet or with one of the last two hours."""
        return self.filter(is_retried_lately())

    def waiting_or_retried(self) -> Self:
        """Pushes that wait for a person, and those whose retry is under way or has succeeded lately.

        No retry takes its push out of sight; and no installation has two of them.
        """
        kinds = (Push.objects.needing_attention(), Push.objects.sent_again(), Push.objects.mended_lately())
        waiting, *retried = (each.order_by().values("pk") for each in kinds)
        return self.filter(pk__in=waiting.union(*retried))

    def unproven(self) -> Self:
        """Successes of an earlier release without a proof, where nothing was proven since, and in use."""
        since = Q(installation__proven_write__fence__gte=F("rollout__fence"))
        found = Push.objects.filter(is_unproven=True, replaced=False).exclude(since).order_by()
        # By their ids: joined with the inventory first, SQLite would read every push.
        return self.filter(all_met(rules.NOT_RETIRED), pk__in=found.values("pk"))

    def locked(self) -> list[uuid.UUID]:
        """Lock these pushes until the transaction ends, and return their ids.

        Always in the same order: transactions that lock several of them could otherwise deadlock.
        """
        rows = self.select_for_update(of=("self",)).order_by("pk")
        return [push.pk for push in rows.only("pk")]

    def move(self, pk: uuid.UUID, *, states: list[str], **values: object) -> bool:
        """Change one push only if it is still in one of `states`. False: somebody else moved it."""
        return bool(self.filter(pk=pk, state__in=states).update(**values))


class Push(WithChoices):
    """One installation's delivery in a rollout: the unit of work."""

    audit_name = "push"

    State = State
    OPEN = [State.QUEUED, State.RUNNING, State.UNKNOWN]
    WAITING = [State.QUEUED, State.UNKNOWN]
    NO_MORE_TRIES = 10_000
    """In `tries`: more than any list of delays, so that nothing but a person's retry sends this again."""
    RETRIES_SHOWN = timedelta(hours=2)
    """How long the outcome of a retry is shown where it was asked for."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    rollout = models.ForeignKey(Rollout, models.PROTECT, related_name="pushes")
    installation = models.ForeignKey(Installation, models.PROTECT, related_name="pushes")
    container = models.ForeignKey(Container, models.PROTECT, related_name="pushes")
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.QUEUED)
    code = models.CharField(_("code"), max_length=30, choices=Code, blank=True)
    due = models.DateTimeField(_("due"), db_default=Now())
    put_off = models.DateTimeField(db_default=Now())
    """When `due` was set, by the same clock."""
    tries = models.PositiveIntegerField(default=0)
    cause = models.CharField(max_length=10, default="rollout")
    cause_by = models.CharField(max_length=150, blank=True)
    cause_message = models.CharField(max_length=250, blank=True)
    is_written = models.BooleanField(_("in the file"), null=True)
    replaced = models.BooleanField(default=False)
    resent = models.BooleanField(default=False)
    """Whether it was sent once more by itself since a person asked, because its write was not confirmed."""
    is_unproven = models.BooleanField(default=False)
    """Called succeeded by a release that took a rewritten file for a proof; nothing new is marked so."""
    unknown_since = models.DateTimeField(_("unknown since"), null=True)
    """When the report was lost, or a person had a failure looked at again; kept after that was settled."""
    retried = models.DateTimeField(_("retried"), null=True)
    """When a person last asked for another try or look."""
    requested = models.DateTimeField(_("requested"), auto_now_add=True)
    finished = models.DateTimeField(_("finished"), null=True)

    has_key: bool
    """Whether a host key of the container is known; noted by `services.obstacles`, and no column."""
    is_key_decided: bool
    """Whether somebody decided about another key that was shown; noted there as well."""

    objects = PushQuerySet.as_manager()

    class Meta:
        ordering = ["installation__instance__name", "installation__container__name"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["rollout", "installation"], name="rollouts_push_once"),
            # two `nlserver config` on one host must not race
            models.UniqueConstraint(
                fields=["container"], condition=Q(state="running"), name="rollouts_push_one_running"
            ),
            models.UniqueConstraint(
                fields=["installation"], condition=Q(state="queued"), name="rollouts_push_one_queued"
            ),
        ]
        indexes = [
            models.Index(
                fields=["container", "due"], name="push_due", condition=Q(state__in=["queued", "unknown"])
            ),  # deliver and reconcile: what is due
            models.Index(
                fields=["state", "-requested"],
                name="push_attention",
                condition=Q(state__in=["failed", "unknown"], replaced=False),
            ),  # the helpdesk's page and the count in the top bar
            models.Index(
                fields=["state", "installation"],
                name="push_called_off",
                condition=Q(state__in=["cancelled", "superseded"], replaced=False),
            ),  # likewise: where an older failure may count again
            models.Index(
                fields=["finished"], name="push_retried", condition=Q(retried__isnull=False)
            ),  # likewise: what became of retries
            models.Index(fields=["finished"], name="push_finished"),  # gates of rotations: recent writes
            models.Index(fields=["state", "code"], name="push_by_state"),  # figures for monitoring
            models.Index(fields=["rollout", "finished"], name="push_by_end"),  # likewise: how long it took
            models.Index(
                fields=["installation", "-requested"], name="push_by_installation"
            ),  # history, latest
            models.Index(fields=["rollout", "state"], name="push_by_rollout"),  # progress of rollouts
            models.Index(
                fields=["requested"], name="push_unproven", condition=Q(is_unproven=True)
            ),  # home: successes of the past without a proof
            models.Index(
                fields=["rollout"], name="push_open", condition=Q(state__in=["queued", "running", "unknown"])
            ),  # rollouts under way
        ]

    def __str__(self) -> str:
        return f"{self.installation} (rollout #{self.rollout.number})"

    @property
    def place(self) -> str:
        """The installation as people read it, of the rows that lists of pushes have."""
        return place_label(self.installation.instance, self.container)

    @property
    def newer(self) -> "Push | None":
        """The newest push to the installation that came to something or is under way, if it is another."""
        if not self.replaced:
            return None
        found = _newer(self.installation_id, self.rollout.fence).select_related("rollout__secret")
        return found.order_by("-rollout__fence").first()

    @property
    def is_wanted(self) -> bool:
        """The same as `PushQuerySet.wanted`, from related rows that are loaded already."""
        return not obstacle(self, rules.SENDING)

    @property
    def retry_phase(self) -> str:
        """What became of the last retry by a person: `retrying`, or how it ended; empty: none."""
        if self.retried is None:
            return ""
        is_asked_for = self.state == self.State.UNKNOWN and self.cause == Attempt.Cause.RETRY
        if is_asked_for or self.state in (self.State.QUEUED, self.State.RUNNING):
            return "retrying"
        return self.state

    @property
    def explanation(self) -> Explanation | None:
        """Cause and next step of the outcome code, for people."""
        return explained(self.state, self.code)

    @property
    def menders(self) -> tuple[Mender, ...]:
        """Who can mend what it failed for, the likeliest first."""
        return menders(self.code)


def explained(state: str, code: str) -> Explanation | None:
    """Return cause and next step of a push with this state and code; None without a code.

    An unknown push may carry the code of a look that needs a person. That this look changed nothing says
    nothing about what was sent before it, so the cause stays: nobody knows.
    """
    known = explain(code) if code else None
    if known and state == Push.State.UNKNOWN:
        return replace(known, cause=explain(Code.NO_REPORT).cause)
    return known


declare_names(Push, "cause_by")


class Attempt(WithChoices):
    """One try of a push. The row is written before the connection opens; once finished it never changes."""

    class Kind(models.TextChoices):
        PUSH = "push", _("Push")
        LOOK = "look", _("Look")

    class Cause(models.TextChoices):
        ROLLOUT = "rollout", _("Rollout")
        RETRY = "retry", _("Retry by a person")
        AUTOMATIC = "automatic", _("Automatic retry")
        LOOK = "look", _("Unclear outcome")

    class Stage(models.TextChoices):
        CONNECTING = "connecting", _("Connecting")
        PREPARING = "preparing", _("Preparing on the container")
        COMMITTING = "committing", _("Sending the values")
        REPORTING = "reporting", _("Reading the report")
        DONE = "done", _("Done")

    class Proof(models.TextChoices):
        """What shows that the file holds this version; `instances.nlserver.verdict` decides it."""

        CHANGED = "changed", _("The encrypted secret changed while nlserver ran, and then stayed the same")
        REPEATED = (
            "repeated",
            _("The encrypted secret changed in an unconfirmed attempt, and a clean attempt left it the same"),
        )
        RECOGNIZED = "recognized", _("The file holds an encrypted secret already proven for this version")
        CANDIDATE = "candidate", _("The encrypted secret changed, but this is not confirmed yet")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    push = models.ForeignKey(Push, models.PROTECT, related_name="attempts")
    number = models.PositiveIntegerField(_("number"))
    kind = models.CharField(_("kind"), max_length=4, choices=Kind, default=Kind.PUSH)
    cause = models.CharField(_("cause"), max_length=10, choices=Cause)
    caused_by = models.CharField(_("caused by"), max_length=150, blank=True)
    message = models.CharField(_("message"), max_length=250, blank=True)
    secret_version = models.PositiveIntegerField()
    secret_fingerprint = models.CharField(max_length=16)
    lease_token = models.UUIDField()
    worker = models.CharField(_("worker"), max_length=100)
    started = models.DateTimeField(_("started"), db_default=Now())
    finished = models.DateTimeField(_("finished"), null=True)
    seconds = models.FloatField(_("seconds"), null=True)
    stage = models.CharField(_("stage reached"), max_length=10, choices=Stage, default=Stage.CONNECTING)
    verdict = models.CharField(_("verdict"), max_length=10, choices=Push.State, blank=True)
    code = models.CharField(_("code"), max_length=30, choices=Code, blank=True)
    exit_codes = models.JSONField(_("exit codes"), default=dict)
    output = models.TextField(_("output"), blank=True)
    output_removed = models.DateTimeField(_("output removed"), null=True)
    before_digest = models.TextField(blank=True)
    after_digest = models.TextField(blank=True)
    proof = models.CharField(_("proof"), max_length=10, choices=Proof, blank=True, db_default="", default="")
    build = models.PositiveIntegerField(_("build"), null=True)
    host_key = models.CharField(_("host key"), max_length=60, blank=True)
    notes = models.JSONField(default=list)

    observation_id: int | None = None
    """The sight that it ended with, for what it proves; no column: the sight names its attempt."""

    class Meta:
        ordering = ["push", "number"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["push", "number"], name="rollouts_attempt_number_once"),
            models.UniqueConstraint(
                fields=["push"], condition=Q(finished=None), name="rollouts_attempt_one_unfinished"
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.push}"

    def save(self, *args: Any, **kwargs: Any) -> None:  # Any: Django's own signature
        """Store the attempt, and what it proved: about its digest, and about its installation."""
        super().save(*args, **kwargs)
        if self.proof in HOLDING:
            ProvenWrite.note(self)
        if self.proof in ROOTS:
            ProvenDigest.note(self)
        elif self.proof == self.Proof.CANDIDATE:
            CandidateDigest.note(self)

    @property
    def explanation(self) -> Explanation | None:
        return explain(self.code) if self.code else None

    @property
    def notes_in_words(self) -> list[str]:
        return attempt_notes.in_words(self.notes)


declare_names(Attempt, "caused_by")


append_only.register(Attempt, unless_open="finished", clearable=("output", "output_removed"))

ROOTS = (Attempt.Proof.CHANGED, Attempt.Proof.REPEATED)
"""What makes a digest known for a version."""
HOLDING = (*ROOTS, Attempt.Proof.RECOGNIZED)
"""After which the file is known to hold the version."""


def last_attempt_number() -> Coalesce:
    """Return an annotation for pushes: the number of the last attempt, 0 before the first."""
    made = Attempt.objects.filter(push=OuterRef("pk")).order_by("-number").values("number")[:1]
    return Coalesce(Subquery(made), 0)


def is_as_seen(*, held: str = "", installation: str = "") -> Q:
    """Return whether a file was seen last as it was when an installation was known to hold a version.

    `held` and `installation` lead to what was known and to the installation, each with `__` at its end; empty
    where the query is about it.
    """
    return Q(
        **{
            f"{held}digest": F(f"{installation}observed_digest"),
            f"{held}secret__client_id": F(f"{installation}observed_client_id"),
            f"{held}secret__account__technical_account_id": F(f"{installation}observed_account_id"),
        }
    )


def is_told() -> Exists:
    """Return whether a person saw the file last, of rows that have an `installation`."""
    hand = Observation.objects.filter(ended=None, last_source=Observation.Source.HAND)
    return Exists(hand.filter(installation=OuterRef("installation")))


class HeldQuerySet(models.QuerySet[H]):
    """Of what an installation was known to hold."""

    def as_seen(self) -> Self:
        """Those whose file was still as it was then when it was seen last."""
        return self.filter(is_as_seen(installation="installation__"))


class ProvenWriteQuerySet(HeldQuerySet["ProvenWrite"]):
    def proven(self) -> Self:
        """Proven writes whose file was still as the write had left it when the portal saw it last.

        What a person reported since is their word: it proves nothing, even if it says the same.
        """
        return self.as_seen().exclude(is_told())


class ProvenWrite(models.Model):
    """The last version that an installation was known to hold, and the digest of it in the file.

    Kept in addition to the attempts, which say the same, because pages count it for the whole fleet.
    """

    installation = models.OneToOneField(
        Installation, models.CASCADE, primary_key=True, related_name="proven_write"
    )
    secret = models.ForeignKey(ClientSecret, models.PROTECT, related_name="proven_writes")
    fence = models.BigIntegerField()
    digest = models.TextField()
    observation = models.ForeignKey(Observation, models.PROTECT, null=True, related_name="+")
    """The sight that showed it; None for a write that was proven before sights were kept."""

    objects = ProvenWriteQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.secret} on {self.installation}"

    @classmethod
    def note(cls, attempt: Attempt) -> None:
        """Keep what an attempt proved, unless a newer rollout has written there since."""
        push = attempt.push
        fence = push.rollout.fence
        values = {"secret_id": push.rollout.secret_id, "fence": fence, "digest": attempt.after_digest}
        values["observation_id"] = attempt.observation_id
        if not cls.objects.filter(pk=push.installation_id, fence__lte=fence).update(**values):
            first = cls(installation_id=push.installation_id, **values)
            cls.objects.bulk_create([first], ignore_conflicts=True)  # there is one: it is newer


class UntoldEnd(models.Model):
    """A rollout whose end nobody was told yet: it was started, or one of its pushes was retried."""

    rollout = models.OneToOneField(Rollout, models.CASCADE, primary_key=True, related_name="untold_end")
    since = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.rollout)


class ConfirmedVersion(models.Model):
    """A version that a person says an installation holds, where nothing could prove it.

    It counts while the file is seen as it was then, and is never called proven.
    """

    installation = models.OneToOneField(
        Installation, models.CASCADE, primary_key=True, related_name="confirmed_version"
    )
    secret = models.ForeignKey(ClientSecret, models.PROTECT, related_name="+")
    digest = models.TextField()
    at = models.DateTimeField(db_default=Now())
    by = models.CharField(max_length=150)
    reason = models.CharField(max_length=250)

    objects = HeldQuerySet["ConfirmedVersion"].as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.secret} on {self.installation}, confirmed by {self.by}"


declare_names(ConfirmedVersion, "by")


class ProvenDigest(models.Model):
    """An encrypted secret that is known to be one version's, by the first attempt that proved it.

    Equal ciphertext is equal plaintext, so it proves that version wherever else it is seen. Only root proofs
    are kept here: what was merely recognized would let one error vouch for the next.
    """

    digest = models.CharField(max_length=64)
    secret = models.ForeignKey(ClientSecret, models.PROTECT, related_name="proven_digests")
    attempt = models.ForeignKey(Attempt, models.PROTECT, related_name="+")

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["digest", "secret"], name="rollouts_digest_once_per_version")
        ]

    def __str__(self) -> str:
        return f"{self.digest[:12]}: {self.secret}"

    @classmethod
    def note(cls, attempt: Attempt) -> None:
        """Keep a root proof, unless the same was proven before."""
        secret_id = attempt.push.rollout.secret_id
        proven = ProvenDigest(digest=attempt.after_digest, secret_id=secret_id, attempt=attempt)
        ProvenDigest.objects.bulk_create([proven], ignore_conflicts=True)


class CandidateDigest(models.Model):
    """What an unconfirmed attempt left in an installation's file: a clean repeat that leaves it proves it."""

    installation = models.OneToOneField(Installation, models.CASCADE, primary_key=True, related_name="+")
    secret = models.ForeignKey(ClientSecret, models.PROTECT, related_name="+")
    digest = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.digest[:12]}: perhaps {self.secret} on {self.installation}"

    @classmethod
    def note(cls, attempt: Attempt) -> None:
        """Keep the newest candidate of the attempt's installation."""
        push = attempt.push
        cls.objects.update_or_create(
            installation_id=push.installation_id,
            defaults={"secret_id": push.rollout.secret_id, "digest": attempt.after_digest},
        )


class Duty(models.Model):
    """A job that one worker at a time does, such as reconciling: who has it, until when, last done when."""

    name = models.CharField(max_length=30, primary_key=True)
    holder = models.UUIDField(null=True)
    expires = models.DateTimeField(null=True)
    done = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
