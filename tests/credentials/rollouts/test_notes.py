"""Notes of attempts: codes are stored, words are shown, and what was stored before stays readable."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.text import format_lazy

from credentials.rollouts.models import Attempt
from credentials.rollouts.notes import WORDS, in_words, note
from tests.factories import finish, make_rollout

NEWER = {"code": "of_a_newer_release", "name": "web1"}


def test_every_note_is_stored_as_a_code_and_told_in_words() -> None:
    stored = note("through_jump_host", name="bastion", address="b.example", port=22)
    assert stored == {"code": "through_jump_host", "name": "bastion", "address": "b.example", "port": 22}
    old = "through bastion (b.example:22)"
    assert in_words([stored, old, NEWER]) == [old, old, "of_a_newer_release, web1"]


def test_words_are_made_when_somebody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = note("last_push_by", last="7.1")
    monkeypatch.setitem(WORDS, "last_push_by", format_lazy("dernier envoi par {}", "%(last)s"))
    assert in_words([stored]) == ["dernier envoi par 7.1"]
    assert all(isinstance(words, Promise) for words in WORDS.values())  # each is marked for translation


@pytest.mark.parametrize("code", ["unheard_of", "last_push_by"])
def test_a_note_without_its_words_is_a_defect_at_once(code: str) -> None:
    with pytest.raises(KeyError):
        note(code)


@pytest.mark.django_db
def test_the_push_page_shows_notes_of_every_age(as_auditor: Client) -> None:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code="other_portal")
    old, attempt = "the last push there was by 7.1", push.attempts.get()
    Attempt.objects.create(
        push=push,
        number=attempt.number + 1,
        cause="retry",
        secret_version=1,
        secret_fingerprint="f",
        lease_token=attempt.lease_token,
        finished=attempt.finished,
        notes=[old, note("last_push_by", last="8.1"), "<b>It said</b>"],
    )
    page = as_auditor.get(reverse("push", args=[push.pk])).content.decode()
    assert (
        f"{old}<br>the last push there was not made by this portal: 8.1<br>&lt;b&gt;It said&lt;/b&gt;" in page
    )
    assert "last_push_by" not in page
