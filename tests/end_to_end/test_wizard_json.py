"""The wizard with the console's file in a real browser: by mouse, and by the keyboard alone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from credentials.rollouts.models import Rollout
from instances.models import HostKey
from portal.plaintext import Secret
from portal.sandbox.ims import StandInIMS
from tests.credentials.wizard.wizard_walk import CLIENT, SECRET, console_json, make_installation
from tests.end_to_end.test_accessibility import RULES, signed_in

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.one_engine,
    pytest.mark.timeout(600),
]

PICTURES = os.environ.get("WIZARD_PICTURES", "")
"""A folder for pictures of each step, wide and narrow, light and dark; none without it."""


@pytest.fixture
def page(browser: Browser, live_server: LiveServer, admin: User, settings: Settings) -> Iterator[Page]:
    """An admin's browser; Adobe knows the credential, and one container of two has no approved host key."""
    for name in ("app01", "app02"):
        make_installation(container=name)
    HostKey.objects.filter(container__name="app02").delete()
    with StandInIMS() as ims:
        ims.accept(CLIENT, Secret(SECRET))
        settings.IMS_BASE_URL = ims.url
        page = signed_in(browser, live_server, "alice", base_url=live_server.url)
        yield page
        page.context.close()


def look(page: Page, name: str) -> None:
    """Hold the page to the rules of accessibility, and take its pictures if somebody wants them."""
    violations = Axe().run(page, options=RULES).response["violations"]
    assert not violations, [(each["id"], each["nodes"][0]["html"][:120]) for each in violations]
    for width in (1440, 390) if PICTURES else ():
        for scheme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=f"{PICTURES}/{name}-{width}-{scheme}.png", full_page=True)


def expect_a_rollout(page: Page) -> None:
    expect(page.get_by_role("heading", name="Rollout 1 of Triggers")).to_be_visible()
    assert Rollout.objects.get().pushes.count() == 2


def test_five_clicks_from_the_file_to_the_rollout(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "oauth.json"
    file.write_text(console_json())
    page.goto("/accounts/new/")
    look(page, "1-new")
    first = page.locator("form").filter(has_text="I have the JSON file")
    first.locator("input[type=file]").set_input_files(file)  # one click: the file is chosen
    first.get_by_label("Name of the account").fill("Triggers")
    first.get_by_role("button", name="Read the file and continue").click()
    page.wait_for_url("**/instances/")  # the page between asks Adobe, and goes on after a yes
    expect(page.get_by_text("Adobe accepts the values.")).to_be_visible()
    look(page, "3-instances")
    page.locator("tbody input[name=instance]").check()
    page.get_by_role("button", name="Done, continue").click()
    page.wait_for_url("**/review/")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("1 of 2 will fail: no approved host key")
    expect(preview.get_by_role("link", name="Approve host keys").first).to_be_visible()
    is_first = "document.querySelector('main form section').id === 'preview'"
    assert page.evaluate(is_first), "what will happen is not on top"
    look(page, "4-review")
    page.get_by_role("button", name="Start the rollout").click()
    expect_a_rollout(page)


def test_the_same_by_the_keyboard_alone(page: Page) -> None:
    page.goto("/accounts/new/")
    reach(page, "textarea[name=text]")
    page.keyboard.insert_text(console_json() + "x")
    reach(page, "input[name=name]")
    page.keyboard.type("Triggers")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    assert page.title().startswith("Error: ")
    look(page, "1-refused")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the link to the field
    expect(page.locator("textarea[name=text]")).to_be_focused()
    page.keyboard.insert_text(console_json())
    reach(page, "input[name=name]")
    expect(page.locator("input[name=name]").first).to_have_value("Triggers")
    page.keyboard.press("Enter")
    page.wait_for_url("**/instances/")
    reach(page, "tbody input[name=instance]")
    page.keyboard.press("Space")
    reach(page, "button[value=done]")
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/")
    reach(page, "button[value=start]")
    page.keyboard.press("Enter")
    expect_a_rollout(page)


def reach(page: Page, selector: str) -> None:
    """Press Tab until the keyboard is at the first of these."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("(wanted) => document.activeElement === document.querySelector(wanted)", selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


def test_the_steps_of_the_console_are_one_list(page: Page) -> None:
    page.goto("/accounts/new/")
    page.locator("textarea[name=text]").fill(console_json())
    page.get_by_role("button", name="Read the file and continue").click()
    expect(page.get_by_label("Name of the account")).to_have_value(f"New account ({CLIENT[:8]})")
    expect(page.locator(".console-steps > li")).to_have_count(6)
    look(page, "2-credential")
    page.locator(".console-steps summary").nth(2).click()
    expect(page.get_by_text("One project can serve several APIs.")).to_be_visible()
    page.get_by_label("Name of the account").fill("Triggers")
    page.get_by_role("button", name="Go through the console step by step").click()
    page.wait_for_url("**/signin/")
    look(page, "5-step-by-step")
    page.get_by_role("button", name="Continue with the file").click()
    page.wait_for_url("**/check/")
