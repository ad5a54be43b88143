"""What an installation held on any day: known answers are true, and nothing is claimed without a look."""

import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from instances.discovery.as_of import InTheFuture, answer, as_of
from instances.discovery.models import Observation
from instances.discovery.observing import Sight, observe
from tests.factories import make_installation

pytestmark = pytest.mark.django_db
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def seen(number: int, first: float, last: float, digest: str = "d") -> Observation:
    return Observation(
        pk=number, at=at(first), last_seen=at(last), digest=digest, is_jwt=False, installation_id=uuid.uuid4()
    )


ROWS = [seen(1, 10, 20), seen(2, 30, 30), seen(3, 40, 60)]


@pytest.mark.parametrize(
    ("minute", "certainty", "before", "after"),
    [
        (9, "not_known", None, 1),
        (10, "known", 1, 1),
        (15, "known", 1, 1),
        (20, "known", 1, 1),
        (25, "between", 1, 2),
        (30, "known", 2, 2),
        (35, "between", 2, 3),
        (60, "known", 3, 3),
        (61, "between", 3, None),
    ],
)
def test_the_three_answers(minute: float, certainty: str, before: int | None, after: int | None) -> None:
    found = answer(ROWS, at(minute))
    numbers = [row.pk if row else None for row in (found.before, found.after)]
    assert (found.certainty, *numbers) == (certainty, before, after)


def test_where_nothing_was_ever_seen_nothing_is_known() -> None:
    assert answer([], at(5)).certainty == "not_known"


def test_a_moment_that_came_twice_is_claimed_by_nobody() -> None:
    """The clock was set back by ten minutes between two sights."""
    rows = [seen(1, 10, 30, "one"), seen(2, 20, 40, "two")]
    assert [answer(rows, at(minute)).certainty for minute in (15, 25, 35)] == ["known", "between", "known"]


def test_a_moment_to_come_is_refused() -> None:
    installation = make_installation()
    with pytest.raises(InTheFuture):
        as_of(installation_id=installation.pk, moment=datetime.now(UTC) + timedelta(minutes=1))


@dataclass
class File:
    """A file, and everything that ever was in it; a stamp changes with every write."""

    held: list[tuple[int, str]] = field(default_factory=lambda: [(0, "a")])
    stamp: int = 0

    def write(self, minute: int, content: str) -> None:
        self.stamp += 1
        self.held.append((minute, content))

    def at(self, minute: float) -> str:
        return [content for begin, content in self.held if begin <= minute][-1]


def look(file: File, minute: int, installation_id: uuid.UUID, source: str) -> Observation:
    """See the file at a minute, as a push or a reading does."""
    stamp = str(file.stamp) if source == "read" else ""
    sight = Sight("c", "a", "o", file.at(minute), is_jwt=False, stamp=stamp)
    row = observe(installation_id=installation_id, sight=sight, source=source, source_id="x")
    row.refresh_from_db()
    times = {"last_seen": at(minute)} | ({"at": at(minute)} if row.sights == 1 else {})
    Observation.objects.filter(pk=row.pk).update(**times)
    return row


@pytest.mark.parametrize("seed", [1, *(pytest.param(each, marks=pytest.mark.slow) for each in (2, 3))])
def test_a_known_answer_is_true_and_most_of_what_can_be_known_is(seed: int) -> None:
    """A thousand random events: written (often back to what it was), read, pushed."""
    chance, file, installation = random.Random(seed), File(), make_installation()
    equal: list[tuple[int, int]] = []
    last: tuple[int, int, int] | None = None
    for minute in range(1, 1_001):
        event = chance.choices(("write", "read", "push"), (2, 12, 1))[0]
        if event != "read":
            file.write(minute, chance.choice("abc"))
        if event != "write":
            row = look(file, minute, installation.pk, event)
            if last and event == "read" and last[1:] == (row.pk, file.stamp):
                equal.append((last[0], minute))
            last = minute, row.pk, file.stamp
    rows = list(Observation.objects.order_by("pk"))
    answers = {minute / 4: answer(rows, at(minute / 4)) for minute in range(4_000)}
    known = {minute: found for minute, found in answers.items() if found.certainty == "known"}
    assert all(found.before and found.before.digest == file.at(minute) for minute, found in known.items())
    between_equal = [minute for minute in answers if any(a <= minute <= b for a, b in equal)]
    assert len([minute for minute in between_equal if minute in known]) >= 0.95 * len(between_equal) > 500
