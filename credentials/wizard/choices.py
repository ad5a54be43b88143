"""Which installations can receive an account, which are chosen, and what speaks for or against each."""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from django.db.models import Exists, OuterRef, Prefetch, QuerySet
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from credentials.models import TechnicalAccount
from instances.models import ExpectedHostKey, HostKey, Installation, Instance
from instances.nlserver import MIN_BUILD


@dataclass(frozen=True)
class Row:
    """One installation in the choice."""

    installation: Installation
    obstacle: Promise | None
    """Why nothing can be pushed there; None if it can."""
    hints: tuple[Promise, ...]
    is_chosen: bool
    is_ticked: bool
    """Whether its box is ticked: chosen, or it would be with its instance."""


@dataclass(frozen=True)
class Choice:
    """One instance in the choice, with its containers."""

    instance: Instance
    rows: tuple[Row, ...]
    obstacle: Promise | None
    hints: tuple[Promise, ...]
    replaces: str
    """The name of the account that it uses now, if that is another one."""

    @property
    def is_chosen(self) -> bool:
        return any(row.is_chosen for row in self.rows)

    @property
    def chosen(self) -> list[Row]:
        return [row for row in self.rows if row.is_chosen]

    @property
    def left_out(self) -> list[Row]:
        return [row for row in self.rows if not row.is_chosen]


@dataclass(frozen=True)
class Selection:
    """The whole choice."""

    choices: tuple[Choice, ...]
    blocked: tuple[Row, ...] = field(default=())
    """Rows that were chosen once and cannot be pushed to any more."""

    @property
    def chosen(self) -> list[Installation]:
        return [row.installation for choice in self.choices for row in choice.chosen]

    @property
    def chosen_choices(self) -> list[Choice]:
        return [choice for choice in self.choices if choice.is_chosen]

    @property
    def left_out(self) -> list[Row]:
        return [row for choice in self.chosen_choices for row in choice.left_out]


def select(
    *, account: TechnicalAccount, chosen: Collection[uuid.UUID], instances: Iterable[uuid.UUID] | None = None
) -> Selection:
    """Return the choice with these installations chosen, of all instances or of some; three queries."""
    found = _instances().all() if instances is None else _instances().filter(pk__in=list(instances))
    choices = tuple(_choice(instance, account, chosen) for instance in found)
    blocked = tuple(
        row for choice in choices for row in choice.rows if row.obstacle and row.installation.pk in chosen
    )
    return Selection(choices, blocked)


def posted(data: QueryDict) -> set[uuid.UUID]:
    """Return the installations ticked in a form, of the instances ticked there; what is no id is ignored."""
    instances = _ids(data.getlist("instance"))
    ticked = _ids(data.getlist("installation"))
    found = Installation.objects.filter(instance__in=instances).values_list("pk", flat=True)
    return ticked.intersection(found)


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
    installations = Installation.objects.select_related("container").annotate(
        has_host_key=Exists(keys.filter(state=HostKey.State.APPROVED)),
        has_offered_key=Exists(keys.filter(state=HostKey.State.OFFERED)),
        has_expected_key=Exists(ExpectedHostKey.objects.filter(container=OuterRef("container"))),
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
        rows=tuple(_row(installation, instance, chosen, is_chosen) for installation in installations),
        obstacle=_instance_obstacle(instance, installations),
        hints=tuple(_instance_hints(installations)),
        replaces=other,
    )


def _instance_obstacle(instance: Instance, installations: list[Installation]) -> Promise | None:
    if not instance.is_pushable:
        return _("Hosted by Adobe, which sets the technical account itself.")
    if not installations:
        return _("No container in the inventory.")
    return None


def _instance_hints(installations: list[Installation]) -> Iterable[Promise]:
    builds = {installation.observed_build for installation in installations} - {None}
    if len(builds) > 1:
        yield _("Its containers run different builds; Adobe asks for the same build everywhere.")


def _row(
    installation: Installation, instance: Instance, chosen: Collection[uuid.UUID], with_instance: bool
) -> Row:
    obstacle = _obstacle(installation, instance)
    is_chosen = obstacle is None and installation.pk in chosen
    return Row(
        installation=installation,
        obstacle=obstacle,
        hints=tuple(_hints(installation)),
        is_chosen=is_chosen,
        is_ticked=is_chosen or (obstacle is None and not with_instance),
    )


def _obstacle(installation: Installation, instance: Instance) -> Promise | None:
    if not instance.is_pushable:
        return _("Hosted by Adobe, which sets the technical account itself.")
    if not installation.container.is_enabled:
        return _("The container is switched off in the inventory.")
    if installation.needs_upgrade:
        return format_lazy(
            _("Build {build} is older than 7.4.1 (build 9383): upgrade Campaign first."),
            build=installation.observed_build,
        )
    return None


def _hints(installation: Installation) -> Iterable[Promise]:
    if not getattr(installation, "has_host_key", True):
        yield _host_key_hint(installation)
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
            "The server showed another host key than the one given in the inventory file: the push will fail "
            "until an admin has looked at it."
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
    pushable = Installation.objects.exclude(instance__deployment=Instance.Deployment.HOSTED)
    too_old = pushable.filter(observed_build__lt=MIN_BUILD).select_related("instance", "container")
    return Versions(
        total=pushable.count(),
        unseen=pushable.filter(observed_build=None).count(),
        too_old_count=too_old.count(),
        too_old=tuple(too_old[:limit]),
        jwt=pushable.filter(observed_jwt=True).count(),
    )
