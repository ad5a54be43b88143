"""The queue of the helpdesk: what waits for a person, one entry for each cause."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Case, Count, Max, Min, Q, Sum, When, Window
from django.db.models.functions import Coalesce, RowNumber
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from credentials.rollouts.models import Push, explained
from credentials.rollouts.pages.columns import FAILED
from credentials.rollouts.pages.failing import may_pass, with_failing
from credentials.rollouts.pages.tickets import Ticket, label_of, teams_for, tell
from credentials.rollouts.progress import with_names
from credentials.rollouts.services import Obstacle, obstacles
from instances.failures import Explanation
from instances.inventory.contacts import Team, contacts_by_team
from instances.menders import Mender, in_words, menders
from instances.models import Instance

MOST_AT_ONCE = 50
"""The most pushes of one cause that the home page names and retries; of more, somebody looks at the list."""
NAMED_ON_CARD = 3
"""The most installations that a card names; of more it counts the environments."""
RETRIES_NAMED = 20
"""The most retries under way that the page names."""
SINCE = Case(
    When(state=Push.State.UNKNOWN, then=Coalesce("unknown_since", "failing_since", "requested")),
    default=Coalesce("failing_since", "finished", "requested"),
)


@dataclass
class Cause:
    """Pushes that wait for a person for the same reason. `state` is failed or unknown."""

    code: str
    state: str
    count: int = 0
    oldest: datetime | None = None
    """Since when the first of them waits: no retry begins that anew."""
    failed_again: datetime | None = None
    """When the last retry of one of them by a person failed."""
    last: datetime | None = None
    """When the last of their tries began."""
    tries: int = 0
    alike: int = 0
    """How many of them a person retried, and they failed for the same reason again."""
    environments: dict[str, int] = field(default_factory=dict)
    """How many there are in each environment."""
    teams: list[Team] = field(default_factory=list)
    """Who can be called about it."""
    named: list[Push] = field(default_factory=list)
    """The first ones."""
    restarts: int = 0
    """On how many of those that can be retried a push restarts pipelined as well."""
    prevented: dict[uuid.UUID, Obstacle] = field(default_factory=dict)
    """Why some of these cannot be retried."""
    ticket: Ticket | None = None

    @property
    def label(self) -> str | Promise:
        return label_of(self.state, self.code)

    @property
    def explanation(self) -> Explanation | None:
        """What happened and what to do."""
        return explained(self.state, self.code)

    @property
    def menders(self) -> str:
        """Who can mend it, in words."""
        return in_words(self.code, is_alike=self.are_all_alike)

    @property
    def is_for_admins(self) -> bool:
        return Mender.ADMIN in menders(self.code, is_alike=self.are_all_alike)

    @property
    def is_for_helpdesk(self) -> bool:
        return Mender.HELPDESK in menders(self.code, is_alike=self.are_all_alike)

    @property
    def url(self) -> str:
        return f"{reverse('failed_pushes')}?{self._filters}"

    @property
    def retry_url(self) -> str:
        return f"{reverse('failed_pushes_retry')}?{self._filters}"

    @property
    def _filters(self) -> str:
        return urlencode({"state": self.state, "code": self.code})

    @property
    def are_all_named(self) -> bool:
        return len(self.named) == self.count

    @property
    def are_all_alike(self) -> bool:
        """Whether a retry of each of them has failed for the same reason."""
        return self.alike == self.count

    @property
    def retryable(self) -> list[uuid.UUID]:
        """Ids of the named ones that can be retried."""
        return [push.pk for push in self.named if push.pk not in self.prevented]

    @property
    def can_a_retry_help(self) -> bool:
        """Whether a retry alone may mend it: somebody else has to mend most of what fails first."""
        return bool(self.retryable) and may_pass(self.code, is_alike=self.are_all_alike)

    @property
    def can_be_retried_here(self) -> bool:
        """Whether a button retries them: also where somebody else mends them first, since it is needed then.

        The portal itself looks after what is unknown.
        """
        is_offered = self.can_a_retry_help or self.state == Push.State.FAILED
        return is_offered and self.are_all_named and bool(self.retryable)

    @property
    def why_not(self) -> list[tuple[Obstacle, Push, int]]:
        """Each reason why some cannot be retried, one of them, and how many they are."""
        found: dict[Obstacle, list[Push]] = {}
        for push in self.named:
            if push.pk in self.prevented:
                found.setdefault(self.prevented[push.pk], []).append(push)
        return [(reason, pushes[0], len(pushes)) for reason, pushes in found.items()]

    @property
    def where(self) -> list[tuple[str | Promise, int]]:
        """The environments in words, with their counts."""
        return [(Instance.Environment(name).label, count) for name, count in self.environments.items()]

    @property
    def places(self) -> list[str]:
        """The installations with their environments, where there are few: `prod1 on mkt-4 (Production)`."""
        if self.count > NAMED_ON_CARD or not self.are_all_named:
            return []
        return [
            _("%(installation)s (%(environment)s)")
            % {
                "installation": push.place,
                "environment": Instance.Environment(push.installation.instance.environment).label,
            }
            for push in self.named
        ]


def causes() -> list[Cause]:
    """Return the causes: the largest first, what is unknown after what failed.

    The statements are as many for one push as for thousands.
    """
    waiting = with_failing(Push.objects.needing_attention().order_by())
    found: dict[tuple[str, str], Cause] = {}
    environment = "installation__instance__environment"
    sums = {
        "count": Count("pk"),
        "oldest": Min(SINCE),
        "failed_again": Max("finished", filter=Q(retried__isnull=False, state=Push.State.FAILED)),
        "last": Max("last_try"),
        "tries": Sum("try_count"),
        "alike": Count("pk", filter=Q(is_alike=True)),
    }
    for row in waiting.values("code", "state", environment).annotate(**sums):
        cause = found.setdefault((row["state"], row["code"]), Cause(row["code"], row["state"]))
        cause.count += row["count"]
        cause.alike += row["alike"]
        cause.tries += row["tries"] or 0
        cause.environments[row[environment]] = row["count"]
        cause.oldest = min(filter(None, (cause.oldest, row["oldest"])), default=None)
        again = (cause.failed_again, row["failed_again"])
        cause.failed_again = max(filter(None, again), default=None)
        cause.last = max(filter(None, (cause.last, row["last"])), default=None)
    if not found:
        return []
    pushes = _named()
    prevented = obstacles(pushes)
    for push in pushes:
        if (push.state, push.code) in found:
            cause = found[push.state, push.code]
            cause.named.append(push)
            if push.pk in prevented:
                cause.prevented[push.pk] = prevented[push.pk]
            else:
                cause.restarts += push.installation.instance.uses_triggers
    _tell(found.values())
    return sorted(found.values(), key=lambda each: (each.state != Push.State.FAILED, -each.count, each.code))


def being_retried() -> list[Push]:
    """Return the first pushes whose retry is under way; no cause holds those that are sent again."""
    pushes = with_names(Push.objects.being_retried(), *FAILED)
    return list(pushes.order_by("retried", "pk")[:RETRIES_NAMED])


def _named() -> list[Push]:
    """Return the first pushes of each cause: thousands for one reason must not hide the few for another."""
    by_name = ("installation__instance__name", "container__name")
    turn = Window(RowNumber(), partition_by=["state", "code"], order_by=by_name)
    ranked = Push.objects.needing_attention().order_by().annotate(turn=turn)
    first = Push.objects.filter(pk__in=ranked.filter(turn__lte=MOST_AT_ONCE).values("pk"))
    return list(with_names(first, *FAILED).order_by(*by_name))


def _tell(found: Collection[Cause]) -> None:
    """Give each cause a contact and its ticket."""
    contacts = contacts_by_team()
    for cause in found:
        cause.teams = teams_for(cause.code, contacts, cause.environments, is_alike=cause.are_all_alike)
        cause.ticket = Ticket(
            cause.state,
            cause.code,
            count=cause.count,
            since=cause.oldest,
            last=cause.last,
            tries=cause.tries,
            pushes=cause.named,
            is_alike=cause.are_all_alike,
        )
    tell([cause.ticket for cause in found if cause.ticket], contacts)
