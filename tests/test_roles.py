"""Who may do what: every URL with every role and method. A URL that is missing here fails.

A new page is one line in PAGES: the roles that may GET it and the roles that may POST to it, by initials
(A admin, H helpdesk, U auditor); None where the page has no such method.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from pytest_django.fixtures import Settings

from credentials.models import TechnicalAccount
from credentials.wizard.models import Draft
from instances.discovery.models import Reading
from instances.inventory import pending
from instances.models import Container, HostKey
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor, record
from portal.notices.channels import ask_test
from tests.factories import (
    finish,
    make_account,
    make_channel,
    make_container,
    make_host_key,
    make_installation,
    make_instance,
    make_jump_host,
    make_rollout,
    make_rotation,
    make_window,
)
from tests.services.waiting import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # the tests of each page run on both

ALL = "AHU"
NOBODY = ""
OWN = {"password_change", "preferences"}
"""Pages about nothing but the person who opens them."""
INITIALS = {"Admin": "A", "Helpdesk": "H", "Auditor": "U"}
Place = dict[str, object]


def nothing(person: User) -> Place:
    return {}


def a_list(person: User) -> Place:
    return {"name": "instances"}


def a_topic(person: User) -> Place:
    return {"name": "codes"}


def an_account(person: User) -> Place:
    return {"pk": make_account().account.pk}


def a_version(person: User) -> Place:
    return an_account(person) | {"number": 1}


def an_environment(person: User) -> Place:
    return {"environment": "production"}


def a_draft(person: User) -> Place:
    account = TechnicalAccount.objects.create(name="Half done")
    Draft.objects.create(account=account, step="signin", changed_by=person, changed_by_name=person.username)
    return {"pk": account.pk}


def a_draft_step(person: User) -> Place:
    return a_draft(person) | {"step": "signin"}


def a_rollout(person: User) -> Place:
    return {"pk": make_rollout().pk}


def a_failed_push(person: User) -> Place:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code="timed_out")
    return {"pk": push.pk}


def a_rotation(person: User) -> Place:
    return {"pk": make_rotation().pk}


def a_verb_of_a_rotation(person: User) -> Place:
    return a_rotation(person) | {"name": "take-back"}


def a_window(person: User) -> Place:
    return {"pk": make_window().pk}


def an_instance(person: User) -> Place:
    return {"pk": make_instance().pk}


def an_installation(person: User) -> Place:
    return {"pk": make_installation().pk}


def a_container(person: User) -> Place:
    container = make_container()
    Container.objects.filter(pk=container.pk).update(address="127.0.0.1", port=free_port())
    return {"pk": container.pk}


def a_reading(person: User) -> Place:
    return {"pk": Reading.objects.create(container=make_container(), asked_by=person.username).pk}


def a_host_key(person: User) -> Place:
    return {"pk": make_host_key(container=make_container(), state=HostKey.State.OFFERED).pk}


def a_jump_host(person: User) -> Place:
    return {"pk": make_jump_host().pk}


def an_upload(person: User) -> Place:
    return {"upload": pending.keep(b"instance,container,address\n", user_id=person.pk)}


def an_own_event(person: User) -> Place:
    return {"seq": record("push.retried", actor=Actor(person.username, person)).seq}


def another_person(person: User) -> Place:
    return {"pk": User.objects.create_user("somebody").pk}


def a_channel(person: User) -> Place:
    return {"pk": make_channel().pk}


def a_notice(person: User) -> Place:
    return {"pk": ask_test(make_channel(), actor=Actor(person.username, person)).pk}


@dataclass(frozen=True)
class Page:
    get: str | None
    post: str | None
    place: Callable[[User], Place] = nothing
    needs_sign_in: bool = True


PAGES: dict[str, Page] = {
    "home": Page(ALL, None),
    "search": Page(ALL, None),
    "help": Page(ALL, None),
    "help_topic": Page(ALL, None, a_topic),
    "list_export": Page(None, ALL, a_list),
    "login": Page(ALL, ALL, needs_sign_in=False),
    "logout": Page(None, ALL, needs_sign_in=False),
    "password_change": Page(ALL, ALL),
    "preferences": Page(ALL, ALL),
    # accounts and the wizard
    "accounts": Page(ALL, None),
    "account": Page(ALL, None, an_account),
    "account_retire": Page("A", "A", an_account),
    "account_goal": Page("A", "A", a_version),
    "contacts": Page(ALL, None),
    "contact_edit": Page("A", "A", an_environment),
    "rotations": Page(ALL, None),
    "rotation": Page(ALL, None, a_rotation),
    "rotation_start": Page("A", "A", an_account),
    "rotation_verb": Page("A", "A", a_verb_of_a_rotation),
    "evidence_account": Page(None, "AU", an_account),
    "evidence_rotation": Page(None, "AU", a_rotation),
    "evidence_period": Page(None, "AU"),
    "rotation_policy": Page("A", "A", an_account),
    "rotation_policy_remove": Page(None, "A", an_account),
    "rotation_windows": Page(ALL, None),
    "rotation_window_add": Page("A", "A"),
    "rotation_window": Page("A", "A", a_window),
    "rotation_window_remove": Page("A", "A", a_window),
    "account_new": Page("A", "A"),
    "wizard_resume": Page("A", None, a_draft),
    "wizard": Page("A", "A", a_draft_step),
    "draft_delete": Page("A", "A", a_draft),
    "account_secret": Page("A", "A", an_account),
    "account_check": Page(None, "A", an_account),
    "account_rollout": Page("A", "A", an_account),
    # rollouts
    "rollouts": Page(ALL, None),
    "rollout": Page(ALL, None, a_rollout),
    "rollout_cancel": Page(None, "A", a_rollout),
    "failed_pushes": Page(ALL, None),
    "failed_pushes_retry": Page(None, "AH"),
    "push": Page(ALL, None, a_failed_push),
    "push_retry": Page(None, "AH", a_failed_push),
    "push_look": Page(None, "AH", a_failed_push),
    "unproven_successes": Page(ALL, None),
    "unproven_push_again": Page(None, "A"),
    # coverage
    "coverage": Page(ALL, None),
    "hand_script": Page(ALL, None),
    "hand_runbook": Page(ALL, None, an_installation),
    "hand_report": Page("A", "A", an_installation),
    "confirm_by_hand": Page("A", "A", an_installation),
    "drift": Page(ALL, None),
    "drift_accept": Page(None, "A", an_installation),
    "drift_push": Page(None, "A", an_installation),
    # inventory
    "instances": Page(ALL, None),
    "instance_add": Page("A", "A"),
    "instance": Page(ALL, None, an_instance),
    "instance_edit": Page("A", "A", an_instance),
    "installation_add": Page("A", "A", an_instance),
    "installation_remove": Page("A", "A", an_installation),
    "installation_take_over": Page(None, "A", an_installation),
    "instance_retire": Page("A", "A", an_instance),
    "instance_take_back": Page("A", "A", an_instance),
    "container_retire": Page("A", "A", a_container),
    "container_take_back": Page("A", "A", a_container),
    "installation_retire": Page("A", "A", an_installation),
    "installation_take_back": Page("A", "A", an_installation),
    "inventory_import": Page("A", "A"),
    "inventory_template": Page("A", None),
    "inventory_preview": Page("A", "A", an_upload),
    "containers": Page(ALL, None),
    "container_add": Page("A", "A"),
    "container": Page(ALL, None, a_container),
    "container_edit": Page("A", "A", a_container),
    "container_switch": Page(None, "A", a_container),
    "container_scan": Page(None, "A", a_container),
    "container_read": Page(None, "AH", a_container),
    "container_timeline": Page(ALL, None, a_container),
    "instance_timeline": Page(ALL, None, an_instance),
    "installation": Page(ALL, None, an_installation),
    "jwt_and_builds": Page(ALL, None),
    "proposals": Page(ALL, None),
    "proposal_decide": Page(None, "A"),
    "reading": Page(ALL, None, a_reading),
    "readings": Page(ALL, None),
    "readings_ask": Page(None, "AH"),
    "host_keys": Page("A", "A"),
    "host_key_scan": Page("A", "A"),
    "host_key_scan_stop": Page(None, "A"),
    "host_key_approve": Page("A", "A", a_host_key),
    "host_key_revoke": Page(None, "A", a_host_key),
    "jump_hosts": Page("A", None),
    "jump_host_add": Page("A", "A"),
    "jump_host_edit": Page("A", "A", a_jump_host),
    "jump_host_remove": Page("A", "A", a_jump_host),
    "ssh_key": Page(ALL, None),
    # history
    "history": Page(ALL, None),
    "history_event": Page(ALL, None, an_own_event),
    "history_export": Page(None, "AU"),
    "history_verify": Page("AU", "AU"),
    "history_people": Page("AU", None),
    # notices
    "notices": Page("A", None),
    "notice_channel_add": Page("A", "A"),
    "notice_channel": Page("A", "A", a_channel),
    "notice_channel_remove": Page("A", "A", a_channel),
    "notice_channel_key": Page(None, "A", a_channel),
    "notice_channel_test": Page(None, "A", a_channel),
    "notice": Page("A", None, a_notice),
    "notice_resend": Page(None, "A", a_notice),
    # users
    "users": Page("A", None),
    "user_add": Page("A", "A"),
    "locks": Page("A", None),
    "lock_lift": Page(None, "A"),
    "user": Page("A", None, another_person),
    "user_role": Page(None, "A", another_person),
    "user_password": Page("A", "A", another_person),
    "user_deactivate": Page(None, "A", another_person),
    "user_reactivate": Page(None, "A", another_person),
}


@pytest.fixture(autouse=True)
def _nobody_answers(settings: Settings) -> None:
    """Adobe is a port of this machine that nothing listens on."""
    settings.IMS_BASE_URL = f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def people(admin: User, helpdesk: User, auditor: User) -> dict[str, User]:
    return {"Admin": admin, "Helpdesk": helpdesk, "Auditor": auditor}


def patterns(resolver: URLResolver) -> Iterator[URLPattern]:
    for found in resolver.url_patterns:
        if isinstance(found, URLResolver):
            yield from patterns(found)
        else:
            yield found


def client_of(person: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(person)
    return client


def test_every_url_stands_in_the_table_and_every_line_is_a_url() -> None:
    assert {pattern.name for pattern in patterns(get_resolver())} == set(PAGES)


@contextmanager
def undone() -> Iterator[None]:
    """Undo what is done in here, so that the next request finds the portal as this one did."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


METHODS = ("get", "post")


@pytest.mark.parametrize("name", list(PAGES))
def test_a_role_may_do_what_the_table_says_and_nothing_else(people: dict[str, User], name: str) -> None:
    for method, role in product(METHODS, INITIALS):
        with undone():
            judge(name, people[role], INITIALS[role], method)


def judge(name: str, person: User, initial: str, method: str) -> None:
    page, done = PAGES[name], f"{person.username}: {method}"
    url = reverse(name, kwargs=page.place(person))
    response = getattr(client_of(person), method)(url)
    if response.streaming:
        response.getvalue()  # there may be a file behind it
    allowed = page.get if method == "get" else page.post
    if allowed is None:
        assert response.status_code == 405, done
    elif initial in allowed:
        assert response.status_code in (200, 302), done
        assert not response.get("Location", "").startswith("/login/") or name == "logout", done
    else:
        assert response.status_code == 403, done
        assert AuditEvent.objects.filter(action="access.refused", actor=person).exists(), done


@pytest.mark.parametrize("name", list(PAGES))
def test_nobody_gets_in_without_signing_in(admin: User, name: str) -> None:
    page = PAGES[name]
    for method in METHODS:
        with undone():
            url = reverse(name, kwargs=page.place(admin))
            response = getattr(Client(raise_request_exception=False), method)(url)
            if page.needs_sign_in:
                assert (response.status_code, response["Location"]) == (302, f"/login/?next={url}"), method
            else:
                assert response.status_code in (200, 302, 405), method


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if page.post is not None])
def test_every_post_needs_the_token_against_forgery(admin: User, name: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin)
    response = client.post(reverse(name, kwargs=PAGES[name].place(admin)))
    assert response.status_code == 403


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if page.get is not None])
def test_a_person_without_a_role_sees_nothing(roles: None, name: str) -> None:
    person = User.objects.create_user("newcomer")
    response = client_of(person).get(reverse(name, kwargs=PAGES[name].place(person)))
    assert response.status_code == (302 if name == "login" else 200 if name in OWN else 403)


@pytest.mark.parametrize("name", list(PAGES))
def test_pages_are_not_kept_in_caches_and_allow_nothing_inline(admin: User, name: str) -> None:
    page = PAGES[name]
    client, url = client_of(admin), reverse(name, kwargs=page.place(admin))
    response = client.get(url) if page.get is not None else client.post(url)
    if response.streaming:
        response.close()
    assert "no-store" in response["Cache-Control"]
    assert "unsafe" not in response["Content-Security-Policy"]
