"""Every form of the portal, rejected: the title says so, and a summary leads to the fields.

Every URL that takes a POST stands in FORMS, with something it rejects, or in BUTTONS, where nothing is
entered: what is refused there is a message. A URL that is missing fails.
"""

import re
from collections.abc import Callable, Mapping

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from credentials.wizard.models import Draft
from credentials.wizard.steps import STEPS
from instances.models import HostKey
from tests.factories import finish_all, make_container, make_host_key, make_installation, make_rollout
from tests.test_roles import PAGES, Place, client_of

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]

LONG = "x" * 5000
FORMS: dict[str, Mapping[str, object]] = {
    "login": {"username": "alice", "password": "wrong"},
    "password_change": {"old_password": "wrong"},
    "preferences": {"time_zone": "Mars/Olympus"},
    "account_new": {"action": "json", "text": "{"},
    "account_secret": {"client_secret": "a b"},
    "account_rollout": {"reason": "none"},
    "account_goal": {"message": LONG},
    "rotation_start": {"way": "none"},
    "rotation_verb": {"message": ""},
    "rotation_policy": {"interval": "none"},
    "rotation_window_add": {"starts": "never"},
    "rotation_window": {"starts": "never"},
    "failed_pushes_retry": {"message": LONG},
    "push_retry": {"message": LONG},
    "push_look": {"message": LONG},
    "unproven_push_again": {"message": LONG},
    "hand_report": {"block": "nothing"},
    "confirm_by_hand": {"reason": ""},
    "instance_add": {"name": "no name"},
    "instance_edit": {"name": "no name"},
    "installation_add": {"container": "nowhere"},
    "instance_retire": {"reason": ""},
    "container_retire": {"reason": ""},
    "installation_retire": {"reason": ""},
    "inventory_import": {"text": ""},
    "container_add": {"address": "no address"},
    "container_edit": {"address": "no address"},
    "host_keys": {"do": "approve"},
    "host_key_approve": {"fingerprint": "none"},
    "jump_host_add": {"address": "no address"},
    "jump_host_edit": {"address": "no address"},
    "contact_edit": {"who": ""},
    "notice_channel_add": {"address": "nowhere"},
    "notice_channel": {"address": "nowhere"},
    "user_add": {"username": "no name"},
    "user_role": {"role": "King"},
    "user_password": {"new_password1": "a"},
}
BUTTONS = {
    *("logout", "draft_delete", "account_check", "account_retire", "rollout_cancel", "history_export"),
    *("history_verify", "lock_lift", "user_deactivate", "user_reactivate", "rotation_policy_remove"),
    *("rotation_window_remove", "drift_accept", "drift_push", "installation_remove", "readings_ask"),
    *("installation_take_over", "container_switch", "container_scan", "container_read", "jump_host_remove"),
    *("host_key_scan", "host_key_scan_stop", "host_key_revoke", "notice_channel_remove", "notice_resend"),
    *("notice_channel_key", "notice_channel_test", "proposal_decide", "inventory_preview"),
    *("evidence_account", "evidence_rotation", "evidence_period", "list_export"),
    # they need something that was retired; the same form as *_retire
    *("instance_take_back", "container_take_back", "installation_take_back"),
}
STEP_BY_STEP = {"wizard"}
"""It has a form for each step, and its own test below."""
SUMMARY = re.compile(
    r'<div class="callout callout-danger" role="alert" tabindex="-1" autofocus>(.*?)</div>\s*</div>',
    re.DOTALL,
)


def a_goal(person: User) -> Place:
    rollout = make_rollout()
    finish_all(rollout, state="succeeded")
    return {"pk": rollout.secret.account_id}


def a_failure(person: User) -> Place:
    finish_all(make_rollout(), state="failed", code="timed_out")
    return {}


def an_unproven_success(person: User) -> Place:
    make_rollout().pushes.update(state="succeeded", is_unproven=True)
    return {}


def an_offered_key(person: User) -> Place:
    offered = make_host_key(container=make_container(), state=HostKey.State.OFFERED)
    HostKey.objects.exclude(pk=offered.pk).delete()  # the first key of its container waits
    return {}


PLACES: dict[str, Callable[[User], Place]] = {
    "rotation_start": a_goal,
    "failed_pushes_retry": a_failure,
    "unproven_push_again": an_unproven_success,
    "host_keys": an_offered_key,
}
"""Where the form is there only if there is something to do with it."""


def test_every_url_that_takes_a_post_stands_here_once() -> None:
    assert {
        name for name, page in PAGES.items() if page.post is not None
    } == FORMS.keys() | BUTTONS | STEP_BY_STEP
    assert not FORMS.keys() & BUTTONS


def expect_a_rejection(page: str) -> None:
    assert "<title>Error: " in page
    summary = SUMMARY.search(page)
    assert summary, "no summary that takes the focus"
    assert page.count(" autofocus") <= 2  # the sign-in page has a field that usually gets it
    targets = re.findall(r'href="#([^"]+)"', summary[1])
    missing = [each for each in targets if f'id="{each}"' not in page]
    assert not missing, "links that lead nowhere"
    assert targets or "<li>" in summary[1]


@pytest.mark.parametrize("name", list(FORMS))
def test_a_rejected_form_says_so_first(admin: User, name: str) -> None:
    page = PAGES[name]
    client = client_of(admin) if page.needs_sign_in else Client()
    url = reverse(name, kwargs=PLACES.get(name, page.place)(admin))
    if page.get is not None:
        assert "<title>Error:" not in client.get(url).content.decode()
    response = client.post(url, {"csrfmiddlewaretoken": "-", **FORMS[name]})
    assert response.status_code == 200
    expect_a_rejection(response.content.decode())


@pytest.mark.parametrize(
    ("way", "step", "wrong"),
    [
        ("new", "api", {"product": "none"}),
        ("new", "credential", {"name": ""}),
        ("new", "values", {"action": "typed", "client_id": "a b"}),
        ("new", "values", {"action": "file", "text": "{"}),
        ("new", "instances", {"action": "done"}),
        ("new", "review", {"action": "start", "message": LONG}),
        ("migration", "version", {"confirm": ""}),
    ],
)
def test_so_does_a_rejected_step_of_the_wizard(
    admin: User, way: str, step: str, wrong: dict[str, str]
) -> None:
    make_installation()
    place = PAGES["draft_delete"].place(admin)
    draft = Draft.objects.select_related("account").get(account__pk__in=[place["pk"]])
    draft.account.way = way
    draft.account.save()
    draft.has_json = step == "credential"
    draft.done = [each.slug for each in STEPS[way]]
    draft.save()
    url = reverse("wizard", args=[draft.account_id, step])
    response = client_of(admin).post(url, {"stamp": draft.stamp, **wrong})
    expect_a_rejection(response.content.decode())


def test_so_does_the_other_form_of_a_new_account(admin: User) -> None:
    expect_a_rejection(client_of(admin).post(reverse("account_new"), {"name": ""}).content.decode())


def test_a_refusal_that_comes_as_a_message_is_in_the_title_as_well(admin: User) -> None:
    client = client_of(admin)
    page = client.post(reverse("user_deactivate", args=[admin.pk]), follow=True).content.decode()
    assert "<title>Error: " in page
    assert 'role="alert" tabindex="-1" autofocus>' in page
