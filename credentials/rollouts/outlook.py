"""What is in the way of a push to an installation, judged by what was seen there last.

Host keys and other portals are asked as they are now. The way to a container is judged by the last contact
with it, whether a push, a look or a reading; what is there, by the last reading and by the last push of that
installation. Whatever a person has changed in the inventory since then counts as mended.
"""

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from credentials.rollouts import rules
from credentials.rollouts.models import Attempt, Push
from instances.discovery.models import Reading
from instances.failures import Code
from instances.models import Container, ExpectedHostKey, HostKey, Installation
from instances.reaching import host_keys
from portal.audit.models import AuditEvent

NO_HOST_KEY = rules.HAS_KEY.code
HOST_KEY_UNEXPECTED = "host_key_unexpected"
"""No key is approved, and the server showed another one than the one that was given in advance."""
OF_JUMP_HOST = frozenset(code for code in Code if code.startswith("jump_host_"))
WAY = OF_JUMP_HOST | {
    Code.NAME_NOT_RESOLVED,
    Code.ADDRESS_NOT_ALLOWED,
    Code.CONNECTION_REFUSED,
    Code.HOST_UNREACHABLE,
    Code.TIMED_OUT,
    Code.SSH_SILENT,
    Code.NOT_SSH,
    Code.TURNED_AWAY,
    Code.HOST_KEY_CHANGED,
    Code.LOGIN_REFUSED,
    Code.LOGIN_BARRED,
    Code.PASSWORD_EXPIRED,
    Code.SSH_KEY_UNUSABLE,
    Code.SSH_TOO_OLD,
    Code.NO_COMMON_ALGORITHM,
    Code.CONNECTION_LOST,
    Code.SESSION_REFUSED,
    Code.SCRIPT_NOT_RUN,
    Code.BECOME_REFUSED,
    Code.SHELL_UNUSABLE,
    Code.USER_MISSING,
    Code.WRONG_USER,
    Code.TOOLS_MISSING,
    Code.NLSERVER_NOT_FOUND,
    Code.BUILD_UNKNOWN,
}
"""Failures that any push to the container meets, whichever instance it is for."""
THERE = frozenset(
    {
        Code.INSTANCE_NOT_FOUND,
        Code.NOT_WRITABLE,
        Code.INPUT_NOT_PRIVATE,
        Code.REFUSED_BY_NLSERVER,
        Code.SEVERAL_SECRETS,
        Code.ORGANIZATION_EMPTY,
    }
)
"""Failures that the next push to the installation meets as well, as long as nobody changes it there."""
SAYS_NOTHING = frozenset(
    {
        Code.HOST_KEY_UNKNOWN,
        Code.SECRET_UNREADABLE,
        Code.WORKER_LOST,
        Code.PORTAL_ERROR,
        Code.INTERRUPTED,
        Code.NO_LONGER_WANTED,
        Code.RETIRED,
        Code.BY_HAND,
    }
)
"""Ends that tell nothing about the container; whether a host key is approved by now is asked of the keys."""
WAY_FIELDS = frozenset({"address", "port", "jump_host", "login", "become", "install_root"})
"""What of a container leads there and in: after a change of it nothing is known any more."""
IMPORTS_READ = 50


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a push fails: a code of failures, or one of this module or the rules; and when that was seen."""

    code: str
    seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Sight:
    """How a contact with a container ended, or an attempt at an installation; empty code: it went well."""

    at: datetime
    code: str


Within = Collection[uuid.UUID] | QuerySet[Installation, uuid.UUID]


def outlook_of(rows: Sequence[Installation], within: Within) -> dict[uuid.UUID, Trouble]:
    """Return what is in the way, for those of these installations where something is.

    `within` are their ids, or a query of them. The rows come with container, instance and `other_portal`.
    """
    there = Container.objects.filter(
        pk__in=Installation.objects.filter(pk__in=within).order_by().values("container")
    )
    keys, readings = _Keys.of(there), _readings(there)
    contacts, failed = _attempts(there)
    for container, reading in readings.items():
        _note(contacts, container, _Sight(_ended(reading), reading.code))
    facts = _Facts(keys, readings, contacts, failed)
    facts.edited.update(_edited({row.container_id: row.container for row in rows if facts.is_doubtful(row)}))
    found = {row.pk: facts.trouble(row) for row in rows}
    return {pk: trouble for pk, trouble in found.items() if trouble}


@dataclass(frozen=True)
class _Keys:
    """The host keys of containers, and those that are expected there."""

    known: Mapping[uuid.UUID, list[HostKey]]
    expected: Mapping[uuid.UUID, str]

    @classmethod
    def of(cls, containers: QuerySet[Container]) -> "_Keys":
        known: dict[uuid.UUID, list[HostKey]] = {}
        keys = HostKey.objects.filter(container__in=containers.values("pk"))
        for key in keys.defer("base64").order_by():
            known.setdefault(key.container_id, []).append(key)
        expected = ExpectedHostKey.objects.filter(container__in=containers.values("pk")).order_by()
        return cls(known, dict(expected.values_list("container_id", "fingerprint")))

    def approved(self, container: uuid.UUID) -> datetime | None:
        """Return when a key of the container was approved last."""
        return max((key.approved for key in self.known.get(container, []) if key.approved), default=None)

    def trouble(self, container: uuid.UUID) -> Trouble | None:
        """Return what the keys have to say: none that is trusted, or another one shown in its place."""
        keys = self.known.get(container, [])
        expected = self.expected.get(container, "")
        state = host_keys.state_of(keys, expected)
        if state == "approved":
            return None
        shown = [key for key in keys if key.state == HostKey.State.OFFERED]
        if state == "changed":
            return Trouble(Code.HOST_KEY_CHANGED, max(key.seen for key in shown))
        if state == "unexpected":
            return Trouble(HOST_KEY_UNEXPECTED, max(key.seen for key in shown))
        is_revoked = any(key.fingerprint == expected and key.state == HostKey.State.REVOKED for key in keys)
        return Trouble(NO_HOST_KEY) if is_revoked or not expected else None


def _readings(containers: QuerySet[Container]) -> dict[uuid.UUID, Reading]:
    """Return the newest reading of each container that is over and says something."""
    over = Reading.objects.newest(containers=containers.values("pk"), finished__isnull=False)  # type: ignore[arg-type]  # a query of ids
    fields = ("container", "state", "code", "started", "finished", "found", "further")
    return {each.container_id: each for each in over.only(*fields) if each.code not in SAYS_NOTHING}


def _ended(reading: Reading) -> datetime:
    return reading.finished or reading.asked


def _attempts(
    containers: QuerySet[Container],
) -> tuple[dict[uuid.UUID, _Sight], dict[uuid.UUID, _Sight]]:
    """Return the last attempts: by container how each ended, by installation those that failed there."""
    telling = Attempt.objects.filter(finished__isnull=False).exclude(code__in=SAYS_NOTHING)
    made = telling.filter(push=OuterRef("pk"))
    tried = Push.objects.filter(Exists(made), installation=OuterRef("pk")).order_by("-requested")
    on_them = Installation.objects.filter(container__in=containers.values("pk")).order_by()
    last = on_them.annotate(last=Subquery(tried.values("pk")[:1])).values("last")
    rows = telling.filter(push__in=last)
    fields = ("push__container_id", "push__installation_id", "finished", "code", "verdict")
    contacts: dict[uuid.UUID, _Sight] = {}
    failed: dict[uuid.UUID, _Sight] = {}
    for container, installation, at, code, verdict in rows.order_by("finished").values_list(*fields):
        _note(contacts, container, _Sight(at, code))
        failed.pop(installation, None)
        if verdict == Push.State.FAILED and code in THERE:
            failed[installation] = _Sight(at, code)
    return contacts, failed


def _note(contacts: dict[uuid.UUID, _Sight], container: uuid.UUID, sight: _Sight) -> None:
    if container not in contacts or contacts[container].at <= sight.at:
        contacts[container] = sight


def _lacks(reading: Reading | None, row: Installation) -> bool:
    """Whether a reading that went well found no such instance."""
    if reading is None or reading.code or reading.further:
        return False
    return row.instance.name not in reading.found


@dataclass(frozen=True)
class _Facts:
    """What was seen of containers (by their ids), and the attempts that failed at installations."""

    keys: _Keys
    readings: Mapping[uuid.UUID, Reading]
    contacts: Mapping[uuid.UUID, _Sight]
    failed: Mapping[uuid.UUID, _Sight]
    edited: dict[uuid.UUID, datetime] = field(default_factory=dict)
    """When the way there was changed last in the inventory; asked of what is doubtful alone."""

    def is_doubtful(self, row: Installation) -> bool:
        """Whether the last contact failed, or the installation was not found or failed there."""
        last = self.contacts.get(row.container_id)
        is_lost = last is not None and last.code in WAY
        return is_lost or row.pk in self.failed or _lacks(self.readings.get(row.container_id), row)

    def trouble(self, row: Installation) -> Trouble | None:
        """Return what a push meets first: on the way, then at the file."""
        return (
            self.keys.trouble(row.container_id)
            or self._on_the_way(row.container_id)
            or _of_other_portal(row)
            or self._there(row)
            or (Trouble(Code.BUILD_TOO_OLD, row.observed) if row.needs_upgrade else None)
        )

    def _on_the_way(self, container: uuid.UUID) -> Trouble | None:
        """Return why the last contact failed, unless a person changed since then what it depends on."""
        last = self.contacts.get(container)
        if last is None or last.code not in WAY or self._is_edited(container, last.at):
            return None
        if last.code == Code.HOST_KEY_CHANGED and _is_after(self.keys.approved(container), last.at):
            return None
        return Trouble(last.code, last.at)

    def _there(self, row: Installation) -> Trouble | None:
        """Return why the last push there failed, or that the last reading found no such instance."""
        failed, reading = self.failed.get(row.pk), self.readings.get(row.container_id)
        if reading and not reading.code and not (failed and failed.at > _ended(reading)):
            if _lacks(reading, row) and not _is_after(row.observed, _ended(reading)):
                failed = _Sight(_ended(reading), Code.INSTANCE_NOT_FOUND)
            elif failed and failed.code == Code.INSTANCE_NOT_FOUND:
                return None
        if failed is None or self._is_edited(row.container_id, failed.at):
            return None
        return Trouble(failed.code, failed.at)

    def _is_edited(self, container: uuid.UUID, at: datetime) -> bool:
        return _is_after(self.edited.get(container), at)


def _of_other_portal(row: Installation) -> Trouble | None:
    other = getattr(row, "other_portal", None)
    return None if other is None or other.is_taken_over else Trouble(Code.OTHER_PORTAL, other.seen)


def _is_after(moment: datetime | None, other: datetime) -> bool:
    return moment is not None and moment > other


def _edited(containers: Mapping[uuid.UUID, Container]) -> dict[uuid.UUID, datetime]:
    """Return when the way to these containers, or the way in, was changed last in the inventory."""
    if not containers:
        return {}
    found = dict(_edited_by_hand(containers))
    by_name = {each.name: pk for pk, each in containers.items()}
    for name, at in _imported():
        if name in by_name:
            found[by_name[name]] = max(at, found.get(by_name[name], at))
    return found


def _edited_by_hand(containers: Mapping[uuid.UUID, Container]) -> Iterator[tuple[uuid.UUID, datetime]]:
    """Yield the containers that were edited, and those behind an edited jump host, oldest first, and when."""
    behind: dict[str, list[uuid.UUID]] = {}
    for pk, each in containers.items():
        if each.jump_host_id:
            behind.setdefault(str(each.jump_host_id), []).append(pk)
    own = Q(action="container.changed", target_type="container", target_id__in=[str(pk) for pk in containers])
    of_jump = Q(action="jump_host.changed", target_type="jumphost", target_id__in=list(behind))
    changes = AuditEvent.objects.filter(own | of_jump).order_by("seq")
    for kind, target, at, details in changes.values_list("target_type", "target_id", "at", "details"):
        if kind == "jumphost":
            yield from ((pk, at) for pk in behind[target])
        elif WAY_FIELDS & details.get("changes", {}).keys():
            yield uuid.UUID(target), at


def _imported() -> Iterator[tuple[str, datetime]]:
    """Yield the containers that the last imports changed, by name, and when."""
    events = AuditEvent.objects.filter(action="inventory.changed").order_by("-seq")[:IMPORTS_READ]
    for at, details in events.values_list("at", "details"):
        lines: Iterable[dict[str, object]] = details.get("changes", [])
        for line in lines:
            changes = line.get("changes")
            if "container" in line and isinstance(changes, dict) and WAY_FIELDS & changes.keys():
                yield str(line["container"]), at
