"""What the page of a rotation names: what is in the way and why, what failed, and who changed its rule."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.models import DesiredVersion
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.starting import start_rollout
from credentials.rotation import gates, services, verbs
from credentials.rotation.models import Rotation, Wave
from credentials.rotation.pages import causes
from credentials.rotation.services import go_on
from credentials.rotation.waits import Wait
from instances.discovery.models import Reading
from instances.failures import Code
from instances.models import Installation
from portal.plaintext import Secret
from tests.factories import SOMEBODY, finish, make_installation, make_rotation, next_version

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]


def pushed(code: str = "", *, state: str = "failed", others: Sequence[str] = ()) -> tuple[Rotation, Push]:
    """A rotation whose wave has ended on its only installation."""
    rotation = make_rotation()
    new = next_version(rotation.account, Secret("p8e-second"))
    rollout = start_rollout(
        version=new,
        installations=Installation.objects.all(),
        reason=Rollout.Reason.ROTATION,
        actor=SOMEBODY,
    )
    Wave.objects.create(rotation=rotation, rollout=rollout, kind=Wave.Kind.WAVE, position=0, label="all")
    push = rollout.pushes.get()
    finish(push, state=state, code=code, digest="c" * 64)
    Rotation.objects.update(new=new, state="verifying", wait=Wait.NOT_VERIFIED, params={"count": 1})
    return Rotation.objects.select_related("account", "old", "new").get(), push


def page(client: Client, rotation: Rotation, *verb: str) -> str:
    name = "rotation_verb" if verb else "rotation"
    answer = client.get(reverse(name, args=[rotation.pk, *verb]))
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.mark.parametrize(
    ("code", "state", "is_named"),
    [
        ("reload_failed", "failed", True),
        ("reload_not_confirmed", "failed", True),
        ("build_too_old", "failed", False),
        ("", "succeeded", False),
    ],
)
def test_who_may_still_use_the_old_secret_is_named_where_it_is_watched_and_passed(
    code: str, state: str, is_named: bool, as_admin: Client, as_auditor: Client
) -> None:
    rotation, push = pushed(code, state=state)
    url = reverse("push", args=[push.pk])
    for step in ("verifying", "watching", "deleting"):
        Rotation.objects.update(state=step)
        rotation.refresh_from_db()
        assert [each.pk for each in causes.not_reloaded(rotation)] == [push.pk] * is_named
        assert ("Campaign may still use the old secret" in page(as_auditor, rotation)) == is_named
    Rotation.objects.update(state="verifying")
    said = page(as_admin, rotation, "pass-gate")
    assert ("Campaign may still use the old secret" in said, url in said) == (is_named, is_named)


def test_a_later_push_that_was_reloaded_ends_the_warning(as_auditor: Client) -> None:
    rotation, _push = pushed("reload_failed")
    DesiredVersion.objects.update(push=None)
    assert "Campaign may still use" not in page(as_auditor, rotation)


def test_what_is_missing_says_why_the_last_push_failed(as_auditor: Client) -> None:
    rotation, push = pushed("build_too_old")
    said = page(as_auditor, rotation)
    assert f'<a href="{reverse("push", args=[push.pk])}">Last push: {push_label("build_too_old")}</a>' in said


def test_what_could_not_be_read_says_why_the_last_reading_failed(as_auditor: Client) -> None:
    _rotation, push = pushed("", state="succeeded")
    Installation.objects.update(observed=None)
    Push.objects.filter(pk=push.pk).update(state="cancelled")
    read = Reading.objects.create(
        container=push.container,
        asked_by="the portal",
        state="failed",
        code="host_key_unknown",
        finished=timezone.now(),
    )
    [(way, known)] = causes.with_causes([_unread(push)])
    assert known
    assert (known.url, known.why) == (reverse("reading", args=[read.pk]), push_label("host_key_unknown"))
    assert way.installation == push.installation_id


def _unread(push: Push) -> gates.InTheWay:
    return gates.InTheWay(
        installation=push.installation_id,
        instance="prod1",
        container="web1",
        container_id=push.container_id,
        missing=gates.Missing.NEVER_SEEN,
        push=push.pk,
    )


def push_label(code: str) -> str:
    return str(Code(code).label)


def test_the_stop_names_the_pushes_that_it_counted(as_auditor: Client) -> None:
    rotation, push = pushed("build_too_old")
    assert not causes.failed(rotation)
    Rotation.objects.update(state="waves", hold="stopped", wait="stopped", params={"count": 1, "rule": "0"})
    rotation.refresh_from_db()
    assert [each.pk for each in causes.failed(rotation)] == [push.pk]
    said = page(as_auditor, rotation)
    assert f'<a href="{reverse("push", args=[push.pk])}">Push: {push_label("build_too_old")}</a>' in said


def test_who_changed_the_stop_rule_is_said_with_what_it_was(as_auditor: Client) -> None:
    rotation, _push = pushed("build_too_old")
    assert causes.stop_rule_change(rotation) is None
    for rule in ("0", "8", "8"):
        Rotation.objects.update(state="waves", hold="stopped")
        go_on(rotation=rotation, actor=SOMEBODY, stop_rule=rule)
    change = causes.stop_rule_change(rotation)
    assert change
    assert (change.former, change.event.details["stop"]) == ("0", "8")
    assert f"changed by {SOMEBODY.name}" in page(as_auditor, rotation)
    assert "before: 0" in page(as_auditor, rotation)


def test_each_verb_says_in_a_sentence_of_its_own_what_it_did() -> None:
    said = [str(verb.done) for verb in verbs.VERBS.values()]
    assert len(set(said)) == len(said)
    assert all(each.endswith(".") and "Done" not in each for each in said)


def test_the_form_for_the_secret_says_what_starts_by_itself(as_admin: Client) -> None:
    rotation = make_rotation()
    Rotation.objects.update(wait=Wait.SECRET_NEEDED)
    rotation.refresh_from_db()
    assert services.can_enter_secret(rotation)
    assert "on in waves by itself" in page(as_admin, rotation, "enter-secret")
    Rotation.objects.update(policy="open")
    said = page(as_admin, rotation, "enter-secret")
    assert "waits for a person" in said
    assert "Back to the rotation" in said


def test_the_page_for_a_new_version_names_the_time_that_is_set(as_admin: Client, settings: Settings) -> None:
    settings.ROTATION_IDLE = timedelta(seconds=10).total_seconds()
    make_installation(instance="other", container="web9")
    account = make_rotation().account
    said = as_admin.get(reverse("account_secret", args=[account.pk])).content.decode()
    assert "has not been used for 10 s" in said
