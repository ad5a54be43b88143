"""What every list as a file has in common, of one portal that has at least two rows in each."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

import pytest
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.test import Client
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from credentials.rollouts.models import Push, Rollout
from portal.audit.models import AuditEvent
from portal.people.services import sync_roles
from portal.web import exports
from tests.factories import finish
from tests.portal.exported import address, as_csv, rows_of
from tests.portal.listed import EXPORTS, Place, fill

pytestmark = pytest.mark.django_db
NAMES = list(EXPORTS)


@pytest.fixture(scope="module")
def filled(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Place]:
    """At least one row in every list, for all tests of this module: to fill it takes longer than a test.

    Each test begins in a transaction of its own inside this one, and leaves nothing.
    """
    with django_db_blocker.unblock(), transaction.atomic():
        sync_roles()
        yield fill(size=2)
        transaction.set_rollback(True)


@pytest.mark.database
@pytest.mark.parametrize("name", NAMES)
def test_csv_and_json_have_the_same_rows_and_the_known_columns(
    filled: Place, as_admin: Client, name: str
) -> None:
    rows, objects = as_csv(as_admin, name, f"?{filled.get(name, '')}"), rows_of(as_admin, name, filled)
    assert len(rows) == len(objects) > 0
    columns = EXPORTS[name].columns.split()
    assert all(list(row) == columns for row in (*rows, *objects))


@pytest.mark.database
@pytest.mark.parametrize("name", [name for name, each in EXPORTS.items() if each.filters])
def test_filters_leave_what_they_leave_on_the_page(filled: Place, as_admin: Client, name: str) -> None:
    wanted = EXPORTS[name]
    if name == "pushes":
        finish(Push.objects.filter(rollout__secret__account__name="Triggers")[0], state="succeeded")
    if name == "rollouts":
        Rollout.objects.filter(secret__account__name="Triggers").update(reason="repair")
    everything, found = rows_of(as_admin, name, filled), rows_of(as_admin, name, filled, wanted.filters)
    assert {row[wanted.column] for row in found} == {wanted.value}
    assert [row for row in everything if row[wanted.column] == wanted.value] == found
    assert len(found) < len(everything)


@pytest.mark.parametrize("name", NAMES)
def test_moments_are_in_utc_and_what_is_listed_is_a_list(filled: Place, as_admin: Client, name: str) -> None:
    with timezone.override("Asia/Tokyo"):
        rows = rows_of(as_admin, name, filled)
    for value in (value for row in rows for value in row.values()):
        if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
            assert value.endswith("+00:00")
        assert value is None or isinstance(value, str | int | float | bool | list)


@pytest.mark.parametrize("name", NAMES)
def test_each_export_is_recorded_with_its_filters_and_rows(
    filled: Place, as_admin: Client, name: str
) -> None:
    as_admin.post(address(name, filled, EXPORTS[name].filters))
    details = AuditEvent.objects.get(action="list.exported").details
    assert (details["list"], details["format"]) == (name, "csv")
    asked = dict(parse_qsl(f"{filled.get(name, '')}&{EXPORTS[name].filters}"))
    assert asked.items() <= details["filters"].items()
    assert details["objects"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_each_list_asks_for_its_own_permission(filled: Place, name: str, roles: None) -> None:
    client = Client()
    person = User.objects.create_user("newcomer")
    client.force_login(person)
    assert exports._exports[name].permission == EXPORTS[name].permission
    assert client.post(address(name, filled)).status_code == 403
    app, _dot, codename = EXPORTS[name].permission.partition(".")
    person.user_permissions.add(Permission.objects.get(codename=codename, content_type__app_label=app))
    assert client.post(address(name, filled)).status_code == 200
