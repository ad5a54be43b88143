"""Delivers what is due on one container: claim, one SSH connection, push after push, verdict, release.

Read it from `deliver` downwards: it is the main job of the portal.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self, cast

from django.conf import settings
from django.db import OperationalError, close_old_connections
from django.db.models import F, Q
from django.db.models.functions import Now
from django.views.decorators.debug import sensitive_variables

from credentials import services
from credentials.keyring import UnreadableSecret
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.lease import Lease, LeaseLost
from credentials.rollouts.models import Attempt, Push
from credentials.rollouts.settlement import PORTAL, SENT, Outcome, settle, settle_abandoned
from instances import host_keys, nlserver, policy, portal_key, redaction, ssh
from instances.failures import Code
from instances.models import Container, Installation, Instance
from portal.logs import bound
from portal.plaintext import Secret

logger = logging.getLogger(__name__)
stopping = threading.Event()  # set when the worker shuts down: finish what runs, begin nothing
WORKER = f"{socket.gethostname()}:{os.getpid()}"


class NoLongerWanted(Exception):
    """A newer rollout or a person decided otherwise since this push was queued: nothing must be sent."""


def deliver(container_id: uuid.UUID) -> bool:
    """Deliver everything due on this container; return whether something became due meanwhile.

    False at once if another worker holds the container, or this worker is shutting down.
    """
    if stopping.is_set():
        return False
    lease = Lease(container_id, owner=WORKER)
    if not lease.take():
        return False
    try:
        with lease.held():
            container = Container.objects.get(pk=container_id)
            settle_abandoned(container)
        with Line(container, lease) as line:
            while not stopping.is_set() and (push := _next_due(container_id)):
                _deliver_one(push, line, lease)
    except LeaseLost:
        logger.warning("The lease on container %s was lost; its new holder goes on.", container_id)
        return False
    finally:
        lease.release()
    return not stopping.is_set() and _next_due(container_id) is not None


def _next_due(container_id: uuid.UUID) -> Push | None:
    related = ("rollout__secret__account", "installation__instance", "container")
    return Push.objects.due().filter(container=container_id).select_related(*related).order_by("due").first()


@dataclass
class Line:
    """The one SSH connection of a delivery, opened when it is first needed."""

    container: Container
    lease: Lease
    connection: ssh.Connection | None = None
    failure: ssh.SSHError | None = None

    def open(self) -> ssh.Connection:
        """Return the connection; raise the same `ssh.SSHError` again for every push if it cannot be had."""
        if self.failure:
            raise self.failure
        if self.connection is None:
            try:
                self.connection = self._connect()
            except ssh.SSHError as error:
                self.failure = error
                raise
        return self.connection

    def _connect(self) -> ssh.Connection:
        """Connect; keep an unapproved key for an admin, or trust it if one gave its fingerprint before."""
        try:
            return self._connect_pinned()
        except ssh.HostKeyUnknown as error:
            scan = host_keys.store_scan(container=self.container, shown=[error.offered], actor=PORTAL)
            if scan.approved:
                return self._connect_pinned()
            raise ssh.HostKeyChanged(error.offered) if scan.is_expected_missing else error from None
        except ssh.HostKeyChanged as error:
            key = error.offered
            host_keys.note_offered(
                container=self.container, type=key.type, base64=key.base64, fingerprint=key.fingerprint
            )
            raise

    def _connect_pinned(self) -> ssh.Connection:
        container = self.container
        keys = host_keys.approved_lines(container)
        return ssh.Connection.open(
            ssh.Target(container.address, container.port, container.login, keys),
            key=portal_key.private_key(),
            policy=policy.address_policy(),
            deadlines=policy.deadlines(),
            tick=self.lease.tick,
        )

    def drop(self) -> None:
        """Close a connection that broke, so that the next push opens a new one."""
        if self.connection:
            self.connection.close()
            self.connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()


@dataclass
class Evidence:
    """What an attempt gathers on its way, to be written down with its outcome."""

    exit_codes: dict[str, int] = field(default_factory=dict)
    output: str = ""
    seen: nlserver.FileState | None = None
    client_ids: str = ""
    account_ids: str = ""
    after_digest: str = ""
    build: int = 0
    host_key: str = ""
    notes: list[str] = field(default_factory=list)

    def keep(self, state: nlserver.FileState, secrets: Iterable[Secret] = ()) -> None:
        """Remember the file as it was at the end, if it was read at all."""
        if state.read:
            self.see(state, secrets)
            self.after_digest = state.digest

    def see(self, state: nlserver.FileState, secrets: Iterable[Secret] = ()) -> None:
        """Remember a file's ids as text for people: a container may have mixed up what it was sent."""
        self.seen = state
        self.client_ids = _for_people(state.client_ids, secrets)
        self.account_ids = _for_people(state.technical_account_ids, secrets)


def _for_people(values: Iterable[str], secrets: Iterable[Secret]) -> str:
    return redaction.redact(", ".join(sorted(set(values))).encode(), secrets)[:200]


def _deliver_one(push: Push, line: Line, lease: Lease) -> None:
    """Make one attempt at one push: row first, then the deed, then its outcome."""
    attempt = _begin(push, lease)
    if attempt is None:
        return
    started = time.monotonic()
    evidence = Evidence()
    with bound(rollout=push.rollout.number, push=push.pk, attempt=attempt.number):
        outcome = _attempt(push, attempt, line, lease, evidence)
        attempt.seconds = round(time.monotonic() - started, 3)
        _finish(push, attempt, outcome, evidence, lease)
        fields = {"state": outcome.state, "code": outcome.code, "seconds": attempt.seconds}
        logger.info("the attempt ended", extra=fields)


def _begin(push: Push, lease: Lease) -> Attempt | None:
    """Mark the push as running and write its attempt; None if it is no longer due."""
    looking = push.state == Push.State.UNKNOWN
    with lease.held():
        values: dict[str, object] = {} if looking else {"tries": F("tries") + 1}
        if not Push.objects.move(push.pk, states=[push.state], state=Push.State.RUNNING, **values):
            return None
        # A person may have retried, and so signed, an unknown push since it was read.
        push.refresh_from_db(fields=["cause", "cause_by", "cause_message"])
        last = push.attempts.order_by("-number").first()
        secret = push.rollout.secret
        return Attempt.objects.create(
            push=push,
            number=last.number + 1 if last else 1,
            kind=Attempt.Kind.LOOK if looking else Attempt.Kind.PUSH,
            cause=push.cause,
            caused_by=push.cause_by if push.cause in ("rollout", "retry") else "",
            message=push.cause_message if push.cause == "retry" else "",
            secret_version=secret.version,
            secret_fingerprint=secret.fingerprint,
            lease_token=lease.token,
            worker=lease.owner,
        )


def _attempt(push: Push, attempt: Attempt, line: Line, lease: Lease, evidence: Evidence) -> Outcome:
    """Do the deed. Every way it can end is a value; only a lost lease goes through."""
    act = _look if attempt.kind == Attempt.Kind.LOOK else _push
    try:
        return act(push, attempt, line, lease, evidence)
    except ssh.SSHError as error:
        line.drop()
        return _nothing_sent(attempt, error.code)
    except nlserver.Refused as error:
        evidence.output = redaction.redact(error.output)
        evidence.build = error.ready.build
        evidence.see(error.ready.before)
        return _nothing_sent(attempt, error.code)
    except nlserver.ReportLost:
        line.drop()
        return Outcome(Push.State.UNKNOWN, Code.NO_REPORT)
    except NoLongerWanted:
        line.drop()
        return Outcome(Push.State.SUPERSEDED, Code.NO_LONGER_WANTED)
    except UnreadableSecret:
        return Outcome(Push.State.FAILED, Code.SECRET_UNREADABLE)
    except (LeaseLost, OperationalError):
        line.drop()
        raise
    except Exception:  # the worker's boundary: one push's defect must not stop the others
        logger.exception("Push %s, attempt %s: error inside the portal", push.pk, attempt.number)
        line.drop()
        return _broken(attempt)


def _broken(attempt: Attempt) -> Outcome:
    """Return what is known after an error inside the portal: once something was sent, nothing is."""
    if attempt.stage in SENT:
        return Outcome(Push.State.UNKNOWN, Code.NO_REPORT)
    return _nothing_sent(attempt, Code.PORTAL_ERROR)


def _nothing_sent(attempt: Attempt, code: str) -> Outcome:
    """Return the outcome of an attempt that sent nothing: a look leaves the push as unknown as it was."""
    if attempt.kind == Attempt.Kind.LOOK:
        return Outcome(Push.State.UNKNOWN, code)
    return Outcome(Push.State.FAILED, code)


@sensitive_variables()
def _push(push: Push, attempt: Attempt, line: Line, lease: Lease, evidence: Evidence) -> Outcome:
    """Speak with the container in two steps: what is there, then the values; judge what it reports."""
    _require_wanted(push)
    secret = services.reveal(push.rollout.secret)
    connection = line.open()
    evidence.host_key = connection.host_key
    _reach(attempt, Attempt.Stage.PREPARING, lease)
    job, account = _job(push, attempt.number), _account(push)
    with nlserver.Conversation(connection, job) as talk:
        ready = talk.ready(settings.PUSH_READY_TIMEOUT)
        evidence.build, attempt.before_digest = ready.build, ready.before.digest

        def before_newline() -> None:
            _commit_point(push, attempt, lease)

        try:
            report = talk.commit(account, secret, before_newline=before_newline)
        finally:
            evidence.output = redaction.redact(talk.output, [secret])
    attempt.stage = Attempt.Stage.DONE
    evidence.exit_codes = report.exit_codes
    evidence.keep(report.after, [secret])
    verdict = nlserver.judge(report, account, ready.before, known_digests=_known_digests(push))
    return _outcome(verdict, evidence)


def _look(push: Push, attempt: Attempt, line: Line, lease: Lease, evidence: Evidence) -> Outcome:
    """Read the container's file and journal, to settle an attempt whose report was lost."""
    lost = push.attempts.filter(kind=Attempt.Kind.PUSH).order_by("-number")[0]
    connection = line.open()
    evidence.host_key = connection.host_key
    _reach(attempt, Attempt.Stage.REPORTING, lease)
    found = nlserver.look(connection, _job(push, attempt.number))
    attempt.stage = Attempt.Stage.DONE
    evidence.output, evidence.build = redaction.redact(found.output), found.ready.build
    evidence.keep(found.after)
    verdict = nlserver.judge_look(
        found,
        _account(push),
        lost.before_digest,
        push.rollout.fence,
        lost.number,
        known_digests=_known_digests(push),
    )
    return _outcome(verdict, evidence)


def _outcome(verdict: nlserver.Verdict, evidence: Evidence) -> Outcome:
    """Say a verdict in a push's own states; to be sent again means queued."""
    evidence.notes = list(verdict.notes)
    state = Push.State.QUEUED if verdict.state == "requeue" else verdict.state
    return Outcome(state, verdict.code, verdict.written)


def _reach(attempt: Attempt, stage: str, lease: Lease) -> None:
    with lease.held():
        attempt.stage = stage
        attempt.save(update_fields=["stage"])


def _commit_point(push: Push, attempt: Attempt, lease: Lease) -> None:
    """Record that the values are about to go out, unless they are no longer wanted."""
    with lease.held():
        _require_wanted(push)
        attempt.stage = Attempt.Stage.COMMITTING
        attempt.save(update_fields=["stage", "before_digest"])


def _require_wanted(push: Push) -> None:
    """Raise `NoLongerWanted` unless all that allowed this push when it was queued still holds."""
    wanted = Push.objects.filter(
        pk=push.pk,
        replaced=False,
        rollout__secret__state=ClientSecret.State.CURRENT,
        rollout__secret__account__state=TechnicalAccount.State.ACTIVE,
        installation__instance__assignment__account=F("rollout__secret__account"),
    ).exclude(installation__instance__deployment=Instance.Deployment.HOSTED)
    if not wanted.exists():
        raise NoLongerWanted


def _job(push: Push, attempt_number: int) -> nlserver.Job:
    instance, container = push.installation.instance, push.container
    return nlserver.Job(
        instance=instance.name,
        install_root=container.install_root,
        become=cast("nlserver.Become", container.become),  # the model's choices are the same three
        fence=push.rollout.fence,
        attempt=attempt_number,
        restart_pipelined=instance.uses_triggers,
        limit=settings.PUSH_COMMAND_LIMIT,
        user=settings.CAMPAIGN_USER,
    )


def _account(push: Push) -> nlserver.Account:
    account = push.rollout.secret.account
    return nlserver.Account(account.organization_id, account.client_id, account.technical_account_id)


def _known_digests(push: Push) -> frozenset[str]:
    """Digests that proven writes of this same secret version left on this installation."""
    proven = Q(verdict=Push.State.SUCCEEDED) | Q(code__in=[Code.RELOAD_FAILED, Code.RELOAD_NOT_CONFIRMED])
    same = Q(push__installation=push.installation_id, push__rollout__secret=push.rollout.secret_id)
    digests = Attempt.objects.filter(same & proven).exclude(after_digest="")
    return frozenset(digests.values_list("after_digest", flat=True))


def _finish(push: Push, attempt: Attempt, outcome: Outcome, evidence: Evidence, lease: Lease) -> None:
    """Write down the outcome; try again while the database is away, as long as the lease may last."""
    deadline = time.monotonic() + settings.PUSH_LEASE
    while True:
        try:
            return _write_outcome(push, attempt, outcome, evidence, lease)
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            logger.warning("The database did not take the outcome of push %s; trying again.", push.pk)
            with suppress(OperationalError):
                close_old_connections()
            time.sleep(1)


def _write_outcome(push: Push, attempt: Attempt, outcome: Outcome, evidence: Evidence, lease: Lease) -> None:
    with lease.held():
        fresh = Push.objects.select_for_update().get(pk=push.pk)
        if fresh.state != Push.State.RUNNING:
            return  # an earlier try did reach the database, only its answer was lost
        attempt.after_digest = evidence.after_digest
        attempt.exit_codes, attempt.output = evidence.exit_codes, evidence.output
        attempt.build, attempt.host_key, attempt.notes = (
            evidence.build or None,
            evidence.host_key,
            evidence.notes,
        )
        attempt.code = outcome.code
        _observe(push, evidence)
        attempt.verdict = settle(fresh, attempt, outcome)
        attempt.finished = Now()
        attempt.save()


def _observe(push: Push, evidence: Evidence) -> None:
    """Keep what was last seen on the installation."""
    values: dict[str, object] = {}
    if evidence.build:
        values["observed_build"] = evidence.build
    if (seen := evidence.seen) and seen.read:
        values |= {
            "observed_client_id": evidence.client_ids,
            "observed_account_id": evidence.account_ids,
            "observed_digest": seen.digest,
            "observed_jwt": seen.jwt,
        }
    if values:
        Installation.objects.filter(pk=push.installation_id).update(observed=Now(), **values)
