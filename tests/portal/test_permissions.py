"""Who lacks a permission is told which roles have it."""

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("url", "language", "told"),
    [
        ("/users/", "en", "Who may do this: Admin."),
        ("/history/verify/", "en", "Who may do this: Admin, Auditor."),
        ("/history/verify/", "fr", "Qui en a le droit\N{NO-BREAK SPACE}: Administrateur, Auditeur."),
    ],
)
def test_a_refusal_names_the_roles_that_may(as_helpdesk: Client, url: str, language: str, told: str) -> None:
    answer = as_helpdesk.get(url, headers={"Accept-Language": language})
    assert answer.status_code == 403
    assert told in answer.content.decode()
