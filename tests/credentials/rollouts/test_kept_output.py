"""What containers said is kept for a while: then the text goes, and everything else of an attempt stays."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.rollouts.models import Attempt, Push
from credentials.rollouts.starting import start_rollout
from portal import retention
from portal.audit.trail import PORTAL
from tests.factories import SOMEBODY, finish, make_rollout

pytestmark = pytest.mark.django_db
OUTPUT = "nlserver: the file was written"


@pytest.fixture
def push() -> Push:
    """A push that failed, and a later one to the same installation."""
    first = make_rollout().pushes.get()
    finish(first, state="failed", code="timed_out", output=OUTPUT)
    version = first.rollout.secret
    start_rollout(version=version, installations=[first.installation], reason="repair", actor=SOMEBODY)
    return first


def keep_for(settings: Settings, days: int) -> None:
    settings.KEEP_OUTPUT_DAYS = days


def remove_old() -> None:
    for kind in retention.kinds():
        retention.remove_old(kind, actor=PORTAL)


def in_days(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    moment = timezone.now() + timedelta(days=days)
    monkeypatch.setattr(timezone, "now", lambda: moment)


def test_old_output_goes_and_nothing_else(push: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    before: dict[str, object] = {**Attempt.objects.values().get()}
    in_days(monkeypatch, 300)
    remove_old()
    assert Attempt.objects.get().output == OUTPUT
    in_days(monkeypatch, 400)
    remove_old()
    after: dict[str, object] = {**Attempt.objects.values().get()}
    assert after["output"] == ""
    assert after["output_removed"]
    assert {key for key in before if before[key] != after[key]} == {"output", "output_removed"}


def test_the_last_push_to_an_installation_keeps_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code="timed_out", output=OUTPUT)
    in_days(monkeypatch, 4000)
    remove_old()
    assert Attempt.objects.get().output == OUTPUT


def test_output_is_kept_for_ever_if_asked(
    push: Push, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_for(settings, 0)
    in_days(monkeypatch, 4000)
    remove_old()
    assert Attempt.objects.get().output == OUTPUT


@pytest.mark.parametrize(
    "change",
    [
        {"output": "another text", "output_removed": Now()},
        {"output": ""},
        {"output": "", "output_removed": Now(), "verdict": "succeeded"},
        {"output": "", "output_removed": Now(), "notes": ["jwt"]},
        {"output": "", "output_removed": Now(), "build": 1},
        {"output_removed": Now()},
    ],
    ids=lambda change: " ".join(change),
)
def test_the_database_lets_the_text_go_and_nothing_with_it(push: Push, change: dict[str, object]) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Attempt.objects.update(**change)


def test_the_text_goes_once(push: Push) -> None:
    Attempt.objects.update(output="", output_removed=Now())
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Attempt.objects.update(output="", output_removed=Now())


def test_two_who_remove_at_once_do_not_collide(push: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    in_days(monkeypatch, 400)
    [kind] = [each for each in retention.kinds() if each.name == "output"]
    before = kind.before()
    assert before
    keys = kind.superfluous(before, 10)
    assert [kind.remove(keys), kind.remove(keys)] == [1, 0]


def test_the_page_says_that_it_went(push: Push, as_auditor: Client) -> None:
    Attempt.objects.update(output="", output_removed=Now())
    page = as_auditor.get(reverse("push", args=[push.pk])).content.decode()
    assert "The container output was removed" in page
