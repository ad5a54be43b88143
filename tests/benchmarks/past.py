"""The past of a seeded portal: rollouts over three years, their pushes, and every attempt."""

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from credentials.models import DesiredVersion, DesiredVersionChange, GoalChange, TechnicalAccount, Why
from credentials.rollouts.models import Attempt, ProvenWrite, Push, Rollout
from instances.failures import Code
from instances.models import Installation
from tests.benchmarks.fleet import VERSIONS, Fleet
from tests.benchmarks.rows import store
from tests.benchmarks.scale import Scale

SPAN = timedelta(days=3 * 365)
TRIES = 1.2
"""Attempts per push: one in five needs a second one."""
OUTPUT = (
    "07:41:12 >   Application server for Adobe Campaign Classic (7.4.1 build 9394) of 2024-11-12\n"
    "07:41:12 >   Launching task 'config' (pid=28113, tid=28113)\n"
    "07:41:13 >   Updating configuration of instance '{instance}' in file 'config-{instance}.xml'\n"
    "07:41:13 >   Configuration successfully updated.\n"
    "07:41:14 >   Reloading the configuration of the web server: OK\n"
)
FAILURES = (Code.TIMED_OUT, Code.HOST_UNREACHABLE, Code.LOGIN_REFUSED, Code.HOST_KEY_CHANGED)
OUTCOMES = (
    (Push.State.SUCCEEDED, 93),
    (Push.State.FAILED, 4),
    (Push.State.SUPERSEDED, 2),
    (Push.State.CANCELLED, 1),
)
OUTCOMES_NOW = (
    (Push.State.SUCCEEDED, 92),
    (Push.State.FAILED, 3),
    (Push.State.UNKNOWN, 1),
    (Push.State.QUEUED, 4),
)
"""Of the newest rollout of each account, which is under way."""
NEVER_TRIED = (Push.State.QUEUED, Push.State.CANCELLED, Push.State.SUPERSEDED)


@dataclass
class _Plan:
    """One rollout to write."""

    account: TechnicalAccount
    at: datetime
    version: int
    is_newest: bool


def seed_past(fleet: Fleet, scale: Scale) -> None:
    """Roll every account out again and again until there are as many attempts as the scale says."""
    rounds = max(1, round(scale.attempts / TRIES / max(1, scale.installations)))
    plans = [
        _Plan(
            account, fleet.now - SPAN * (1 - (number + 1) / rounds) - timedelta(minutes=place), version, last
        )
        for number in range(rounds)
        for last in [number == rounds - 1]
        for version in [VERSIONS if last else number * VERSIONS // rounds + 1]
        for place, account in enumerate(fleet.accounts)
    ]
    plans.sort(key=lambda plan: plan.at)
    total = sum(len(fleet.using[plan.account.pk]) for plan in plans)
    pushed = written = 0
    for number, plan in enumerate(plans, 1):
        pushed += len(fleet.using[plan.account.pk])
        pushes, attempts = _rollout(fleet, plan, number, scale.attempts * pushed // total - written)
        store(pushes)
        written += store(attempts)
    store(list(fleet.proven.values()))
    _observe(fleet)
    _desire(fleet)


def _rollout(fleet: Fleet, plan: _Plan, number: int, count: int) -> tuple[list[Push], list[Attempt]]:
    rollout = Rollout(
        id=fleet.uuid(),
        number=number,
        fence=int(plan.at.timestamp() * 1000) + number,
        secret=fleet.secrets[plan.account.pk][plan.version - 1],
        reason=fleet.random.choice([Rollout.Reason.ROTATION, Rollout.Reason.REPAIR]),
        message=f"CHG{number:07}" if number % 2 else "",
        requested=plan.at,
        requested_by=fleet.people[0],
        requested_by_name="alice",
    )
    store([rollout])
    pushes = [_push(fleet, rollout, each, plan) for each in fleet.using[plan.account.pk]]
    tried = [push for push in pushes if push.state not in NEVER_TRIED]
    tries = Counter(push.pk for push in tried)
    if tried:
        tries.update(push.pk for push in fleet.random.choices(tried, k=max(0, count - len(tried))))
    return pushes, [each for push in pushes for each in _attempts(fleet, push, tries[push.pk])]


def _push(fleet: Fleet, rollout: Rollout, installation: Installation, plan: _Plan) -> Push:
    outcomes = OUTCOMES_NOW if plan.is_newest else OUTCOMES
    state = fleet.random.choices([state for state, _ in outcomes], [weight for _, weight in outcomes])[0]
    failed = state in (Push.State.FAILED, Push.State.UNKNOWN)
    is_open = state in Push.OPEN
    push = Push(
        id=fleet.uuid(),
        rollout=rollout,
        installation=installation,
        container_id=installation.container_id,
        state=state,
        code="" if not failed else Code.NO_REPORT if is_open else fleet.random.choice(FAILURES),
        due=plan.at,
        put_off=plan.at,
        tries=int(failed),
        cause_by="alice",
        is_written=True if state == Push.State.SUCCEEDED else None,
        replaced=not plan.is_newest,
        requested=plan.at,
        finished=None if is_open else plan.at + timedelta(seconds=30),
    )
    if state == Push.State.SUCCEEDED:
        installation.observed_digest = _digest(push)
        installation.observed_client_id = plan.account.client_id
        installation.observed_account_id = plan.account.technical_account_id
        written = {"secret": rollout.secret, "fence": rollout.fence, "digest": _digest(push)}
        fleet.proven[installation.pk] = ProvenWrite(installation=installation, **written)
    return push


def _attempts(fleet: Fleet, push: Push, count: int) -> Iterator[Attempt]:
    """Yield the attempts of a push: the last one has its outcome, an earlier one found nobody."""
    for number in range(1, count + 1):
        is_last = number == count
        started = push.requested + timedelta(seconds=15 * number)
        by_person = number > 1 and fleet.random.random() < 0.3
        yield Attempt(
            id=fleet.uuid(),
            push=push,
            number=number,
            cause=Attempt.Cause.RETRY if by_person else Attempt.Cause.ROLLOUT if number == 1 else "automatic",
            caused_by="henry" if by_person else "alice",
            message=f"INC{fleet.random.randrange(10**7):07}" if by_person else "",
            secret_version=push.rollout.secret.version,
            secret_fingerprint=push.rollout.secret.fingerprint,
            lease_token=fleet.uuid(),
            worker=f"worker{number % 3 + 1}@portal",
            started=started,
            finished=started + timedelta(seconds=2),
            seconds=1.5 + fleet.random.random(),
            stage=Attempt.Stage.DONE if is_last else Attempt.Stage.CONNECTING,
            verdict=push.state if is_last else Push.State.QUEUED,
            code=push.code if is_last else Code.HOST_UNREACHABLE,
            exit_codes={"config": 0, "reload": 0} if is_last else {},
            output=OUTPUT.format(instance=push.installation.instance.name) if is_last else "",
            before_digest=f"{push.id.int % 16**64:064x}" if is_last else "",
            after_digest=_digest(push) if is_last and push.state == Push.State.SUCCEEDED else "",
            proof=Attempt.Proof.CHANGED if is_last and push.state == Push.State.SUCCEEDED else "",
            build=push.installation.observed_build,
            host_key=f"SHA256:{number:043}",
        )


def _digest(push: Push) -> str:
    """What the encrypted secret in the file looks like after this push."""
    return f"{push.id.int:064x}"


def _observe(fleet: Fleet) -> None:
    """Write what the pushes left on the containers; one file in fifty was changed by somebody since then."""
    rows = [
        (
            "f" * 64 if number % 50 == 49 else each.observed_digest,
            each.observed_client_id,
            each.observed_account_id,
            _key(each.pk),
        )
        for number, each in enumerate(fleet.installations)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE instances_installation SET observed_digest = %s, observed_client_id = %s, "
            "observed_account_id = %s WHERE id = %s",
            rows,
        )


def _desire(fleet: Fleet) -> None:
    """Let every installation desire what its newest push is to bring; the newest version is the goal."""
    newest = Push.objects.filter(replaced=False).values_list("installation", "rollout__secret", "pk")
    facts = [
        {"installation_id": installation, "version_id": version, "push": push, "why": Why.ROLLOUT}
        for installation, version, push in newest
    ]
    store([DesiredVersion(**fact) for fact in facts])
    store([DesiredVersionChange(**fact) for fact in facts])
    for account in fleet.accounts:
        account.goal = fleet.secrets[account.pk][-1]
        account.save(update_fields=["goal"])
    store([GoalChange(account=each, version=each.goal, why=Why.ROLLOUT) for each in fleet.accounts])


def _key(pk: uuid.UUID) -> Any:  # Any: what the database takes for an id
    return pk if connection.vendor == "postgresql" else pk.hex
