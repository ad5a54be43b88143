"""The outbox: rows of the caller's transaction, and one message for all that came close together."""

from dataclasses import replace

import pytest
from django.db import transaction

from portal.notices import kinds
from portal.notices.gathering import gather
from portal.notices.kinds import Batch, Words
from portal.notices.letters import letter_of
from portal.notices.models import Message, Note
from portal.notices.notes import note
from tests.factories import make_channel
from tests.portal.notices.telling import HAPPENED, KIND, happen, time_passes

pytestmark = [pytest.mark.django_db, pytest.mark.database]
CANARY = "p8e-canary-canary-canary-canary-0000"


def test_500_failures_are_one_message_with_counts_and_the_first_few_names() -> None:
    make_channel()
    happen(*[f"prod1 on web{number}" for number in range(400)])
    happen(*[f"prod2 on web{number}" for number in range(100)], code="refused")
    time_passes(120)
    assert gather() == 1
    letter = letter_of(Message.objects.get())
    assert letter.count == 500
    assert letter.subject == "500 happened"
    names = ", ".join(f"prod1 on web{number}" for number in range(10))
    assert letter.lines == [f"{names} and 490 more", "timed_out: 400, refused: 100"]
    assert not Note.objects.exists()


def test_what_goes_on_is_waited_for_but_not_for_ever() -> None:
    make_channel()
    happen("first")
    assert gather() == 0
    time_passes(50)
    happen("second")
    time_passes(20)
    assert gather() == 0, "the second is twenty seconds old"
    for _ in range(20):  # one after another, never a quiet minute
        time_passes(30)
        happen("another")
    assert gather() == 1
    assert Message.objects.get().count == 22


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    make_channel()
    happen("first")
    time_passes(-7200)
    assert gather() == 1


def test_a_transaction_that_is_rolled_back_tells_nothing() -> None:
    with transaction.atomic():
        note(HAPPENED, subject="never")
        transaction.set_rollback(True)
    assert not Note.objects.exists()


def test_each_channel_gets_what_it_wants() -> None:
    make_channel(name="All")
    make_channel(name="This", kinds=[HAPPENED])
    make_channel(name="That", kinds=["rollout.ended"])
    off = make_channel(name="Off")
    type(off).objects.filter(pk=off.pk).update(is_on=False)
    happen("one")
    time_passes()
    assert gather() == 2
    assert set(Message.objects.values_list("channel_name", flat=True)) == {"All", "This"}


def test_without_a_channel_nothing_piles_up() -> None:
    happen("one")
    time_passes()
    assert gather() == 0
    assert not Note.objects.exists()


def test_a_secret_is_cut_out_before_it_is_stored() -> None:
    make_channel()
    with transaction.atomic():
        note(
            HAPPENED,
            subject=f"named {CANARY}",
            details={"code": CANARY, "more": [CANARY, {CANARY: f"-setimsoauth:a/b/c/{CANARY}"}]},
        )
    stored = Note.objects.get()
    assert "canary" not in f"{stored.subject} {stored.details}"
    time_passes()
    gather()
    letter = letter_of(Message.objects.get())
    assert "canary" not in f"{letter.text} {letter.facts}"


def test_a_long_or_unknown_notice_is_refused_or_cut_where_it_is_written() -> None:
    with transaction.atomic():
        note(HAPPENED, subject="x" * 10_000, details={"code": "y" * 10_000}, link="/" + "z" * 10_000)
    row = Note.objects.get()
    assert (len(row.subject), len(row.details["code"]), len(row.link)) == (250, 250, 250)
    with pytest.raises(LookupError), transaction.atomic():
        note("nobody.registered")


def test_a_notice_needs_a_transaction(transactional_db: None) -> None:
    with pytest.raises(RuntimeError):
        note(HAPPENED)


def test_what_chat_tools_obey_is_no_part_of_a_message() -> None:
    make_channel()
    happen("<!channel> @here\r\nBcc: all@example.com \u202e")
    time_passes()
    gather()
    text = letter_of(Message.objects.get()).text
    assert not set("<>@\r\u202e") & set(text)
    assert "\n" not in letter_of(Message.objects.get()).subject


def test_a_kind_that_is_gone_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    make_channel()
    happen("one")
    time_passes()
    gather()
    monkeypatch.delitem(kinds._kinds, HAPPENED)
    assert letter_of(Message.objects.get()).subject == "thing.happened: 1"


def _raise(batch: Batch) -> Words:
    raise ZeroDivisionError


def test_words_that_raise_do_not_keep_a_message(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_channel()
    happen("one")
    time_passes()
    gather()
    monkeypatch.setitem(kinds._kinds, HAPPENED, replace(KIND, words=_raise))
    assert letter_of(Message.objects.get()).subject == "thing.happened: 1"
    assert "could not be made" in caplog.text
