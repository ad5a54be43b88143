"""A rejected form in a real browser: the keyboard is at the summary, and its links lead to the fields."""

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.end_to_end.test_accessibility import signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_engine]


def expect_the_summary(page: Page) -> None:
    expect(page.get_by_role("alert").first).to_be_focused()
    assert page.title().startswith("Error: ")


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize("has_scripts", [True, False])
def test_the_keyboard_goes_to_the_summary_and_from_there_to_the_field(
    browser: Browser, live_server: LiveServer, has_scripts: bool
) -> None:
    page = signed_in(browser, live_server, "alice", java_script_enabled=has_scripts)
    page.goto(live_server.url + reverse("container_add"))
    page.locator("input[name=name]").press("Enter")
    expect(page).to_have_title("Error: Add container · Campaign credentials")
    expect_the_summary(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.type("app-new")
    expect(page.locator("input[name=name]")).to_have_value("app-new")
    page.context.close()


@pytest.mark.usefixtures("admin")
def test_a_link_to_radio_buttons_leads_to_the_first_of_them(
    browser: Browser, live_server: LiveServer
) -> None:
    person = User.objects.create_user("newcomer")
    page = signed_in(browser, live_server, "alice")
    page.goto(f"{live_server.url}/users/{person.pk}/")
    page.get_by_role("button", name="Change the role").click()
    expect_the_summary(page)
    page.locator(".callout-danger a").first.click()
    expect(page.locator("input[name=role]").first).to_be_focused()
    page.context.close()


def test_a_wrong_password_is_said_first(browser: Browser, live_server: LiveServer, admin: User) -> None:
    page = browser.new_page()
    page.goto(f"{live_server.url}/login/")
    page.locator("input[name=username]").fill("alice")
    page.locator("input[name=password]").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    assert page.title().startswith("Error: ")
    page.close()
