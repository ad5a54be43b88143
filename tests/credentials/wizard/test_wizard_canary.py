"""A secret that went through every form of the wizard is found nowhere but in a ciphertext."""

import logging

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from credentials.keys.vault import open_version
from credentials.models import ClientSecret, TechnicalAccount
from tests.credentials.wizard.wizard_walk import (
    CLIENT,
    OTHER_SECRET,
    SECRET,
    begin_with_json,
    choose,
    console_json,
    make_installation,
    post,
    reach_values,
    typed,
)


def everything_stored() -> str:
    """Return the text of every column of every table."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')  # a table's name, from the database itself
            found.append(repr(cursor.fetchall()))
    return "\n".join(found)


def whole(response: HttpResponseBase) -> str:
    """Return everything that the browser got."""
    assert isinstance(response, HttpResponse)
    return str(response.headers) + response.content.decode()


def test_the_secret_is_nowhere_but_in_its_ciphertext(
    as_admin: Client, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings.IMS_BASE_URL = "http://127.0.0.1:1"
    installation = make_installation()
    account = reach_values(as_admin)
    values, new = reverse("wizard", args=[account.pk, "values"]), reverse("account_secret", args=[account.pk])
    answers = [
        post(as_admin, account, "values", typed(action="typed", organization_id="bad value")),
        post(
            as_admin, account, "values", typed(action="typed", client_id=SECRET, organization_id="bad value")
        ),
        post(as_admin, account, "values", typed(action="typed", client_id=SECRET, client_secret=CLIENT)),
        as_admin.post(values, typed(action="typed", stamp="stale")),
        post(as_admin, account, "values", {"action": "file", "text": console_json(SECRET) + "x"}),
        post(as_admin, account, "values", {"action": "file", "text": console_json(SECRET)}),
        as_admin.get(values),
        begin_with_json(as_admin, console_json(SECRET) + "x"),
        begin_with_json(as_admin, console_json(SECRET), name=SECRET),
        begin_with_json(as_admin, console_json(SECRET), name="The same Client ID again"),
        post(as_admin, account, "check", {"action": "ask"}),
        post(as_admin, account, "check"),
        post(as_admin, account, "instances", choose([installation])),
        as_admin.get(reverse("wizard", args=[account.pk, "review"])),
        post(as_admin, account, "review", {"action": "start"}),
        as_admin.post(new, {"client_secret": OTHER_SECRET + "/"}),
        as_admin.post(new, {"client_secret": OTHER_SECRET}),
        *(
            as_admin.get(reverse(name, args=[account.pk]))
            for name in ("account", "account_rollout", "account_secret")
        ),
        as_admin.get(reverse("account", args=[account.pk]), {"show": "history"}),
    ]
    sessions = [Session.objects.get(pk=each.pk).get_decoded() for each in Session.objects.all()]
    places = [
        *(whole(each) for each in answers),
        str(sessions),
        caplog.text,
        everything_stored(),
    ]
    for secret in (SECRET, OTHER_SECRET):
        assert not [place for place in places if secret in place]
    kept = {open_version(each).reveal() for each in ClientSecret.objects.filter(account=account)}
    assert kept == {SECRET, OTHER_SECRET}
    assert TechnicalAccount.objects.get().state == "active"
