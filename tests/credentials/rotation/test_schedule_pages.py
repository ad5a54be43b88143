"""Pages and commands of maintenance windows and policies."""

import json
from datetime import time, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.models import ClientSecret, TechnicalAccount
from credentials.rotation.models import MaintenanceWindow, Policy, PolicyKind, Rotation
from credentials.rotation.policies import set_policy
from credentials.rotation.window_words import DASH
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from tests.factories import finish, make_account, make_channel, make_rollout, make_rotation, make_window

pytestmark = pytest.mark.django_db
WINDOW = {
    "environment": "production",
    "weekdays": ["tue", "thu"],
    "starts": "22:00",
    "minutes": "360",
    "zone": "Europe/Paris",
}
POLICY = {"interval": "90", "kind": "remind", "wave_rule": "environment", "stop_rule": "0", "message": ""}


@pytest.fixture
def account(actor: Actor) -> TechnicalAccount:
    """An account with a secret in use, and without numbers for Adobe's API."""
    version = make_account(instances=())
    TechnicalAccount.objects.update(goal=version)
    return TechnicalAccount.objects.get()


def text_of(client: Client, name: str, *args: object) -> str:
    return client.get(reverse(name, args=args)).content.decode()


# --- windows ------------------------------------------------------------------------------------------


def test_a_window_is_added_edited_and_removed(as_admin: Client) -> None:
    assert as_admin.post(reverse("rotation_window_add"), WINDOW).status_code == 302
    row = MaintenanceWindow.objects.get()
    assert (row.weekdays, row.starts, row.minutes) == (["tue", "thu"], time(22), 360)
    page = text_of(as_admin, "rotation_windows")
    assert f"Tue, Thu 22:00{DASH}04:00 Europe/Paris" in page
    assert page.count("none: always open") == 2
    assert 'value="22:00"' in text_of(as_admin, "rotation_window", row.pk)
    as_admin.post(reverse("rotation_window", args=[row.pk]), WINDOW | {"minutes": "60"})
    as_admin.post(reverse("rotation_window", args=[row.pk]), WINDOW | {"minutes": "60"})  # nothing changes
    assert "the last window of its environment" in text_of(as_admin, "rotation_window_remove", row.pk)
    as_admin.post(reverse("rotation_window_remove", args=[row.pk]))
    assert not MaintenanceWindow.objects.exists()
    events = AuditEvent.objects.filter(target_type="maintenance_window").order_by("seq")
    assert [event.action.partition(".")[2] for event in events] == ["created", "changed", "removed"]
    assert events[1].details == {"changes": {"minutes": [360, 60]}}


@pytest.mark.parametrize(
    ("name", "typed", "says"),
    [
        ("weekdays", [], "without one this window never opens"),
        ("weekdays", ["someday"], "someday"),
        ("starts", "25:00", "valid time"),
        ("minutes", "0", "greater than or equal to 1"),
        ("minutes", "1441", "less than or equal to 1440"),
        ("zone", "Mars/Olympus", "Mars/Olympus"),
        ("environment", "moon", "moon"),
    ],
)
def test_what_is_wrong_with_a_window_is_said_at_its_field(
    as_admin: Client, name: str, typed: object, says: str
) -> None:
    answer = as_admin.post(reverse("rotation_window_add"), WINDOW | {name: typed})
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [name]
    assert says in str(answer.context["form"].errors[name])
    assert not MaintenanceWindow.objects.exists()


def test_windows_are_shown_where_a_rotation_is_started_and_watched(as_admin: Client) -> None:
    make_window()
    rotation = make_rotation()
    page = text_of(as_admin, "rotation", rotation.pk)
    assert f"Production: Tue 22:00{DASH}04:00 Europe/Paris" in page
    Rotation.objects.update(ended=timezone.now(), state=Rotation.State.DONE)
    page = text_of(as_admin, "rotation_start", rotation.account_id)
    assert f"Production: Tue 22:00{DASH}04:00 Europe/Paris" in page


@pytest.mark.parametrize(
    ("way", "host", "kinds", "is_told"),
    [
        (None, "mail.example.com", (), False),
        ("mail", "", (), False),
        ("mail", "mail.example.com", (), True),
        ("mail", "mail.example.com", ("drift.found",), False),
        ("webhook", "", ("rotation.due",), True),
    ],
)
def test_a_policy_that_would_remind_nobody_says_so(
    as_admin: Client,
    account: TechnicalAccount,
    settings: Settings,
    way: str | None,
    host: str,
    kinds: tuple[str, ...],
    is_told: bool,
) -> None:
    settings.EMAIL_HOST = host
    if way:
        addresses = {"mail": "a@example.com", "webhook": "https://chat.example.com/"}
        make_channel(way=way, address=addresses[way], kinds=kinds)
    page = text_of(as_admin, "rotation_policy", account.pk)
    assert ("Nobody is told when a rotation is due" in page) != is_told


def test_who_starts_a_rotation_is_told_of_failed_pushes(as_admin: Client) -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    finish(rollout.pushes.all()[0], state="failed", code="build_too_old")
    page = text_of(as_admin, "rotation_start", rollout.secret.account_id)
    assert "The last push to 1 of them failed" in page
    assert f'href="/rollouts/failed/?account={rollout.secret.account_id}"' in page


def test_the_home_page_shows_what_is_coming_up(
    as_admin: Client, account: TechnicalAccount, actor: Actor
) -> None:
    set_policy(account=account, interval=90, kind=PolicyKind.REMIND, actor=actor)
    page = text_of(as_admin, "home")
    assert "Coming up" in page
    assert "When it is due: you start it." in page
    assert "No rotation starts by itself" not in page


def test_where_no_account_has_a_policy_the_pages_say_so(as_admin: Client, account: TechnicalAccount) -> None:
    for name in ("home", "rotations"):
        page = text_of(as_admin, name)
        assert "No rotation starts by itself: no account has a policy." in page, name
        assert 'href="/accounts/">Accounts</a>' in page.partition("No rotation starts by itself")[2]
    TechnicalAccount.objects.update(state="draft")
    assert "No rotation starts by itself" not in text_of(as_admin, "rotations")


def test_the_command_adds_shows_and_removes_windows(db: None) -> None:
    call = ("--add", "stage", "--days", "sat, sun", "--start", "01:30", "--minutes", "90", "--zone", "UTC")
    answer = command("windows", *call)
    [stage] = [each for each in answer["environments"] if each["environment"] == "stage"]
    [row] = stage["windows"]
    assert (row["weekdays"], row["starts"], row["minutes"], row["zone"]) == (
        ["sat", "sun"],
        "01:30",
        90,
        "UTC",
    )
    assert stage["opens"]
    with pytest.raises(CommandError, match="never opens"):
        command("windows", "--add", "stage", "--start", "01:30", "--minutes", "90", "--zone", "UTC")
    with pytest.raises(CommandError, match="no window"):
        command("windows", "--remove", "17")
    command("windows", "--remove", row["id"])
    assert not MaintenanceWindow.objects.exists()
    out = StringIO()
    call_command("windows", stdout=out)
    assert out.getvalue().count("always") == 3


# --- policies -----------------------------------------------------------------------------------------


def test_a_policy_is_set_shown_and_removed(as_admin: Client, account: TechnicalAccount, admin: User) -> None:
    assert "no interval is set" in text_of(as_admin, "account", account.pk)
    url = reverse("rotation_policy", args=[account.pk])
    assert as_admin.post(url, POLICY | {"kind": "open"}).status_code == 302
    policy = Policy.objects.get()
    assert (policy.interval, policy.kind, policy.set_by) == (90, "open", admin)
    page = text_of(as_admin, "account", account.pk)
    assert "every 90 days" in " ".join(page.split())
    assert "alice" in text_of(as_admin, "rotation_policy", account.pk)
    as_admin.post(reverse("rotation_policy_remove", args=[account.pk]))
    as_admin.post(reverse("rotation_policy_remove", args=[account.pk]))  # pressed twice
    actions = AuditEvent.objects.filter(action__startswith="account.policy").order_by("seq")
    assert [each.action for each in actions] == ["account.policy_set", "account.policy_removed"]


@pytest.mark.parametrize(
    ("name", "typed", "says"),
    [
        ("interval", "6", "greater than or equal to 7"),
        ("interval", "731", "less than or equal to 730"),
        ("kind", "run", "Enter the numbers"),
        ("kind", "sometimes", "sometimes"),
        ("wave_rule", "0%", "never end"),
        ("stop_rule", "100%", "nothing would ever stop it"),
    ],
)
def test_what_is_wrong_with_a_policy_is_said_at_its_field(
    as_admin: Client, account: TechnicalAccount, name: str, typed: str, says: str
) -> None:
    answer = as_admin.post(reverse("rotation_policy", args=[account.pk]), POLICY | {name: typed})
    assert list(answer.context["form"].errors) == [name]
    assert says in str(answer.context["form"].errors[name])
    assert not Policy.objects.exists()


def test_a_migration_has_to_be_closed_before_anything_is_started(
    as_admin: Client, account: TechnicalAccount
) -> None:
    TechnicalAccount.objects.update(way=TechnicalAccount.Way.MIGRATION)
    url = reverse("rotation_policy", args=[account.pk])
    answer = as_admin.post(url, POLICY | {"kind": "open"})
    assert list(answer.context["form"].errors) == ["is_migration_closed"]
    assert as_admin.post(url, POLICY).status_code == 302  # it may remind
    assert as_admin.post(url, POLICY | {"kind": "open", "is_migration_closed": "on"}).status_code == 302
    assert Policy.objects.get().is_migration_closed


def test_a_policy_that_does_nothing_any_more_says_so(
    as_admin: Client, account: TechnicalAccount, auditor: User
) -> None:
    set_policy(account=account, interval=90, kind=PolicyKind.OPEN, actor=Actor("carol", auditor))
    for page in ("account", "rotation_policy"):
        assert "does nothing by itself" in text_of(as_admin, page, account.pk)


def test_a_retired_account_has_no_policy(as_admin: Client, account: TechnicalAccount) -> None:
    TechnicalAccount.objects.update(state=TechnicalAccount.State.RETIRED)
    assert "Rotation policy" not in text_of(as_admin, "account", account.pk)
    answer = as_admin.post(reverse("rotation_policy", args=[account.pk]), POLICY)
    assert "Only an account in use" in answer.content.decode()
    assert not Policy.objects.exists()


def test_an_open_rotation_is_named_where_the_policy_is_set(as_admin: Client) -> None:
    rotation = make_rotation()
    page = text_of(as_admin, "rotation_policy", rotation.account_id)
    assert reverse("rotation", args=[rotation.pk]) in page


def test_the_command_sets_shows_and_removes_a_policy(account: TechnicalAccount) -> None:
    ClientSecret.objects.update(entered=timezone.now() - timedelta(days=100))
    answer = command("policy", "Triggers", "--interval", "90", "--policy", "open", "--waves", "1, 100%")
    [row] = answer["policies"]
    assert (row["policy"], row["interval_days"], row["waves"], row["is_due"]) == ("open", 90, "1, 100%", True)
    assert row["set_by"].endswith("(command line)")
    assert command("policy")["policies"] == [row]
    with pytest.raises(CommandError, match="Adobe's API"):
        command("policy", "Triggers", "--interval", "90", "--policy", "run")
    with pytest.raises(CommandError, match="7 to 730"):
        command("policy", "Triggers", "--interval", "3", "--policy", "open")
    with pytest.raises(CommandError, match="both"):
        command("policy", "Triggers", "--interval", "30")
    with pytest.raises(CommandError, match="Name the"):
        command("policy", "--remove")
    assert command("policy", "Triggers", "--remove") == {"policies": []}
    with pytest.raises(CommandError, match="no policy"):
        command("policy", "Triggers", "--remove")


def command(name: str, *arguments: str) -> Any:  # Any: plain JSON
    out = StringIO()
    call_command(name, *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())
