"""The first keys of many containers, as one page offers them, compared with a pasted list."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from secrets import compare_digest
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from instances.inventory.pasted_keys import PastedKey, family_of
from instances.models import Container, HostKey, Installation
from instances.reaching import host_keys
from portal.audit.trail import Actor


@dataclass
class KeyLine:
    """One key that a container showed. `code` says why it is not approved on this page; empty: it can be."""

    key: HostKey
    code: str
    expected: str = ""
    """The fingerprint that was given in advance, where another one was shown."""
    is_matched: bool = False
    is_chosen: bool = False

    @property
    def doubt(self) -> Promise | str:
        return host_keys.DOUBTS.get(self.code, "")


@dataclass
class ContainerLine:
    """A container without an approved key, and the keys that it showed."""

    container: Container
    keys: list[KeyLine]
    mismatches: list[PastedKey] = field(default_factory=list)
    """Pasted lines that name this container, with another key than it showed."""

    @property
    def is_choosable(self) -> bool:
        """Whether one of its keys can be approved together with those of others."""
        return not self.mismatches and any(not each.code for each in self.keys)

    @property
    def instances(self) -> list[str]:
        return [installation.instance.name for installation in self.container.installations.all()]

    @property
    def names(self) -> set[str]:
        """What a pasted line may call it."""
        container = self.container
        name, address = container.name.lower(), container.address.lower()
        return {name, address, f"{name}:{container.port}", f"{address}:{container.port}"}


def offered() -> QuerySet[Container]:
    """Return the containers in use that have shown a key, and have no approved one."""
    return host_keys.in_host_key_state(Container.objects.in_use(), "shown")


def lines_of(containers: Collection[UUID]) -> list[ContainerLine]:
    """Return containers with these ids, in their order by name, with keys and instances; three queries."""
    installed = Installation.objects.select_related("instance").only("container", "instance__name")
    found = Container.objects.filter(pk__in=containers).order_by("name")
    rows = found.select_related("jump_host", "expected_host_key").prefetch_related(
        Prefetch("host_keys", HostKey.objects.defer("base64").order_by("type", "pk")),
        Prefetch("installations", installed.order_by("instance__name")),
    )
    return [ContainerLine(container, _keys(container)) for container in rows]


def _keys(container: Container) -> list[KeyLine]:
    keys = list(container.host_keys.all())
    expected = getattr(container, "expected_host_key", None)
    wanted = expected.fingerprint if expected else ""
    lines = [
        KeyLine(key, host_keys.doubt_about(key, keys, wanted))
        for key in keys
        if key.state == HostKey.State.OFFERED
    ]
    for line in lines:
        line.expected = wanted if line.code == "unexpected" else ""
    return lines


def compare(lines: Sequence[ContainerLine], pasted: Iterable[PastedKey]) -> list[PastedKey]:
    """Mark the keys that a pasted list confirms, and the containers that it contradicts.

    A line that names a container is about that one alone; a line without a known name is about every
    container that shows its key. Returns the lines that fit no container here.
    """
    named: dict[str, list[ContainerLine]] = {}
    for line in lines:
        for name in line.names:
            named.setdefault(name, []).append(line)
    unused: list[PastedKey] = []
    for each in pasted:
        meant = [line for name in each.names for line in named.get(name, ())]
        fits = [_compare(line, each, is_named=True) for line in meant] or [
            _compare(line, each, is_named=False) for line in lines
        ]
        if not any(fits):
            unused.append(each)
    return unused


def _compare(line: ContainerLine, pasted: PastedKey, *, is_named: bool) -> bool:
    """Return whether the pasted key says something about this container: confirms or contradicts it."""
    same_family = [
        each for each in line.keys if not pasted.family or family_of(each.key.type) == pasted.family
    ]
    for each in same_family:
        if compare_digest(each.key.fingerprint.encode(), pasted.fingerprint.encode()):
            each.is_matched = True
            return True
    if is_named and same_family:
        line.mismatches.append(pasted)
        return True
    return False


def approve(
    lines: Iterable[ContainerLine], chosen: Collection[int], actor: Actor
) -> tuple[list[HostKey], list[str]]:
    """Approve the chosen keys, container by container; return those approved, and what was left out and why.

    What was seen when the page was made is what is approved: a key that is not chosen there is not, and one
    that is doubtful by now is not either.
    """
    approved: list[HostKey] = []
    left: list[str] = []
    for line in lines:
        picked = [each for each in line.keys if each.key.pk in chosen]
        if not picked:
            continue
        if line.mismatches:
            reason = _("%s: the pasted list names another key. Ask the server team which one is right.")
            left.append(reason % line.container.name)
            continue
        given = {each.key.fingerprint for each in picked if each.is_matched}
        keys = [each.key for each in picked]
        try:
            approved += host_keys.approve_first_keys(
                container=line.container, keys=keys, actor=actor, fingerprints=given
            )
        except host_keys.FingerprintNeeded:
            left.append(_("%s: there is a doubt about the key; approve it on its own page.") % line.container)
    return approved, left
