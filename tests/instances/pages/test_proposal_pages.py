"""The page of proposals: who sees and decides what, and what a decision about an old sight gets."""

import html

import pytest
from django.test import Client
from django.utils import timezone

from credentials.home.counting import count_all
from credentials.home.needs import needs
from instances.discovery.models import Dismissal, Reading
from instances.discovery.proposals import proposals
from instances.models import Container, Installation, Instance
from portal.audit.models import AuditEvent
from tests.factories import make_container, make_installation

pytestmark = [pytest.mark.django_db, pytest.mark.database]
PAGE = "/containers/proposals/"


def text(client: Client, query: str = "") -> str:
    answer = client.get(PAGE + query)
    assert answer.status_code == 200
    return " ".join(html.unescape(answer.content.decode()).split())


def decide(client: Client, **values: str) -> str:
    answer = client.post(f"{PAGE}decide/", values, follow=True)
    assert answer.status_code == 200
    return " ".join(html.unescape(answer.content.decode()).split())


@pytest.fixture
def container() -> Container:
    row = make_container(name="mkt-1")
    now = timezone.now()
    Reading.objects.create(
        container=row, asked_by="henry", state="succeeded", started=now, finished=now, found={"stray": ""}
    )
    return row


@pytest.fixture
def key(container: Container) -> str:
    (found,) = proposals()
    return found.key


def test_what_was_never_read_and_what_fits_say_so(as_auditor: Client) -> None:
    assert "No container has been read yet" in text(as_auditor)
    now = timezone.now()
    Reading.objects.create(container=make_container(), state="succeeded", finished=now, asked_by="henry")
    assert "Everything that was seen matches the inventory." in text(as_auditor)
    assert "Nothing matches these filters." in text(as_auditor, "?kind=gone")


def test_an_admin_applies_and_comes_back_to_the_same_list(as_admin: Client, key: str) -> None:
    assert "config-stray.xml is on mkt-1" in text(as_admin)
    values = {"proposal": key, "do": "apply", "environment": "stage", "role": "RT", "back": f"{PAGE}?q=mkt"}
    answer = as_admin.post(f"{PAGE}decide/", values)
    assert answer.headers["Location"] == f"{PAGE}?q=mkt"
    assert Instance.objects.get().environment == "stage"
    assert "stray is now listed on mkt-1." in text(as_admin)
    assert "no longer proposed" in decide(as_admin, proposal=key, do="apply")
    assert Installation.objects.count() == 1


def test_an_admin_leaves_it_with_a_reason_and_takes_it_up_again(as_admin: Client, key: str) -> None:
    assert "Say why" in decide(as_admin, proposal=key, do="leave", reason=" ")
    assert "at most 200" in decide(as_admin, proposal=key, do="leave", reason="x" * 201)
    assert not Dismissal.objects.exists()
    decide(as_admin, proposal=key, do="leave", reason="<b>A test</b>")
    assert "Everything that was seen matches" in text(as_admin)
    page = as_admin.get(f"{PAGE}?show=left").content.decode()
    assert "&lt;b&gt;A test&lt;/b&gt;" in page
    assert "left as it is by alice" in text(as_admin, "?show=left")
    decide(as_admin, proposal=key, do="take_up")
    assert "config-stray.xml" in text(as_admin)


def test_a_secret_is_no_reason(as_admin: Client, key: str) -> None:
    secret = "p8e-" + "A" * 32
    assert secret not in decide(as_admin, proposal=key, do="leave", reason=f"it is {secret}")
    assert not Dismissal.objects.exists()


def test_helpdesk_and_auditors_see_and_decide_nothing(
    as_helpdesk: Client, as_auditor: Client, key: str
) -> None:
    for client in (as_helpdesk, as_auditor):
        page = text(client)
        assert "config-stray.xml" in page
        assert "An admin decides." in page
        assert "proposals/decide" not in page
        assert client.post(f"{PAGE}decide/", {"proposal": key, "do": "apply"}).status_code == 403
    assert not Instance.objects.exists()


NONSENSE: list[dict[str, str]] = [
    {},
    {"do": "apply"},
    {"do": "leave", "reason": "why"},
    {"do": "take_up", "proposal": "x" * 9000},
    {"do": "apply", "proposal": "\0'\"<>"},
    {"do": "nonsense", "proposal": "1"},
]


def test_nonsense_changes_nothing_and_is_answered(as_admin: Client, key: str) -> None:
    for values in NONSENSE:
        assert "Nothing was changed" in decide(as_admin, **values)
    assert not Instance.objects.exists()
    assert not AuditEvent.objects.filter(action__startswith="proposal").exists()


def test_the_way_back_leads_nowhere_else(as_admin: Client) -> None:
    for back in ("https://evil.example/", "//evil.example/containers/proposals/", "/logout/"):
        answer = as_admin.post(f"{PAGE}decide/", {"do": "apply", "back": back})
        assert answer.headers["Location"] == PAGE


def test_garbage_in_the_address_is_no_server_error(as_auditor: Client, key: str) -> None:
    for query in ("?page=-1", "?page=x", "?q=%2500", "?q=" + "x" * 500, "?kind=moon", "?show=1"):
        text(as_auditor, query)


def test_the_home_page_counts_what_has_no_line_of_its_own_and_leads_to_it(
    as_auditor: Client, key: str
) -> None:
    row = make_installation(instance="prod1", container="mkt-1", build=9352)
    Installation.objects.filter(pk=row.pk).update(observed_jwt=True)
    Reading.objects.create(
        container=row.container,
        asked_by="henry",
        state="succeeded",
        finished=timezone.now(),
        build=9352,
        found={"prod1": "", "stray": ""},
    )
    assert {each.kind.value for each in proposals()} == {"create_instance", "build_old", "jwt_present"}
    (need,) = [each for each in needs(count_all()) if each.url.startswith(PAGE)]
    assert (need.count, [link.text for link in need.links]) == (1, ["mkt-1: 1"])
    rows = as_auditor.get(need.url).context["rows"]
    assert [row.proposal.kind.value for row in rows] == ["create_instance"]
