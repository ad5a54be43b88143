"""Which passwords are refused, wherever one is set."""

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.test import Client
from pytest_django.fixtures import Settings

from tests.portal.people.test_sign_in import PASSWORD

WEAK = [
    "123456789012",
    "campaign2026",
    "Campaign-Portal-2026!",
    "c4mp4ign-p0rtal-26",
    "aaaaaaaaaaaa",
    "abcabcabcabcabc",
    "qwertyuiop12",
    "P@ssw0rd12345",
    "Winter2026Winter",
    "01.02.2026 10:00",
    "alice.miller-2026",
    "northwind-2026",
    "adobe" * 40,
]
GOOD = [
    PASSWORD,
    "correct horse battery staple",
    "k4vLq9wTz2Xb",
    "x7 blue kettle",
    "f" * 3 + "7Gk" * 2 + "pQz" * 30,
]


@pytest.mark.parametrize("password", WEAK)
def test_a_password_that_is_easy_to_guess_is_refused_with_advice(settings: Settings, password: str) -> None:
    settings.ALLOWED_HOSTS = ["portal.northwind.example"]
    with pytest.raises(ValidationError) as caught:
        validate_password(password, User(username="alice.miller"))
    assert "password manager" in " ".join(caught.value.messages)


@pytest.mark.parametrize("password", GOOD)
def test_a_good_one_needs_no_certain_kinds_of_characters(password: str) -> None:
    validate_password(password, User(username="alice.miller"))


@pytest.mark.django_db
def test_it_counts_for_the_own_password_for_new_people_and_for_admins_who_set_one(
    admin: User, helpdesk: User, as_admin: Client
) -> None:
    weak = "campaign2026"
    own = {"old_password": PASSWORD, "new_password1": weak, "new_password2": weak}
    for url, data in (
        ("/password/", own),
        (f"/users/{helpdesk.pk}/password/", own),
        ("/users/new/", {"username": "kim", "role": "Auditor", "password1": weak, "password2": weak}),
    ):
        response = as_admin.post(url, data)
        assert response.status_code == 200
        assert "password manager" in response.content.decode()
    assert not User.objects.filter(username="kim").exists()
    assert not any(user.check_password(weak) for user in User.objects.all())
