"""What a container's page says of reading: never, under way, what was found, and why not."""

import html
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from instances.discovery.models import Reading
from instances.failures import explain
from instances.models import Container
from portal.audit.models import AuditEvent
from tests.factories import make_installation

pytestmark = pytest.mark.django_db


def page(client: Client, container: Container, *, part: bool = False) -> str:
    headers = {"HX-Request": "true"} if part else {}
    answer = client.get(f"/containers/{container.pk}/", headers=headers)
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


def ended(container: Container, **values: object) -> Reading:
    """A reading that is over."""
    return Reading.objects.create(
        container=container, asked_by="henry", started=timezone.now(), finished=timezone.now(), **values
    )


@pytest.fixture
def container() -> Container:
    return make_installation().container


def test_one_that_was_never_read_says_what_reading_is_for(as_helpdesk: Client, container: Container) -> None:
    text = page(as_helpdesk, container)
    assert "It has never been read." in text
    assert "Read now" in text
    assert "hx-get" not in text.partition('id="contents"')[2].partition(">")[0]


def test_helpdesk_has_it_read_and_the_page_follows(as_helpdesk: Client, container: Container) -> None:
    answer = as_helpdesk.post(f"/containers/{container.pk}/read/")
    assert answer.headers["Location"] == f"/containers/{container.pk}/#contents"
    reading = Reading.objects.get()
    assert (reading.container, reading.asked_by, reading.state) == (container, "henry", "queued")
    event = AuditEvent.objects.get(action="container.reading_asked")
    assert (event.target_name, event.details) == ("web1", {"containers": 1})
    text = page(as_helpdesk, container)
    assert 'hx-trigger="every 2s"' in text
    assert "It changes nothing there" in text
    as_helpdesk.post(f"/containers/{container.pk}/read/")
    assert Reading.objects.count() == 1


def test_what_was_found_is_compared_with_the_inventory(as_auditor: Client, container: Container) -> None:
    make_installation(instance="away", container="web1")
    ended(
        container,
        state="succeeded",
        build=9391,
        found={"prod1": "busy", "stray": "", "loop": "none"},
        strange=2,
        further=1,
    )
    text = " ".join(page(as_auditor, container, part=True).split())
    assert "hx-trigger" not in text
    assert "asked for by henry." in text
    assert "Build 9391." in text
    assert "A push was under way, so its file was left alone." in text
    assert text.count("Found there, but not in the inventory.") == 2
    assert "Its file is a folder, or a link that leads nowhere." in text
    assert "In the inventory, but it has no file there." not in text  # not all files were read
    assert "2 files have names that no instance can have." in text
    assert "1 further file was not read" in text


def test_an_instance_without_a_file_is_said(as_auditor: Client, container: Container) -> None:
    make_installation(instance="away", container="web1")
    ended(container, state="succeeded", found={"prod1": ""})
    assert "In the inventory, but it has no file there." in page(as_auditor, container)


def test_why_it_could_not_be_read_is_said_with_the_next_step(
    as_helpdesk: Client, container: Container
) -> None:
    ended(container, state="failed", code="login_refused")
    text = page(as_helpdesk, container)
    assert str(explain("login_refused").next_step) in text
    assert "In the inventory, but it has no file there." not in text


def test_one_that_is_off_is_not_read(as_helpdesk: Client, container: Container) -> None:
    Container.objects.update(is_enabled=False)
    assert "Read now" not in page(as_helpdesk, container)
    answer = as_helpdesk.post(f"/containers/{container.pk}/read/", follow=True)
    assert "web1 is off: the portal does not log in there." in answer.content.decode()
    assert not Reading.objects.exists()


def test_auditors_have_nothing_read(as_auditor: Client, container: Container) -> None:
    assert "Read now" not in page(as_auditor, container)
    assert as_auditor.post(f"/containers/{container.pk}/read/").status_code == 403


def test_all_containers_are_read_and_the_page_sums_up(as_helpdesk: Client, container: Container) -> None:
    off = make_installation(container="off-1").container
    Container.objects.filter(pk=off.pk).update(is_enabled=False)
    other = make_installation(container="web2").container
    assert "2 containers that are on have never been read." in everything(as_helpdesk)
    answer = as_helpdesk.post("/containers/readings/ask/")
    assert answer.headers["Location"] == "/containers/readings/"
    assert {reading.container for reading in Reading.objects.all()} == {container, other}
    text = everything(as_helpdesk)
    assert "0 of 2 containers" in text
    assert "2 waiting" in text
    assert 'hx-trigger="every 2s"' in text
    Reading.objects.filter(container=container).update(
        state="succeeded", finished=timezone.now(), found={"prod1": "", "stray": "", "other": "busy"}
    )
    Reading.objects.filter(container=other).update(state="failed", finished=timezone.now(), code="timed_out")
    text = everything(as_helpdesk)
    assert 'hx-trigger="every 2s"' not in text
    assert "1 read" in text
    assert "1 could not be read" in text
    assert "other, stray" in text
    assert str(explain("timed_out").next_step) in text


def test_only_the_newest_reading_of_a_container_counts(as_auditor: Client, container: Container) -> None:
    ended(container, state="failed", code="timed_out", asked=timezone.now() - timedelta(hours=1))
    ended(container, state="succeeded", found={"prod1": ""})
    text = everything(as_auditor)
    assert "1 read" in text
    assert "could not be read" not in text.lower().replace("could not be read</h2>", "")


def test_an_empty_inventory_says_so(as_helpdesk: Client) -> None:
    assert "No container is on." in everything(as_helpdesk)
    answer = as_helpdesk.post("/containers/readings/ask/", follow=True)
    assert "No container is on, so none was read." in answer.content.decode()


def test_the_page_of_readings_costs_the_same_however_many_there_are(as_auditor: Client) -> None:
    counts = []
    for number in (1, 60):
        for each in range(number):
            one = make_installation(instance="prod1", container=f"c{number}-{each}").container
            ended(one, state="failed", code="timed_out")
        everything(as_auditor)
        with CaptureQueriesContext(connection) as queries:
            everything(as_auditor)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def everything(client: Client) -> str:
    answer = client.get("/containers/readings/")
    assert answer.status_code == 200
    return " ".join(html.unescape(answer.content.decode()).split())
