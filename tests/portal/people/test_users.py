"""Users: adding, roles, locking out, passwords, and that an admin always remains."""

import threading

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.people.services import PersonError, change_role, deactivate, role_of

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough password"
OTHER = "quite another pass phrase"


def signed_in(name: str, password: str = PASSWORD) -> Client:
    client = Client()
    response = client.post("/login/", {"username": name, "password": password})
    assert response.status_code == 302
    return client


def is_signed_in(client: Client) -> bool:
    return client.get("/password/").status_code == 200


def last_event() -> AuditEvent:
    event = AuditEvent.objects.first()
    assert event is not None
    return event


def added(client: Client, **changes: str) -> object:
    values = {"username": "newcomer", "role": "Helpdesk", "password1": OTHER, "password2": OTHER}
    return client.post("/users/new/", values | changes)


def test_an_admin_adds_a_person_who_can_sign_in(as_admin: Client) -> None:
    added(as_admin)
    person = User.objects.get(username="newcomer")
    assert role_of(person) == "Helpdesk"
    assert is_signed_in(signed_in("newcomer", OTHER))


def test_adding_is_recorded_without_the_password(as_admin: Client) -> None:
    added(as_admin)
    event = last_event()
    assert (event.action, event.actor_name, event.target_name) == ("user.created", "alice", "newcomer")
    assert event.details == {"role": "Helpdesk"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "Superhero"},
        {"role": ""},
        {"username": ""},
        {"username": "a\0b"},
        {"username": "x" * 200},
        {"username": "two words"},
        {"username": "ALICE"},
        {"password2": "not the same at all"},
        {"password1": "short", "password2": "short"},
        {"password1": "newcomer-newcomer", "password2": "newcomer-newcomer", "username": "newcomer-newcomer"},
    ],
)
def test_a_wrong_form_adds_nobody_and_keeps_what_was_typed(as_admin: Client, wrong: dict[str, str]) -> None:
    before = User.objects.count()
    response = as_admin.post(
        "/users/new/",
        {"username": "newcomer", "role": "Helpdesk", "password1": OTHER, "password2": OTHER} | wrong,
    )
    page = response.content.decode()
    assert response.status_code == 200
    assert 'role="alert"' in page
    assert OTHER not in page
    assert User.objects.count() == before


def test_a_changed_role_counts_at_the_next_click(
    as_admin: Client, helpdesk: User, as_helpdesk: Client
) -> None:
    assert as_helpdesk.get("/users/").status_code == 403
    as_admin.post(f"/users/{helpdesk.pk}/role/", {"role": "Admin"})
    assert as_helpdesk.get("/users/").status_code == 200
    assert [group.name for group in helpdesk.groups.all()] == ["Admin"]


def test_a_changed_role_is_recorded_with_the_former_one(as_admin: Client, helpdesk: User) -> None:
    as_admin.post(f"/users/{helpdesk.pk}/role/", {"role": "Auditor"})
    event = last_event()
    assert (event.action, event.details) == (
        "user.role_changed",
        {"role": "Auditor", "former_role": "Helpdesk"},
    )


def test_the_same_role_again_changes_and_records_nothing(as_admin: Client, helpdesk: User) -> None:
    before = last_event().seq
    as_admin.post(f"/users/{helpdesk.pk}/role/", {"role": "Helpdesk"})
    assert last_event().seq == before


def test_a_role_that_does_not_exist_is_refused_at_the_field(as_admin: Client, helpdesk: User) -> None:
    response = as_admin.post(f"/users/{helpdesk.pk}/role/", {"role": "Superhero"})
    assert "Superhero is not one of the available choices" in response.content.decode()
    assert role_of(helpdesk) == "Helpdesk"


def test_the_last_admin_cannot_be_demoted(as_admin: Client, admin: User) -> None:
    response = as_admin.post(f"/users/{admin.pk}/role/", {"role": "Auditor"})
    assert "last active person who can manage users" in response.content.decode()
    assert role_of(admin) == "Admin"


def test_the_last_admin_cannot_be_deactivated(as_admin: Client, admin: User) -> None:
    response = as_admin.post(f"/users/{admin.pk}/deactivate/", follow=True)
    assert "last active person who can manage users" in response.content.decode()
    admin.refresh_from_db()
    assert admin.is_active


def test_an_inactive_admin_does_not_count_as_the_last_one(actor: Actor, admin: User) -> None:
    second = User.objects.create_user("second", is_active=False)
    second.groups.add(Group.objects.get(name="Admin"))
    with pytest.raises(PersonError):
        deactivate(user=admin, actor=actor)
    second.is_active = True
    second.save()
    deactivate(user=admin, actor=actor)


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_demote_each_other_at_once_leave_one(actor: Actor, admin: User) -> None:
    second = User.objects.create_user("second")
    second.groups.add(Group.objects.get(name="Admin"))
    refused = []
    start = threading.Barrier(2)

    def demote(person: User) -> None:
        try:
            start.wait(10)
            change_role(user=person, role="Auditor", actor=actor)
        except PersonError:
            refused.append(person)
        finally:
            connection.close()

    threads = [threading.Thread(target=demote, args=[person]) for person in (admin, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(refused) == 1
    assert User.objects.filter(groups__name="Admin").count() == 1


def test_deactivating_ends_the_sessions_at_once(as_admin: Client, helpdesk: User) -> None:
    laptop, phone = signed_in("henry"), signed_in("henry")
    as_admin.post(f"/users/{helpdesk.pk}/deactivate/")
    assert not is_signed_in(laptop)
    assert not is_signed_in(phone)
    assert last_event().details == {"sessions_ended": 2}


def test_a_deactivated_person_cannot_sign_in(as_admin: Client, helpdesk: User) -> None:
    as_admin.post(f"/users/{helpdesk.pk}/deactivate/")
    assert Client().post("/login/", {"username": "henry", "password": PASSWORD}).status_code == 200


def test_reactivating_brings_no_old_session_back(as_admin: Client, helpdesk: User) -> None:
    laptop = signed_in("henry")
    as_admin.post(f"/users/{helpdesk.pk}/deactivate/")
    as_admin.post(f"/users/{helpdesk.pk}/reactivate/")
    assert not is_signed_in(laptop)
    assert is_signed_in(signed_in("henry"))


def test_a_password_set_by_an_admin_ends_the_sessions(as_admin: Client, helpdesk: User) -> None:
    laptop = signed_in("henry")
    as_admin.post(f"/users/{helpdesk.pk}/password/", {"new_password1": OTHER, "new_password2": OTHER})
    event = last_event()
    assert (event.action, event.actor_name, event.details) == ("user.password_reset", "alice", {})
    assert not is_signed_in(laptop)
    assert is_signed_in(signed_in("henry", OTHER))


def test_a_weak_password_is_refused(as_admin: Client, helpdesk: User) -> None:
    response = as_admin.post(
        f"/users/{helpdesk.pk}/password/", {"new_password1": "short", "new_password2": "short"}
    )
    assert "This password is too short" in response.content.decode()


def test_everybody_changes_their_own_password_and_stays_signed_in(helpdesk: User) -> None:
    here, elsewhere = signed_in("henry"), signed_in("henry")
    response = here.post(
        "/password/", {"old_password": PASSWORD, "new_password1": OTHER, "new_password2": OTHER}
    )
    assert response.status_code == 302
    assert is_signed_in(here)
    assert not is_signed_in(elsewhere)
    assert AuditEvent.objects.filter(action="user.password_changed", actor_name="henry").count() == 1


def test_the_old_password_is_asked_for(as_helpdesk: Client) -> None:
    response = as_helpdesk.post(
        "/password/", {"old_password": "wrong", "new_password1": OTHER, "new_password2": OTHER}
    )
    assert "old password was entered incorrectly" in response.content.decode()


def test_the_list_costs_the_same_number_of_queries_however_long_it_is(as_admin: Client, admin: User) -> None:
    counts = []
    for people in (1, 30):
        for number in range(people):
            User.objects.create(username=f"person-{people}-{number}").groups.add(
                Group.objects.get(name="Auditor")
            )
        with CaptureQueriesContext(connection) as queries:
            assert as_admin.get("/users/").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("page", ["0", "-1", "x", "9" * 300])
def test_garbage_page_numbers_are_no_error(as_admin: Client, page: str) -> None:
    assert as_admin.get("/users/", {"page": page}).status_code == 200


@pytest.mark.parametrize("pk", ["0", "9" * 18, "9" * 40, "9" * 5000])
def test_a_person_who_does_not_exist_is_not_found(as_admin: Client, pk: str) -> None:
    assert as_admin.get(f"/users/{pk}/").status_code == 404


def test_a_persons_page_shows_what_was_changed(as_admin: Client, helpdesk: User) -> None:
    as_admin.post(f"/users/{helpdesk.pk}/role/", {"role": "Auditor"})
    page = as_admin.get(f"/users/{helpdesk.pk}/").content.decode()
    assert "Role changed" in page
    assert "former role: Helpdesk" in page
