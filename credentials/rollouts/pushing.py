"""Pushing, on a line that is open: the values are sent, the report is judged, the outcome is stored.

Read it from `run_attempt` downwards: it is the main job of the portal.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar, cast

from django.conf import settings
from django.db import OperationalError, close_old_connections
from django.views.decorators.debug import sensitive_variables

from credentials.keys.keyring import UnreadableSecret
from credentials.keys.vault import open_version
from credentials.rollouts import proof
from credentials.rollouts.evidence import Evidence, observe_seen
from credentials.rollouts.models import Attempt, Push, Rollout
from credentials.rollouts.notes import Note, note
from credentials.rollouts.settlement import SENT, Outcome, settle
from instances import nlserver, ssh
from instances.failures import Code
from instances.reaching import redaction
from instances.visits.lease import Lease, LeaseLost
from instances.visits.line import Line
from portal.plaintext import Secret, cut_out
from portal.processes import database
from portal.processes.logs import bound

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


class NoLongerWanted(Exception):
    """A newer rollout or a person decided otherwise since this push was queued: nothing must be sent."""


def run_attempt(push: Push, attempt: Attempt, line: Line) -> None:
    """Run the attempt and store its outcome. Only a lost lease or a database failure is raised."""
    started = time.monotonic()
    evidence = Evidence(via=_way(push))
    with bound(rollout=push.rollout.number, push=push.pk, attempt=attempt.number):
        outcome = _attempt(push, attempt, line, evidence)
        attempt.seconds = round(time.monotonic() - started, 3)
        write = partial(_write_outcome, push, attempt, outcome, evidence, line.lease)
        _insist(write, "the outcome", push)
        fields = {"state": outcome.state, "code": outcome.code, "seconds": attempt.seconds}
        logger.info("the attempt ended", extra=fields)


def _way(push: Push) -> Note:
    """Note the jump host in front of the container, if there is one."""
    host = push.container.jump_host
    if host is None:
        return ""
    return note("through_jump_host", name=cut_out(host.name), address=cut_out(host.address), port=host.port)


def _attempt(push: Push, attempt: Attempt, line: Line, evidence: Evidence) -> Outcome:
    """Run the attempt and return its outcome. Only a lost lease or a database failure is raised."""
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
    """Push or look. Ask here why the login could not become neolane: nothing was sent."""
    try:
        if attempt.kind == Attempt.Kind.LOOK:
            return _look(push, attempt, line, evidence)
        return line.in_session(lambda: _push(push, attempt, line, evidence))
    except nlserver.Refused as error:
        if error.code == Code.BECOME_REFUSED:
            error.code = line.why_silent(push.container, _job(push, attempt.number))
        raise


def _broken(attempt: Attempt) -> Outcome:
    """Return the outcome after an error inside the portal: unknown, once something was sent."""
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
    evidence.find(report.held, [secret])
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
    """Give a file that is written late some time, while the container stays ours."""
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
    """Ask what is known of a digest; a report that is here must not be lost because the database is away."""
    return _insist(partial(proof.knowledge_of, digest, push), "the proofs", push)


@sensitive_variables()
def _secrets(push: Push) -> list[Secret]:
    """What has to be cut out of whatever the container says, as far as it can be decrypted."""
    with suppress(UnreadableSecret):
        return [open_version(push.rollout.secret)]
    return []


def _outcome(verdict: nlserver.Verdict, knowledge: proof.Knowledge, evidence: Evidence) -> Outcome:
    """Say a verdict in a push's own states; to be sent again means queued."""
    evidence.notes = [*map(note, verdict.notes), *knowledge.elsewhere]
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
        observe_seen(push, attempt, evidence)
        attempt.after_digest = evidence.after_digest
        attempt.exit_codes, attempt.output = evidence.exit_codes, evidence.output
        attempt.build, attempt.host_key = evidence.build or None, evidence.host_key
        attempt.notes = [evidence.via, *evidence.notes] if evidence.via else evidence.notes
        settle(fresh, attempt, outcome)
