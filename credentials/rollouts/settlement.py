"""What an outcome makes of a push: ended, tried again later, or still to be looked at."""

import random
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now

from credentials.rollouts.desires import call_off, written_after_all
from credentials.rollouts.models import HOLDING, Attempt, Push, due_in
from credentials.rollouts.notices import note_failure
from instances.failures import Code, explain
from instances.models import Installation
from portal.audit.trail import PORTAL, record

LOOK_PAUSE = 5.0  # seconds; looks have no end but an answer, so they must not follow each other at once
PATIENCE = timedelta(minutes=20)
"""How long an unknown push is looked at as often as a failed one is sent again; then ever more rarely."""
RARER = 4
"""After that, the pause before the next look is the time that it has been unknown, divided by this."""
RAREST = timedelta(days=1)
MOST_DOUBLINGS = 16
SENT = (Attempt.Stage.COMMITTING, Attempt.Stage.REPORTING, Attempt.Stage.DONE)


@dataclass(frozen=True)
class Outcome:
    """What one attempt showed. `state` is a push state; queued means: send it again.

    `proof` is one of `Attempt.Proof`, or empty. `again`: failed, to be sent once more without a person.
    """

    state: str
    code: str = ""
    written: bool | None = None
    proof: str = ""
    again: bool = False


def settle(push: Push, attempt: Attempt, outcome: Outcome) -> str:
    """Move a running push on from `outcome`, in the caller's transaction, and finish its attempt.

    `push` is the locked, fresh row; its new state is returned. An end, and becoming unknown, are recorded in
    the audit trail: last, because that keeps everybody else's recording waiting.
    """
    values = _values(push, attempt, outcome)
    if outcome.state == Push.State.UNKNOWN and attempt.kind == Attempt.Kind.PUSH:
        if values["state"] == Push.State.UNKNOWN:
            values["unknown_since"] = Now()
        if not push.is_written:
            values["is_written"] = None  # what an earlier attempt showed says nothing about this one
        _forget_what_was_seen(push)
    elif outcome.written is not None:
        values["is_written"] = outcome.written or bool(push.is_written)
    elif attempt.kind == Attempt.Kind.PUSH and attempt.stage in SENT and not attempt.observation_id:
        _forget_what_was_seen(push)
    Push.objects.filter(pk=push.pk).update(**values)
    state = str(values["state"])
    attempt.verdict, attempt.code, attempt.finished = state, outcome.code, Now()
    attempt.proof = outcome.proof
    attempt.save()
    _settle_desire(push, state, outcome)
    still_unknown = state == Push.State.UNKNOWN and attempt.kind == Attempt.Kind.LOOK
    if attempt.host_key and not still_unknown:
        # Not after a look that settled nothing: two of them would bring each other forward for ever.
        look_soon([push.container_id])
    if state != Push.State.QUEUED and not still_unknown:
        _record(push, attempt, state, str(values["code"]))
    return state


def _forget_what_was_seen(push: Push) -> None:
    """Values went out and nobody read the file since: what was seen there before proves nothing now.

    Not even if nobody ever looks, because of a newer push or a cancellation.
    """
    Installation.objects.filter(pk=push.installation_id).update(observed_digest="")


def _settle_desire(push: Push, state: str, outcome: Outcome) -> None:
    if push.replaced and outcome.proof in HOLDING:
        written_after_all(push)
    elif state in (Push.State.CANCELLED, Push.State.SUPERSEDED):
        call_off([push.pk])


@transaction.atomic(savepoint=False)
def look_soon(container_ids: Iterable[uuid.UUID]) -> None:
    """Have the unknown pushes of these containers looked at now: one answered, or a person mended something.

    A push that another transaction is just writing is left out, since two that write several pushes could
    wait for each other; it is looked at in its own time.
    """
    unknown = Push.objects.filter(container__in=list(container_ids), state=Push.State.UNKNOWN)
    free = unknown.filter(due__gt=Now()).order_by("pk").select_for_update(of=("self",), skip_locked=True)
    Push.objects.filter(pk__in=list(free.values_list("pk", flat=True)), state=Push.State.UNKNOWN).update(
        **due_in()
    )


def _record(push: Push, attempt: Attempt, state: str, code: str) -> None:
    """Have people told of a failure, and record the outcome: last, as `settle` says."""
    if state == Push.State.FAILED:
        note_failure(push, code)
    record(
        f"push.{state}",
        actor=PORTAL,
        target=push,
        details={
            "rollout": push.rollout.number,
            "code": code,
            "attempt": attempt.number,
            "version": attempt.secret_version,
            "fingerprint": attempt.secret_fingerprint,
        },
    )


def _values(push: Push, attempt: Attempt, outcome: Outcome) -> dict[str, object]:
    end: dict[str, object] = {"code": outcome.code, "finished": Now()}
    if outcome.state == Push.State.SUCCEEDED:
        return end | {"state": Push.State.SUCCEEDED}
    if push.replaced:
        return end | {"state": Push.State.SUPERSEDED}
    if outcome.state == Push.State.UNKNOWN:
        again = due_in() if attempt.kind == Attempt.Kind.PUSH else _next_look(push, attempt)
        code = Code.NO_REPORT if explain(outcome.code).retries else outcome.code
        return {"state": Push.State.UNKNOWN, "code": code, "cause": "look", **again}
    exhausted = push.tries > len(settings.PUSH_RETRY_DELAYS)
    if outcome.state == Push.State.QUEUED and exhausted:
        return end | {"state": Push.State.FAILED, "code": Code.INTERRUPTED}
    queued = {"state": Push.State.QUEUED, "code": outcome.code, "cause": "automatic"}
    if outcome.state == Push.State.QUEUED:
        return queued | due_in()
    if outcome.again and not push.resent and not exhausted:
        return queued | {"resent": True} | _later(1)
    if outcome.state == Push.State.FAILED and explain(outcome.code).retries and not exhausted:
        return queued | _later(push.tries)
    return end | {"state": outcome.state}


def _next_look(push: Push, attempt: Attempt) -> dict[str, object]:
    """Return what puts off the next look: a host that has been away for long is asked ever more rarely.

    So an outcome that can be read again comes late by a quarter of the time that it could not be read. A
    clock that was set forward makes it look old at once: so the first looks are as frequent as ever, and then
    the pause at most doubles with each.
    """
    moments = Push.objects.filter(pk=push.pk).annotate(now=Now()).values_list("unknown_since", "now")
    since, now = moments.get()
    age = now - since if since else timedelta()  # both by the database's clock
    delays: list[int] = settings.PUSH_RETRY_DELAYS or [60]
    looks = _looks(push, attempt)
    if age < PATIENCE or looks <= len(delays):
        return _later(looks, LOOK_PAUSE)
    usual = timedelta(seconds=max(delays))
    most = max(usual, timedelta(minutes=1)) * 2 ** min(looks - len(delays), MOST_DOUBLINGS)
    pause = max(usual, min(age / RARER, most, RAREST))
    return due_in(pause * random.uniform(0.9, 1.0))  # noqa: S311  # no secret


def _looks(push: Push, attempt: Attempt) -> int:
    """Return how many looks there were since the values were last sent, this one included."""
    sent = push.attempts.filter(kind=Attempt.Kind.PUSH).aggregate(last=Max("number"))["last"]
    return attempt.number - (sent or 0)


def _later(tries: int, at_least: float = 0) -> dict[str, object]:
    """Return what puts a push off until its next try, with jitter so that not all containers come at once."""
    delays: list[int] = settings.PUSH_RETRY_DELAYS or [60]
    delay = delays[min(max(tries, 1), len(delays)) - 1] * random.uniform(0.8, 1.2)  # noqa: S311  # no secret
    return due_in(timedelta(seconds=max(delay, at_least)))


def settle_abandoned(container_id: uuid.UUID) -> None:
    """Settle what a holder that vanished left running; the caller has just taken the container."""
    running = Push.objects.filter(container=container_id, state=Push.State.RUNNING)
    related = ("rollout", "installation__instance", "container")
    for push in running.select_for_update(of=("self",)).select_related(*related):
        attempt = push.attempts.filter(finished=None).first()
        if attempt:
            settle(push, attempt, abandoned_outcome(attempt))
        else:
            again = {"state": Push.State.QUEUED, **due_in()}
            end = {"state": Push.State.SUPERSEDED, "finished": Now()}
            Push.objects.filter(pk=push.pk).update(**(end if push.replaced else again))


def abandoned_outcome(attempt: Attempt) -> Outcome:
    """Return what is known of an attempt whose worker vanished: by its kind and the stage it reached."""
    if attempt.kind == Attempt.Kind.LOOK or attempt.stage in SENT:
        return Outcome(Push.State.UNKNOWN, Code.NO_REPORT)
    return Outcome(Push.State.FAILED, Code.WORKER_LOST, written=None)
