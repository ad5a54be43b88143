"""Who can mend a failure, who to call about it, and what it failed for, where people look for that."""

import pytest
from django.test import Client

from credentials.rollouts.models import Push
from instances.failures import Code
from instances.inventory.contacts import save_contact
from instances.menders import MENDERS, Mender, mended_by
from instances.models import Contact
from tests.factories import SOMEBODY, finish, make_rollout

pytestmark = pytest.mark.django_db
FAILED = {"web1": Code.BUSY, "web2": Code.HOST_KEY_CHANGED, "web3": Code.HOST_UNREACHABLE}


@pytest.fixture
def failed(db: None) -> None:
    rollout = make_rollout(containers=list(FAILED))
    for push in rollout.pushes.all():
        finish(push, state="failed", code=FAILED[push.container.name])


def listed(client: Client, query: str) -> set[str]:
    return {row.push.container.name for row in client.get(f"/rollouts/failed/{query}").context["rows"]}


def test_every_code_says_who_can_mend_it() -> None:
    assert set(MENDERS) == set(Code)
    assert all(MENDERS.values())
    assert {code for each in Mender for code in mended_by(each)} == set(Code)


@pytest.mark.usefixtures("failed")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?mender=helpdesk", {"web1"}),
        ("?mender=admin", {"web2"}),
        ("?mender=server", {"web2"}),
        ("?mender=network", {"web3"}),
        ("?mender=campaign", set()),
        ("?mender=nonsense", set(FAILED)),
        ("?mender=helpdesk&code=host_key_changed", set()),
    ],
)
def test_the_list_narrows_to_what_somebody_can_mend(as_helpdesk: Client, query: str, found: set[str]) -> None:
    assert listed(as_helpdesk, query) == found


@pytest.mark.usefixtures("failed")
def test_each_role_has_its_own_ready_filter(
    as_helpdesk: Client, as_admin: Client, as_auditor: Client
) -> None:
    def urls(client: Client) -> list[str]:
        return [each.url for each in client.get("/rollouts/failed/").context["presets"]]

    assert urls(as_helpdesk) == ["?mender=helpdesk"]
    assert urls(as_admin) == ["?mender=admin"]
    assert urls(as_auditor) == []


@pytest.mark.usefixtures("failed")
def test_causes_rows_and_pushes_say_who_can_mend_them(as_helpdesk: Client) -> None:
    push = Push.objects.get(container__name="web2")
    for address in ("/", "/rollouts/failed/", f"/rollouts/pushes/{push.pk}/"):
        text = as_helpdesk.get(address).content.decode()
        assert "Who can mend it: an admin, the server team" in text


@pytest.mark.usefixtures("failed")
def test_a_failed_push_says_who_to_call_or_that_nobody_was_entered(as_helpdesk: Client) -> None:
    address = f"/rollouts/pushes/{Push.objects.get(container__name='web3').pk}/"
    assert "No contact has been entered for Production." in as_helpdesk.get(address).content.decode()
    row = Contact(environment="production", who="Operations", reach="+33 1 55 55 01 99")
    save_contact(row, actor=SOMEBODY)
    text = as_helpdesk.get(address).content.decode()
    assert "+33 1 55 55 01 99" in text
    assert "No contact has been entered" not in text


@pytest.mark.usefixtures("failed")
def test_the_map_says_what_the_push_failed_for(as_auditor: Client) -> None:
    text = as_auditor.get("/coverage/").content.decode()
    assert "the last push failed: Host unreachable" in text
    assert "Host unreachable" not in as_auditor.get("/coverage/?at=2026-01-01+10:00").content.decode()
