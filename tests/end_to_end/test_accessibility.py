"""Every page through axe in a real browser: as each role, in both languages and themes, wide and narrow.

`make test` looks at the pages that are most unlike each other; `make axe` (AXE_PAGES=all) at all of them. In
French the admin alone looks, who sees every page. Of the dark theme only the contrasts are looked at: all
else is the same.
"""

import os
from collections.abc import Iterator
from random import Random

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from credentials.rollouts.models import Push
from tests.benchmarks.filling import fill
from tests.benchmarks.scale import Scale
from tests.benchmarks.visits import VISITS, Visit
from tests.factories import finish, make_account
from tests.test_roles import INITIALS, PAGES

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_engine]

PEOPLE = {"alice": "Admin", "henry": "Helpdesk", "astrid": "Auditor"}
IS_ALL = os.environ.get("AXE_PAGES") == "all"
WIDTHS = (1440, 390) if IS_ALL else (390,)
LOOKERS = [*((name, "en") for name in PEOPLE), ("alice", "fr")] if IS_ALL else [("alice", "en")]
RULES: dict[str, object] = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
}
CONTRASTS: dict[str, object] = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
DOWNLOADS = {"inventory_template", "hand_script"}
FEW = {"wizard_resume", "rollout", "push", "history", "account", "account_rollout", "container", "help"}
"""Pages that `make test` looks at, without further queries, as an admin."""


@pytest.fixture
def seeded(roles: None, transactional_db: None) -> None:
    """A small portal with everything that a page can show, and a push whose container said much."""
    fill(Scale(installations=24, attempts=100, events=80), Random(1))
    push = Push.objects.filter(state="succeeded").order_by("-requested", "pk")[0]
    finish(push, state="succeeded", output="a line of output " * 40 + "\nand another\n" * 60)


def visits(name: str) -> Iterator[Visit]:
    """Yield what this person may open."""
    for visit in VISITS:
        allowed = PAGES[visit.name].get or ""
        is_chosen = IS_ALL or (name == "alice" and visit.name in FEW and not visit.what)
        is_page = visit.name not in DOWNLOADS and not visit.headers
        if is_chosen and is_page and INITIALS[PEOPLE[name]] in allowed:
            yield visit


def signed_in(browser: Browser, server: LiveServer, name: str, **options: object) -> Page:
    client = Client()
    client.force_login(User.objects.get(username=name))
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(60_000)
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": server.url}])
    return context.new_page()


def looks(page: Page, where: str, within: str | None = None) -> Iterator[str]:
    yield from violations(page, where, RULES, within)
    page.emulate_media(color_scheme="dark")
    yield from violations(page, f"{where}, dark", CONTRASTS, within)
    page.emulate_media(color_scheme="light")


def violations(page: Page, where: str, rules: dict[str, object], within: str | None) -> Iterator[str]:
    for violation in Axe().run(page, within, options=rules).response["violations"]:
        nodes = [node["html"][:120] for node in violation["nodes"][:2]]
        yield f"{where}: {violation['id']} {violation['help']} {nodes}"


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(("name", "language"), LOOKERS)
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(
    browser: Browser, live_server: LiveServer, width: int, name: str, language: str
) -> None:
    found: list[str] = []
    page = signed_in(browser, live_server, name, locale=language, viewport={"width": width, "height": 900})
    for visit in visits(name):
        page.goto(live_server.url + visit.url())
        page.evaluate("document.querySelectorAll('main details').forEach((each) => (each.open = true))")
        found += looks(page, visit.title)
    # Each alone: open, it covers what is below, which was looked at before.
    for menu in page.locator("header details").all():
        if menu.is_visible():
            menu.locator("summary").click()
            found += looks(page, "menu", within="header")
            menu.locator("summary").click()
    page.context.close()
    assert not found, "\n".join(found)


MARKED = """() => {
  const ground = getComputedStyle(document.body).backgroundColor;
  const isDrawn = (style, side) =>
    parseFloat(style[`border${side}Width`]) > 0 && style[`border${side}Color`] !== ground;
  const isMarked = (each) =>
    ["Bottom", "Left"].some((side) => isDrawn(getComputedStyle(each), side));
  document.querySelectorAll("details").forEach((each) => (each.open = true));
  const all = [...document.querySelectorAll(".nav-list a, .tabs a")];
  const entries = all.filter((each) => each.checkVisibility());
  return entries.filter(isMarked).map((each) => each.firstChild.textContent.trim());
}"""


@pytest.mark.usefixtures("admin")
def test_the_navigation_is_large_enough_and_marks_the_current_entries_alone(
    browser: Browser, live_server: LiveServer
) -> None:
    page = signed_in(browser, live_server, "alice", forced_colors="active")
    page.goto(f"{live_server.url}/accounts/{make_account().account_id}/")
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(MARKED) == ["Accounts", "Overview"]
        box = page.locator(".breadcrumbs a").first.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 24
    page.context.close()
