"""What the portal promises, checked after every step against the rows and against the containers."""

import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now

from credentials.coverage.holding import covered, with_holding
from credentials.models import DesiredVersion, DesiredVersionChange
from credentials.rollouts.models import HOLDING, Attempt, ProvenDigest, Push
from credentials.rollouts.services import held_versions
from instances.models import Container, Installation
from portal.audit.chain.verification import verify
from portal.audit.models import AuditEvent
from tests.credentials.rollouts.model.container import Site, Write
from tests.credentials.rollouts.model.world import World

Row = dict[str, Any]  # Any: a row as `values()` gives it
ENDED = {"succeeded", "failed", "cancelled", "superseded"}
UNDECIDED = {"not_comparable", "file_unreadable", "refused_by_nlserver", "killed", "retired"}
"""Failures that need not say whether it was written: there was nothing to compare with, or nobody looked."""
DOUBTS = {
    "not_proven", "not_comparable", "changed_again", "other_version", "digest_ambiguous", "several_secrets",
    "organization_empty", "file_unreadable", "not_applied", "changed_by_others",
}  # fmt: skip
"""What is never said of an nlserver that sets what it is told, and of a file that nobody else touches."""
FOR_EVER = {"succeeded", "cancelled", "superseded"}


@dataclass
class Rows:
    """The database as it stood after a step."""

    pushes: dict[uuid.UUID, Row] = field(default_factory=dict)
    attempts: dict[tuple[uuid.UUID, int], Row] = field(default_factory=dict)
    containers: dict[uuid.UUID, Row] = field(default_factory=dict)

    @classmethod
    def read(cls) -> "Rows":
        pushes = Push.objects.values(
            "pk", "state", "code", "replaced", "is_written", "tries", "container_id", "installation_id",
            fence=F("rollout__fence"), secret=F("rollout__secret"), site=F("container__name"),
            instance=F("installation__instance__name"),
        )  # fmt: skip
        containers = Container.objects.values("pk", "lease_token", "lease_expires", now=Now())
        return cls(
            {row["pk"]: {**row} for row in pushes.order_by("rollout__number")},
            {(row["push_id"], row["number"]): {**row} for row in Attempt.objects.order_by("number").values()},
            {row["pk"]: {**row} for row in containers},
        )

    def of(self, push: uuid.UUID) -> list[Row]:
        """The attempts of a push, in their order."""
        return [row for (pk, _number), row in self.attempts.items() if pk == push]


class Promises:
    """Compares each step's rows with the ones before it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows = Rows()
        self.retried: Counter[uuid.UUID] = Counter()
        self.cancelled: dict[uuid.UUID, int] = {}
        """Pushes that were under way when their rollout was cancelled -> how often they had been sent."""
        self.ended: Counter[tuple[str, str, object]] = Counter()
        """Events of pushes that ended because somebody retired their installation."""
        self._seen_writes: Counter[str] = Counter()
        self._seen_events = 0
        self._seen_changes = 0
        self._desired: dict[uuid.UUID, tuple[uuid.UUID | None, uuid.UUID | None]] = {}
        self._told: Counter[tuple[str, str, object]] = Counter()

    def let_go(self, pushes: list[Push]) -> None:
        """Somebody retired what these pushes, which were open, went to."""
        for was in pushes:
            push = Push.objects.get(pk=was.pk)
            assert push.finished, f"{push.state} where nobody goes any more"
            if was.state == "unknown":
                assert (push.state, push.code) == ("failed", "retired")
                self.ended["push.failed", str(push.pk), push.attempts.count()] += 1
            else:
                assert push.state in ("cancelled", "failed")
                self.ended[f"push.{push.state}", str(push.pk), None] += 1

    def check(self) -> None:
        """Compare the world with what was there after the step before."""
        before, self.rows = self.rows, Rows.read()
        self._leases(before)
        self._pushes(before)
        self._attempts(before)
        self._writes(before)
        self._desires()
        self._audit()

    # --- who may deliver -------------------------------------------------------------------------------

    def _leases(self, before: Rows) -> None:
        """One holder: a lease changes hands only if it was given back, or ran out."""
        for pk, row in self.rows.containers.items():
            was = before.containers.get(pk)
            if was and was["lease_token"] and row["lease_token"] not in (None, was["lease_token"]):
                assert _is_over(was["lease_expires"], was["now"]), "a lease was taken from its live holder"
        running = Counter(
            row["container_id"] for row in self.rows.pushes.values() if row["state"] == "running"
        )
        assert all(count == 1 for count in running.values()), "two pushes run on one container"

    # --- pushes ----------------------------------------------------------------------------------------

    def _pushes(self, before: Rows) -> None:
        fences = [row["fence"] for row in self.rows.pushes.values()]
        assert fences == sorted(fences), "a newer rollout has a lower fence"
        for pk, row in self.rows.pushes.items():
            assert not (row["replaced"] and row["state"] == "queued"), "a replaced push is queued"
            was = before.pushes.get(pk)
            if was:
                self._one_push(pk, was, row, before)

    def _one_push(self, pk: uuid.UUID, was: Row, row: Row, before: Rows) -> None:
        assert row["replaced"] or not was["replaced"], "a replaced push counts again"
        if was["state"] in FOR_EVER:
            assert row["state"] == was["state"], f"{was['state']} became {row['state']}"
        if row["state"] == "succeeded" and was["state"] != "succeeded":
            self._success_is_true(pk, row, before)
        if row["state"] == "failed":
            self._failure_is_true(row)
        if pk in self.cancelled:
            sent = sum(attempt["kind"] == "push" for attempt in self.rows.of(pk))
            assert sent <= self.cancelled[pk], "sent again after its rollout was cancelled"

    def _success_is_true(self, pk: uuid.UUID, row: Row, before: Rows) -> None:
        last = self.rows.of(pk)[-1]
        known = before.attempts.get((pk, last["number"]))
        if known:
            token = before.containers[row["container_id"]]["lease_token"]
            assert last["lease_token"] == token, "a success was written without a live lease"
        site = self._site(row)
        shown = site.installed[row["instance"]].shown.get((row["fence"], last["number"]))
        assert shown, "succeeded, but its last conversation never showed the file"
        held = [write for write in site.writes if write.instance == row["instance"] and write.at <= shown]
        assert held, "succeeded, but nothing was ever written"
        assert held[-1].values == self._values(row), "succeeded, but the container held something else"

    def _failure_is_true(self, row: Row) -> None:
        """Failed without having been applied, unless the row says that it is in the file."""
        writes = [write for write in self._site(row).writes if write.instance == row["instance"]]
        applied = bool(writes) and _is_by(writes[-1], row) and writes[-1].changed
        is_open = row["is_written"] is None and row["code"] in UNDECIDED
        assert row["is_written"] or is_open or not applied, f"failed ({row['code']}), but it was applied"
        doubted = row["code"] in DOUBTS and not self._nobody_can_tell(row, writes)
        honest = self._site(row).is_honest
        assert not (honest and doubted), f"{row['code']}, though nlserver did its work"

    def _nobody_can_tell(self, row: Row, writes: list[Write]) -> bool:
        """Whether even an honest nlserver leaves a doubt that only a person, or a later push, can end."""
        if row["code"] == "changed_again":
            # It is sent again by itself as long as there are tries left, and its rollout was not cancelled.
            return bool(row["tries"] > len(settings.PUSH_RETRY_DELAYS))
        own = [write for write in writes if _is_by(write, row)]
        if row["code"] == "not_proven" and own and not own[-1].changed:
            # A lost push, which a newer one replaced, had set the same secret to the same text already.
            last = self.rows.of(row["pk"])[-1]
            earlier = ProvenDigest.objects.filter(attempt__finished__lt=last["finished"])
            return not earlier.filter(digest=last["after_digest"]).exists()
        return False

    # --- attempts --------------------------------------------------------------------------------------

    def _attempts(self, before: Rows) -> None:
        for key, was in before.attempts.items():
            row = self.rows.attempts[key]
            if was["finished"]:
                assert row == was, "a finished attempt was changed"
            else:
                self._only_its_holder_writes(was, row, before)
        for pk in self.rows.pushes:
            rows = self.rows.of(pk)
            assert [row["number"] for row in rows] == list(range(1, len(rows) + 1)), "numbers with a gap"
            assert sum(row["finished"] is None for row in rows) <= 1, "two unfinished attempts"
            assert all(row["code"] != "portal_error" for row in rows), (
                "an error inside the portal; see the log"
            )

    def _only_its_holder_writes(self, was: Row, row: Row, before: Rows) -> None:
        container = self.rows.pushes[was["push_id"]]["container_id"]
        if row == was or was["lease_token"] == before.containers[container]["lease_token"]:
            return
        settled = row["finished"] and row["seconds"] is None and row["code"] in ("worker_lost", "no_report")
        assert settled, "an attempt was written to by somebody who had lost the lease"
        assert row["verdict"] != "succeeded", "an abandoned attempt was called a success"
        assert row["stage"] == was["stage"], "an abandoned attempt went on"

    # --- containers ------------------------------------------------------------------------------------

    def _writes(self, before: Rows) -> None:
        for name, site in self.world.sites.items():
            new = site.writes[self._seen_writes[name] :]
            self._seen_writes[name] = len(site.writes)
            for write in new:
                if write.order:
                    self._write_is_wanted(site, write, before)

    def _write_is_wanted(self, site: Site, write: Write, before: Rows) -> None:
        pk, row = next(item for item in self.rows.pushes.items() if _is_by(write, item[1], site.name))
        assert write.order
        assert write.values == self._values(row), "other values than the push's own were written"
        self._never_goes_down(site, write)
        was = before.pushes.get(pk)
        if not was or (pk, write.order[1]) not in before.attempts:
            return
        if write.is_late:
            return  # nobody can shut out a server that writes when it has long said that it is done
        if was["code"] == "retired":
            return  # it was given up without a look, which alone shuts out what may still come
        assert was["state"] in ("running", "unknown", "superseded"), f"written after it had {was['state']}"
        if was["state"] == "superseded":
            return  # its commit point came before; the fence lets nothing through that is older than the file
        later = [each for each in before.of(pk) if each["number"] > write.order[1] and each["finished"]]
        assert all(each["verdict"] == "unknown" for each in later), "written after it had been settled"

    def _never_goes_down(self, site: Site, write: Write) -> None:
        index = site.writes.index(write)
        for other in site.writes[:index]:
            if other.order and other.instance == write.instance:
                assert write.order
                assert write.order > other.order, "an older conversation wrote over a newer one"

    # --- what is to be held ----------------------------------------------------------------------------

    def _desires(self) -> None:
        """What is desired was decided: a push that counts is to bring it, or it was proven there."""
        for change in DesiredVersionChange.objects.filter(pk__gt=self._seen_changes).order_by("pk").values():
            self._seen_changes = change["id"]
            self._desired[change["installation_id"]] = (change["version_id"], change["push"])
        for row in DesiredVersion.objects.values():
            wanted = (row["version_id"], row["push"])
            assert self._desired[row["installation_id"]] == wanted, "a desire changed without a trace"
            if row["push"]:
                push = self.rows.pushes[row["push"]]
                assert push["secret"] == row["version_id"], "another version is desired than is pushed"
                assert not push["replaced"], "a push is desired that a newer one replaced"
                assert push["state"] not in ("cancelled", "superseded"), f"desired, but {push['state']}"
            elif row["version_id"] is not None:
                mine = Attempt.objects.filter(push__installation=row["installation_id"])
                proven = mine.filter(push__rollout__secret=row["version_id"], proof__in=HOLDING)
                assert proven.exists(), "a version is desired that was neither pushed nor proven there"

    # --- the audit trail -------------------------------------------------------------------------------

    def _audit(self) -> None:
        """One event per verdict that says something new and per retry, and no others about pushes."""
        for event in AuditEvent.objects.filter(seq__gt=self._seen_events).order_by("seq"):
            self._seen_events = event.seq
            if event.action.startswith("push."):
                self._told[event.action, event.target_id, event.details.get("attempt")] += 1
        expected: Counter[tuple[str, str, object]] = Counter()
        for (pk, number), row in self.rows.attempts.items():
            still_unknown = row["kind"] == "look" and row["verdict"] == "unknown"
            if row["finished"] and row["verdict"] != "queued" and not still_unknown:
                expected[f"push.{row['verdict']}", str(pk), number] += 1
        for pk, count in self.retried.items():
            expected["push.retried", str(pk), None] = count
        expected += self.ended
        assert self._told == expected, (
            f"audit: {self._told - expected} too many, {expected - self._told} missing"
        )

    # --- the end ---------------------------------------------------------------------------------------

    def check_the_end(self) -> None:
        """When all is mended and time has passed: nothing is lost, and everything told is true."""
        for row in self.rows.pushes.values():
            assert row["state"] in ENDED, f"a push stays {row['state']} ({row['code']}) for ever"
        assert all(row["finished"] for row in self.rows.attempts.values()), "an attempt never ends"
        for installation, secret in held_versions(Installation.objects.all()).items():
            self._is_held(installation, secret.pk)
        for row in with_holding(covered()).exclude(held_version=None):
            self._is_held(row.pk, row.held_version)
        findings = verify().findings
        assert not findings, f"the audit chain is broken: {findings}"

    def _is_held(self, installation: uuid.UUID, version: uuid.UUID) -> None:
        """What the portal says is held is true, unless somebody has changed the file since it looked."""
        row = next(each for each in self.rows.pushes.values() if each["installation_id"] == installation)
        held = self._site(row).installed[row["instance"]]
        seen = Installation.objects.get(pk=installation).observed_digest
        if held.digest == seen and not held.beside:
            assert held.values[3] == self._values(row | {"secret": version})[3], "another version is held"

    def story(self) -> str:
        """The rows and what happened on the containers, for whoever reads a failure."""
        lines = []
        for pk, row in self.rows.pushes.items():
            secret = next(text for text, version in self.world.versions.items() if version == row["secret"])
            told = " ".join(f"{name}={row[name]}" for name in ("state", "code", "replaced", "is_written"))
            lines.append(f"push {row['fence']} {row['instance']} on {row['site']} {secret}: {told}")
            lines += [f"  {_told(each)}" for each in self.rows.of(pk)]
        for site in self.world.sites.values():
            lines += [f"{site.name}: {write}" for write in site.writes]
        return "\n".join(lines)

    # --- small things ----------------------------------------------------------------------------------

    def _site(self, row: Row) -> Site:
        return self.world.sites[row["site"]]

    def _values(self, row: Row) -> tuple[str, ...]:
        """The four values that this push stands for."""
        secret = next(text for text, pk in self.world.versions.items() if pk == row["secret"])
        name = secret.split("-")[2]
        return "0A1B2C3D4E5F60718293A4B5@AdobeOrg", f"client-{name}", f"{name}@techacct.adobe.com", secret


def _told(attempt: Row) -> str:
    names = ("number", "kind", "cause", "stage", "verdict", "code", "before_digest", "after_digest")
    return " ".join(f"{name}={attempt[name]!s:.12}" for name in names)


def _is_by(write: Write, row: Row, site: str = "") -> bool:
    here = not site or row["site"] == site
    return (
        here
        and bool(write.order)
        and (write.order or (0,))[0] == row["fence"]
        and write.instance == row["instance"]
    )


def _is_over(expires: datetime | None, now: datetime) -> bool:
    """A lease without an end, past its end, or so far ahead that the clock must have been set back."""
    if expires is None:
        return True
    return expires < now or expires > now + timedelta(seconds=settings.PUSH_LEASE) * 2
