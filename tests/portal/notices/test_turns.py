"""The scheduler's part: its other jobs wait for no receiver, and one channel for no other."""

import threading
from collections.abc import Iterator

import pytest
from django.db import connection, connections, transaction
from django.db.models import Q

from portal.notices import turns
from portal.notices.delivery import attempt, deliver
from portal.notices.gathering import gather
from portal.notices.models import Channel, Message
from portal.processes import housekeeping
from tests.factories import make_channel
from tests.portal.notices.telling import happen, time_passes
from tests.services.answering import http, serving
from tests.services.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture(autouse=True)
def _ends() -> Iterator[None]:
    """Wait for the threads that a test began, which use its database."""
    yield
    wait_until(lambda: not turns._busy, within=60, what="the sending ended")


def states(name: str) -> list[str]:
    return list(Message.objects.filter(channel_name=name).order_by("queued").values_list("state", flat=True))


def test_a_receiver_that_hangs_keeps_nobody_else_waiting() -> None:
    let_go = threading.Event()
    with serving(http(200, b"ok")) as good, serving(lambda peer: let_go.wait(60)) as bad:
        make_channel(name="Good", way="webhook", address=good.url)
        make_channel(name="Bad", way="webhook", address=bad.url)
        happen("prod1 on web1")
        time_passes()
        assert turns.send_notices() == 2  # it returns while both are being sent
        wait_until(lambda: states("Good") == ["sent"], within=120, what="the good one is sent")
        assert states("Bad") == ["queued"]
        happen("prod2 on web1")
        time_passes(1000)
        assert turns.send_notices() == 2
        wait_until(lambda: states("Good") == ["sent"] * 2, within=120, what="also this")
        tries = Message.objects.filter(channel_name="Bad").values_list("tries", flat=True)
        assert sum(tries) == 1, "it is not asked again meanwhile"
        wait_until(lambda: states("Bad")[0] == "failed", within=60, what="the bad one is given up for now")
        let_go.set()
    first = Message.objects.filter(channel_name="Bad").earliest("queued")
    assert first.code in ("timed_out", "not_in_time")


def test_the_scheduler_sends_by_itself() -> None:
    assert turns.send_notices in housekeeping._jobs
    with serving(http(200, b"ok")) as server:
        make_channel(name="Good", way="webhook", address=server.url, kinds=["thing.happened"])
        happen("prod1 on web1")
        time_passes()
        timetable = housekeeping.Timetable()
        timetable.run_due()
        wait_until(lambda: states("Good") == ["sent"], within=120, what="it is sent")


def test_two_processes_that_gather_at_once_make_one_message_for_each_channel() -> None:
    make_channel()
    happen(*[f"prod1 on web{number}" for number in range(50)])
    time_passes()
    start = threading.Barrier(4)
    made: list[int] = []

    def gather_too() -> None:
        start.wait(30)
        try:
            made.append(gather())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=gather_too) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(made) == [0, 0, 0, 1]
    assert Message.objects.get().count == 50


def test_a_claim_that_waited_for_another_finds_the_message_taken() -> None:
    """The second claim begins while the first is not committed: it has seen the message free."""
    with serving(http(200, b"ok")) as server:
        channel = make_channel(name="Good", way="webhook", address=server.url)
        message = Message.objects.create(channel=channel, channel_name="Good", kind="test")
        ends: list[str] = []

        def take_too() -> None:
            try:
                ends.append(attempt(message.pk))
            finally:
                connections.close_all()

        second = threading.Thread(target=take_too)
        with transaction.atomic():
            Message.objects.filter(pk=message.pk).update(state="sent", tries=1)
            second.start()
            wait_until(_claim_waits, within=60, what="the second claim waits")
        second.join(60)
        assert ends == [""]
        assert not server.requests


def _claim_waits() -> bool:
    """Whether a claim waits for the lock; SQLite does not tell, and there it has seen nothing yet."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def test_several_processes_that_send_at_once_send_each_message_once() -> None:
    with serving(http(200, b"ok")) as server:
        channel = make_channel(name="Good", way="webhook", address=server.url)
        for _ in range(12):
            Message.objects.create(channel=channel, channel_name="Good", kind="test")
        start = threading.Barrier(4)

        def deliver_too() -> None:
            start.wait(30)
            try:
                deliver(channel.pk)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=deliver_too) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(server.requests) == 12
    assert not Message.objects.filter(~Q(state="sent") | ~Q(tries=1)).exists()
    assert Channel.objects.count() == 1
