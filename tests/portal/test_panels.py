"""A page shows what rooms above register for it, in order, and knows none of them."""

import re
from collections import defaultdict

import pytest
from django.contrib.auth.models import Permission, User
from django.http import HttpRequest
from django.test import Client, RequestFactory

from credentials.models import Assignment, TechnicalAccount
from instances.models import Container, Instance
from portal.web import panels
from portal.web.panels import Panel, panel
from tests.services.portal import ROOT


@pytest.fixture
def no_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "_places", defaultdict(dict))


@pytest.mark.usefixtures("no_panels")
def test_panels_come_in_order_and_one_without_anything_to_show_is_left_out(rf: RequestFactory) -> None:
    asked: list[tuple[object, HttpRequest]] = []

    @panel("server.cards", order=20)
    def second(row: str, request: HttpRequest) -> Panel:
        asked.append((row, request))
        return Panel("second.html")

    @panel("server.cards", order=30)
    def nothing(row: str, request: HttpRequest) -> None:
        asked.append((row, request))

    @panel("server.cards", order=10)
    def first(row: str, request: HttpRequest) -> Panel:
        return Panel("first.html", {"row": row})

    request = rf.get("/")
    shown = list(panels.panels_of("server.cards", "mkt-2", request))
    assert shown == [Panel("first.html", {"row": "mkt-2"}), Panel("second.html")]
    assert asked == [("mkt-2", request)] * 2
    assert list(panels.panels_of("user.cards", "alice", request)) == []


@pytest.mark.django_db
@pytest.mark.usefixtures("no_panels")
def test_both_pages_show_cards_at_their_end_with_the_context_of_panel_and_page(as_admin: Client) -> None:
    @panel("instance.cards", order=10)
    @panel("container.cards", order=10)
    def empty(row: Instance | Container, request: HttpRequest) -> Panel:
        return Panel("_breadcrumbs.html", {"section": f"<{row}>", "section_url": "/go/", "current": "here"})

    container = Container.objects.create(name="app-1", address="app-1.example")
    rows = (Instance.objects.create(name="prod1"), container)
    for row, heading in zip(rows, ("Installed on", "Instances on this container"), strict=True):
        address = f"/{row._meta.model_name}s/{row.pk}/"
        page = as_admin.get(address).content.decode()
        assert page.index(heading) < page.index(f"&lt;{row}&gt;") < page.index("</main>")


def test_every_place_with_a_panel_is_on_a_page() -> None:
    pages = " ".join(path.read_text() for path in (ROOT / "templates").rglob("*.html"))
    places = set(re.findall(r'{% panels "([a-z.]+)"', pages))
    assert set(panels._places)
    assert set(panels._places) <= places


@pytest.mark.django_db
def test_an_instance_names_its_account_to_people_who_may_see_accounts(as_auditor: Client) -> None:
    instance = Instance.objects.create(name="prod1")
    page = f"/instances/{instance.pk}/"
    assert "<dd>none assigned yet</dd>" in as_auditor.get(page).content.decode()
    account = TechnicalAccount.objects.create(name="<Triggers>", client_id="c1")
    Assignment.objects.create(instance=instance, account=account)
    text = as_auditor.get(page).content.decode()
    assert f'<dd><a href="/accounts/{account.pk}/">&lt;Triggers&gt;</a></dd>' in text
    assert (
        text.index("Uses Adobe Triggers") < text.index("<dt>Technical account") < text.index("Installed on")
    )

    person = User.objects.create_user("bob")
    person.user_permissions.add(Permission.objects.get(codename="view_instance"))
    client = Client()
    client.force_login(person)
    assert "Technical account" not in client.get(page).content.decode()


@pytest.mark.django_db
def test_an_instance_that_adobe_hosts_names_no_account(as_admin: Client) -> None:
    instance = Instance.objects.create(name="prod1", deployment=Instance.Deployment.HOSTED)
    assert "<dt>Technical account" not in as_admin.get(f"/instances/{instance.pk}/").content.decode()
