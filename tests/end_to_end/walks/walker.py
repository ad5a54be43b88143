"""A person on a walk through pages, who looks at each of them as closely as a test can."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.utils import translation
from django.utils.translation import gettext
from playwright.sync_api import Browser, Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from portal.people.models import Preferences
from tests.end_to_end.test_accessibility import RULES, signed_in

PICTURES = os.environ.get("WALK_PICTURES", "")
"""A folder for pictures of all stops; none without it."""
HEIGHTS = {1440: 900, 390: 844}
LOCALES = {"en": "en-GB", "fr": "fr-FR"}
LOOKS = (Path(__file__).parent / "looks.js").read_text()


@dataclass(frozen=True)
class Look:
    """How a person sees the portal."""

    language: str = "en"
    theme: str = "light"
    width: int = 1440

    def __str__(self) -> str:
        return f"{self.language}-{self.theme}-{self.width}"

    def said(self, text: str) -> str:
        """Return a text of the portal in the language of this look."""
        with translation.override(self.language):
            return gettext(text)


@dataclass
class Walker:
    """One person of the scene in a browser of their own. `found` has what is wrong at the stops."""

    page: Page
    url: str
    role: str
    look: Look
    found: list[str] = field(default_factory=list)
    stops: int = 0

    @classmethod
    def arrives(
        cls, browser: Browser, server: LiveServer, name: str, look: Look, **options: object
    ) -> "Walker":
        """Sign a person in. A wide browser asks in its own language, in a narrow one the person chose it."""
        locale = LOCALES[look.language]
        if look.width == 390:
            person = User.objects.get(username=name)
            Preferences.objects.update_or_create(user=person, defaults={"language": look.language})
            locale = LOCALES["en"]
        page = signed_in(
            browser,
            server,
            name,
            viewport={"width": look.width, "height": HEIGHTS.get(look.width, 900)},
            color_scheme=look.theme,
            locale=locale,
            **options,
        )
        role = User.objects.get(username=name).groups.get().name.lower()
        return cls(page, server.url, role, look)

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)

    def press(self, text: str) -> None:
        """Press a button of the page, by its English text."""
        self.page.get_by_role("main").get_by_role("button", name=self.look.said(text)).first.click()

    def follow(self, text: str) -> None:
        """Follow a link of the page, by its English text."""
        link = self.page.get_by_role("main").get_by_role("link", name=self.look.said(text), exact=True).first
        with self.page.expect_navigation():
            link.click()

    def text(self, text: str) -> Locator:
        """Return where the page says something, given in English."""
        return self.page.get_by_role("main").get_by_text(self.look.said(text)).first

    def expect(self, text: str) -> None:
        expect(self.text(text)).to_be_visible()

    def stop(self, name: str) -> None:
        """Look at the page: note what is wrong with it, and keep its picture if somebody wants it."""
        page = self.page
        page.wait_for_load_state()
        self.stops += 1
        for each in page.evaluate(LOOKS, [self.look.language, self.look.width]):
            self._note(name, each)
        for violation in Axe().run(page, options=RULES).response["violations"]:
            nodes = [node["html"][:160] for node in violation["nodes"][:2]]
            self._note(name, f"{violation['id']}: {violation['help']} {nodes}")
        if PICTURES:
            Path(PICTURES).mkdir(exist_ok=True)
            page.screenshot(path=Path(PICTURES) / f"{self.role}-{name}-{self.look}.png", full_page=True)

    def _note(self, name: str, text: str) -> None:
        self.found.append(f"{self.role}, {name}, {self.look}: {text}")

    def leaves(self) -> None:
        """End the walk; nothing may have been found."""
        self.page.context.close()
        assert not self.found, "\n".join(self.found)
