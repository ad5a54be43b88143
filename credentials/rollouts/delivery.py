"""Delivers what is due on one container: claim, one SSH connection, push after push, verdict, release.

Read it from `deliver` downwards: it is the main job of the portal.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar, cast

from django.conf import settings
from django.db import OperationalError, close_old_connections
from django.db.models import Case, Subquery, When
from django.db.models.functions import Now
from django.views.decorators.debug import sensitive_variables

from credentials.keys.keyring import UnreadableSecret
from credentials.keys.vault import open_version
from credentials.rollouts import proof
from credentials.rollouts.lease import Lease, LeaseLost
from credentials.rollouts.models import Attempt, Push, Rollout, last_attempt_number
from credentials.rollouts.settlement import PORTAL, SENT, Outcome, settle, settle_abandoned
from instances import nlserver, other_portals, ssh
from instances.failures import Code
from instances.models import Container, Installation, PortalIdentity
from instances.reaching import host_keys, jump_hosts, policy, portal_key, redaction
from portal import database
from portal.logs import bound
from portal.plaintext import Secret, cut_out

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
stopping = threading.Event()  # set when the worker shuts down: finish what runs, begin nothing
WORKER = f"{socket.gethostname()}:{os.getpid()}"


class NoLongerWanted(Exception):
    """A newer rollout or a person decided otherwise since this push was queued: nothing must be sent."""


def deliver(container_id: uuid.UUID, dialed: ssh.Dial | None = None) -> bool:
    """Deliver everything due on this container; return whether something became due meanwhile.

    False at once if nothing is due, another worker holds the container, or this worker is shutting down.
    `dialed` is a dial to it that is over; without one, the connection is made here.
    """
    lease = Lease(container_id, owner=WORKER)
    line = Line(lease, dialed)
    with bound(container=str(container_id), worker=WORKER):
        try:
            work = _claim(container_id, lease)
            while work:
                _deliver_one(*work, line)
                work = None if stopping.is_set() else _next(container_id, lease)
        except LeaseLost:
            logger.warning("The lease on container %s was lost; its new holder goes on.", container_id)
            return False
        finally:
            line.drop()
            lease.release()
    return lease.was_held and not stopping.is_set() and _is_due(container_id)


def _claim(container_id: uuid.UUID, lease: Lease) -> tuple[Push, Attempt] | None:
    """Take the container, settle what a vanished holder left there, and begin the first push that is due."""
    if stopping.is_set():
        return None
    with lease.taken() as is_ours:
        if not is_ours:
            return None
        return _begin(container_id, lease)


def _next(container_id: uuid.UUID, lease: Lease) -> tuple[Push, Attempt] | None:
    if not Push.objects.waiting().filter(container=container_id).exists():
        return None
    with lease.held():
        return _begin(container_id, lease)


def _is_due(container_id: uuid.UUID) -> bool:
    return Push.objects.due().filter(container=container_id).exists()


@dataclass
class Line:
    """The one SSH connection of a delivery, opened when it is first needed."""

    lease: Lease
    dialed: ssh.Dial | None = None
    connection: ssh.Connection | None = None
    failure: ssh.SSHError | None = None

    def open(self, container: Container) -> ssh.Connection:
        """Return the connection; raise the same `ssh.SSHError` again for every push if it cannot be had."""
        if self.failure:
            raise self.failure
        if self.connection is None:
            try:
                self.connection = self._connect(container)
            except ssh.SSHError as error:
                self.failure = error
                raise
        return self.connection

    def _connect(self, container: Container) -> ssh.Connection:
        """Connect; keep an unapproved key for an admin, or trust it if one gave its fingerprint before."""
        try:
            return self._connect_pinned(container)
        except ssh.HostKeyUnknown as error:
            shown = ssh.Shown((error.offered,))
            scan = host_keys.store_scan(container=container, shown=shown, actor=PORTAL)
            if scan.approved:
                return self._connect_pinned(container)
            raise ssh.HostKeyChanged(error.offered) if scan.is_expected_missing else error from None
        except ssh.HostKeyChanged as error:
            key = error.offered
            host_keys.note_offered(
                container=container, type=key.type, base64=key.base64, fingerprint=key.fingerprint
            )
            raise

    def _connect_pinned(self, container: Container) -> ssh.Connection:
        dialed, self.dialed = self.dialed, None
        keys = host_keys.approved_lines(container)
        jump = jump_hosts.jump_to(container)
        database.rest()
        return ssh.Connection.open(
            ssh.Target(container.address, container.port, container.login, keys, jump),
            key=portal_key.private_key(),
            policy=policy.address_policy(),
            deadlines=policy.deadlines(),
            tick=self.lease.tick,
            dialed=dialed,
        )

    def in_session(self, act: Callable[[], Result]) -> Result:
        """Do what opens a session; over a new connection if an earlier conversation holds the only one.

        A server may allow few sessions at once (`MaxSessions`), and refuses before it reads anything.
        """
        try:
            return act()
        except ssh.SessionRefused:
            if self.connection is None or not self.connection.has_carried:
                raise
            self.drop()
            return act()

    def heed(self, refused: nlserver.Refused) -> None:
        """Keep the connection after a refusal, unless its sign was a silence: the deadline closed it then."""
        if refused.code in {Code.BECOME_REFUSED, Code.INPUT_NOT_PRIVATE}:
            self.drop()

    def why_silent(self, container: Container, job: nlserver.Job) -> str:
        """Ask over a new connection why the login could not become neolane: a silence ended the old one."""
        self.drop()
        try:
            return nlserver.why_silent(self.open(container), job)
        except ssh.SSHError:
            self.failure = None  # of a question that the next push does not ask
            return Code.BECOME_REFUSED
        finally:
            self.drop()

    def drop(self) -> None:
        """Close a connection that broke, so that the next push opens a new one."""
        if self.dialed:
            self.dialed.close()
            self.dialed = None
        if self.connection:
            self.connection.close()
            self.connection = None


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
    other_portal: str = ""
    via: str = ""

    def say(self, output: bytes, secrets: Iterable[Secret]) -> None:
        """Keep what the container said, without these secrets; nothing if none of them could be opened."""
        known = list(secrets)
        self.output = redaction.redact(output, known) if known else ""

    def note(self, error: ssh.SSHError, secrets: Iterable[Secret] = ()) -> None:
        """Remember what an error says beyond its code.

        A jump host's key is known from nowhere else: it is not kept with the container's.
        """
        known = list(secrets)
        self.notes = [redaction.redact(detail.encode(), known) for detail in error.details]
        if isinstance(error, ssh.JumpHostKeyChanged):
            self.notes = [f"the jump host showed {error.offered.fingerprint}"]

    def meet(self, last: str) -> None:
        """Remember who else pushed to the installation, if anybody did."""
        if last:
            self.other_portal = last
            self.notes = [*self.notes, f"the last push there was by {last}"]

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


def _deliver_one(push: Push, attempt: Attempt, line: Line) -> None:
    """Make one attempt at one push: its row was written first, then comes the deed, then its outcome."""
    started = time.monotonic()
    evidence = Evidence(via=cut_out(jump_hosts.in_words(push.container)))
    with bound(rollout=push.rollout.number, push=push.pk, attempt=attempt.number):
        outcome = _attempt(push, attempt, line, evidence)
        attempt.seconds = round(time.monotonic() - started, 3)
        write = partial(_write_outcome, push, attempt, outcome, evidence, line.lease)
        _insist(write, "the outcome", push)
        fields = {"state": outcome.state, "code": outcome.code, "seconds": attempt.seconds}
        logger.info("the attempt ended", extra=fields)


def _begin(container_id: uuid.UUID, lease: Lease) -> tuple[Push, Attempt] | None:
    """Mark the next due push as running and write its attempt; None if nothing is due. In a transaction.

    Whatever runs already was left by a holder that vanished, and is settled first.
    """
    push = _first_at_hand(container_id)
    if push and push.state == Push.State.RUNNING:
        settle_abandoned(container_id)
        push = _first_at_hand(container_id)
    if push is None:
        return None
    looking = push.state == Push.State.UNKNOWN
    push.tries += not looking
    push.state = Push.State.RUNNING
    push.save(update_fields=["state", "tries"])
    secret = push.rollout.secret
    made: int = getattr(push, "made")  # noqa: B009  # an annotation, which the model's type does not know
    return push, Attempt.objects.create(
        push=push,
        number=made + 1,
        kind=Attempt.Kind.LOOK if looking else Attempt.Kind.PUSH,
        cause=push.cause,
        # cut, for an earlier release may have stored a secret there, and no table takes one any more
        caused_by=cut_out(push.cause_by) if push.cause in ("rollout", "retry") else "",
        message=cut_out(push.cause_message) if push.cause == "retry" else "",
        secret_version=secret.version,
        secret_fingerprint=secret.fingerprint,
        lease_token=lease.token,
        worker=lease.owner,
    )


def _first_at_hand(container_id: uuid.UUID) -> Push | None:
    related = (
        "rollout__secret__account",
        "installation__instance__assignment",
        "installation__other_portal",
        "container__jump_host",
    )
    # Unknown ones before queued ones: a look takes moments, and whoever asked waits for its answer.
    rank = Case(When(state=Push.State.RUNNING, then=0), When(state=Push.State.UNKNOWN, then=1), default=2)
    pushes = Push.objects.at_hand().filter(container=container_id).select_related(*related)
    # A person may retry, and so sign, an unknown push while it is read: hence the lock.
    locked = pushes.order_by(rank, "due").select_for_update(of=("self",))
    portal = Subquery(PortalIdentity.objects.values("value")[:1])
    push = locked.annotate(made=last_attempt_number(), portal=portal).first()
    if push:
        # It is named by it in the audit trail, while everybody else's recording waits.
        push.installation.container = push.container
    return push


def _attempt(push: Push, attempt: Attempt, line: Line, evidence: Evidence) -> Outcome:
    """Do the deed. Every way it can end is a value; only a lost lease goes through."""
    try:
        return _act(push, attempt, line, evidence)
    except ssh.SSHError as error:
        line.drop()
        evidence.note(error, _secrets(push) if error.details else ())
        return _nothing_sent(attempt, error.code)
    except nlserver.Refused as error:
        line.heed(error)
        secrets = _secrets(push)
        evidence.say(error.output, secrets)
        evidence.build = error.ready.build
        evidence.meet(error.ready.elsewhere)
        evidence.see(error.ready.before, secrets)
        return _nothing_sent(attempt, error.code)
    except nlserver.ReportLost as error:
        line.drop()
        return Outcome(Push.State.UNKNOWN, error.code)
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


def _act(push: Push, attempt: Attempt, line: Line, evidence: Evidence) -> Outcome:
    """Push or look. Why the login could not become neolane is asked here, for nothing was sent."""
    try:
        if attempt.kind == Attempt.Kind.LOOK:
            return _look(push, attempt, line, evidence)
        return line.in_session(lambda: _push(push, attempt, line, evidence))
    except nlserver.Refused as error:
        if error.code == Code.BECOME_REFUSED:
            error.code = line.why_silent(push.container, _job(push, attempt.number))
        raise


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
def _push(push: Push, attempt: Attempt, line: Line, evidence: Evidence) -> Outcome:
    """Speak with the container in two steps: what is there, then the values; judge what it reports."""
    if attempt.stage in SENT:
        raise RuntimeError("an attempt sends the values once")
    if not push.is_wanted:
        raise NoLongerWanted
    secret = open_version(push.rollout.secret)
    connection = line.open(push.container)
    evidence.host_key = connection.host_key
    attempt.stage = Attempt.Stage.PREPARING
    job, account = _job(push, attempt.number), _account(push)
    with nlserver.Conversation(connection, job) as talk:
        ready = talk.ready(settings.PUSH_READY_TIMEOUT)
        evidence.build, attempt.before_digest = ready.build, ready.before.digest

        def before_newline() -> None:
            _commit_point(push, attempt, line.lease)

        try:
            report = talk.commit(account, secret, before_newline=before_newline)
        finally:
            evidence.output = redaction.redact(talk.output, [secret])
    attempt.stage = Attempt.Stage.DONE
    evidence.exit_codes = report.exit_codes
    if report.held.read:
        attempt.before_digest = report.held.digest
    evidence.keep(report.after, [secret])
    knowledge = _know(report.after.digest, push)
    verdict = nlserver.judge(report, account, knowledge.known)
    if not verdict.final:
        _wait(settings.PUSH_SECOND_LOOK, line.lease)
        try:
            found, knowledge = _see(push, attempt, line, evidence)
        except (ssh.SSHError, nlserver.Refused):
            raise nlserver.ReportLost(talk.output) from None
        verdict = nlserver.judge_again(report, found, account, knowledge.known)
    return _outcome(verdict, knowledge, evidence)


def _look(push: Push, attempt: Attempt, line: Line, evidence: Evidence) -> Outcome:
    """Read the container's file and journal, to settle an attempt whose report was lost."""
    lost = push.attempts.filter(kind=Attempt.Kind.PUSH).order_by("-number")[0]
    attempt.stage = Attempt.Stage.REPORTING
    for pause in (settings.PUSH_SECOND_LOOK, None):
        try:
            found, knowledge = _see(push, attempt, line, evidence)
        except nlserver.Refused as error:
            if error.code != Code.ANSWER_MALFORMED:
                raise
            evidence.say(error.output, _secrets(push))
            return Outcome(Push.State.FAILED, error.code)
        verdict = nlserver.judge_look(
            found, _account(push), lost.before_digest, push.rollout.fence, lost.number, knowledge.known
        )
        if verdict.final or pause is None:
            break
        _wait(pause, line.lease)
    attempt.stage = Attempt.Stage.DONE
    evidence.say(found.output, _secrets(push))
    return _outcome(verdict, knowledge, evidence)


def _wait(seconds: float, lease: Lease) -> None:
    """Give a file that is written late its time, while the container stays ours."""
    database.rest()
    while seconds > 0:
        time.sleep(min(seconds, 1.0))
        seconds -= 1.0
        lease.tick()


def _see(
    push: Push, attempt: Attempt, line: Line, evidence: Evidence
) -> tuple[nlserver.Look, proof.Knowledge]:
    """Look at the file, and ask what is known of the secret in it."""

    def look() -> nlserver.Look:
        connection = line.open(push.container)
        evidence.host_key = connection.host_key
        return nlserver.look(connection, _job(push, attempt.number))

    found = line.in_session(look)
    evidence.build = found.ready.build
    evidence.keep(found.after, _secrets(push))
    return found, _know(found.after.digest, push)


def _know(digest: str, push: Push) -> proof.Knowledge:
    """Ask what is known of a digest; a report that is at hand must not be lost to a database that is away."""
    return _insist(partial(proof.knowledge_of, digest, push), "the proofs", push)


@sensitive_variables()
def _secrets(push: Push) -> list[Secret]:
    """What has to be cut out of whatever the container says, as far as it can be decrypted."""
    with suppress(UnreadableSecret):
        return [open_version(push.rollout.secret)]
    return []


def _outcome(verdict: nlserver.Verdict, knowledge: proof.Knowledge, evidence: Evidence) -> Outcome:
    """Say a verdict in a push's own states; to be sent again means queued."""
    evidence.notes = [*verdict.notes, *knowledge.elsewhere]
    if verdict.last and _is_not_ours(verdict.last):
        evidence.meet(str(verdict.last))
        return Outcome(Push.State.FAILED, Code.OTHER_PORTAL, verdict.written)
    state = Push.State.QUEUED if verdict.state == "requeue" else verdict.state
    if verdict.code == Code.DIGEST_AMBIGUOUS:
        logger.error("One digest is proven for two versions.", extra={"digest": evidence.after_digest})
    return Outcome(state, verdict.code, verdict.written, verdict.proof, verdict.again)


def _is_not_ours(last: nlserver.Last) -> bool:
    """Whether somebody else pushed there: a copy of this portal has its id, but numbers of its own."""
    return bool(last.portal) or not Rollout.objects.filter(fence=last.fence).exists()


def _commit_point(push: Push, attempt: Attempt, lease: Lease) -> None:
    """Record that the values are about to go out, unless they are no longer wanted."""
    with lease.held():
        mine = Attempt.objects.filter(pk=attempt.pk, push__in=Push.objects.wanted())
        values = {"stage": Attempt.Stage.COMMITTING, "before_digest": attempt.before_digest}
        if not mine.update(**values):
            raise NoLongerWanted
        attempt.stage = Attempt.Stage.COMMITTING
    database.rest()


def _job(push: Push, attempt_number: int) -> nlserver.Job:
    instance, container = push.installation.instance, push.container
    other = getattr(push.installation, "other_portal", None)
    return nlserver.Job(
        instance=instance.name,
        install_root=container.install_root,
        become=cast("nlserver.Become", container.become),  # the model's choices are the same three
        fence=push.rollout.fence,
        attempt=attempt_number,
        restart_pipelined=instance.uses_triggers,
        limit=settings.PUSH_COMMAND_LIMIT,
        user=settings.CAMPAIGN_USER,
        portal=getattr(push, "portal", None) or "",  # an annotation, which the model's type does not know
        over=other.taken_over if other else "",
    )


def _account(push: Push) -> nlserver.Account:
    account = push.rollout.secret.account
    return nlserver.Account(account.organization_id, account.client_id, account.technical_account_id)


def _insist(action: Callable[[], Result], what: str, push: Push) -> Result:
    """Ask the database, again and again while it is away, as long as the lease may last."""
    deadline = time.monotonic() + settings.PUSH_LEASE
    while True:
        try:
            return action()
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            logger.warning("The database did not answer about %s of push %s; trying again.", what, push.pk)
            with suppress(OperationalError):
                close_old_connections()
            time.sleep(1)


def _write_outcome(push: Push, attempt: Attempt, outcome: Outcome, evidence: Evidence, lease: Lease) -> None:
    with lease.held():
        fresh = Push.objects.select_for_update().get(pk=push.pk)
        if fresh.state != Push.State.RUNNING:
            return  # an earlier try did reach the database, only its answer was lost
        fresh.rollout, fresh.installation, fresh.container = push.rollout, push.installation, push.container
        _observe(push, evidence)
        attempt.after_digest = evidence.after_digest
        attempt.exit_codes, attempt.output = evidence.exit_codes, evidence.output
        attempt.build, attempt.host_key = evidence.build or None, evidence.host_key
        attempt.notes = [f"through {evidence.via}", *evidence.notes] if evidence.via else evidence.notes
        settle(fresh, attempt, outcome)


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
    if evidence.other_portal:
        other_portals.note(push.installation, evidence.other_portal)
    elif evidence.exit_codes and hasattr(push.installation, "other_portal"):
        other_portals.forget(push.installation)
