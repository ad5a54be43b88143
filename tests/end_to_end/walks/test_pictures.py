"""The pictures of the help, drawn from the scene of the walks; `make pictures` writes them.

Python, the database and the names are the same each time, so that a picture changes when its page does.
"""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import time_machine
from playwright.sync_api import Browser, Page, expect
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from credentials.help.pictures import PICTURES, Picture
from portal.plaintext import Secret
from portal.sandbox.ims import StandInIMS
from tests.credentials.wizard.wizard_walk import CLIENT, SECRET, console_json
from tests.end_to_end.walks.clock import database_follows
from tests.end_to_end.walks.scene import PEOPLE, Scene, build
from tests.end_to_end.walks.small_png import smaller
from tests.end_to_end.walks.walker import Look, Walker

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.one_engine,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]
WRITES = os.environ.get("HELP_PICTURES") == "write"
NOW = datetime(2026, 10, 13, 8, 21, 30, tzinfo=UTC)
BELOW = 16
"""Pixels below the last thing that is shown, unless it is a row of a table."""
LARGEST = 120 * 1024


@pytest.fixture
def drawn_scene(roles: None, transactional_db: None, settings: Settings) -> Iterator[Scene]:
    """The scene at one moment that does not pass."""
    settings.TIME_ZONE = "Europe/Paris"
    settings.FINGERPRINT_KEY = "fingerprints of the pictures of the help"
    with time_machine.travel(NOW, tick=False), database_follows(), StandInIMS() as ims:
        ims.accept(CLIENT, Secret(SECRET))
        settings.IMS_BASE_URL = ims.url
        yield build()


def _wizard_review(walker: Walker, scene: Scene) -> None:
    page = walker.page
    walker.go("/accounts/new/")
    page.locator("textarea[name=text]").fill(console_json())
    page.locator("input[name=name]").first.fill("Experience Platform")
    walker.press("Read the file and continue")
    page.wait_for_url("**/instances/")
    page.locator("tbody tr", has_text="acme_dev").locator("input[name=instance]").check()
    walker.press("Done, continue")
    page.wait_for_url("**/review/")


def _going(address: Callable[[Scene], str]) -> Callable[[Walker, Scene], None]:
    return lambda walker, scene: walker.go(address(scene))


SHOTS: dict[str, tuple[Callable[[Walker, Scene], None], str]] = {
    "home-admin": (_going(lambda scene: "/"), "main .card:nth-of-type(3)"),
    "home-helpdesk": (_going(lambda scene: "/"), "main .card:nth-of-type(2)"),
    "home-auditor": (_going(lambda scene: "/"), "main .card:nth-of-type(3)"),
    "wizard-review": (_wizard_review, "main .form .form-actions"),
    "rollout-under-way": (_going(lambda scene: f"/rollouts/{scene.under_way.pk}/"), "tbody tr:nth-child(6)"),
    "push-failed": (_going(lambda scene: f"/rollouts/pushes/{scene.refused.pk}/"), "#try-again"),
    "rotation-gate": (_going(lambda scene: f"/rotations/{scene.rotation.pk}/"), "#rotation-waves"),
    "history-evidence": (
        _going(lambda scene: "/history/?since=2026-07-01&until=2026-09-30"),
        "tbody tr:nth-child(7)",
    ),
}
"""How a person comes to each picture, and the last thing that is on it."""


def _picture(page: Page, last: str) -> bytes:
    """Draw the page from its top down to the last thing that is shown."""
    page.wait_for_load_state("networkidle")
    page.evaluate("document.activeElement?.blur()")
    found = page.locator(last).first
    expect(found).to_be_visible()
    box, view = found.bounding_box(), page.viewport_size
    assert box
    assert view
    below = 0 if last.startswith("tbody") else BELOW
    clip = {"x": 0, "y": 0, "width": view["width"], "height": round(box["y"] + box["height"]) + below}
    return page.screenshot(full_page=True, clip=clip, animations="disabled", caret="hide")  # type: ignore[arg-type]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_picture_shows_what_it_is_to_show(
    browser: Browser, live_server: LiveServer, drawn_scene: Scene, language: str
) -> None:
    assert set(SHOTS) == {each.name for each in PICTURES}
    for picture in PICTURES:
        drawn = smaller(browser, _draw(browser, live_server, drawn_scene, picture, language))
        assert len(drawn) <= LARGEST, (picture.name, len(drawn))
        if WRITES and (not picture.file(language).exists() or picture.file(language).read_bytes() != drawn):
            picture.file(language).write_bytes(drawn)


def _draw(browser: Browser, server: LiveServer, scene: Scene, picture: Picture, language: str) -> bytes:
    [name] = [name for name, role in PEOPLE.items() if role == picture.role]
    walker = Walker.arrives(browser, server, name, Look(language, "light", picture.width))
    reach, last = SHOTS[picture.name]
    reach(walker, scene)
    drawn = _picture(walker.page, last)
    walker.leaves()
    return drawn
