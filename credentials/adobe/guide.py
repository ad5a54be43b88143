"""What is said about Adobe's side: the shape of a step in words, and the products.

Data, no logic. Labels are those of Adobe's documentation (Campaign Classic v7, technical accounts; guides of
the Developer Console); French ones are shown as hints, since the console speaks the browser's language.
"""

from dataclasses import dataclass
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

CONSOLE: Final = "https://developer.adobe.com/console"


@dataclass(frozen=True)
class ConsoleLink:
    """A page of Adobe's, opened in a tab of its own."""

    url: str
    text: Promise


@dataclass(frozen=True)
class Label:
    """What is written on the button or entry of the console; French where Adobe's documentation has it."""

    english: str
    french: str = ""


@dataclass(frozen=True)
class Drawing:
    """A picture below `static/console/` of where to click, with what it shows in words."""

    file: str
    text: Promise

    @property
    def path(self) -> str:
        return f"console/{self.file}.svg"


@dataclass(frozen=True)
class Prose:
    """One step in words."""

    heading: Promise
    paragraphs: tuple[Promise, ...] = ()
    labels: tuple[Label, ...] = ()
    links: tuple[ConsoleLink, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    tip: Promise | None = None


CONSOLE_LINK: Final = ConsoleLink(CONSOLE, _("Open the Developer Console"))

AFTERWARDS: Final = Prose(
    heading=_("Afterwards: delete the old credential"),
    paragraphs=(
        _(
            "When every installation has succeeded, wait until Adobe has issued no token from the old "
            "credential for 24 hours; then delete the Service Account (JWT) credential in the console and "
            "complete the migration there."
        ),
    ),
    links=(CONSOLE_LINK,),
    drawings=(Drawing("migration-3-delete", _("Deleting the old credential on the migration card")),),
)


@dataclass(frozen=True)
class Product:
    """What Campaign needs the account for, and the API that the console calls for it."""

    name: str
    label: Promise
    api: Promise


PRODUCTS: Final = (
    Product("triggers", _("Experience Cloud Triggers"), _("Choose the Adobe Analytics API.")),
    Product("analytics", _("Adobe Analytics connector"), _("Choose the Adobe Analytics API.")),
    Product("deliverability", _("Deliverability service"), _("Choose the Adobe Campaign API.")),
    Product("other", _("Something else"), _("Choose the API that its documentation names.")),
)
