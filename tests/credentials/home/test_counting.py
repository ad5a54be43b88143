"""What takes long to count is shared for a moment, and the page says how old it is."""

import threading
import time

import pytest
from django.test import Client
from django.utils import timezone

from credentials.home import counting
from credentials.home.counting import Briefly, Counted, Proposed
from tests.factories import make_installation

NOTHING = Counted([], Proposed(), timezone.now())


class Counter:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> Counted:
        self.asked += 1
        time.sleep(0.05)  # what counting takes; nobody waits for luck
        return NOTHING


def keep_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "WORTH", 0.0)
    monkeypatch.setattr(counting, "TIMES", 10_000)


def test_what_is_counted_fast_is_counted_each_time() -> None:
    counter = Counter()
    brief = Briefly(counter)
    assert not any(brief.get().is_kept for _ in range(3))
    assert counter.asked == 3


def test_what_takes_long_is_shared_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_all(monkeypatch)
    counter = Counter()
    brief = Briefly(counter)
    assert [brief.get().is_kept for _ in range(3)] == [False, True, True]
    assert counter.asked == 1
    brief.forget()
    assert not brief.get().is_kept
    assert counter.asked == 2


def test_it_is_never_older_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "WORTH", 0.0)
    monkeypatch.setattr(counting, "MOST", 0.0)
    counter = Counter()
    brief = Briefly(counter)
    assert not any(brief.get().is_kept for _ in range(3))
    assert counter.asked == 3


def test_several_who_ask_at_once_are_answered_by_one_count(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_all(monkeypatch)
    counter = Counter()
    brief = Briefly(counter)
    threads = [threading.Thread(target=brief.get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counter.asked == 1


def test_a_count_that_fails_keeps_nothing_and_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "WORTH", 0.0)
    fails = iter([True, False])

    def count() -> Counted:
        if next(fails):
            raise ZeroDivisionError
        return NOTHING

    brief = Briefly(count)
    with pytest.raises(ZeroDivisionError):
        brief.get()
    assert brief.get() == NOTHING


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["/?for=fleet", "/?for=audit"])
def test_the_page_says_how_old_a_shared_count_is(
    as_admin: Client, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    make_installation()
    assert "were counted" not in as_admin.get(page).content.decode()
    keep_all(monkeypatch)
    assert "were counted" not in as_admin.get(page).content.decode()
    assert "Coverage and findings were counted <time" in as_admin.get(page).content.decode()
