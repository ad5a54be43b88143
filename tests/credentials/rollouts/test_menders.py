"""Who can mend a failure, who to call about it, and what it failed for, where people look for that."""

import pytest
from django.test import Client

from credentials.rollouts.models import Push
from instances.failures import Code
from instances.inventory.contacts import save_contact
from instances.menders import ALL_NEEDED, MENDERS, Mender, in_words, mended_by
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
        assert "Who can mend it: an admin and the server team" in text


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (Code.BUSY, "helpdesk (by a retry)"),
        (Code.OTHER_VERSION, "helpdesk (by a retry) or the Campaign team"),
        (Code.HOST_KEY_CHANGED, "an admin and the server team"),
        ("", ""),
    ],
)
def test_who_can_mend_it_reads_as_a_sentence(code: str, words: str) -> None:
    assert in_words(code) == words
    assert all(len(MENDERS[each]) > 1 for each in ALL_NEEDED)


@pytest.mark.usefixtures("failed")
def test_a_failed_push_says_who_to_call_or_that_nobody_was_entered(as_helpdesk: Client) -> None:
    push = Push.objects.get(container__name="web2")  # the server team is among those who can mend it
    Push.objects.exclude(pk=push.pk).update(replaced=True)
    places = ("/", "/rollouts/failed/", f"/rollouts/pushes/{push.pk}/")
    for address in places:
        text = " ".join(as_helpdesk.get(address).content.decode().split())
        missing = "Server team of Production, Security team"
        assert f"No contact has been entered: {missing}. Ask an admin to enter it." in text
    row = Contact(environment="production", who="Operations", reach="+33 1 55 55 01 99")
    save_contact(row, actor=SOMEBODY)
    for address in places:
        text = as_helpdesk.get(address).content.decode()
        assert "Server team of Production: <strong>Operations</strong>, +33 1 55 55 01 99" in text
        assert "No contact has been entered: Server team" not in text


def test_nobody_is_sent_to_a_server_team_that_cannot_mend_it(as_helpdesk: Client) -> None:
    save_contact(
        Contact(environment="production", who="Operations", reach="+33 1 55 55 01 99"), actor=SOMEBODY
    )
    push = make_rollout().pushes.get()
    finish(push, state="failed", code=Code.BUILD_TOO_OLD)
    for address in ("/", "/rollouts/failed/", f"/rollouts/pushes/{push.pk}/"):
        text = as_helpdesk.get(address).content.decode()
        assert "Who can mend it: the Campaign team" in text
        assert "Operations" not in text
        assert "No contact has been entered: Campaign team." in text
    save_contact(Contact(environment="campaign", who="Marketing tools", reach="2222"), actor=SOMEBODY)
    for address in ("/", "/rollouts/failed/", f"/rollouts/pushes/{push.pk}/"):
        text = as_helpdesk.get(address).content.decode()
        assert "Campaign team: <strong>Marketing tools</strong>, 2222" in text


@pytest.mark.parametrize(
    ("code", "team"),
    [
        (Code.HOST_KEY_CHANGED, "security"),
        (Code.ANSWER_MALFORMED, "security"),
        (Code.PORTAL_ERROR, "operators"),
    ],
)
def test_whoever_the_advice_sends_people_to_can_be_called(code: Code, team: str, as_helpdesk: Client) -> None:
    save_contact(Contact(environment=team, who="Night watch", reach="4711"), actor=SOMEBODY)
    push = make_rollout().pushes.get()
    finish(push, state="failed", code=code)
    for address in ("/", "/rollouts/failed/", f"/rollouts/pushes/{push.pk}/"):
        assert (
            f"{Contact.label_of(team)}: <strong>Night watch</strong>"
            in as_helpdesk.get(address).content.decode()
        )


def test_an_admin_is_led_to_where_a_contact_is_entered(as_admin: Client) -> None:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code=Code.LOGIN_REFUSED)
    text = as_admin.get(f"/rollouts/pushes/{push.pk}/").content.decode()
    assert 'href="/contacts/production/"' in text
    assert "Ask an admin to enter it." not in text


@pytest.mark.usefixtures("failed")
def test_the_map_says_what_the_push_failed_for(as_auditor: Client) -> None:
    text = as_auditor.get("/coverage/").content.decode()
    assert "the last push failed: Host unreachable" in text
    assert "Host unreachable" not in as_auditor.get("/coverage/?at=2026-01-01+10:00").content.decode()
