"""Live parts in a real browser: what a person holds on to survives their swaps."""

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from credentials.rollouts.models import Rollout
from tests.factories import finish, make_account, make_installation, make_rollout

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_engine]

SWAPS = """() => {
  window.swaps = 0;
  document.addEventListener("htmx:afterSwap", () => (window.swaps += 1));
}"""


@pytest.fixture
def signed_in(browser_context: BrowserContext, live_server: LiveServer, admin: User) -> None:
    client = Client()
    client.force_login(admin)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    browser_context.add_cookies(
        [{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}]
    )


@pytest.fixture
def rollout(transactional_db: None) -> Rollout:
    return make_rollout(containers=[f"web{number}" for number in range(1, 9)])


def wait_for_swaps(page: Page, count: int) -> None:
    page.evaluate("() => (window.swaps = 0)")
    page.wait_for_function(f"() => window.swaps >= {count}", timeout=30_000)


@pytest.mark.usefixtures("signed_in")
def test_focus_selection_and_scroll_survive_swaps_of_a_rollout(
    page: Page, live_server: LiveServer, rollout: Rollout
) -> None:
    first, second, third, *_others = rollout.pushes.order_by("container__name")
    page.set_viewport_size({"width": 700, "height": 500})
    page.goto(f"{live_server.url}/rollouts/{rollout.pk}/")
    page.evaluate(SWAPS)
    link = page.locator(f"#push-{second.pk} a")
    link.focus()
    page.evaluate(
        """id => {
          window.news = document.querySelector("[data-news]");
          window.link = document.activeElement;
          const container = document.querySelector(`#push-${id} small`).firstChild;
          getSelection().setBaseAndExtent(container, 0, container, 4);
          document.querySelector(".table-scroll").scrollLeft = 40;
          window.scrollTo(0, 120);
          window.heard = [];
          new MutationObserver(() => window.heard.push(window.news.textContent)).observe(
            window.news, {childList: true, characterData: true, subtree: true});
        }""",
        str(third.pk),
    )
    scrolled = page.evaluate("[document.querySelector('.table-scroll').scrollLeft, window.scrollY]")
    wait_for_swaps(page, 2)
    assert page.evaluate("window.heard") == []
    finish(first, state="succeeded")
    finish(third, state="failed", code="timed_out")
    expect(page.locator(f"#push-{third.pk}")).to_contain_text("No answer in time")
    wait_for_swaps(page, 1)
    assert page.evaluate("document.activeElement === window.link && window.link.isConnected")
    assert page.evaluate("getSelection().toString()") == "web3"
    assert page.evaluate("[document.querySelector('.table-scroll').scrollLeft, window.scrollY]") == scrolled
    assert page.evaluate("window.news === document.querySelector('[data-news]')")
    assert page.evaluate("window.heard") == ["1 of 8 succeeded, 1 failed"]


@pytest.mark.usefixtures("signed_in")
def test_the_neighbourhood_gets_the_focus_of_what_is_gone_and_polling_ends(
    page: Page, live_server: LiveServer, rollout: Rollout
) -> None:
    pushes = list(rollout.pushes.order_by("container__name"))
    page.goto(f"{live_server.url}/rollouts/{rollout.pk}/?state=queued")
    page.evaluate(SWAPS)
    page.locator(f"#push-{pushes[0].pk} a").focus()
    finish(pushes[0], state="succeeded")
    expect(page.locator(f"#push-{pushes[0].pk}")).to_have_count(0)
    assert page.evaluate("document.activeElement.className") == "table-scroll"
    for push in pushes[1:]:
        finish(push, state="succeeded")
    expect(page.get_by_text("8 of 8 installations have an outcome")).to_be_visible()
    expect(page.locator("[data-news]")).to_have_text("8 of 8 succeeded")  # the last news waits for nothing
    page.wait_for_function("!document.querySelector('#rollout-live')['htmx-internal-data'].timeout")


@pytest.mark.usefixtures("signed_in")
def test_what_is_typed_and_opened_on_a_push_survives_its_change_of_state(
    page: Page, live_server: LiveServer
) -> None:
    push = make_rollout().pushes.get()
    finish(push, state="unknown", code="no_report", output="what the container said")
    page.goto(f"{live_server.url}/rollouts/pushes/{push.pk}/")
    page.evaluate(SWAPS)
    details = page.locator("details.disclosure")
    was_open = details.evaluate("each => each.open")
    details.locator("summary").click()
    page.get_by_label("Message").press_sequentially("Ticket 47")
    wait_for_swaps(page, 2)
    page.keyboard.type("11")
    finish(push, state="failed", code="timed_out")
    expect(page.get_by_role("button", name="Retry now")).to_be_visible()
    page.keyboard.type("!")
    expect(page.get_by_label("Message")).to_have_value("Ticket 4711!")
    assert details.last.evaluate("each => each.open") is not was_open


@pytest.mark.usefixtures("signed_in")
def test_the_page_of_a_rollout_asks_adobe_by_itself_and_takes_nothing_away(
    page: Page, live_server: LiveServer
) -> None:
    make_installation()
    account = make_account(instances=["prod1"]).account
    page.goto(f"{live_server.url}/accounts/{account.pk}/rollout/")
    page.get_by_label("Message").press_sequentially("CHG-1")
    expect(page.locator("#adobe [role=status]")).to_contain_text("Adobe not reached")
    first, second = page.locator("#start button[name=action]").all()
    expect(first).to_have_text("Ask Adobe again, and start if it accepts")
    expect(second).to_have_text("Start without Adobe's yes")
    expect(page.get_by_label("Message")).to_be_focused()
    expect(page.get_by_label("Message")).to_have_value("CHG-1")
    first.click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was started")
    page.locator("#start button", has_text="Start without Adobe's yes").click()
    expect(page.get_by_role("heading", name="Rollout 1 of Triggers")).to_be_visible()
