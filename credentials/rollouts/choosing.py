"""Which installations can receive an account, which are chosen, and what may prevent a push there."""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.core.paginator import Page, Paginator
from django.db.models import Exists, OuterRef, Prefetch, QuerySet
from django.http import QueryDict
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from credentials.models import TechnicalAccount
from instances.models import NOT_HOSTED, PUSHABLE, TARGET, ExpectedHostKey, HostKey, Installation, Instance
from instances.nlserver import MIN_BUILD
from instances.requirements import obstacle

PAGE = 25  # instances


@dataclass(frozen=True)
class ChoiceRow:
    """One installation in the choice."""

    installation: Installation
    obstacle: Promise | None
    """Why nothing can be pushed there; None if it can."""
    warning: Promise | None
    """Why a push is likely to fail there, which does not prevent it."""
    key_hint: Promise | None
    """What a missing host key means there."""
    hints: tuple[Promise, ...]
    is_chosen: bool
    is_ticked: bool
    """Whether its box is ticked: chosen, or it would be with its instance."""


@dataclass(frozen=True)
class Choice:
    """One instance in the choice, with its containers."""

    instance: Instance
    rows: tuple[ChoiceRow, ...]
    obstacle: Promise | None
    hints: tuple[Promise, ...]
    replaces: str
    """The name of the account that it uses now, if that is another one."""

    @property
    def is_chosen(self) -> bool:
        return any(row.is_chosen for row in self.rows)

    @property
    def chosen(self) -> list[ChoiceRow]:
        return [row for row in self.rows if row.is_chosen]

    @property
    def left_out(self) -> list[ChoiceRow]:
        return [row for row in self.rows if not row.is_chosen]


@dataclass(frozen=True)
class Selection:
    """One page of the choice, and how much is chosen on all of them."""

    choices: tuple[Choice, ...]
    page: Page[Instance]
    total: int
    elsewhere: int
    """How much of it is of instances that this page does not show."""
    choosable: int
    """How many of the instances found, on all pages, have an installation that can be chosen."""

    @property
    def chosen_choices(self) -> list[Choice]:
        return [choice for choice in self.choices if choice.is_chosen]


def select(
    *,
    account: TechnicalAccount,
    chosen: QuerySet[Installation],
    instances: QuerySet[Instance],
    page: str | None = None,
    ticked: Collection[uuid.UUID] | None = None,
) -> Selection:
    """Return one page of `instances` to choose from, with the `chosen` installations among them ticked.

    `ticked` replaces `chosen` for the rows of this page, where a form that was not stored says so.
    """
    shown = Paginator(instances.order_by("name"), PAGE).get_page(page)
    found = _instances().filter(pk__in=[instance.pk for instance in shown]).order_by("name")
    here = chosen.filter(instance__in=list(shown)).values_list("pk", flat=True)
    ids = set(here) if ticked is None else ticked
    choices = tuple(_choice(instance, account, ids) for instance in found)
    possible = chosen.filter(PUSHABLE)
    installed = Installation.objects.filter(PUSHABLE)
    return Selection(
        choices,
        shown,
        total=possible.count(),
        elsewhere=possible.exclude(instance__in=list(shown)).count(),
        choosable=instances.filter(pk__in=installed.order_by().values("instance")).count(),
    )


def left_out(chosen: QuerySet[Installation]) -> int:
    """Return how many containers of the chosen instances are not chosen."""
    possible = chosen.filter(PUSHABLE)
    siblings = Installation.objects.not_retired().filter(instance__in=possible.order_by().values("instance"))
    return siblings.count() - possible.count()


@dataclass(frozen=True)
class ChoiceChange:
    """What one form changes about a choice: the installations that it takes out, and those that it adds."""

    removed: frozenset[uuid.UUID]
    added: frozenset[uuid.UUID]

    def applied_to(self, chosen: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        return (set(chosen) - self.removed) | self.added


def posted(data: QueryDict) -> ChoiceChange:
    """Return what a form says about the instances that it showed; what it did not show stays as it is.

    A container counts where its instance is ticked as well. What is no id is ignored.
    """
    shown = _ids(data.getlist("shown"))
    instances = _ids(data.getlist("instance")) & shown
    ticked = _ids(data.getlist("installation"))
    everything = Installation.objects.filter(instance__in=shown).values_list("pk", flat=True)
    added = Installation.objects.filter(PUSHABLE, pk__in=ticked, instance__in=instances)
    return ChoiceChange(frozenset(everything), frozenset(added.values_list("pk", flat=True)))


def change_of(data: QueryDict, action: str, instances: QuerySet[Instance]) -> ChoiceChange:
    """Return what a form changes: all or none of the `instances` that were found, or what it says itself."""
    if action == "all":
        return all_of(instances)
    if action == "none":
        return none_of(instances)
    return posted(data)


def all_of(instances: QuerySet[Instance]) -> ChoiceChange:
    """Choose all installations of these instances that can be pushed to."""
    found = Installation.objects.filter(PUSHABLE, instance__in=instances.order_by())
    return ChoiceChange(frozenset(), frozenset(found.values_list("pk", flat=True)))


def none_of(instances: QuerySet[Instance]) -> ChoiceChange:
    """Choose no installation of these instances."""
    found = Installation.objects.filter(instance__in=instances.order_by())
    return ChoiceChange(frozenset(found.values_list("pk", flat=True)), frozenset())


def _ids(texts: Iterable[str]) -> set[uuid.UUID]:
    found = set()
    for text in texts:
        try:
            found.add(uuid.UUID(text))
        except ValueError:
            continue
    return found


def _instances() -> "QuerySet[Instance]":
    keys = HostKey.objects.filter(container=OuterRef("container"))
    installations = (
        Installation.objects.not_retired()
        .select_related("container")
        .annotate(
            has_host_key=Exists(keys.filter(state=HostKey.State.APPROVED)),
            has_offered_key=Exists(keys.filter(state=HostKey.State.OFFERED)),
            has_expected_key=Exists(ExpectedHostKey.objects.filter(container=OuterRef("container"))),
        )
    )
    return Instance.objects.select_related("assignment__account").prefetch_related(
        Prefetch("installations", installations.order_by("container__name"))
    )


def _choice(instance: Instance, account: TechnicalAccount, chosen: Collection[uuid.UUID]) -> Choice:
    installations = list(instance.installations.all())
    assignment = getattr(instance, "assignment", None)
    other = assignment.account.name if assignment and assignment.account_id != account.pk else ""
    is_chosen = any(installation.pk in chosen for installation in installations)
    return Choice(
        instance=instance,
        rows=tuple(
            _row(installation, instance, chosen, with_instance=is_chosen) for installation in installations
        ),
        obstacle=_instance_obstacle(instance, installations),
        hints=tuple(_instance_hints(installations)),
        replaces=other,
    )


OBSTACLES = {
    "retired": _("This installation is retired in the inventory."),
    "instance_retired": _("The instance is retired in the inventory."),
    "container_retired": _("The container is retired in the inventory."),
    "hosted": _("Hosted by Adobe, which sets the technical account itself."),
    "container_by_hand": _(
        "The container is marked by hand: the portal does not connect to it. Its page has a runbook."
    ),
    "container_off": _("The container is switched off in the inventory."),
    "version_not_usable": _("Only a usable version of a secret can be pushed."),
    "account_not_active": _("The technical account is not active."),
    "not_assigned": _("The instance does not use this account."),
}
"""Why nothing can be pushed to an installation, by the codes of `rules.STARTING`."""


def _instance_obstacle(instance: Instance, installations: list[Installation]) -> Promise | None:
    if code := obstacle(instance, [NOT_HOSTED]):
        return OBSTACLES[code]
    return None if installations else _("No container in the inventory.")


def _instance_hints(installations: list[Installation]) -> Iterable[Promise]:
    builds = {installation.observed_build for installation in installations} - {None}
    if len(builds) > 1:
        yield _("Its containers run different builds; Adobe asks for the same build everywhere.")


def _row(
    installation: Installation, instance: Instance, chosen: Collection[uuid.UUID], *, with_instance: bool
) -> ChoiceRow:
    obstacle = _obstacle(installation)
    is_chosen = obstacle is None and installation.pk in chosen
    return ChoiceRow(
        installation=installation,
        obstacle=obstacle,
        warning=None if obstacle else _warning(installation),
        key_hint=None if getattr(installation, "has_host_key", True) else _host_key_hint(installation),
        hints=tuple(_hints(installation)),
        is_chosen=is_chosen,
        is_ticked=is_chosen or (obstacle is None and not with_instance),
    )


def _obstacle(installation: Installation) -> Promise | None:
    code = obstacle(installation, TARGET)
    return OBSTACLES[code] if code else None


def _warning(installation: Installation) -> Promise | None:
    """Return why a push is likely to fail there, judging by what was seen last."""
    if not installation.needs_upgrade:
        return None
    seen = installation.observed
    return format_lazy(
        _(
            "Build {build} was seen here on {day}: older than 7.4.1 (build 9383). The push checks again, and "
            "changes nothing unless Campaign has been upgraded since."
        ),
        build=installation.observed_build,
        day=f"{timezone.localtime(seen):%Y-%m-%d %H:%M}" if seen else "—",
    )


def _hints(installation: Installation) -> Iterable[Promise]:
    if installation.observed_build is None:
        yield _("Its build has not been seen yet; the push checks it before anything is changed.")
    if installation.observed_jwt:
        yield _("A JWT credential is still present.")


def _host_key_hint(installation: Installation) -> Promise:
    if not getattr(installation, "has_expected_key", False):
        return _("No host key is approved yet: the push will fail until an admin approves one.")
    if getattr(installation, "has_offered_key", False):
        # an expected key that was shown would be approved, not offered
        return _(
            "The server showed a different host key from the one given in the inventory file: the push will "
            "fail until an admin has looked at it."
        )
    return _("The fingerprint given in the inventory file is checked at the first push.")


@dataclass(frozen=True)
class Versions:
    """The observed builds of the inventory, as the migration asks for them."""

    total: int
    unseen: int
    too_old_count: int
    too_old: tuple[Installation, ...]
    """The first of them."""
    jwt: int
    """Installations on which a JWT credential was seen."""

    @property
    def too_old_more(self) -> int:
        return self.too_old_count - len(self.too_old)


def versions(limit: int = 50) -> Versions:
    """Return what is known of the builds of all installations that can be pushed to."""
    possible = Installation.objects.not_retired().filter(NOT_HOSTED.of("instance").condition())
    too_old = possible.filter(observed_build__lt=MIN_BUILD).select_related("instance", "container")
    return Versions(
        total=possible.count(),
        unseen=possible.filter(observed_build=None).count(),
        too_old_count=too_old.count(),
        too_old=tuple(too_old[:limit]),
        jwt=possible.filter(observed_jwt=True).count(),
    )
