"""Importing an inventory file: what would change, and then all of it or nothing.

An import adds and updates; it never removes, and never touches what its file has no column for.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TypeVar
from uuid import UUID

from django.db import IntegrityError, models, transaction
from django.db.models import CharField, Q, Value
from django.db.models.functions import Cast, Concat
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from instances.inventory.csv_format import CsvRow, ParsedInventory, RowError
from instances.inventory.editing import (
    Differences,
    InventoryError,
    containers_changed,
    differences,
    leave_to_hands,
    values,
)
from instances.models import Container, ExpectedHostKey, Installation, Instance, JumpHost, Retirable
from portal.audit.trail import Actor, Details, Entry, record, record_all

INSTANCE_COLUMNS = ("environment", "deployment", "role", "uses_triggers")
CONTAINER_VALUES = ("address", "port", "login", "become", "install_root", "is_by_hand")
CONTAINER_COLUMNS = (*CONTAINER_VALUES, "jump_host")
CHUNK = 2000
MOST_NAMED = 5_000
"""A statement names no more than this; for a larger file everything is read."""
CHANGES_PER_EVENT = 500
KINDS = {
    "instance": gettext_lazy("Instance"),
    "container": gettext_lazy("Container"),
    "host_key": gettext_lazy("Expected host key"),
    "installation": gettext_lazy("Installation"),
}
T = TypeVar("T")
M = TypeVar("M", bound=models.Model)
Progress = Callable[[int, int], None]


class ImportRefused(Exception):
    """A file that cannot be imported as it is; `errors` say where and why. Nothing was changed."""

    def __init__(self, errors: Sequence[RowError]) -> None:
        super().__init__(f"{len(errors)} errors")
        self.errors = tuple(errors)


class PlanOutdated(Exception):
    """The inventory changed after the preview, so that the file would do something else than was shown."""


@dataclass(frozen=True)
class ImportChange:
    """One thing that an import makes or alters. `differences` is empty for a new thing."""

    kind: str
    name: str
    row: int
    is_new: bool
    differences: Differences = field(default_factory=dict)

    @property
    def label(self) -> Promise:
        """The kind, in words for people."""
        return KINDS[self.kind]

    @property
    def lines(self) -> list[tuple[object, object, object]]:
        """The differences as people read them: what the value is called, the former one, the new one."""
        return [
            (_called(key), _shown(key, old), _shown(key, new)) for key, (old, new) in self.differences.items()
        ]


_FIELDS = {
    each.name: each
    for model in (Instance, Container, ExpectedHostKey)
    for each in model._meta.concrete_fields  # noqa: SLF001  # Django's documented API
}


def _called(name: str) -> object:
    return _FIELDS[name].verbose_name if name in _FIELDS else name


def _shown(name: str, value: object) -> object:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return dict(_FIELDS[name].flatchoices).get(value, value) if name in _FIELDS else value


@dataclass
class Touched:
    """An instance or container that the file names, as it would be afterwards."""

    row: Instance | Container
    number: int
    before: dict[str, object] | None


@dataclass
class Plan:
    """What an import would do."""

    changes: list[ImportChange] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    unchanged: int = 0
    instances: list[Touched] = field(default_factory=list)
    containers: list[Touched] = field(default_factory=list)
    installations: list[Installation] = field(default_factory=list)
    expected: list[ExpectedHostKey] = field(default_factory=list)

    @property
    def created(self) -> int:
        return sum(change.is_new for change in self.changes)

    @property
    def updated(self) -> int:
        return len(self.changes) - self.created

    @property
    def counts(self) -> dict[str, int]:
        """How much is created, updated and left as it is, for machines and the audit trail."""
        return {"created": self.created, "updated": self.updated, "unchanged": self.unchanged}

    @property
    def digest(self) -> str:
        """A hash of exactly these changes, so that a person confirms what was shown and nothing else."""
        text = json.dumps([asdict(change) for change in self.changes], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


_Place = tuple[UUID | None, str, int]


def _place(container: Container) -> _Place:
    """Return what no two containers have in common."""
    return container.jump_host_id, container.address, container.port


class _Inventory:
    """What is stored of that which a file names, read once, and what the file makes of it."""

    def __init__(self, rows: Sequence[CsvRow], actor_name: str) -> None:
        self.actor_name = actor_name
        instances, containers = {row.instance for row in rows}, {row.container for row in rows}
        here = _named("instance__name", instances) & _named("container__name", containers)
        installed = Installation.objects.filter(here)
        self.instances = {row.name: row for row in Instance.objects.filter(_named("name", instances))}
        stored = Container.objects.select_related("jump_host").filter(_named("name", containers))
        self.containers = {row.name: row for row in stored}
        self.jump_hosts = {row.name: row for row in JumpHost.objects.all()}
        retired = installed.exclude(retired=None).select_related("instance", "container")
        self.retired = {(row.instance_id, row.container_id): row for row in retired}
        self.installed = set(installed.values_list("instance_id", "container_id"))
        expected = ExpectedHostKey.objects.filter(_named("container__name", containers))
        self.expected = {row.container_id: row for row in expected}
        self.touched_instances: dict[str, Touched] = {}
        self.touched_containers: dict[str, Touched] = {}
        self.expected_rows: dict[UUID, int] = {}
        self.plan = Plan()

    def take(self, row: CsvRow) -> None:
        """Work one row of the file into the inventory."""
        instance = self._touch_instance(row)
        self._refuse_retired(row, "instance", instance)
        if not row.container:
            return
        container = self._touch_container(row)
        self._refuse_retired(row, "container", container)
        self._refuse_retired(row, "container", self.retired.get((instance.pk, container.pk)))
        if row.host_key:
            self._expect(container, row.host_key, row.number)
        if (instance.pk, container.pk) in self.installed:
            self.plan.unchanged += 1
            return
        self.installed.add((instance.pk, container.pk))
        installation = Installation(instance=instance, container=container)
        self.plan.installations.append(installation)
        self.plan.changes.append(ImportChange("installation", str(installation), row.number, is_new=True))

    def _refuse_retired(self, row: CsvRow, column: str, found: Retirable | None) -> None:
        """Revive nothing silently: somebody had a reason to retire it, which the error names."""
        if found is None or found.retired is None:
            return
        reason = _(
            "%(name)s was retired on %(day)s by %(who)s (%(why)s): take it back first, or remove this row."
        )
        day = f"{timezone.localtime(found.retired):%Y-%m-%d}"
        words = {"name": found, "day": day, "who": found.retired_by, "why": found.retired_reason}
        self.plan.errors.append(RowError(row.number, column, reason % words))

    def _touch_instance(self, row: CsvRow) -> Instance:
        stored = self.instances.get(row.instance)
        instance = stored or self.instances.setdefault(row.instance, Instance(name=row.instance))
        before = values(instance, INSTANCE_COLUMNS) if stored else None
        self.touched_instances.setdefault(row.instance, Touched(instance, row.number, before))
        _fill(instance, row, INSTANCE_COLUMNS)
        return instance

    def _touch_container(self, row: CsvRow) -> Container:
        stored = self.containers.get(row.container)
        container = stored or self.containers.setdefault(row.container, Container(name=row.container))
        before = values(container, CONTAINER_COLUMNS) if stored else None
        self.touched_containers.setdefault(row.container, Touched(container, row.number, before))
        _fill(container, row, CONTAINER_VALUES)
        self._fill_jump_host(container, row)
        return container

    def _fill_jump_host(self, container: Container, row: CsvRow) -> None:
        if row.jump_host is None:
            return
        if row.jump_host in self.jump_hosts:
            container.jump_host = self.jump_hosts[row.jump_host]
        else:
            reason = _("There is no jump host with this name: add it first, under Containers, Jump hosts.")
            self.plan.errors.append(RowError(row.number, "jump_host", reason))

    def _expect(self, container: Container, fingerprint: str, number: int) -> None:
        stored = self.expected.get(container.pk)
        if stored and stored.fingerprint == fingerprint:
            return
        expected = ExpectedHostKey(
            pk=stored.pk if stored else None,
            container=container,
            fingerprint=fingerprint,
            given_by=self.actor_name,
            given=timezone.now(),
        )
        self.expected[container.pk] = expected
        former = stored.fingerprint if stored else ""
        changed: Differences = {"fingerprint": [former, expected.fingerprint]}
        self.plan.expected.append(expected)
        self.plan.changes.append(ImportChange("host_key", container.name, number, stored is None, changed))

    def finish(self) -> Plan:
        """Compare the touched rows with what they were, look for clashes, and return the plan."""
        self.plan.instances = self._changed("instance", self.touched_instances, INSTANCE_COLUMNS)
        self.plan.containers = self._changed("container", self.touched_containers, CONTAINER_COLUMNS)
        self._find_clashes()
        self.plan.changes.sort(key=lambda change: (change.row, list(KINDS).index(change.kind)))
        return self.plan

    def _changed(self, kind: str, touched: dict[str, Touched], columns: Sequence[str]) -> list[Touched]:
        return [one for one in touched.values() if self._note(kind, one, columns)]

    def _note(self, kind: str, one: Touched, columns: Sequence[str]) -> bool:
        now = values(one.row, columns)
        changes = differences(one.before, now) if one.before is not None else {}
        if one.before is not None and not changes:
            return False
        self.plan.changes.append(ImportChange(kind, one.row.name, one.number, one.before is None, changes))
        return True

    def _find_clashes(self) -> None:
        """Two containers cannot have one address and port, unless different jump hosts lead there.

        Name the row that says so, and the other.
        """
        # Stored ones first: what is wrong is the row of a new one that takes their place.
        names = sorted(self.touched_containers, key=lambda name: self.touched_containers[name].before is None)
        touched = [row for name in names if not (row := self.containers[name]).retired]
        at = self._others_at({row.address for row in touched})
        for row in touched:
            other = at.setdefault(_place(row), row.name)
            if other != row.name:
                reason = _("the container %s has this address and port") % other
                number = self.touched_containers[row.name].number
                self.plan.errors.append(RowError(number, "address", reason))

    def _others_at(self, addresses: Collection[str]) -> dict[_Place, str]:
        """Return the names of the containers at these addresses that the file does not name."""
        stored = Container.objects.not_retired().filter(_named("address", addresses))
        return {_place(row): row.name for row in stored if row.name not in self.touched_containers}


def _named(column: str, values: Collection[str]) -> Q:
    """Return the condition on rows with one of these values; on all rows, where the values are too many."""
    return Q(**{f"{column}__in": values}) if len(values) <= MOST_NAMED else Q()


def _fill(target: models.Model, row: CsvRow, columns: Sequence[str]) -> None:
    """Set what the file says; None means that it says nothing."""
    for column in columns:
        value = getattr(row, column)
        if value is not None:
            setattr(target, column, value)


def plan_import(*, parsed: ParsedInventory, actor: Actor) -> Plan:
    """Return what an import would do, without doing it; its `errors` include those of the file itself."""
    inventory = _Inventory(parsed.rows, actor.name)
    for row in parsed.rows:
        inventory.take(row)
    plan = inventory.finish()
    plan.errors[:0] = parsed.errors
    return plan


def apply_import(
    *,
    parsed: ParsedInventory,
    actor: Actor,
    confirmed: str = "",
    progress: Progress = lambda done, total: None,
) -> Plan:
    """Import a parsed file, all or nothing, and return what was done.

    `confirmed` is the digest of the plan that a person saw; `PlanOutdated` if the plan is another one by now.
    `progress` is called with the number of things written and their total. Raises `ImportRefused` for a file
    with errors.
    """
    if parsed.errors:
        raise ImportRefused(parsed.errors)
    try:
        return _apply(parsed, actor, confirmed, progress)
    except IntegrityError:
        raise PlanOutdated from None


@transaction.atomic
def _apply(parsed: ParsedInventory, actor: Actor, confirmed: str, progress: Progress) -> Plan:
    plan = plan_import(parsed=parsed, actor=actor)
    if plan.errors:
        raise ImportRefused(plan.errors)
    if confirmed and confirmed != plan.digest:
        raise PlanOutdated
    _write(plan, progress)
    marked = [one for one in plan.containers if one.before and not one.before["is_by_hand"]]
    ended = _leave_to_hands(marked)
    _record(plan, actor)
    if ended:
        record_all(ended, actor=actor)
    return plan


def _write(plan: Plan, progress: Progress) -> None:
    _vacate_addresses(plan.containers)
    batches: list[tuple[list[models.Model], Sequence[str]]] = [
        (_new(plan.instances), ()),
        (_old(plan.instances), INSTANCE_COLUMNS),
        (_new(plan.containers), ()),
        (_old(plan.containers), CONTAINER_COLUMNS),
        ([*plan.installations], ()),
        ([row for row in plan.expected if not row.pk], ()),
        ([row for row in plan.expected if row.pk], ("fingerprint", "given_by", "given")),
    ]
    total, done = sum(len(rows) for rows, _columns in batches), 0
    for rows, columns in batches:
        for chunk in _chunks(rows):
            _store(chunk, columns)
            done += len(chunk)
            progress(done, total)
    containers_changed.send(Container, container_ids=[row.pk for row in _old(plan.containers)])


def _leave_to_hands(touched: Iterable[Touched]) -> list[Entry]:
    """End what waits for containers that the file marks by hand; what runs there refuses the file."""
    ended = []
    for one in touched:
        try:
            ended += leave_to_hands([one.row] if isinstance(one.row, Container) else [])
        except InventoryError as error:
            raise ImportRefused([RowError(one.number, "by_hand", str(error))]) from None
    return ended


def _new(touched: Iterable[Touched]) -> list[models.Model]:
    return [one.row for one in touched if one.before is None]


def _old(touched: Iterable[Touched]) -> list[models.Model]:
    return [one.row for one in touched if one.before is not None]


def _store(rows: list[models.Model], columns: Sequence[str]) -> None:
    """Insert rows; with `columns`, set these columns of stored ones (an upsert: bulk_update is slow)."""
    table: models.QuerySet[models.Model] = models.QuerySet(type(rows[0]))
    if columns:
        table.bulk_create(rows, update_conflicts=True, unique_fields=["pk"], update_fields=columns)
    else:
        table.bulk_create(rows)


def _vacate_addresses(containers: Iterable[Touched]) -> None:
    """Let two containers swap addresses: each leaves its own before it takes the other's."""
    for chunk in _chunks([one.row.pk for one in containers if one.before is not None]):
        aside = Concat(Value("moving-"), Cast("pk", CharField()))
        Container.objects.filter(pk__in=chunk).update(address=aside)


def _record(plan: Plan, actor: Actor) -> None:
    """Record every change, many in one event: an import of thousands must not hold the chain for minutes."""
    for chunk in _chunks(plan.changes, CHANGES_PER_EVENT):
        lines = [_line(change) for change in chunk]
        record("inventory.changed", actor=actor, details={"changes": lines})
    totals: Details = {**plan.counts, "installations": len(plan.installations)}
    record("inventory.imported", actor=actor, details=totals)


def _line(change: ImportChange) -> dict[str, object]:
    line: dict[str, object] = {change.kind: change.name, "row": change.row}
    if change.is_new:
        line["new"] = True
    if change.differences:
        line["changes"] = change.differences
    return line


def _chunks(rows: Sequence[T], size: int = CHUNK) -> Iterable[list[T]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
