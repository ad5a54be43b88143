"""Containers are read without being asked: each at its own time, once, whatever clocks and failures do."""

import html
import random
import threading
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from instances.discovery.models import Reading
from instances.discovery.schedule import ask_due, next_of_all, next_turn, turn
from instances.discovery.services import ask, queue
from instances.models import Container, HostKey
from portal.audit.models import AuditEvent
from portal.audit.trail import PORTAL, Actor
from portal.processes import housekeeping
from tests.factories import make_host_key

DAY = 24 * 3600
pytestmark = pytest.mark.django_db


def due_since(name: str, *, minutes: float, state: str = "approved") -> Container:
    """A container whose turn was so many minutes ago: it follows from the id."""
    moment = int(timezone.now().timestamp() - minutes * 60)
    random_part = random.getrandbits(60) * DAY
    container = Container.objects.create(
        id=uuid.UUID(int=random_part + moment), name=name, address=f"{name}.example.com"
    )
    make_host_key(container=container, state=state)
    return container


def end(**values: object) -> None:
    """Let all readings be over."""
    values = {"state": "failed", "code": "timed_out", "finished": timezone.now(), **values}
    Reading.objects.filter(finished=None).update(**values)


def test_one_whose_turn_has_come_is_asked_once_by_the_portal_and_without_an_event() -> None:
    container = due_since("web1", minutes=5)
    due_since("web2", minutes=-5)
    assert ask_due() == 1
    reading = Reading.objects.get()
    assert (reading.container, reading.state, reading.asked_by) == (container, "queued", "portal")
    assert reading.person is None
    assert ask_due() == 0  # it waits
    end()
    assert ask_due() == 0  # it failed, and has to wait for its next turn
    assert not AuditEvent.objects.exists()


def test_one_that_a_person_had_read_since_its_turn_is_not_asked(actor: Actor) -> None:
    container = due_since("web1", minutes=5)
    ask(containers=[container], actor=actor)
    end(state="succeeded", code="")
    assert ask_due() == 0


def test_nobody_logs_in_to_one_that_is_off_or_whose_key_nobody_approved() -> None:
    off = due_since("off", minutes=5)
    Container.objects.filter(pk=off.pk).update(is_enabled=False)
    due_since("new", minutes=5, state="offered")
    due_since("gone", minutes=5, state="revoked")
    assert ask_due() == 0


def test_a_turn_long_missed_is_not_made_up() -> None:
    """So neither a clock that jumps nor a portal that was down has all of them read at once."""
    for hours in range(24):
        due_since(f"web{hours}", minutes=hours * 60 + 30)
    assert ask_due() == 1


def test_a_clock_that_was_set_back_neither_stops_nor_floods() -> None:
    container = due_since("web1", minutes=5)
    for ahead in (timedelta(minutes=1), timedelta(days=400)):
        Reading.objects.create(
            container=container,
            asked_by="portal",
            asked=timezone.now() + ahead,
            state="succeeded",
            finished=timezone.now() + ahead,
        )
    assert ask_due() == 1
    end()
    assert ask_due() == 0


def test_the_fleet_is_spread_over_the_interval() -> None:
    chance, now = random.Random(1), datetime(2026, 3, 1, 12, tzinfo=UTC)
    ids = [uuid.UUID(int=chance.getrandbits(128), version=4) for _ in range(2_400)]
    each = timedelta(days=1)
    hours = Counter(int((now - turn(pk, now, each)).total_seconds()) // 3600 for pk in ids)
    assert set(hours) == set(range(24))
    assert max(hours.values()) < 150
    for pk in ids[:100]:
        last = turn(pk, now, each)
        assert turn(pk, last, each) == last
        assert turn(pk, last - timedelta(seconds=1), each) == last - each


def test_zero_means_never(settings: Settings) -> None:
    due_since("web1", minutes=5)
    settings.READ_INTERVAL = 0
    assert ask_due() == 0
    assert next_turn(uuid.uuid4(), timezone.now()) is None
    assert next_of_all(timezone.now()) is None


def test_it_is_asked_every_minute() -> None:
    assert housekeeping._jobs[ask_due] == 60


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_two_who_ask_at_once_get_the_same_reading(actor: Actor) -> None:
    container = due_since("web1", minutes=5)
    found: list[Reading] = []

    def ask_too() -> None:
        found.extend(ask(containers=[container], actor=actor))
        connection.close()

    other = threading.Thread(target=ask_too)
    with transaction.atomic():
        assert queue(container_ids=[container.pk], actor=PORTAL) == {container.pk}
        other.start()
        other.join(0.3)
    other.join(30)
    assert [reading.asked_by for reading in found] == ["portal"]
    assert Reading.objects.count() == 1


def shown(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return " ".join(html.unescape(answer.content.decode()).split())


def test_pages_say_when_the_next_one_is_due(as_auditor: Client, settings: Settings) -> None:
    first, second = due_since("web1", minutes=-30), due_since("web2", minutes=-60)
    when = next_turn(first.pk, timezone.now())
    assert when
    text = f'automatically every 24 hours, next at <time class="nowrap" datetime="{when.isoformat()}"'
    assert text in shown(as_auditor, f"/containers/{first.pk}/")
    queue(container_ids=[first.pk], actor=PORTAL)
    end()
    assert "by the portal outside its schedule" in shown(as_auditor, f"/containers/{first.pk}/")
    third = due_since("web3", minutes=5)
    queue(container_ids=[third.pk], actor=PORTAL)
    end()
    assert ", as scheduled." in shown(as_auditor, f"/containers/{third.pk}/")
    page = shown(as_auditor, "/containers/readings/")
    assert "is read automatically every 24 hours" in page
    assert f'Next: <a href="/containers/{first.pk}/">web1</a>, <time' in page
    HostKey.objects.filter(container=second).update(state="offered")
    assert "once a host key is approved" in shown(as_auditor, f"/containers/{second.pk}/")
    settings.READ_INTERVAL = 0
    assert "automatically" not in shown(as_auditor, f"/containers/{first.pk}/")
    assert "READ_INTERVAL is 0" in shown(as_auditor, "/containers/readings/")


def test_a_reading_asked_for_in_the_moment_of_a_retirement_ends(settings: Settings) -> None:
    settings.READ_INTERVAL = 0
    retired, in_use = due_since("web1", minutes=5), due_since("web2", minutes=5)
    ask(containers=[retired, in_use], actor=Actor("henry"))
    Container.objects.filter(pk=retired.pk).update(retired=timezone.now(), retired_reason="gone")
    assert ask_due() == 0
    assert dict(Reading.objects.values_list("container__name", "code")) == {"web1": "retired", "web2": ""}
    assert Reading.objects.get(container=in_use).state == "queued"
