"""What would happen if a rollout started now: one row for each installation, before anything is started.

It is judged by the rules, and by what was seen last; nobody is asked anew, neither containers nor Adobe. The
number of statements does not depend on how many installations there are. Codes are returned; their words are
in `preview_words`.
"""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from django.db.models import QuerySet

from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts import rules
from credentials.rollouts.how_long import Estimate, estimate
from credentials.rollouts.models import ProvenWrite, Push, Rollout
from credentials.rollouts.outlook import (
    NO_HOST_KEY,
    SAYS_NOTHING,
    THERE,
    WAY,
    Trouble,
    Within,
    outlook_of,
)
from instances.failures import Code
from instances.models import Installation, place_label
from instances.requirements import Requirement, obstacle


class Fate(StrEnum):
    """What would happen at an installation, the worst first."""

    REFUSED = "refused"
    """The rules refuse it, and nothing starts as long as it is chosen."""
    FAILS = "fails"
    """It is pushed, and fails before the login unless somebody mends that first."""
    LIKELY_FAILS = "likely_fails"
    """It is pushed, and fails if it still is there as it was when it was seen last."""
    LEFT_OUT = "left_out"
    """The rules refuse it, and the caller starts without it."""
    WAITS = "waits"
    """It is pushed later: a room above says what it waits for."""
    PUSHED = "pushed"


class Also(StrEnum):
    """What else happens where something is pushed."""

    HOLDS = "holds_already"
    """It is proven to hold this version: it is written once more all the same."""
    SUPERSEDES = "supersedes"
    """An open push there ends as superseded."""
    REPLACES = "replaces_account"
    """Its instance uses another account, which this one replaces."""
    FAILED = "failed_last"
    """The last push there failed, nobody has mended that, and nothing that was seen explains it."""


@dataclass(frozen=True)
class Later:
    """What a room above knows of an installation: for what its push waits, and what the words need."""

    code: str
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """What would happen at one installation.

    `why` is the obstacle that a rule names, or the code with which the push would fail, or that of `later`;
    `seen` is when what it is judged by was seen, None where that is known now.
    """

    installation: uuid.UUID
    instance_id: uuid.UUID
    instance: str
    container_id: uuid.UUID
    container: str
    fate: Fate
    why: str = ""
    seen: datetime | None = None
    build: int | None = None
    also: tuple[Also, ...] = ()
    later: Later | None = None
    account: str = ""
    """The account that its instance uses now, if this one replaces it."""
    rollout: int | None = None
    """The number of the rollout whose open push it supersedes."""
    failed: str = ""
    """The code of the push that failed there last."""
    restarts_pipelined: bool = False
    """Whether a push restarts pipelined there as well."""

    @property
    def place(self) -> str:
        """The installation as people read it."""
        return place_label(self.instance, self.container)


@dataclass(frozen=True)
class Group:
    """The installations at which the same would happen for the same reason, by name."""

    fate: Fate
    why: str
    rows: tuple[Row, ...]

    @property
    def count(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Preview:
    """What would happen everywhere, and how long that would take."""

    rows: tuple[Row, ...]
    estimate: Estimate | None
    """None where no push has ever told how long one takes, or nothing would be pushed now."""

    @property
    def total(self) -> int:
        return len(self.rows)

    @property
    def starts(self) -> bool:
        """Whether a rollout would start at all: something is pushed, and no rule refuses anything."""
        counts = Counter(row.fate for row in self.rows)
        return not counts[Fate.REFUSED] and counts[Fate.LEFT_OUT] < len(self.rows)

    @property
    def is_clean(self) -> bool:
        """Whether everything is pushed or waits for its turn."""
        return self.starts and all(row.fate in (Fate.PUSHED, Fate.WAITS) for row in self.rows)

    @property
    def groups(self) -> list[Group]:
        """The rows by what happens and why: the worst first, and of those the largest group first."""
        found: dict[tuple[Fate, str], list[Row]] = {}
        for row in self.rows:
            found.setdefault((row.fate, row.why), []).append(row)
        order = list(Fate)
        groups = [Group(fate, why, tuple(rows)) for (fate, why), rows in found.items()]
        return sorted(groups, key=lambda each: (order.index(each.fate), -each.count, each.why))

    @property
    def pushed(self) -> list[Row]:
        """The rows at which a push would be made, now or later, however it would end."""
        return [row for row in self.rows if row.fate not in _NOT_PUSHED]

    @property
    def also(self) -> list[tuple[Also, list[Row]]]:
        """What else would happen, and where."""
        found: dict[Also, list[Row]] = {}
        for row in self.pushed:
            for each in row.also:
                found.setdefault(each, []).append(row)
        return [(each, found[each]) for each in Also if each in found]

    @property
    def sights(self) -> tuple[datetime, datetime] | None:
        """When the oldest and the newest of what this is judged by was seen; None where nothing was."""
        moments = [row.seen for row in self.rows if row.seen]
        return (min(moments), max(moments)) if moments else None


_NOT_PUSHED = (Fate.REFUSED, Fate.LEFT_OUT)
AFTER_START = {"assigns": rules.ASSIGNED.code, "activates": rules.ACCOUNT_ACTIVE.code}
"""Obstacles that a start takes away itself before the rules are asked."""
Chosen = QuerySet[Installation] | Collection[Installation]


def preview(
    version: ClientSecret,
    installations: Chosen,
    *,
    assigns: bool = False,
    activates: bool = False,
    leaves_out: Sequence[Requirement] = (),
    later: Mapping[uuid.UUID, Later] | None = None,
) -> Preview:
    """Return what would happen if this version went to these installations now.

    `assigns` and `activates` say what the start does first, as `starting.start` and the wizard do. By the
    requirements in `leaves_out`, of an installation, the caller leaves out what does not meet them. `later`
    says of installations for what their push would wait.
    """
    within = _within(installations)
    rows = _installations(within)
    versions = dict.fromkeys((row.pk for row in rows), version)
    given = {code for name, code in AFTER_START.items() if {"assigns": assigns, "activates": activates}[name]}
    judged = _judge(rows, versions, within, given, leaves_out)
    shown = tuple(_waiting(row, (later or {}).get(row.installation)) for row in judged)
    return Preview(shown, _how_long(rows, shown))


def preview_each(versions: Mapping[uuid.UUID, ClientSecret]) -> dict[uuid.UUID, Row]:
    """Return what would happen at each of these installations, each with a version of its own: a repair."""
    within = list(versions)
    return {row.installation: row for row in _judge(_installations(within), versions, within)}


def _within(installations: Chosen) -> Within:
    if isinstance(installations, QuerySet):
        return installations.order_by().values_list("pk", flat=True)
    return [each.pk for each in installations]


def _installations(within: Within) -> list[Installation]:
    """Return them with what is asked of them and no more: of ten thousand, every column takes its time.

    A rule about another column needs its name here, or asks for each row; a test counts the statements.
    """
    rows = Installation.objects.filter(pk__in=within).order_by("instance__name", "container__name")
    return list(rows.select_related(*RELATED).only(*ASKED))


RELATED = ("instance__assignment", "container", "other_portal")
ASKED = (
    *("retired", "observed", "observed_build"),
    *("instance__name", "instance__retired", "instance__deployment", "instance__uses_triggers"),
    "instance__assignment__account_id",
    *("container__name", "container__retired", "container__is_enabled"),
    *("container__is_by_hand", "container__jump_host_id"),
    *("other_portal__last", "other_portal__seen", "other_portal__taken_over"),
)


def _judge(
    rows: Sequence[Installation],
    versions: Mapping[uuid.UUID, ClientSecret],
    within: Within,
    given: Collection[str] = (),
    leaves_out: Sequence[Requirement] = (),
) -> list[Row]:
    starting = [each for each in rules.STARTING if each.code not in given]
    facts = _Facts(
        outlook=outlook_of(rows, within),
        held=frozenset(_held(within)),
        opened=dict(_open(within)),
        accounts=_names(rows),
        failed=dict(_failed(within)),
    )
    # One push of each version, moved from row to row: making ten thousand takes longer than asking the rules.
    pushes = {version: Push(rollout=Rollout(secret=version)) for version in set(versions.values())}
    judged = []
    for each in rows:
        version = versions[each.pk]
        push = pushes[version]
        push.installation, push.container = each, each.container
        if code := obstacle(each, leaves_out):
            judged.append(replace(_row(each), fate=Fate.LEFT_OUT, why=code))
        elif code := obstacle(push, starting) or _outdated(version):
            judged.append(replace(_row(each), fate=Fate.REFUSED, why=code))
        else:
            judged.append(facts.row(each, version))
    return judged


def _outdated(version: ClientSecret) -> str:
    """Return the obstacle of a version that was entered for another client id, which no start takes."""
    return "" if version.client_id == version.account.client_id else rules.VERSION_USABLE.code


@dataclass(frozen=True)
class _Facts:
    """What is known of installations that can be pushed to."""

    outlook: Mapping[uuid.UUID, Trouble]
    held: frozenset[tuple[uuid.UUID, uuid.UUID]]
    opened: Mapping[uuid.UUID, int]
    accounts: Mapping[uuid.UUID, str]
    """The names of those that are used there."""
    failed: Mapping[uuid.UUID, str]
    """The codes of the pushes that failed there last."""

    def row(self, each: Installation, version: ClientSecret) -> Row:
        account, trouble = self._replaced(each, version), self.outlook.get(each.pk)
        failed = "" if trouble else self.failed.get(each.pk, "")
        flags = {
            Also.HOLDS: (each.pk, version.pk) in self.held,
            Also.SUPERSEDES: each.pk in self.opened,
            Also.REPLACES: bool(account),
            Also.FAILED: bool(failed),
        }
        row = replace(
            _row(each),
            also=tuple(name for name, is_so in flags.items() if is_so),
            account=account,
            rollout=self.opened.get(each.pk),
            failed=failed,
        )
        return _with(row, trouble)

    def _replaced(self, each: Installation, version: ClientSecret) -> str:
        used = _account_of(each)
        return self.accounts[used] if used and used != version.account_id else ""


def _row(each: Installation) -> Row:
    return Row(
        installation=each.pk,
        instance_id=each.instance_id,
        instance=each.instance.name,
        container_id=each.container_id,
        container=each.container.name,
        fate=Fate.PUSHED,
        seen=each.observed,
        build=each.observed_build,
        restarts_pipelined=each.instance.uses_triggers,
    )


def _account_of(each: Installation) -> uuid.UUID | None:
    assignment = getattr(each.instance, "assignment", None)
    return assignment.account_id if assignment else None


def _names(rows: Iterable[Installation]) -> dict[uuid.UUID, str]:
    """Return the names of the accounts that these installations use."""
    ids = {account for each in rows if (account := _account_of(each))}
    found = TechnicalAccount.objects.filter(pk__in=ids).order_by()
    return dict(found.values_list("pk", "name"))


def _with(row: Row, trouble: Trouble | None) -> Row:
    """Return the row with the worst that is known to be in the way of the push."""
    if trouble is None:
        return row
    fate = Fate.FAILS if trouble.code == NO_HOST_KEY else Fate.LIKELY_FAILS
    return replace(row, fate=fate, why=trouble.code, seen=trouble.seen)


def _waiting(row: Row, later: Later | None) -> Row:
    """Return the row as it waits for its turn; what will fail then is said of it all the same."""
    if later is None or row.fate in _NOT_PUSHED:
        return row
    row = replace(row, later=later)
    return replace(row, fate=Fate.WAITS, why=later.code) if row.fate == Fate.PUSHED else row


def _held(within: Within) -> Iterable[tuple[uuid.UUID, uuid.UUID]]:
    """Return which installations are proven to hold which version, as far as their files were seen last."""
    proven = ProvenWrite.objects.proven().filter(installation__in=within)
    return proven.order_by().values_list("installation_id", "secret_id")


def _open(within: Within) -> Iterable[tuple[uuid.UUID, int]]:
    """Return which installations have an open push, with the number of its rollout."""
    pushes = Push.objects.open().filter(installation__in=within)
    return pushes.order_by("rollout__number").values_list("installation_id", "rollout__number")


def _failed(within: Within) -> Iterable[tuple[uuid.UUID, str]]:
    """Return at which installations the last push failed and was not mended, with its code.

    Left out is what the outlook judges, which knows what people changed since, and what says nothing.
    """
    pushes = Push.objects.needing_attention().filter(installation__in=within, state=Push.State.FAILED)
    pushes = pushes.exclude(code__in=WAY | THERE | SAYS_NOTHING | {Code.BUILD_TOO_OLD, Code.OTHER_PORTAL})
    return pushes.order_by("rollout__number").values_list("installation_id", "code")


def _how_long(rows: Sequence[Installation], judged: Sequence[Row]) -> Estimate | None:
    """Return how long those would take that begin at once."""
    begins = {row.installation for row in judged if row.fate not in _NOT_PUSHED and row.later is None}
    begun = [each for each in rows if each.pk in begins]
    containers = Counter(each.container_id for each in begun)
    jump_hosts = Counter(each.container.jump_host_id for each in begun if each.container.jump_host_id)
    return estimate(containers=containers, jump_hosts=jump_hosts)
