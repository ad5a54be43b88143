"""The one door to a rollout: wizard, pages and commands start rollouts here, under the same rules."""

import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import partial

from django.db import transaction
from django.db.models import Max, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.desired import desire, set_goal
from credentials.entry import is_usable, usable_secret
from credentials.ims_check import AdobeAnswer, answer_about
from credentials.inquiries import for_start
from credentials.models import ClientSecret, TechnicalAccount, Why
from credentials.rollouts import rules
from credentials.rollouts.models import Duty, Preparation, Push, Rollout
from credentials.rollouts.notices import tell_end_of
from credentials.services import AccountError, assign
from instances.models import PUSHABLE, Installation, Instance
from instances.requirements import obstacle
from instances.visits.bells import ring_on_commit
from portal.audit.trail import Actor, record
from portal.punctuation import labelled

logger = logging.getLogger(__name__)


class Consent(Enum):
    """What the person who starts a rollout says about Adobe's answer on the secret."""

    NEEDED = "needed"
    """Nothing starts unless Adobe accepts the secret. Adobe is asked, unless it has said so lately."""
    WAIVED = "waived"
    """It starts without an answer from Adobe, but not after a refusal."""
    DESPITE_REFUSAL = "despite refusal"


class RolloutError(Exception):
    """A rollout that the rules refuse; the text is for the person who asked."""


class NotConfirmed(RolloutError):
    """Adobe has not accepted the secret; `answer` is what it said."""

    def __init__(self, answer: AdobeAnswer) -> None:
        no_yes = _("Nothing was started, because Adobe has not accepted the secret.")
        super().__init__(f"{no_yes} {labelled(answer.label, answer.next_step)}")
        self.answer = answer


def start(
    *,
    version: ClientSecret,
    installations: Sequence[Installation],
    reason: str,
    actor: Actor,
    message: str = "",
    consent: Consent = Consent.NEEDED,
    assigns: bool = False,
    is_repair: bool = False,
) -> Rollout:
    """Start a rollout of a usable version; with `assigns` the instances get its account first.

    From then on the installations desire this version. It becomes the account's goal if it goes to all of its
    installations, or if there was no goal yet; a repair changes no goal that is there.

    `AccountError` if the version can no longer be used. `RolloutError` says what else prevents it,
    `UnreadableSecret` that Adobe could not be asked; then nothing was changed. With `Consent.NEEDED` not
    inside a transaction, since it may wait for the network. The person's preparation of this rollout is
    removed, unless this is a repair.
    """
    if consent == Consent.NEEDED:
        confirm(version, actor)
    with transaction.atomic():
        account, answer = _account_of(version, consent)
        if assigns:
            # Before `assign` locks the head of the audit trail: a push that ends locks them in this order.
            Push.objects.filter(installation__in=installations, replaced=False).locked()
            assign(account=account, instances=_instances(installations), actor=actor)
        if not is_repair and not account.is_rotating:
            Preparation.objects.filter(account=account, person=actor.user).delete()
        rollout = _queue(version, installations, reason, actor, message, keeps_goal=is_repair)
        if not (answer and answer.is_valid and answer.is_fresh):
            verdict = answer.verdict if answer else ""
            details: dict[str, object] = {
                "version": version.version,
                "rollout": rollout.number,
                "verdict": verdict,
            }
            record("client_secret.used_unconfirmed", actor=actor, target=account, details=details)
        return rollout


def confirm(version: ClientSecret, actor: Actor) -> None:
    """Ask Adobe about a version, unless it said yes within the last hour; `NotConfirmed` unless it does."""
    answer = for_start(version=version, actor=actor)
    if not answer.is_valid:
        raise NotConfirmed(answer)


def _account_of(version: ClientSecret, consent: Consent) -> tuple[TechnicalAccount, AdobeAnswer | None]:
    """Lock starts and the account; return it with Adobe's last answer. `AccountError` if it may not start."""
    one_start_at_a_time()
    account = TechnicalAccount.objects.select_for_update().get(pk=version.account_id)
    if not is_usable(ClientSecret.objects.get(pk=version.pk), account):
        raise AccountError(
            _("This version can no longer be used, so nothing was started. Check the account again.")
        )
    answer = answer_about(version)
    if answer and answer.is_refusal and consent != Consent.DESPITE_REFUSAL:
        raise AccountError(
            _("Adobe refused this secret. Enter the right one, or confirm that you know it was refused.")
        )
    return account, answer


def _instances(installations: Sequence[Installation]) -> list[Instance]:
    return list({each.instance_id: each.instance for each in installations}.values())


def one_start_at_a_time() -> None:
    """Wait for a start that is under way: numbers and fences are given out one by one, in the same order.

    Every start locks this row before the head of the audit trail; the other order could deadlock with it.
    """
    Duty.objects.get_or_create(name="start-rollout")
    Duty.objects.select_for_update().get(name="start-rollout")


@transaction.atomic
def start_rollout(
    *,
    version: ClientSecret,
    installations: Iterable[Installation],
    reason: str,
    actor: Actor,
    message: str = "",
) -> Rollout:
    """Start a rollout as `start` does, without asking Adobe: for the sandbox and for tests."""
    one_start_at_a_time()
    return _queue(version, installations, reason, actor, message)


def _queue(
    version: ClientSecret,
    installations: Iterable[Installation],
    reason: str,
    actor: Actor,
    message: str,
    *,
    keeps_goal: bool = False,
) -> Rollout:
    """Queue one push per installation and ring their containers once this transaction commits.

    The caller holds the lock of starts. Older pushes of the same installations that have not ended are
    superseded. `RolloutError` names what does not fit; then nothing was changed.
    """
    chosen = _current_rows(installations)
    # As it is now: a newer version may have been entered, and even rolled out, since the caller read it.
    version = ClientSecret.objects.select_related("account").get(pk=version.pk)
    rollout = Rollout(
        secret=version,
        reason=reason,
        message=message,
        requested_by=actor.user,
        requested_by_name=actor.name,
    )
    pushes = [
        Push(rollout=rollout, installation=each, container=each.container, cause_by=actor.name)
        for each in chosen
    ]
    _refuse_unless_startable(pushes)
    rollout.number = (Rollout.objects.aggregate(last=Max("number"))["last"] or 0) + 1
    rollout.fence = Rollout.next_fence()
    rollout.save(force_insert=True)
    superseded = _supersede([installation.pk for installation in chosen])
    Push.objects.bulk_create(pushes)
    tell_end_of([rollout.pk])
    desire(version=version, pushes={each.installation_id: each.pk for each in pushes})
    # a rotation sets the goal itself
    is_whole = not (keeps_goal or version.account.is_rotating) and _covers_all(version.account, chosen)
    if version.account.goal_id is None or is_whole:
        set_goal(account=version.account, version=version, why=Why.ROLLOUT, actor=actor, message=message)
    record(
        "rollout.requested",
        actor=actor,
        target=rollout,
        details={
            "account": version.account.name,
            "version": version.version,
            "fingerprint": version.fingerprint,
            "reason": reason,
            "message": message,
            "installations": len(chosen),
            "superseded": superseded,
        },
    )
    started = {"rollout": rollout.number, "pushes": len(chosen), "superseded": superseded}
    transaction.on_commit(partial(logger.info, "the rollout was started", extra=started), robust=True)
    ring_on_commit({installation.container_id for installation in chosen})
    return rollout


def _current_rows(installations: Iterable[Installation]) -> list[Installation]:
    ids = [installation.pk for installation in installations]
    return list(Installation.objects.filter(pk__in=ids).select_related("instance__assignment", "container"))


def _covers_all(account: TechnicalAccount, chosen: Sequence[Installation]) -> bool:
    """Whether these are all installations of the account that can be pushed to."""
    own = Installation.objects.filter(PUSHABLE, instance__assignment__account=account)
    return not own.exclude(pk__in=[each.pk for each in chosen]).exists()


_NOT_STARTED = {
    "retired": gettext_lazy("%(instance)s on %(container)s is retired in the inventory."),
    "instance_retired": gettext_lazy("%(instance)s is retired in the inventory."),
    "container_retired": gettext_lazy("The container %(container)s is retired in the inventory."),
    "version_not_usable": gettext_lazy("Only a usable version of a secret can be pushed."),
    "account_not_active": gettext_lazy("The technical account is not active."),
    "hosted": gettext_lazy("%(instance)s is hosted by Adobe and never pushed to."),
    "not_assigned": gettext_lazy("%(instance)s does not use this account."),
    "container_by_hand": gettext_lazy(
        "The container %(container)s is marked by hand: the portal does not connect to it. Its page has a "
        "runbook."
    ),
    "container_off": gettext_lazy("The container %(container)s is switched off in the inventory."),
}


def _refuse_unless_startable(pushes: Sequence[Push]) -> None:
    """Ask the rules about pushes that are not stored yet."""
    if not pushes:
        raise RolloutError(_("No installation was chosen."))
    for push in pushes:
        if code := obstacle(push, rules.STARTING):
            names = {"instance": push.installation.instance, "container": push.container}
            raise RolloutError(_NOT_STARTED[code] % names)


def _supersede(installation_ids: list[uuid.UUID]) -> int:
    older = Push.objects.filter(installation__in=installation_ids)
    older.filter(replaced=False).locked()
    older.filter(replaced=False).update(replaced=True)
    return older.filter(state__in=[Push.State.QUEUED, Push.State.UNKNOWN]).update(
        state=Push.State.SUPERSEDED, finished=Now()
    )


def push_again(*, pushes: Iterable[Push], actor: Actor, message: str = "") -> list[Rollout]:
    """Start repairs for unproven successes: one rollout of the goal per account, or none at all.

    Adobe is asked about each version first; only a refusal prevents the start. Errors as those of `start`.
    """
    accounts: dict[uuid.UUID, list[Installation]] = {}
    for push in pushes:
        accounts.setdefault(push.rollout.secret.account_id, []).append(push.installation)
    found = TechnicalAccount.objects.filter(pk__in=accounts).order_by("name")
    return _repair({_version_of(account): accounts[account.pk] for account in found}, actor, message)


def pushed_again(pushes: Iterable[Push]) -> dict[uuid.UUID, ClientSecret]:
    """Return which version `push_again` would push to which installation; none where an account has none."""
    accounts = {push.installation_id: push.rollout.secret.account_id for push in pushes}
    found = TechnicalAccount.objects.filter(pk__in=set(accounts.values())).select_related("goal")
    versions = {account.pk: account.goal or usable_secret(account) for account in found}
    known = {installation: versions[account] for installation, account in accounts.items()}
    return {installation: version for installation, version in known.items() if version}


def repair(*, installations: Iterable[Installation], actor: Actor, message: str = "") -> list[Rollout]:
    """Push once more what installations are to hold, as `push_again` does: what they desire, or the goal.

    One rollout for each version. Errors as those of `start`; `RolloutError` where no account is used.
    """
    chosen: dict[ClientSecret, list[Installation]] = {}
    for row in _to_repair(installations):
        account = _account_used(row)
        if account is None:
            raise RolloutError(_("%s does not use an account.") % row.instance)
        chosen.setdefault(_desired(row, account) or _version_of(account), []).append(row)
    return _repair(chosen, actor, message)


def repaired(installations: Iterable[Installation]) -> dict[uuid.UUID, ClientSecret]:
    """Return which version `repair` would push to which installation; none where there is nothing to push."""
    rows = {row: _account_used(row) for row in _to_repair(installations)}
    known = {
        row.pk: _desired(row, account) or account.goal or usable_secret(account)
        for row, account in rows.items()
        if account
    }
    return {installation: version for installation, version in known.items() if version}


def _to_repair(installations: Iterable[Installation]) -> QuerySet[Installation]:
    related = ("instance__assignment__account__goal", "desired__version")
    ids = [each.pk for each in installations]
    return Installation.objects.filter(pk__in=ids).select_related(*related)


def _account_used(row: Installation) -> TechnicalAccount | None:
    assignment = getattr(row.instance, "assignment", None)
    return assignment.account if assignment else None


def _desired(row: Installation, account: TechnicalAccount) -> ClientSecret | None:
    """Return the version that an installation desires, if it can be pushed for this account."""
    desired = getattr(row, "desired", None)
    version = desired.version if desired else None
    return version if version is not None and is_usable(version, account) else None


def _repair(
    chosen: Mapping[ClientSecret, Sequence[Installation]], actor: Actor, message: str
) -> list[Rollout]:
    for version in chosen:
        answer = for_start(version=version, actor=actor)
        if answer.is_refusal:
            raise NotConfirmed(answer)
    with transaction.atomic():
        return [
            start(
                version=version,
                installations=installations,
                reason=Rollout.Reason.REPAIR,
                actor=actor,
                message=message,
                consent=Consent.WAIVED,
                is_repair=True,
            )
            for version, installations in chosen.items()
        ]


def _version_of(account: TechnicalAccount) -> ClientSecret:
    version = account.goal or usable_secret(account)
    if version is None:
        raise RolloutError(_("%s has no usable secret.") % account)
    return version
