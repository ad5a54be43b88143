"""What people do with rollouts under way: retry pushes, look again, cancel what has not begun."""

import logging
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction
from django.db.models import prefetch_related_objects
from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.models import ClientSecret
from credentials.rollouts import rules
from credentials.rollouts.desires import call_off
from credentials.rollouts.models import ProvenWrite, Push, Rollout, due_in
from credentials.rollouts.notices import tell_end_of
from instances.failures import Code
from instances.models import Installation
from instances.requirements import obstacle
from instances.visits.bells import ring_on_commit
from portal.audit.trail import Actor, Entry, record, record_all

logger = logging.getLogger(__name__)


def tries_by_itself() -> int:
    """Return how often the portal tries a push again by itself, at most, after the first time."""
    return len(settings.PUSH_RETRY_DELAYS)


@dataclass
class Retried:
    """What a retry did: the pushes that it queued again, and why it left others alone."""

    pushes: list[Push] = field(default_factory=list)
    refused: list[tuple[Push, str]] = field(default_factory=list)


@transaction.atomic
def retry_pushes(*, push_ids: Iterable[uuid.UUID], actor: Actor, message: str = "") -> Retried:
    """Try failed pushes again, and look at unknown ones now: same installation, same version, nothing wider.

    A push that is neither, or no longer wanted, is left alone and named with the reason.
    """
    result = Retried()
    # Locked first: a rollout that starts meanwhile must find these pushes either before or after all of this.
    pushes = Push.objects.filter(pk__in=Push.objects.filter(pk__in=list(push_ids)).locked()).select_related(
        "rollout__secret__account", "installation__instance", "container", "installation__container"
    )
    chosen = list(pushes.order_by("pk"))
    prevented = obstacles(chosen)
    for push in chosen:
        prevented_by = prevented.get(push.pk)
        reason = str(prevented_by.text) if prevented_by else _requeue(push, actor, message)
        if reason:
            result.refused.append((push, reason))
        else:
            result.pushes.append(push)
    tell_end_of(push.rollout_id for push in result.pushes)
    record_all([_retry_entry(push, message) for push in result.pushes], actor=actor)
    ring_on_commit({push.container_id for push in result.pushes})
    return result


LOOKED_AT_AGAIN = frozenset(
    {
        Code.NOT_PROVEN,
        Code.NOT_COMPARABLE,
        Code.CHANGED_AGAIN,
        Code.OTHER_VERSION,
        Code.DIGEST_AMBIGUOUS,
        Code.SEVERAL_SECRETS,
        Code.ORGANIZATION_EMPTY,
        Code.FILE_UNREADABLE,
        Code.NOT_APPLIED,
        Code.CHANGED_BY_OTHERS,
        Code.WRITE_NOT_CONFIRMED,
        Code.RETIRED,
        Code.BY_HAND,
    }
)
"""Failures that depend on the file: it, or what is known of its secret, may have changed since."""


def can_look_again(push: Push) -> bool:
    """Whether a look may settle this failed push in another way."""
    return push.state == Push.State.FAILED and push.code in LOOKED_AT_AGAIN and not refusal(push)


@transaction.atomic
def look_again(*, push_id: uuid.UUID, actor: Actor, message: str = "") -> bool:
    """Read the file of a failed push once more and judge it anew; nothing is sent, whatever the file shows.

    False: the push is not one that a look could settle, or somebody moved it meanwhile.
    """
    Push.objects.filter(pk=push_id).locked()
    push = Push.objects.select_related("rollout__secret__account", "installation__instance", "container").get(
        pk=push_id
    )
    if not can_look_again(push):
        return False
    values: dict[str, object] = {"state": Push.State.UNKNOWN, "finished": None, "tries": Push.NO_MORE_TRIES}
    values |= {"cause": "retry", "cause_by": actor.name, "cause_message": message, **due_in()}
    values |= {"retried": Now(), "unknown_since": Now()}
    Push.objects.filter(pk=push.pk).update(**values)
    tell_end_of([push.rollout_id])
    details: dict[str, object] = {"rollout": push.rollout.number, "code": push.code, "message": message}
    record("push.look_requested", actor=actor, target=push, details=details)
    ring_on_commit({push.container_id})
    return True


def _retry_entry(push: Push, message: str) -> Entry:
    details = {"rollout": push.rollout.number, "was": push.state, "code": push.code, "message": message}
    return Entry("push.retried", push, details)


@dataclass(frozen=True)
class Obstacle:
    """Why a push cannot be retried, for the person who asks, and the name of the page that helps on."""

    text: Promise
    page: str = ""
    """`account_rollout`, `container`, `host_keys` or `instance`; empty where nothing has to be done."""


def refusal(push: Push) -> str:
    """Return why this push cannot be retried, for the person who asks, or an empty string."""
    found = obstacles([push]).get(push.pk)
    return str(found.text) if found else ""


def obstacles(pushes: Iterable[Push]) -> dict[uuid.UUID, Obstacle]:
    """Return what prevents a retry, for those of the pushes that cannot be retried; two queries for all.

    None depends on what was seen on a container some time ago, such as its build: a retry sees it anew.
    """
    asked = list(pushes)
    prefetch_related_objects(asked, "installation__instance__assignment", "installation__desired")
    with_key = set(
        rules.with_key().filter(pk__in={each.container_id for each in asked}).values_list("pk", flat=True)
    )
    ids = Push.objects.filter(pk__in={each.pk for each in asked})
    decided = set(rules.with_key_decided(ids).order_by().values_list("pk", flat=True))
    found = {}
    for push in asked:
        push.has_key, push.is_key_decided = push.container_id in with_key, push.pk in decided
        if code := obstacle(push, rules.RETRYING):
            found[push.pk] = _OBSTACLES[code]
    return found


_OBSTACLES = {
    "replaced": Obstacle(
        gettext_lazy("A newer rollout was started for this installation."), "account_rollout"
    ),
    "called_off": Obstacle(gettext_lazy("It was cancelled or superseded."), "account_rollout"),
    "not_failed": Obstacle(gettext_lazy("It has not failed, and its outcome is known.")),
    "retired": Obstacle(gettext_lazy("The installation is retired in the inventory."), "container"),
    "instance_retired": Obstacle(gettext_lazy("The instance is retired in the inventory."), "instance"),
    "container_retired": Obstacle(gettext_lazy("The container is retired in the inventory."), "container"),
    "account_not_active": Obstacle(gettext_lazy("The technical account is no longer active."), "instance"),
    "hosted": Obstacle(gettext_lazy("The instance is hosted by Adobe and never pushed to."), "instance"),
    "not_assigned": Obstacle(gettext_lazy("The instance uses another account now."), "instance"),
    "version_not_usable": Obstacle(
        gettext_lazy("Its secret version can no longer be used."), "account_rollout"
    ),
    "not_desired": Obstacle(
        gettext_lazy("A later decision overrides this push: the installation is to stay as it is."),
        "account_rollout",
    ),
    "container_by_hand": Obstacle(
        gettext_lazy("The container is marked by hand: the portal does not connect to it."), "container"
    ),
    "container_off": Obstacle(gettext_lazy("The container is switched off in the inventory."), "container"),
    "no_host_key": Obstacle(
        gettext_lazy("No host key of the container is approved: an admin must approve one first."),
        "host_keys",
    ),
    "host_key_undecided": Obstacle(
        gettext_lazy(
            "The server showed another host key than expected. An admin must decide about that key first; "
            "once it is approved, the push can be retried."
        ),
        "host_keys",
    ),
}


def _requeue(push: Push, actor: Actor, message: str) -> str:
    """Set a push off again by compare-and-set; return why not, if somebody moved it meanwhile."""
    values: dict[str, object] = {
        **due_in(),
        "tries": 0,
        "resent": False,
        "retried": Now(),
        "cause": "retry",
        "cause_by": actor.name,
        "cause_message": message,
    }
    if push.state == Push.State.FAILED:
        values |= {"state": Push.State.QUEUED, "finished": None}
    moved = Push.objects.move(push.pk, states=[push.state], **values)
    return "" if moved else _("Someone else has just retried it.")


def cancel_rollout(*, rollout: Rollout, actor: Actor) -> int:
    """Cancel the pushes of a rollout that are still queued; return how many. See `cancel_rollouts`."""
    return cancel_rollouts(rollouts=[rollout], actor=actor)


@transaction.atomic
def cancel_rollouts(*, rollouts: Iterable[Rollout], actor: Actor) -> int:
    """Cancel the pushes of rollouts that are still queued; return how many.

    A push that runs or is unknown ends by itself, and is not sent again unless a person retries it. A push
    that had failed and only waited for its retry is failed again: a cancelled retry mends nothing.
    """
    return _cancel(rollouts, _cancel_queued, actor)


def _cancel(rollouts: Iterable[Rollout], cancel_one: Callable[[Rollout], int], actor: Actor) -> int:
    """Cancel what `cancel_one` does of each rollout, and return how many pushes that were.

    The history comes last for all of them: everybody locks pushes and desires before its head.
    """
    found = list(rollouts)
    Push.objects.open().filter(rollout__in=found).locked()
    counts = {rollout: cancel_one(rollout) for rollout in found}
    record_all(
        [Entry("rollout.cancelled", rollout, {"cancelled": count}) for rollout, count in counts.items()],
        actor=actor,
    )
    return sum(counts.values())


def _cancel_queued(rollout: Rollout) -> int:
    pushes = rollout.pushes.open()
    queued = pushes.filter(state=Push.State.QUEUED)
    failed_before = queued.filter(retried__isnull=False).exclude(code="")
    cancelled = failed_before.update(state=Push.State.FAILED, finished=Now())
    called_off = list(queued.values_list("pk", flat=True))
    cancelled += queued.update(state=Push.State.CANCELLED, finished=Now())
    call_off(called_off)
    pushes.filter(state__in=[Push.State.RUNNING, Push.State.UNKNOWN]).update(tries=Push.NO_MORE_TRIES)
    return cancelled


@transaction.atomic
def put_off(*, rollouts: Iterable[Rollout], actor: Actor) -> int:
    """Cancel what waits for its first try or for another one by itself; return how many. It is pushed later.

    What runs goes on, and is put off by the next call if it has to be tried again. A person's retry stays.
    """
    return _cancel(rollouts, _put_off_queued, actor)


def _put_off_queued(rollout: Rollout) -> int:
    queued = rollout.pushes.filter(state=Push.State.QUEUED, retried=None)
    called_off = list(queued.values_list("pk", flat=True))
    queued.update(state=Push.State.CANCELLED, finished=Now())
    call_off(called_off)
    return len(called_off)


def held_versions(installations: Iterable[Installation]) -> dict[uuid.UUID, ClientSecret]:
    """Return, per installation id, the secret version that its container holds as far as is proven.

    Proven means: the newest push whose values were read back there left the digest which was observed last.
    """
    held = ProvenWrite.objects.proven().filter(installation__in=[each.pk for each in installations])
    return {each.pk: each.secret for each in held.select_related("secret")}
