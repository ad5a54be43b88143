"""The audit trail of a seeded portal: a chain under the portal's own key, which verifies."""

from collections.abc import Iterator
from datetime import timedelta

from django.db import transaction

from credentials.rollouts.models import Push
from portal.audit.chain import canonical
from portal.audit.models import FIRST, AuditEvent, AuditHead
from portal.audit.names import salted
from tests.benchmarks.fleet import Fleet
from tests.benchmarks.past import SPAN
from tests.benchmarks.rows import store
from tests.benchmarks.scale import Scale

ACTIONS = (
    ("push.succeeded", 70),
    ("push.failed", 8),
    ("push.retried", 4),
    ("sign_in.succeeded", 6),
    ("history.read", 4),
    ("host_key.scanned", 3),
    ("rollout.requested", 2),
    ("user.role_changed", 1),
    ("account.values_entered", 1),
    ("access.refused", 1),
)


@transaction.atomic
def seed_trail(fleet: Fleet, scale: Scale) -> None:
    """Append events until there are as many as the scale says, and seal the end of the chain."""
    head = AuditHead.objects.select_for_update().get(pk=1)
    store(_events(fleet, head, scale.events))
    head.seal = head.expected_seal()
    head.save()


def _events(fleet: Fleet, head: AuditHead, count: int) -> Iterator[AuditEvent]:
    named = Push.objects.select_related("rollout", "installation__instance", "installation__container")
    pushes = list(named[:2_000])
    names = [str(push) for push in pushes]
    actions = fleet.random.choices([name for name, _ in ACTIONS], [weight for _, weight in ACTIONS], k=count)
    begin, step = fleet.now - SPAN, SPAN / max(1, count)
    for number, action in enumerate(actions):
        event = AuditEvent(
            seq=head.seq + 1,
            at=begin + step * number + timedelta(microseconds=number % 1000),
            action=action,
            names={},
            form=canonical.NEWEST,
        )
        _fill(event, fleet, number)
        if pushes and action.startswith("push."):
            place = number % len(pushes)
            event.target_type, event.target_id = "push", str(pushes[place].pk)
            event.target_name = names[place]
            event.details["rollout"] = pushes[place].rollout.number
        event.chain(head.hash or FIRST)
        head.seq, head.hash = event.seq, event.hash
        yield event


def _fill(event: AuditEvent, fleet: Fleet, number: int) -> None:
    """Say who did what: the worker delivers, people do the rest."""
    if event.action in ("push.succeeded", "push.failed"):
        event.actor_name, event.details = "worker", {"attempt": 1, "code": "", "seconds": number % 7}
        return
    person = fleet.people[number % len(fleet.people)]
    event.actor, event.actor_name = person, person.username
    event.names = salted(["/actor_name"])
    event.ip, event.request_id = f"10.0.{number % 250}.7", f"{number:016x}"
    if event.action.startswith("user."):
        event.target_type, event.target_id, event.target_name = "user", str(person.pk), person.username
        event.details = {"role": "Admin", "former_role": "Auditor"}
    elif event.action.startswith(("account.", "rollout.")):
        account = fleet.accounts[number % len(fleet.accounts)]
        event.target_type, event.target_id = "technicalaccount", str(account.pk)
        event.target_name = account.name
        event.details = {"message": f"CHG{number:07}", "installations": number % 100}
    else:
        event.details = {"filters": {"who": f"INC{number % 1000}"}}
