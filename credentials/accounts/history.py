"""What happened to an account: which version each container holds, and every version with its rollouts."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.core.paginator import Page, Paginator
from django.db.models import Case, Count, F, Prefetch, Q, QuerySet, Value, When
from django.db.models.functions import Right

from credentials.coverage.cells import Cell, Wanted, cells_of
from credentials.coverage.states import Cover
from credentials.coverage.tallies import tallies
from credentials.ims_check import AdobeAnswer, answer_about
from credentials.models import Assignment, ClientSecret, TechnicalAccount
from credentials.rollouts.models import Attempt, ProvenWrite, Push, Rollout, is_as_seen, is_told
from credentials.rollouts.progress import Progress, progress_of
from credentials.rollouts.services import held_versions
from instances.models import NONE_RETIRED, NOT_RETIRED, Installation
from instances.requirements import all_met

SEEN = ("observed", "observed_client_id", "observed_jwt")
PAGE = 25
RETIRED_SHOWN = 5
ROLLOUTS_PAGE = 10
PUSHES_SHOWN = 20
OUTPUT_SHOWN = 2000  # characters, the end of it; the push's own page has all that is kept


@dataclass(frozen=True)
class Holding:
    """One installation of an account's instances, and the version that it holds as far as is proven."""

    installation: Installation
    secret: ClientSecret | None
    account: TechnicalAccount
    cell: Cell | None
    """What coverage says of it; None where nothing is compared, as in an account that is retired."""

    @property
    def state(self) -> str:
        """`goal`, or that of the version; empty where nothing is proven."""
        if self.secret and self.secret.pk == self.account.goal_id:
            return "goal"
        return self.secret.state if self.secret else ""

    @property
    def has_other_client(self) -> bool:
        """Whether the file was last seen with another client id than the account's."""
        seen = self.installation.observed_client_id
        return bool(seen) and seen != self.account.client_id


@dataclass(frozen=True)
class Coverage:
    """The coverage of an account: counts over all its installations in use, rows for one page of them."""

    total: int
    goal: int
    others: int
    foreign: int
    """How many files show another client id."""
    needs_you: int
    """How many need a person, whatever their files hold."""
    page: Page[uuid.UUID]
    rows: list[Holding]
    retired: list[Installation]
    """The first of those that are left out because they are retired."""
    retired_count: int

    @property
    def retired_more(self) -> int:
        return self.retired_count - len(self.retired)

    @property
    def unproven(self) -> int:
        return self.total - self.goal - self.others - self.foreign


def coverage(account: TechnicalAccount, page: str | None) -> Coverage:
    """Return which version each container of the account's instances holds, and name what is left out."""
    installations = Installation.objects.not_retired().filter(instance__assignment__account=account)
    counts = _proven_counts([account]).get(account.pk, {})
    shown = Paginator(installations.values_list("pk", flat=True), PAGE).get_page(page)
    rows = list(
        Installation.objects.filter(pk__in=list(shown))
        .select_related("instance", "container")
        .only(*SEEN, "instance__name", "container__name")
    )
    cells = {cell.installation: cell for cell in cells_of([each.pk for each in rows])}
    held = {pk: secret for pk, secret in held_versions(rows).items() if secret.account_id == account.pk}
    goal = counts.get(account.goal_id, 0)
    left_out = Installation.objects.retired().filter(instance__assignment__account=account)
    return Coverage(
        total=shown.paginator.count,
        goal=goal,
        others=sum(counts.values()) - goal,
        foreign=_with_another_client(installations, account),
        needs_you=sum(each.count for each in tallies(Wanted(account=account.pk, state=Cover.NEEDS_YOU))),
        page=shown,
        rows=[Holding(each, held.get(each.pk), account, cells.get(each.pk)) for each in rows],
        retired=list(left_out.select_related("instance", "container")[:RETIRED_SHOWN]),
        retired_count=left_out.count(),
    )


def _with_another_client(installations: QuerySet[Installation], account: TechnicalAccount) -> int:
    own = account.secrets.order_by().values("client_id")
    return (
        installations.exclude(observed_client_id__in=["", account.client_id])
        .exclude(observed_client_id__in=own)
        .count()
    )


@dataclass(frozen=True)
class Size:
    """How many instances use an account, and how many installations those have."""

    instances: int
    installations: int


def sizes(accounts: Sequence[TechnicalAccount]) -> dict[uuid.UUID, Size]:
    """Return the size of each account; two queries."""
    using = Assignment.objects.filter(all_met([NOT_RETIRED.of("instance")]), account__in=accounts).order_by()
    instances = dict(using.values_list("account").annotate(count=Count("*")))
    installations = dict(
        Installation.objects.not_retired()
        .filter(instance__assignment__account__in=accounts)
        .order_by()
        .values_list("instance__assignment__account")
        .annotate(count=Count("*"))
    )
    return {each.pk: Size(instances.get(each.pk, 0), installations.get(each.pk, 0)) for each in accounts}


def goal_counts(accounts: Sequence[TechnicalAccount]) -> dict[uuid.UUID, int]:
    """Return for each account how many installations are proven to hold its goal; one query."""
    goals = {each.pk: each.goal_id for each in accounts}
    return {pk: counts.get(goals[pk], 0) for pk, counts in _proven_counts(accounts).items()}


def _proven_counts(
    accounts: Sequence[TechnicalAccount],
) -> dict[uuid.UUID, dict[uuid.UUID | None, int]]:
    """Count, per account and version of its secret, the installations that hold one of its versions.

    The conditions stand in the count: as conditions of the join PostgreSQL expects a single row and joins row
    by row.
    """
    holds = (
        all_met(each.of("installation") for each in NONE_RETIRED)
        & is_as_seen(installation="installation__")
        & ~Q(is_told())
        & Q(installation__instance__assignment__account=F("secret__account"))
    )
    rows = (
        ProvenWrite.objects.filter(secret__account__in=accounts)
        .values_list("secret__account", "secret")
        .annotate(count=Count("secret", filter=holds))
    )
    counts: dict[uuid.UUID, dict[uuid.UUID | None, int]] = {}
    for pk, version, count in rows:
        if count:
            counts.setdefault(pk, {})[version] = count
    return counts


@dataclass(frozen=True)
class Version:
    """One secret version, by fingerprint, with what Adobe said about it."""

    secret: ClientSecret
    answer: AdobeAnswer | None
    is_goal: bool


def versions(account: TechnicalAccount) -> list[Version]:
    """Return all versions of an account's secret, newest first, each with its number of rollouts."""
    secrets = account.secrets.annotate(rollout_count=Count("rollouts")).order_by("-version")
    return [Version(secret, answer_about(secret), secret.pk == account.goal_id) for secret in secrets]


@dataclass(frozen=True)
class RolloutLine:
    """One rollout in the history; the one that is open comes with its first pushes and their attempts."""

    rollout: Rollout
    progress: Progress
    is_open: bool
    pushes: list[Push]


def rollouts(
    account: TechnicalAccount, page: str | None, opened: str | None
) -> tuple[Page[Rollout], list[RolloutLine]]:
    """Return one page of the account's rollouts, newest first.

    One of them is open: the one with the number `opened`, or the first. Pushes that need somebody come first.
    """
    found = Rollout.objects.filter(secret__account=account).select_related("secret").order_by("-number")
    shown = Paginator(found, ROLLOUTS_PAGE).get_page(page)
    progress = progress_of(shown)
    chosen = next((each for each in shown if str(each.number) == opened), next(iter(shown), None))
    pushes = list(_first_pushes(chosen)) if chosen else []
    lines = [
        RolloutLine(each, progress[each.pk], each == chosen, pushes if each == chosen else [])
        for each in shown
    ]
    return shown, lines


def _first_pushes(rollout: Rollout) -> QuerySet[Push]:
    attempts = (
        Attempt.objects.defer("output").annotate(output_end=Right("output", OUTPUT_SHOWN)).order_by("number")
    )
    urgent = Case(When(state__in=[Push.State.FAILED, Push.State.UNKNOWN], then=Value(0)), default=Value(1))
    first = rollout.pushes.order_by(urgent, "pk").values_list("pk", flat=True)[:PUSHES_SHOWN]
    return (
        Push.objects.filter(
            pk__in=list(first)
        )  # sorted alone: with all that a line names it takes far longer
        .select_related("installation__instance", "container")
        .prefetch_related(Prefetch("attempts", attempts))
        .order_by(urgent, "pk")
    )
