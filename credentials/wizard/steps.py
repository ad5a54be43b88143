"""The steps of the wizard as data, and how far a draft is."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credentials.adobe.guide import Prose
from credentials.models import TechnicalAccount
from credentials.wizard import prose
from credentials.wizard.models import Draft


class Kind(Enum):
    """Which page shows a step."""

    CONSOLE = "console"
    CREDENTIAL = "credential"
    VERSION = "version"
    VALUES = "values"
    CHECK = "check"
    INSTANCES = "instances"
    REVIEW = "review"


@dataclass(frozen=True)
class Step:
    """One step: `slug` is its address, `notes` the account's fields that are noted there."""

    slug: str
    label: Promise
    prose: Prose
    kind: Kind = Kind.CONSOLE
    notes: tuple[str, ...] = ()


VALUES: Final = Step("values", _("Values"), prose.VALUES, Kind.VALUES)
_LAST: Final = (
    VALUES,
    Step("check", _("Adobe's answer"), prose.CHECK, Kind.CHECK),
    Step("instances", _("Instances"), prose.INSTANCES, Kind.INSTANCES),
    Step("review", _("Review"), prose.REVIEW, Kind.REVIEW),
)
_VERSION: Final = Step("version", _("Version"), prose.VERSION, Kind.VERSION)
CREDENTIAL: Final = Step(
    "credential",
    _("Credential"),
    prose.CREDENTIAL,
    Kind.CREDENTIAL,
    notes=("project", "product", "product_profile"),
)
STEPS: Final[dict[str, tuple[Step, ...]]] = {
    TechnicalAccount.Way.NEW: (
        Step("signin", _("Sign in"), prose.SIGN_IN),
        Step("project", _("Project"), prose.PROJECT, notes=("project",)),
        Step("api", _("API"), prose.API, notes=("product",)),
        Step("authentication", _("Authentication"), prose.AUTHENTICATION),
        Step("profile", _("Profile"), prose.PROFILE, notes=("product_profile",)),
        Step("save", _("Save"), prose.SAVE),
        *_LAST,
    ),
    TechnicalAccount.Way.MIGRATION: (
        _VERSION,
        Step("filter", _("Find project"), prose.FILTER, notes=("project",)),
        Step("open", _("Add credential"), prose.OPEN),
        *_LAST,
    ),
}
"""Step by step, by the way in."""
STEPS_WITH_JSON: Final[dict[str, tuple[Step, ...]]] = {
    TechnicalAccount.Way.NEW: (CREDENTIAL, *_LAST),
    TechnicalAccount.Way.MIGRATION: (_VERSION, CREDENTIAL, *_LAST),
}
"""For somebody who has the console's file, which was made after its steps."""
SLUGS: Final = {step.slug for by_way in (STEPS, STEPS_WITH_JSON) for each in by_way.values() for step in each}


@dataclass(frozen=True)
class Place:
    """One entry of the progress list."""

    step: Step
    state: str
    """done, current or todo."""
    is_open: bool

    @property
    def label(self) -> Promise:
        return self.step.label


class DraftProgress:
    """How far a draft is: all steps, which are done, and which may be opened."""

    def __init__(self, draft: Draft) -> None:
        self.steps = (STEPS_WITH_JSON if draft.has_json else STEPS)[draft.account.way]
        self.done = frozenset(draft.done)

    @property
    def first_open(self) -> Step:
        """The first step that is not done; the last step when all others are."""
        return next((step for step in self.steps if step.slug not in self.done), self.steps[-1])

    def find(self, slug: str) -> Step | None:
        return next((step for step in self.steps if step.slug == slug), None)

    def may_open(self, step: Step) -> bool:
        """Back is free; forward goes to the first step that is not done, and no farther."""
        return self.steps.index(step) <= self.steps.index(self.first_open)

    def after(self, step: Step) -> Step:
        return self.steps[min(self.steps.index(step) + 1, len(self.steps) - 1)]

    def before(self, step: Step) -> Step | None:
        place = self.steps.index(step)
        return self.steps[place - 1] if place else None

    def places(self, current: Step) -> list[Place]:
        return [Place(step, self._state(step, current), self.may_open(step)) for step in self.steps]

    def _state(self, step: Step, current: Step) -> str:
        if step == current:
            return "current"
        return "done" if step.slug in self.done else "todo"


def console_steps(way: str) -> list[Step]:
    """Return what is done in the console, in its order."""
    return [step for step in STEPS[way] if step.kind == Kind.CONSOLE]


def first_slug(way: str) -> str:
    """Return the address of the first step of a way in."""
    return STEPS[way][0].slug


def kept(done: Collection[str], *, without: Collection[str]) -> list[str]:
    """Return what stays done when the steps `without` have to be done again."""
    return [slug for slug in done if slug not in without]
