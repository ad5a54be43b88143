"""The history on paper: nothing is cut off at the right edge, and nothing is printed without its content."""

from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from playwright.sync_api import Browser

from portal.audit.trail import Actor, record

pytestmark = pytest.mark.django_db
A4 = 794  # pixels of CSS across the sheet: what is narrower than 45rem is drawn as cards
STYLE = Path(settings.BASE_DIR, "static", "portal.css")
CUT_OFF = """() => [...document.querySelectorAll('main, .card, .table, .table *')]
    .filter(each => each.getBoundingClientRect().right > innerWidth + 1 || each.scrollWidth > innerWidth + 1)
    .map(each => each.textContent.trim().slice(0, 60))"""

SPARE = """small => {
    const range = document.createRange(), style = getComputedStyle(small.closest('td'));
    range.selectNodeContents(small);
    const [least, left, right] = [style.minWidth, style.paddingLeft, style.paddingRight].map(parseFloat);
    return least - left - right - range.getBoundingClientRect().width;
}"""


def test_long_heads_and_codes_are_not_cut_off_on_a4(as_auditor: Client, browser: Browser) -> None:
    somebody = Actor("a.person.with.a.long.name@department.example.com", ip="2001:db8:1111:2222:3333::77")
    head = f"123456:{'a' * 64}"
    with transaction.atomic():
        record("history.head_accepted", actor=somebody, details={"kept_head": head, "reason": "b" * 90})
        record("configuration_of_installations.was_read_once_more_by_hand", actor=somebody)
    text = as_auditor.get("/history/?readings=on").text + "<details><summary>Closed</summary>x</details>"
    context = browser.new_context(viewport={"width": A4, "height": 1000})
    with context.new_page() as page:
        page.set_content(text)
        page.add_style_tag(path=STYLE)
        page.emulate_media(media="print")
        assert head in page.locator(".table").inner_text()
        assert page.evaluate(CUT_OFF) == []
        assert not page.get_by_text("Closed").is_visible()
        assert not page.locator(".presets").is_visible()
    context.close()


def test_names_and_addresses_have_room_and_each_sheet_has_its_number(
    as_auditor: Client, helpdesk: User, browser: Browser
) -> None:
    with transaction.atomic():
        record("user.role_changed", actor=Actor("helpdesk", ip="255.255.255.255"), target=helpdesk)
    text = as_auditor.get("/history/?readings=on").text
    context = browser.new_context(viewport={"width": A4, "height": 1000})
    with context.new_page() as page:
        page.set_content(text)
        page.add_style_tag(path=STYLE)
        page.emulate_media(media="print")
        assert page.get_by_text("255.255.255.255").evaluate(SPARE) >= 0
    context.close()
    assert "counter(pages)" in STYLE.read_text()
