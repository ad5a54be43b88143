"""Somebody who begins at the home page, and goes only where something visible leads."""

from playwright.sync_api import Download, Locator, Page, expect

MOST_CLICKS = 3


class Walker:
    """Counts clicks: a link that is followed, a button that is pressed, something typed that is submitted.

    Typing itself is not counted. Only what is visible can be clicked.
    """

    def __init__(self, page: Page, home: str) -> None:
        self.page = page
        self.clicks = 0
        page.goto(home)

    def open_menu(self, address: str) -> None:
        """Follow the entry of the navigation that leads to this address."""
        self._click(self.page.locator(f'.nav-list a[href="{address}"]:visible'))

    def follow(self, text: str) -> None:
        """Follow a link that names what somebody looks for: an instance, an account, a person."""
        self._click(self.page.locator("main").get_by_role("link", name=text, exact=True))

    def follow_to(self, part_of_address: str) -> None:
        """Follow a link of the page by where it leads, whatever language its words are in."""
        self._click(self.page.locator(f'main a[href*="{part_of_address}"]:visible'))

    def search(self, text: str) -> None:
        """Type something into the search of the header, and press Enter."""
        field = self.page.locator("#top-search")
        field.fill(text)
        self._submit(field)

    def type(self, name: str, text: str) -> None:
        """Fill a field of the page; this counts once it is submitted."""
        self._field(name).fill(text)

    def submit(self, name: str) -> None:
        """Press Enter in a field that was filled."""
        self._submit(self._field(name))

    def download(self, address: str) -> Download:
        """Press the button that sends the form with this address, and return the file that comes."""
        with self.page.expect_download() as coming:
            self._click(self.page.locator(f'main form[action="{address}"] button:visible'))
        return coming.value

    def sees(self, *facts: str, within: str = "main") -> None:
        """The answer is on the page, where it can be seen; and it took no more clicks than it may."""
        place = self.page.locator(within).first
        expect(place).to_be_visible()
        for fact in facts:
            expect(place).to_contain_text(fact)
        assert self.clicks <= MOST_CLICKS

    def does_not_see(self, fact: str, within: str = "main") -> None:
        """What does not belong to the answer is left out."""
        expect(self.page.locator(within).first).not_to_contain_text(fact)

    def _field(self, name: str) -> Locator:
        return self.page.locator(f'main form.toolbar [name="{name}"]:visible').first

    def _click(self, what: Locator) -> None:
        what.first.click()
        self._counted()

    def _submit(self, field: Locator) -> None:
        field.press("Enter")
        self._counted()

    def _counted(self) -> None:
        self.clicks += 1
        self.page.wait_for_load_state()
