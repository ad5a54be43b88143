"""What is kept for a while only: readings and sights that say what both of their neighbours say."""

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet
from pytest_django.fixtures import Settings

from credentials.coverage.models import AcceptedSight, FoundDrift
from instances.discovery.as_of import as_of
from instances.discovery.kept import equal_readings, equal_sights
from instances.discovery.models import Observation, Reading
from instances.discovery.observing import Sight, observe
from instances.models import Installation
from portal import retention
from portal.audit.models import AuditEvent
from portal.audit.trail import PORTAL
from tests.factories import make_installation

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)
START = NOW - timedelta(days=200)
EVER = NOW + timedelta(days=1)


@pytest.fixture
def row() -> Installation:
    return make_installation(instance="prod1", container="web1")


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def read(
    row: Installation, number: int, digest: str = "a", *, stamp: str = "1", code: str = "", seen: bool = True
) -> Reading:
    """One reading a day: it sees the file, or fails with a code. Earlier releases did not store `seen`."""
    reading = Reading.objects.create(container=row.container, asked_by="portal", asked=day(number))
    if code:
        reading.state, reading.code = Reading.State.FAILED, code
    else:
        reading.state, reading.build, reading.found = Reading.State.SUCCEEDED, 9394, {row.instance.name: ""}
        found = see(row, number, str(reading.pk), digest=digest, stamp=stamp)
        reading.seen = [found.pk] if seen else None
    reading.finished = day(number)
    reading.save()
    return reading


def see(
    row: Installation, number: int, source_id: str, *, digest: str, stamp: str, source: str = "read"
) -> Observation:
    sight = Sight("c", "t", "o", digest, is_jwt=False, build=9394, stamp=stamp)
    found = observe(installation_id=row.pk, sight=sight, source=source, source_id=source_id)
    moments = {"last_seen": day(number)} | ({"at": day(number)} if found.sights == 1 else {})
    Observation.objects.filter(pk=found.pk).update(**moments)
    return found


def keep_for(settings: Settings, *, readings: int = 0, sights: int = 0) -> None:
    settings.KEEP_READINGS_DAYS, settings.KEEP_SIGHTS_DAYS = readings, sights


def remove_old() -> None:
    for kind in retention.kinds():
        retention.remove_old(kind, actor=PORTAL)


def kept() -> list[int]:
    """The days of the readings that are left."""
    return sorted((asked - START).days for asked in Reading.objects.values_list("asked", flat=True))


def test_of_equal_readings_the_first_and_the_last_are_kept(row: Installation, settings: Settings) -> None:
    for number in range(10):
        read(row, number)
    keep_for(settings, readings=90)
    remove_old()
    assert kept() == [0, 9]


def test_each_end_of_an_outage_is_kept(row: Installation, settings: Settings) -> None:
    codes = ["", "", "", "timed_out", "timed_out", "timed_out", "unreachable", "", "", ""]
    for number, code in enumerate(codes):
        read(row, number, code=code)
    keep_for(settings, readings=90)
    remove_old()
    assert kept() == [0, 2, 3, 5, 6, 7, 9]


def test_what_saw_a_file_first_or_last_is_kept(row: Installation, settings: Settings) -> None:
    """A push between two equal readings: the one before it alone tells what it saw last."""
    for number in range(4):
        read(row, number, "a")
    see(row, 4, "an attempt", digest="b", stamp="2", source="push")
    for number in range(5, 9):
        read(row, number, "b", stamp="2")
    keep_for(settings, readings=90)
    remove_old()
    assert kept() == [0, 3, 8]  # what saw b first was the push
    named = {each for pair in Observation.objects.values_list("source_id", "last_source_id") for each in pair}
    assert named - {"an attempt"} <= {str(pk) for pk in Reading.objects.values_list("pk", flat=True)}


def test_other_containers_are_no_neighbours(row: Installation, settings: Settings) -> None:
    other = make_installation(instance="prod1", container="web2")
    for number in range(3):
        read(row, number)
        read(other, number)
    keep_for(settings, readings=90)
    remove_old()
    assert kept() == [0, 0, 2, 2]


def test_what_is_not_old_enough_is_kept(row: Installation, settings: Settings) -> None:
    for number in (0, 1, 2, 198, 199):
        read(row, number)
    keep_for(settings, readings=90)
    remove_old()
    assert kept() == [0, 198, 199]
    keep_for(settings, readings=0)
    remove_old()
    assert len(kept()) == 3


def test_readings_of_an_earlier_release_are_kept(row: Installation, settings: Settings) -> None:
    for number in range(3):
        read(row, number, seen=False)
    keep_for(settings, readings=90)
    remove_old()
    assert kept() == [0, 1, 2]


def test_of_a_file_that_is_written_anew_each_day_sights_and_readings_go(
    row: Installation, settings: Settings
) -> None:
    for number in range(10):
        read(row, number, stamp=str(number))
    keep_for(settings, readings=90)
    remove_old()
    assert len(kept()) == 10, "each of them is what saw one of the sights"
    keep_for(settings, readings=90, sights=90)
    remove_old()
    remove_old()
    assert kept() == [0, 9]
    assert Observation.objects.count() == 2
    answers = [as_of(installation_id=row.pk, moment=day(each)) for each in (0, 5, 9)]
    assert [each.certainty for each in answers] == ["known", "between", "known"]
    assert {getattr(each, "digest", None) for each in (answers[1].before, answers[1].after)} == {"a"}


def test_no_sight_goes_unless_it_was_asked_for(row: Installation, settings: Settings) -> None:
    for number in range(10):
        read(row, number, stamp=str(number))
    assert settings.KEEP_SIGHTS_DAYS == 0
    remove_old()
    assert Observation.objects.count() == 10


def test_a_sight_by_a_push_is_kept(row: Installation) -> None:
    read(row, 0, stamp="0")
    see(row, 1, "an attempt", digest="a", stamp="1", source="push")
    read(row, 2, stamp="2")
    read(row, 3, stamp="3")
    read(row, 4, stamp="4")
    goes = Observation.objects.filter(pk__in=equal_sights(EVER, 100))
    assert sorted(goes.values_list("stamp", flat=True)) == ["2", "3"]


@pytest.mark.parametrize("seed", range(5))
def test_the_database_lets_go_what_says_nothing_new_and_nothing_else(row: Installation, seed: int) -> None:
    rng = random.Random(seed)
    stamp = 0
    digest = "a"
    for number in range(60):
        event = rng.choice(["same", "same", "same", "same", "touch", "change", "push", "fail"])
        stamp += event in ("touch", "change", "push")
        digest = rng.choice("ab") if event in ("change", "push") else digest
        if event == "push":
            see(row, number, str(uuid.uuid4()), digest=digest, stamp=str(stamp), source="push")
        else:
            read(row, number, digest, stamp=str(stamp), code="timed_out" if event == "fail" else "")
    for model, found in ((Reading, equal_readings(EVER, 1000)), (Observation, equal_sights(EVER, 1000))):
        rows: QuerySet[Any] = model._default_manager.all()
        goes = {pk for pk in rows.values_list("pk", flat=True) if can_be_removed(rows.filter(pk=pk))}
        assert goes == set(found)
        assert 0 < len(goes) < model._default_manager.count()
    known = {moment: as_of(installation_id=row.pk, moment=moment) for moment in map(day, range(60))}
    Reading.objects.filter(pk__in=equal_readings(EVER, 1000)).delete()
    assert not equal_readings(EVER, 1000), "another round removes no more"
    assert known == {moment: as_of(installation_id=row.pk, moment=moment) for moment in known}


def can_be_removed(rows: QuerySet[Any]) -> bool:
    """Try it, and take it back."""
    try:
        with transaction.atomic():
            rows.delete()
            transaction.set_rollback(True)
    except DatabaseError:
        return False
    return True


def test_a_frozen_row_is_not_changed_either(row: Installation) -> None:
    for number in range(3):
        read(row, number)
    [key] = equal_readings(EVER, 10)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Reading.objects.filter(pk=key).update(code="timed_out")


def test_a_removal_is_recorded_with_its_count(row: Installation, settings: Settings) -> None:
    for number in range(5):
        read(row, number)
    keep_for(settings, readings=90)
    remove_old()
    remove_old()
    event = AuditEvent.objects.get(action="portal.old_removed")
    before = (datetime.now(UTC) - timedelta(days=90)).date().isoformat()
    assert event.actor_name == "portal"
    assert event.details == {"removed": "readings", "rows": 3, "older_than": before, "days_kept": 90}


def test_it_goes_in_pieces_that_others_can_write_between(
    row: Installation, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    for number in range(9):
        read(row, number)
    keep_for(settings, readings=90)
    remove_old()
    assert kept() == [0, 8]
    assert [each.details["rows"] for each in AuditEvent.objects.order_by("seq")] == [2, 2, 2, 1]


def test_the_command_counts_first(
    row: Installation, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        read(row, number)
    keep_for(settings, readings=90)
    call_command("housekeeping", "--dry-run")
    said = capsys.readouterr().out
    assert "would go" in said
    assert "90 days (KEEP_READINGS_DAYS)" in said
    assert "for ever (KEEP_SIGHTS_DAYS)" in said
    assert len(kept()) == 5
    call_command("housekeeping", "--json")
    assert '"kind": "readings"' in capsys.readouterr().out
    assert kept() == [0, 4]
    assert AuditEvent.objects.get().actor_name.endswith("(command line)")


@pytest.fixture(autouse=True)
def _constraints_are_checked() -> Iterator[None]:
    yield
    connection.check_constraints()


def test_what_other_tables_refer_to_is_kept_and_stops_nothing(row: Installation, settings: Settings) -> None:
    for number in range(6):
        read(row, number, stamp=str(number))
    sights = {each.stamp: each for each in Observation.objects.all()}
    FoundDrift.objects.create(observation=sights["2"])
    AcceptedSight.objects.create(installation=row, observation=sights["3"], by="alice", reason="on purpose")
    keep_for(settings, sights=90)
    remove_old()
    assert sorted(Observation.objects.values_list("stamp", flat=True)) == ["0", "2", "3", "5"]


def test_a_sight_on_which_a_look_rests_is_kept(row: Installation) -> None:
    read(row, 0, stamp="0")
    read(row, 1, stamp="1")
    see(row, 1, "an attempt", digest="a", stamp="1", source="look")
    read(row, 2, stamp="1")
    read(row, 3, stamp="3")
    read(row, 4, stamp="4")
    assert [Observation.objects.get(pk=key).stamp for key in equal_sights(EVER, 100)] == ["3"]


def test_a_failure_in_the_same_instant_as_a_success_keeps_its_neighbours(row: Installation) -> None:
    """A clock that was set back can give two readings one moment."""
    for number, code in ((0, ""), (1, ""), (2, ""), (2, "timed_out"), (3, ""), (4, ""), (5, "")):
        read(row, number, code=code)
    goes = Reading.objects.filter(pk__in=equal_readings(EVER, 100))
    beside = Reading.objects.filter(asked=day(2), code="").get()
    order = sorted(Reading.objects.all(), key=lambda each: (each.asked, each.pk))
    place = order.index(beside)
    touches = {each.pk for each in order[max(0, place - 1) : place + 2] if each.code}
    assert not (touches and goes.filter(pk=beside.pk).exists())
    assert Reading.objects.filter(code="timed_out").exclude(pk__in=goes).exists()
