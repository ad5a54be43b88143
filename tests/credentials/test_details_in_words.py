"""What entries tell is told in the reader's language: keys, codes, filters and names, at any depth."""

import re

import pytest
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from portal.audit.labels import line_of
from portal.audit.operator import AT_COMMAND_LINE
from portal.audit.pages.forms import HistoryForm
from portal.audit.trail import PORTAL, Actor, record
from portal.web.exports import _exports
from tests.messages.pseudo import pseudo_language

pytestmark = pytest.mark.django_db
WORD = re.compile(r"[A-Za-z]{2,}")
DETAILS: dict[str, dict[str, object]] = {
    "inventory.changed": {
        "changes": [
            {"container": "dev3", "row": 22, "new": True},
            {"host_key": "dev3", "row": 22, "changes": {"fingerprint": ["", "x9"]}},
            {"installation": "dev3 on dev3", "row": 22, "changes": {"environment": ["stage", "production"]}},
        ]
    },
    "rotation.started": {"waves": "environment", "stop": "0", "leak": False, "way": "api"},
    "rotation.stopped": {"installations": ["dev3 on dev3"], "rule": "2", "count": 3},
    "rollout.requested": {"superseded": 0, "reason": "rotation"},
    "evidence.made": {"pack": "period", "from": "2026-10-01T00:00:00+02:00"},
    "account.values_entered": {
        "before": {"organization_id": "", "technical_account_id": "", "client_id": ""},
        "after": {"organization_id": "1", "technical_account_id": "2", "client_id": "3"},
    },
    "account.numbers_entered": {
        "before": {"numeric_organization_id": "", "credential_id": ""},
        "after": {"numeric_organization_id": "1", "credential_id": "2"},
    },
    "contact.created": {"environment": "stage", "who": "x9", "reach": "x9", "hours": "9"},
    "access.refused": {"method": "POST", "path": "/9/"},
    "user.role_changed": {"role": "Admin", "former_role": "Helpdesk"},
    "history.read": {"filters": {"since": "2026-10-01", "action": "exports", "readings": "True"}},
    "history.exported": {"filters": {"event": "7"}, "format": "9"},
    "list.exported": {"list": "coverage", "filters": {"state": "needs_you", "q": "x9"}, "format": "9"},
}
DATA = {"dev", "UTC"}


@pytest.mark.parametrize("action", DETAILS)
def test_nothing_of_an_entry_is_told_in_english_alone(action: str) -> None:
    event = record(action, actor=Actor(f"x9{AT_COMMAND_LINE}", is_person=False), details=DETAILS[action])
    with pseudo_language():
        facts = [part for fact in line_of(event).facts for part in fact]
    assert {*WORD.findall(" ".join(facts))} - DATA == set(), facts


@pytest.mark.parametrize("name", ["history", *sorted(_exports)])
def test_each_filter_of_an_export_is_told_by_its_label(name: str) -> None:
    filters = HistoryForm() if name == "history" else _exports[name].filters(QueryDict())
    fields = getattr(filters, "form", filters).fields
    action = "history.exported" if name == "history" else "list.exported"
    details: dict[str, object] = {"filters": dict.fromkeys(fields, "9")}
    details |= {} if name == "history" else {"list": name}
    with pseudo_language():
        facts = line_of(record(action, actor=PORTAL, details=details)).facts
    assert {*WORD.findall(" ".join(part for fact in facts for part in fact))} - DATA == set(), facts


def test_a_moment_is_told_in_the_zone_of_the_reader() -> None:
    event = record("evidence.made", actor=PORTAL, details={"from": "2026-10-01T00:00:00+02:00", "until": "T"})
    with timezone.override("UTC"):
        assert dict(line_of(event).facts) == {"from": "2026-09-30 22:00:00", "until": "T"}
    assert event.details["from"] == "2026-10-01T00:00:00+02:00"


def test_a_person_at_the_command_line_and_a_role_are_told_in_french(as_admin: Client) -> None:
    record("user.created", actor=Actor("root (command line)"), details={"role": "Auditor"})
    page = as_admin.get("/history/", headers={"Accept-Language": "fr"}).text
    assert "root (ligne de commande)" in page
    assert "Auditeur" in page
