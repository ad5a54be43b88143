"""Which containers nobody has looked at, and which still hold a JWT: filters of their list."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from instances.discovery.models import Observation, Reading
from instances.models import Container, Installation
from tests.factories import make_container, make_installation

pytestmark = pytest.mark.django_db
DAYS = {"fresh": 1, "old": 8, "read": None, "never": None}
"""How long ago a file of each container was seen."""


@pytest.fixture
def fleet(db: None) -> None:
    now = timezone.now()
    for name, days in DAYS.items():
        row = make_installation(container=name, instance=f"i-{name}")
        if days:
            Installation.objects.filter(pk=row.pk).update(observed=now - timedelta(days=days))
    make_container(name="empty")
    read(Container.objects.get(name="read"), days=2)
    read(Container.objects.get(name="empty"), days=9)
    read(Container.objects.get(name="never"), days=2, state=Reading.State.FAILED)


def read(container: Container, *, days: int, state: str = Reading.State.SUCCEEDED) -> None:
    at = timezone.now() - timedelta(days=days)
    Reading.objects.create(
        container=container, state=state, asked_by="henry", asked=at, started=at, finished=at
    )


def listed(client: Client, query: str) -> set[str]:
    rows = client.get(f"/containers/{query}").context["rows"]
    return {container.name for container, _state in rows}


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?seen=old", {"old", "empty"}),  # the one that was never seen was entered just now
        ("?seen=never", {"never"}),
        ("?seen=nonsense", {*DAYS, "empty"}),
        ("?seen=old&q=old", {"old"}),
    ],
)
def test_a_container_counts_as_seen_by_a_sight_or_a_reading_that_succeeded(
    as_helpdesk: Client, query: str, found: set[str]
) -> None:
    assert listed(as_helpdesk, query) == found


@pytest.mark.usefixtures("fleet")
def test_one_that_was_entered_long_ago_and_never_seen_is_not_seen_for_a_week(as_helpdesk: Client) -> None:
    Container.objects.filter(name="never").update(created=timezone.now() - timedelta(days=8))
    assert listed(as_helpdesk, "?seen=old") == {"old", "empty", "never"}
    assert listed(as_helpdesk, "?seen=never") == {"never"}


@pytest.mark.usefixtures("fleet")
def test_the_list_and_its_export_say_when_each_was_seen(as_auditor: Client) -> None:
    text = as_auditor.get("/containers/").content.decode()
    assert all(words in text for words in ("1 d ago", "8 d ago", "2 d ago", "9 d ago", "never"))
    Container.objects.filter(name="never").update(created=timezone.now() - timedelta(days=8))
    answer = as_auditor.post("/exports/containers/?seen=old", {"format": "json"})
    rows = {row["container"]: row["last_seen"] for row in json.loads(answer.getvalue())["rows"]}
    assert rows.keys() == {"old", "empty", "never"}
    assert rows["never"] is None
    assert rows["old"]


def test_hosts_that_still_hold_a_jwt_are_listed_unless_the_installation_is_retired(
    as_auditor: Client,
) -> None:
    for name, jwt in (("a", True), ("b", False), ("c", None), ("d", True)):
        row = make_installation(container=name, instance=f"i-{name}")
        Installation.objects.filter(pk=row.pk).update(observed_jwt=jwt)
    gone = Installation.objects.filter(container__name="d")
    gone.update(retired=timezone.now(), retired_by="alice", retired_reason="gone")
    assert listed(as_auditor, "?jwt=yes") == {"a"}
    for address in ("/instances/?need=jwt", "/instances/jwt-and-builds/"):
        assert "/containers/?jwt=yes" in as_auditor.get(address).content.decode()


def test_ready_filters_keep_the_others_and_take_themselves_away(as_auditor: Client) -> None:
    make_container()
    both = as_auditor.get("/containers/?switch=on&seen=old").context["presets"]
    assert [(each.url, each.is_on) for each in both] == [
        ("?switch=on", True),
        ("?switch=on&seen=old&jwt=yes", False),
    ]


@pytest.mark.parametrize(
    ("observed", "source", "words"),
    [
        (False, "", "It has never been read."),
        (True, "push", "No reading yet; what is below was seen by a push."),
        (True, "look", "No reading yet; what is below was seen by a push."),
        (True, "hand", "It has never been read."),
    ],
)
def test_a_container_without_a_reading_says_what_saw_it(
    as_helpdesk: Client, observed: bool, source: str, words: str
) -> None:
    row = make_installation(instance="prod1", container="web1")
    if observed:
        Installation.objects.filter(pk=row.pk).update(observed=timezone.now())
        Observation.objects.create(installation=row, source=source, last_source=source, is_jwt=False)
    text = as_helpdesk.get(f"/containers/{row.container_id}/").content.decode()
    both = {"It has never been read.", "No reading yet; what is below was seen by a push."}
    assert {each for each in both if each in text} == {words}
