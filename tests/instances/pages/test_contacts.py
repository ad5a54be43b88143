"""Contacts for the servers of an environment, and for other teams."""

import pytest
from django.test import Client

from instances.models import Contact
from portal.audit.models import AuditEvent
from tests.factories import make_host_key, make_installation

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]
ENTERED = {"who": "Campaign operations", "reach": "+49 30 1234", "hours": "weekdays"}
PAGE = "/contacts/production/"


def test_an_admin_enters_changes_and_removes_a_contact(as_admin: Client, as_helpdesk: Client) -> None:
    assert as_admin.post(PAGE, ENTERED)["Location"] == "/contacts/"
    assert "Campaign operations" in as_helpdesk.get("/contacts/").content.decode()
    as_admin.post(PAGE, ENTERED)  # the same again is no event
    as_admin.post(PAGE, ENTERED | {"reach": "+49 30 9999"})
    assert Contact.objects.get().reach == "+49 30 9999"
    as_admin.post(PAGE, ENTERED | {"remove": "yes"})
    assert not Contact.objects.exists()
    events = AuditEvent.objects.filter(action__startswith="contact.").order_by("seq")
    assert [each.action for each in events] == ["contact.created", "contact.changed", "contact.removed"]
    assert events[1].details == {"changes": {"reach": ["+49 30 1234", "+49 30 9999"]}}


def test_other_teams_have_contacts_as_well(as_admin: Client) -> None:
    assert as_admin.post("/contacts/campaign/", ENTERED)["Location"] == "/contacts/"
    shown = as_admin.get("/contacts/").content.decode()
    others = ("Campaign team", "Network team", "People who run the portal", "Security team")
    for label in ("Server team of Production", *others):
        assert label in shown
    assert "Contact: Campaign team" in as_admin.get("/contacts/campaign/").content.decode()
    assert str(Contact.objects.get()) == "Campaign team"


def test_the_server_team_is_named_where_it_is_to_be_asked(as_admin: Client, as_auditor: Client) -> None:
    row = make_installation(instance="prod1", container="web1")
    key = make_host_key(container=row.container, state="offered")
    pages = [f"/containers/{row.container_id}/", f"/instances/{row.instance_id}/"]
    for page in pages:
        assert "No contact has been entered" in as_auditor.get(page).content.decode()
    as_admin.post(PAGE, ENTERED)
    for page in pages:
        assert "Campaign operations" in as_auditor.get(page).content.decode()
    said = as_admin.get(f"/containers/host-keys/{key.pk}/approve/").content.decode()
    assert "Campaign operations" in said


def test_nobody_here_runs_the_servers_that_adobe_hosts(as_auditor: Client) -> None:
    row = make_installation(deployment="hosted")
    said = as_auditor.get(f"/instances/{row.instance_id}/").content.decode()
    assert "Server team of" not in said


def test_what_is_missing_is_said_and_nothing_typed_is_lost(as_admin: Client) -> None:
    page = as_admin.post(PAGE, ENTERED | {"reach": ""}).content.decode()
    assert "This field is required" in page
    assert "Campaign operations" in page
    assert not Contact.objects.exists()
    assert as_admin.get("/contacts/mars/").status_code == 404


def test_a_secret_is_no_contact(as_admin: Client) -> None:
    page = as_admin.post(PAGE, ENTERED | {"reach": "p8e-AbCdEfGhIjKlMnOpQrStUvWxYz012345"}).content.decode()
    assert "p8e-AbCdEf" not in page
    assert not Contact.objects.exists()
