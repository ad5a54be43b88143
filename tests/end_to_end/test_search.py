"""The search by keyboard in a real browser: `/` from any page, but never while somebody types."""

import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.end_to_end.test_accessibility import RULES, signed_in
from tests.factories import make_account, make_installation, make_rollout
from tests.services.chromium import no_faults_left

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_engine]
PICTURES = os.environ.get("PICTURES")


def seed() -> None:
    for number in range(1, 10):
        make_installation(instance=f"brand{number}_mkt", container=f"app-mkt-{number}")
    make_account(name="Triggers mkt")
    make_rollout(account="Delivery", instance="prod1", containers=["mkt"], message="mkt first, CHG0042")


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id || document.activeElement.tagName"))


@pytest.mark.usefixtures("admin")
def test_a_slash_goes_to_the_search_and_the_keyboard_alone_opens_what_was_found(
    browser: Browser, live_server: LiveServer
) -> None:
    seed()
    page = signed_in(browser, live_server, "alice", viewport={"width": 1440, "height": 900})
    with no_faults_left(page.context):
        page.goto(f"{live_server.url}/rollouts/")
        page.keyboard.press("/")
        assert focused(page) == "top-search"
        page.keyboard.type("app-mkt-3")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Exact matches")).to_be_visible()
        page.keyboard.press("/")
        assert focused(page) == "id_q"
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("app-mkt-3")
    page.context.close()


@pytest.mark.usefixtures("admin")
def test_a_slash_in_a_field_is_a_slash_and_with_other_keys_it_is_not_ours(
    browser: Browser, live_server: LiveServer
) -> None:
    page = signed_in(browser, live_server, "alice", viewport={"width": 1440, "height": 900})
    page.goto(f"{live_server.url}/containers/add/")
    field = page.locator("#id_install_root")
    field.fill("")
    field.focus()
    page.keyboard.type("/usr/local")
    expect(field).to_have_value("/usr/local")
    page.locator("#id_become").focus()
    page.keyboard.press("/")
    assert focused(page) == "id_become"
    page.locator("h1").click()
    page.keyboard.press("Control+/")
    assert focused(page) == "content"
    page.context.close()


@pytest.mark.usefixtures("admin")
def test_on_a_narrow_screen_it_goes_to_the_page_of_the_search(
    browser: Browser, live_server: LiveServer
) -> None:
    page = signed_in(browser, live_server, "alice", viewport={"width": 390, "height": 844})
    page.goto(f"{live_server.url}/rollouts/")
    expect(page.locator("#top-search")).to_be_hidden()
    box = page.locator(".top-search-link").bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) >= 24
    page.keyboard.press("/")
    page.wait_for_url("**/search/")
    page.keyboard.press("/")
    assert focused(page) == "id_q"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.context.close()


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_the_page_of_the_search(
    browser: Browser, live_server: LiveServer, width: int, theme: str
) -> None:
    seed()
    size = {"width": width, "height": 900}
    page = signed_in(browser, live_server, "alice", viewport=size, color_scheme=theme)
    for name, query in (
        ("found", "mkt"),
        ("nothing", "no-such-thing"),
        ("empty", ""),
        ("refused", "p8e-" * 9),
    ):
        page.goto(f"{live_server.url}/search/?q={query}")
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"search-{name}-{width}-{theme}.png", full_page=True)
        assert Axe().run(page, options=RULES).response["violations"] == []
    page.context.close()
