"""The preview of a large choice comes into the page by itself, in a real browser."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect
from pytest_django.live_server_helper import LiveServer

from credentials.rollouts.pages import previews
from instances.models import HostKey
from tests.end_to_end.test_accessibility import signed_in
from tests.factories import make_account, make_installation

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_engine]


def test_it_comes_after_the_page_and_keeps_its_place(
    browser: Browser, live_server: LiveServer, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "INLINE", 0)
    version = make_account(instances=["prod1"])
    for number in range(3):
        make_installation(container=f"web{number}")
    HostKey.objects.filter(container__name="web0").delete()
    page = signed_in(browser, live_server, admin.username)
    errors: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto(f"{live_server.url}/accounts/{version.account_id}/rollout/")
    expect(page.locator("#preview strong")).to_have_text(
        ["1 of 3 will fail: no approved host key", "2 of 3 are pushed"], timeout=30_000
    )
    assert page.locator("#preview").count() == 1
    page.get_by_label("web0").uncheck()
    page.get_by_role("button", name="Preview again").click()
    expect(page.locator("#preview strong")).to_have_text(["2 of 2 are pushed"], timeout=30_000)
    assert errors == []
    page.context.close()
