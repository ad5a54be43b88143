"""What happened to an account: which version each container holds, and every version with its rollouts."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet
from django.db.models.functions import Right

from credentials.ims_check import Answer, answer_about
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Attempt, Push, Rollout
from credentials.rollouts.services import held_versions
from instances.models import Installation

PAGE = 50
ROLLOUTS_PAGE = 10
PUSHES_SHOWN = 50
OUTPUT_SHOWN = 2000  # characters, the end of it; the push's own page has all that is kept


@dataclass(frozen=True)
class Holding:
    """One installation of an account's instances, and the version that it holds as far as is proven."""

    installation: Installation
    secret: ClientSecret | None
    account: TechnicalAccount

    @property
    def state(self) -> str:
        """current, previous or revoked; empty where nothing is proven."""
        return self.secret.state if self.secret else ""

    @property
    def has_other_client(self) -> bool:
        """Whether the file was last seen with another client id than the account's."""
        seen = self.installation.observed_client_id
        return bool(seen) and seen != self.account.client_id


@dataclass(frozen=True)
class Coverage:
    """The coverage of an account: counts over all its installations, rows for one page of them."""

    total: int
    current: int
    older: int
    page: Page[Installation]
    rows: list[Holding]

    @property
    def unproven(self) -> int:
        return self.total - self.current - self.older


def coverage(account: TechnicalAccount, page: str | None) -> Coverage:
    """Return which version each container of the account's instances holds."""
    held = {pk: secret for pk, secret in held_versions(account).items() if secret.account_id == account.pk}
    installations = Installation.objects.filter(instance__assignment__account=account)
    shown = Paginator(installations.select_related("instance", "container"), PAGE).get_page(page)
    current = sum(secret.state == ClientSecret.State.CURRENT for secret in held.values())
    return Coverage(
        total=shown.paginator.count,
        current=current,
        older=len(held) - current,
        page=shown,
        rows=[Holding(each, held.get(each.pk), account) for each in shown],
    )


def current_counts(accounts: Sequence[TechnicalAccount]) -> dict[uuid.UUID, int]:
    """Return for each account how many installations are proven to hold its current secret; one query."""
    newer = Push.objects.read_back().filter(
        installation=OuterRef("installation"), rollout__fence__gt=OuterRef("rollout__fence")
    )
    proof = Attempt.objects.filter(
        push=OuterRef("pk"), after_digest=OuterRef("installation__observed_digest")
    )
    holding = Push.objects.read_back().filter(
        ~Exists(newer),
        Exists(proof),
        rollout__secret__state=ClientSecret.State.CURRENT,
        rollout__secret__account__in=accounts,
        installation__instance__assignment__account=F("rollout__secret__account"),
    )
    counted = holding.values_list("rollout__secret__account").annotate(
        count=Count("installation", distinct=True)
    )
    return dict(counted.order_by())


@dataclass(frozen=True)
class Version:
    """One secret version, by fingerprint, with what Adobe said about it."""

    secret: ClientSecret
    answer: Answer | None


def versions(account: TechnicalAccount) -> list[Version]:
    """Return all versions of an account's secret, newest first, each with its number of rollouts."""
    secrets = account.secrets.annotate(rollout_count=Count("rollouts")).order_by("-version")
    return [Version(secret, answer_about(secret)) for secret in secrets]


def rollouts(account: TechnicalAccount, page: str | None) -> Page[Any]:  # Rollout, with the annotations below
    """Return the account's rollouts, newest first, with counts, and their first pushes with all attempts."""
    counts = {
        f"{state}_count": Count("pushes", filter=Q(pushes__state=state))
        for state in (Push.State.SUCCEEDED, Push.State.FAILED, Push.State.UNKNOWN)
    }
    under_way = Q(pushes__state__in=[Push.State.QUEUED, Push.State.RUNNING])
    found = (
        Rollout.objects.filter(secret__account=account)
        .select_related("secret")
        .annotate(push_count=Count("pushes"), open_count=Count("pushes", filter=under_way), **counts)
        .prefetch_related(Prefetch("pushes", _first_pushes(), to_attr="first_pushes"))
        .order_by("-number")
    )
    return Paginator(found, ROLLOUTS_PAGE).get_page(page)


def _first_pushes() -> QuerySet[Push]:
    attempts = (
        Attempt.objects.defer("output").annotate(output_end=Right("output", OUTPUT_SHOWN)).order_by("number")
    )
    pushes = Push.objects.select_related("installation__instance", "container").order_by(
        "installation__instance__name", "container__name"
    )
    return pushes.prefetch_related(Prefetch("attempts", attempts))[:PUSHES_SHOWN]
