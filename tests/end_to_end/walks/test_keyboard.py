"""The main task of each role by the keyboard alone: Tab, Enter, Space, and typing."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from credentials.rollouts.models import Push, Rollout
from tests.credentials.wizard.wizard_walk import console_json
from tests.end_to_end.walks.scene import Scene
from tests.end_to_end.walks.walker import Look, Walker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_engine, pytest.mark.timeout(300)]
MOST = 90
"""Presses of Tab on one page."""
IS_THERE = """(selector) => {
  const here = document.activeElement;
  if (!here?.matches(selector)) return false;
  const box = here.getBoundingClientRect(), style = getComputedStyle(here);
  const isDrawn = style.outlineStyle !== "none" || style.boxShadow !== "none";
  const isMarked = here.matches(":focus-visible") && isDrawn;
  if (!isMarked) throw new Error(`nothing shows that the keyboard is at ${here.outerHTML.slice(0, 120)}`);
  if (box.bottom < 0 || box.top > innerHeight) throw new Error("the keyboard is somewhere out of sight");
  return true;
}"""


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the keyboard is at such an element, which must show it."""
    for _ in range(MOST):
        page.keyboard.press("Tab")
        if page.evaluate(IS_THERE, selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


def enter(page: Page, selector: str, address: str) -> None:
    """Press Enter there, and arrive at an address."""
    tab_to(page, selector)
    page.keyboard.press("Enter")
    page.wait_for_url(address)


def test_an_admin_rolls_a_new_account_out(browser: Browser, live_server: LiveServer, scene: Scene) -> None:
    walker = Walker.arrives(browser, live_server, "alice", Look())
    page = walker.page
    walker.go("/")
    enter(page, "main a[href='/accounts/new/']", "**/accounts/new/")
    tab_to(page, "textarea[name=text]")
    page.keyboard.insert_text(console_json())
    tab_to(page, "input[name=name]")
    page.keyboard.type("Experience Platform")
    page.keyboard.press("Enter")
    page.wait_for_url("**/instances/")
    tab_to(page, "tbody input[name=instance]")
    page.keyboard.press("Space")
    tab_to(page, "button[value=done]")
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/")
    enter(page, "button[value=start]", "**/rollouts/*/")
    tab_to(page, "#rollout-live tbody a")
    place = page.evaluate("document.activeElement.href")
    scene.deliver()
    expect(page.locator("#rollout-live[hx-trigger]")).to_have_count(0)
    assert page.evaluate("document.activeElement.href") == place
    assert set(
        Rollout.objects.get(secret__account__name="Experience Platform").pushes.values_list("state")
    ) == {(Push.State.SUCCEEDED,)}
    walker.leaves()


def test_the_helpdesk_retries_what_was_mended(
    browser: Browser, live_server: LiveServer, scene: Scene
) -> None:
    push = scene.fail_for_real()
    walker = Walker.arrives(browser, live_server, "henry", Look())
    page = walker.page
    walker.go("/")
    enter(page, f"#cause-failed-{push.code} h2 a", "**/rollouts/failed/**")
    enter(page, f"tbody a[href='/rollouts/pushes/{push.pk}/']", f"**/pushes/{push.pk}/")
    tab_to(page, "input[name=message]")
    page.keyboard.type("INC0040431")
    tab_to(page, "#try-again button")
    page.keyboard.press("Enter")
    expect(page.locator("#facts")).to_contain_text("Queued")
    scene.mend()
    scene.deliver()
    expect(page.locator("#facts")).to_contain_text("Succeeded")
    expect(page.locator("#push-live > p[role=status]")).to_have_text("Succeeded")
    walker.leaves()


def test_an_auditor_takes_evidence_home(
    browser: Browser, live_server: LiveServer, scene: Scene, tmp_path: Path
) -> None:
    walker = Walker.arrives(browser, live_server, "astrid", Look())
    page = walker.page
    walker.go("/")
    enter(page, "main a[href='/history/']", "**/history/")
    enter(page, ".presets li:last-child a", "**/history/?*since=*")
    for selector, ending in (
        ("form[action*='evidence'] button", ".zip"),
        ("form[action*='export'] button", ".csv"),
    ):
        walker.go(page.url.removeprefix(walker.url))
        tab_to(page, f"main {selector}")
        with page.expect_download() as made:
            page.keyboard.press("Enter")
        assert made.value.suggested_filename.endswith(ending)
        made.value.save_as(tmp_path / made.value.suggested_filename)
    enter(page, "main a[href='/history/verify/']", "**/history/verify/")
    tab_to(page, "main form button.primary")
    page.keyboard.press("Enter")
    walker.expect("Intact")
    walker.leaves()
