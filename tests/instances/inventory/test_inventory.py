"""The editing, one thing at a time."""

import uuid
from datetime import timedelta

import pytest

from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Push, Rollout
from instances.discovery.models import Reading
from instances.inventory import editing
from instances.models import Container, Installation, Instance
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor

pytestmark = pytest.mark.django_db


def installed(*, instance: str = "prod1", container: str = "app-1") -> Installation:
    return Installation.objects.create(
        instance=Instance.objects.create(name=instance),
        container=Container.objects.create(name=container, address=f"{container}.example.com"),
    )


def pushed(installation: Installation) -> Push:
    account = TechnicalAccount.objects.create(name="analytics", client_id="c1")
    secret = ClientSecret.objects.create(account=account, version=1, client_id="c1", ciphertext="x", slot=1)
    rollout = Rollout.objects.create(number=1, fence=1, secret=secret, reason=Rollout.Reason.NEW)
    return Push.objects.create(rollout=rollout, installation=installation, container=installation.container)


def test_a_new_instance_is_recorded_with_its_values(actor: Actor) -> None:
    editing.save_instance(instance=Instance(name="prod1"), actor=actor)
    event = AuditEvent.objects.get()
    assert (event.action, event.target_name, event.actor_name) == ("instance.created", "prod1", "alice")
    assert event.details["deployment"] == "on-premise"


def test_an_edit_records_what_differs_and_nothing_else(actor: Actor) -> None:
    container = Container.objects.create(name="app-1", address="old.example.com")
    container.address = "new.example.com"
    editing.save_container(container=container, actor=actor)
    event = AuditEvent.objects.get()
    assert event.details == {"changes": {"address": ["old.example.com", "new.example.com"]}}


def test_saving_without_a_change_records_nothing(actor: Actor) -> None:
    container = Container.objects.create(name="app-1", address="app-1.example.com")
    editing.save_container(container=container, actor=actor)
    assert not AuditEvent.objects.exists()


def mark_by_hand(container: Container, actor: Actor) -> None:
    container.is_by_hand = True
    editing.save_container(container=container, actor=actor)


def test_what_waits_for_a_container_ends_when_it_is_marked_by_hand(actor: Actor) -> None:
    queued = pushed(installed())
    container = queued.container
    unknown = Push.objects.create(
        rollout=Rollout.objects.create(
            number=2, fence=2, secret=queued.rollout.secret, reason=Rollout.Reason.NEW
        ),
        installation=queued.installation,
        container=container,
        state=Push.State.UNKNOWN,
    )
    reading = Reading.objects.create(container=container)
    assert Push.objects.due().exists()
    mark_by_hand(container, actor)
    for row in (queued, unknown, reading):
        row.refresh_from_db()
    assert (queued.state, unknown.state, unknown.code) == ("cancelled", "failed", "by_hand")
    assert (reading.state, reading.code) == ("failed", "by_hand")
    assert [event.action for event in AuditEvent.objects.order_by("seq")] == [
        "container.changed",
        "push.cancelled",
        "push.failed",
    ]
    assert AuditEvent.objects.earliest("seq").details == {"changes": {"is_by_hand": [False, True]}}


def test_nothing_is_due_on_a_container_that_is_marked_by_hand() -> None:
    """Not even what was queued in the moment of the mark."""
    push = pushed(installed())
    Reading.objects.create(container=push.container)
    Container.objects.update(is_by_hand=True)
    assert not Push.objects.due().exists()
    assert not Reading.objects.due().exists()
    assert not Container.objects.in_use().exists()
    assert not Installation.objects.pushable().exists()


def test_a_container_where_a_push_runs_is_not_marked_by_hand(actor: Actor) -> None:
    push = pushed(installed())
    Push.objects.update(state=Push.State.RUNNING)
    with pytest.raises(editing.InventoryError, match="A push is running there now"):
        mark_by_hand(push.container, actor)
    assert not Container.objects.get().is_by_hand
    assert not AuditEvent.objects.exists()


def test_saving_a_stale_form_does_not_take_a_workers_lease_away(actor: Actor) -> None:
    stale = Container.objects.create(name="app-1", address="app-1.example.com")
    token = uuid.uuid4()
    Container.objects.claim(stale.pk, token=token, owner="worker", lease=timedelta(seconds=60))
    stale.login = "campaign"
    editing.save_container(container=stale, actor=actor)
    assert Container.objects.get(pk=stale.pk).lease_token == token


def test_a_name_taken_meanwhile_is_refused_in_words(actor: Actor) -> None:
    Instance.objects.create(name="prod1")
    with pytest.raises(editing.InventoryError, match="same name"):
        editing.save_instance(instance=Instance(name="prod1"), actor=actor)
    assert not AuditEvent.objects.exists()


def test_an_installation_is_added_once(actor: Actor) -> None:
    installation = installed()
    with pytest.raises(editing.InventoryError, match="already"):
        editing.add_installation(
            instance=installation.instance, container=installation.container, actor=actor
        )


def test_an_installation_without_history_is_removed(actor: Actor) -> None:
    installation = installed()
    editing.remove_installation(installation=installation, actor=actor)
    assert not Installation.objects.exists()
    assert AuditEvent.objects.get().target_name == "prod1 on app-1"


def test_an_installation_with_pushes_stays(actor: Actor) -> None:
    installation = installed()
    pushed(installation)
    with pytest.raises(editing.InventoryError, match="history"):
        editing.remove_installation(installation=installation, actor=actor)
    assert Installation.objects.filter(pk=installation.pk).exists()
    assert not AuditEvent.objects.exists()


def test_switching_a_container_off_is_recorded(actor: Actor) -> None:
    container = installed().container
    editing.switch_container(container=container, is_enabled=False, actor=actor)
    assert not Container.objects.get(pk=container.pk).is_enabled
    assert AuditEvent.objects.get().details == {"changes": {"is_enabled": [True, False]}}
