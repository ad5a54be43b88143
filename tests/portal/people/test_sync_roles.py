"""Django's groups follow portal/roles.py."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command

from portal import roles as data
from portal.people.services import sync_roles

pytestmark = pytest.mark.django_db


def granted(role: str) -> set[str]:
    permissions = Group.objects.get(name=role).permissions.select_related("content_type")
    return {f"{p.content_type.app_label}.{p.codename}" for p in permissions}


def test_each_group_has_exactly_the_permissions_of_its_role() -> None:
    call_command("sync_roles", verbosity=0)
    assert {role: granted(role) for role in data.ROLES} == data.ROLES


def test_a_permission_given_by_hand_is_taken_back(roles: None) -> None:
    Group.objects.get(name="Auditor").permissions.add(Permission.objects.get(codename="retry_push"))
    sync_roles()
    assert granted("Auditor") == data.ROLES["Auditor"]


def test_a_permission_that_does_not_exist_is_named_and_nothing_changes(
    roles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.people.services.ROLES", {"Auditor": {"audit.fly"}})
    with pytest.raises(LookupError, match=r"Auditor: no such permission: audit\.fly"):
        sync_roles()
    assert granted("Auditor") == data.ROLES["Auditor"]


def test_nobody_may_read_a_secret_or_change_the_history() -> None:
    wanted = set().union(*data.ROLES.values())
    assert not {name for name in wanted if "secret" in name} - {"credentials.enter_secret"}
    assert not {name for name in wanted if name.startswith("audit.")} - {
        "audit.view_auditevent",
        "audit.view_all_events",
        "audit.export_events",
    }
