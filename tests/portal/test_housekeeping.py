"""Jobs of all rooms, and short-lived rows: one that fails keeps no other from its turn."""

import logging
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.db import DatabaseError
from django.utils import timezone

from portal import short_lived
from portal.people.models import FailedSignIns
from portal.processes import housekeeping
from portal.processes.housekeeping import HOUR, MINUTE, Timetable, every, hourly


def test_a_job_that_fails_is_logged_and_tried_again_and_the_others_are_done_once_an_hour(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0
    monkeypatch.setattr("portal.processes.housekeeping.time.monotonic", lambda: now)
    monkeypatch.setattr(housekeeping, "_jobs", {})
    failures: list[Exception] = [DatabaseError("away"), ValueError("a defect")]
    done: list[str] = []
    often: list[float] = []

    @hourly
    def fails_twice() -> None:
        if failures:
            raise failures.pop(0)
        done.append("first")

    @hourly
    def goes_well() -> None:
        done.append("second")

    @every(MINUTE)
    def is_done_often() -> None:
        often.append(now)

    timetable = Timetable()
    assert not timetable.run_due()
    assert not timetable.run_due()
    assert done == ["second"]
    assert timetable.run_due()
    assert done == ["second", "first"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.ERROR]
    assert all("fails_twice" in record.getMessage() for record in caplog.records)

    now += HOUR - 1
    assert timetable.run_due()
    assert done == ["second", "first"]
    now += 1
    assert timetable.run_due()
    assert done == ["second", "first", "first", "second"]
    assert often == [1000.0, 1000.0 + HOUR - 1]
    now += MINUTE
    assert timetable.run_due()
    assert often[-1] == now


def test_sessions_are_removed_by_an_hourly_job_of_their_room() -> None:
    named = [f"{job.__module__}.{job.__qualname__}" for job in housekeeping._jobs]
    assert "portal.people.sessions.remove_expired_sessions" in named


@pytest.mark.django_db
def test_a_defect_in_one_kind_of_rows_keeps_no_other_from_being_removed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defect() -> None:
        raise ValueError("a defect")

    gone = timezone.now() - timedelta(days=1)
    Session.objects.create(session_key="expired", session_data="", expire_date=gone)
    monkeypatch.setattr(short_lived, "short_lived", lambda: [FailedSignIns, Session])
    monkeypatch.setattr(FailedSignIns, "remove_expired", defect)
    short_lived.remove_expired()
    assert not Session.objects.exists()
    [record] = caplog.records
    assert "FailedSignIns" in record.getMessage()

    monkeypatch.setattr(FailedSignIns, "remove_expired", lambda: (_ for _ in ()).throw(DatabaseError("away")))
    with pytest.raises(DatabaseError):
        short_lived.remove_expired()
