"""What people do with a draft: begin it, go on with it, give it up, and turn it into a rollout."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from credentials.entry import Entry, create_account, set_values, usable_secret
from credentials.ims_check import answer_about
from credentials.models import Assignment, ClientSecret, TechnicalAccount
from credentials.rollouts.choosing import Change
from credentials.rollouts.models import Duty, Rollout
from credentials.rollouts.services import start_rollout
from credentials.services import AccountError, activate, assign
from credentials.wizard.models import Draft, Preparation
from credentials.wizard.steps import Step, first_slug, kept
from instances.models import PUSHABLE, Installation, Instance
from portal.audit.models import Actor, record


class StaleDraft(Exception):
    """The draft was changed after the form was opened; `draft` is its present state."""

    def __init__(self, draft: Draft) -> None:
        super().__init__("the draft was changed meanwhile")
        self.draft = draft


@transaction.atomic
def begin(*, name: str, way: str, actor: Actor) -> Draft:
    """Create an account in state draft and its wizard. `AccountError` if the name is taken."""
    draft = Draft(step=first_slug(way), changed_by=actor.user, changed_by_name=actor.name)
    draft.account = create_account(name=name, way=way, actor=actor)
    draft.save(force_insert=True)
    return draft


@transaction.atomic
def finish_step(
    *,
    draft: Draft,
    stamp: str,
    step: Step,
    next_step: Step,
    notes: Mapping[str, str],
    confirmed: bool,
    actor: Actor,
) -> Draft:
    """Keep what was noted at a step; mark it done, unless the person saves and leaves."""
    draft = _locked(draft, stamp)
    for name, text in notes.items():
        setattr(draft.account, name, text)
    if notes:
        draft.account.save(update_fields=list(notes))
    if confirmed:
        _mark_done(draft, step, next_step)
    _touch(draft, actor)
    return draft


@sensitive_variables()
@transaction.atomic
def enter_values(
    *, draft: Draft, stamp: str, step: Step, next_step: Step, entry: Entry, actor: Actor
) -> Draft:
    """Store accepted values at once. The step is done once a secret is there and nothing is doubtful."""
    draft = _locked(draft, stamp)
    account, former = draft.account, usable_secret(draft.account)
    unchanged = {name for name, text in entry.ids.items() if getattr(account, name) == text}
    secret = set_values(account=account, entry=entry, actor=actor)
    waiting = [asdict(doubt) for doubt in entry.doubts if not _is_confirmed(draft, asdict(doubt), unchanged)]
    if entry.secret is None:
        waiting += [caution for caution in draft.cautions if caution["field"] == "client_secret"]
    draft.cautions = waiting
    redo = {"values"} if secret and former == secret else {"values", "check"}
    draft.done = kept(draft.done, without=redo)
    draft.step = step.slug
    if secret and not waiting:
        _mark_done(draft, step, next_step)
    _touch(draft, actor)
    return draft


def _is_confirmed(draft: Draft, doubt: Mapping[str, str], unchanged: Collection[str]) -> bool:
    """Tell whether this doubt about a value that did not change was confirmed before."""
    known = {(caution["field"], caution["code"]) for caution in draft.confirmed}
    return doubt["field"] in unchanged and (doubt["field"], doubt["code"]) in known


@transaction.atomic
def confirm_values(*, draft: Draft, stamp: str, step: Step, next_step: Step, actor: Actor) -> Draft:
    """Accept everything unusual about the stored values: a person has compared it with the console."""
    draft = _locked(draft, stamp)
    confirmed, draft.cautions = draft.cautions, []
    draft.confirmed = [*draft.confirmed, *confirmed]
    if usable_secret(draft.account):
        _mark_done(draft, step, next_step)
    _touch(draft, actor)
    codes = [f"{caution['field']}:{caution['code']}" for caution in confirmed]
    record("account.values_confirmed", actor=actor, target=draft.account, details={"confirmed": codes})
    return draft


@transaction.atomic
def choose_installations(
    *,
    draft: Draft,
    stamp: str,
    step: Step,
    next_step: Step,
    change: Change,
    confirmed: bool,
    actor: Actor,
) -> Draft:
    """Change which installations shall receive the account. The step is done once there is one."""
    draft = _locked(draft, stamp)
    _apply(change, draft.installations)
    if confirmed and draft.installations.filter(PUSHABLE).exists():
        _mark_done(draft, step, next_step)
    _touch(draft, actor)
    return draft


def _apply(change: Change, chosen: Any) -> None:  # Any: the manager that Django makes for the field
    chosen.remove(*(change.removed - change.added))
    chosen.add(*change.added)


@transaction.atomic
def start(*, draft: Draft, stamp: str, message: str, actor: Actor) -> Rollout:
    """Make the account active, give it to the chosen instances, and start its rollout: all or nothing.

    `AccountError` and `RolloutError` say what prevents it. The draft ends: its account is one now.
    """
    draft = _locked(draft, stamp)
    account = draft.account
    secret = usable_secret(account)
    answer = answer_about(secret)
    if secret is None or draft.cautions or (answer and answer.is_refusal):
        raise AccountError(_("The values are not complete: go back to the step Values."))
    chosen = list(draft.installations.select_related("instance"))
    _one_start_at_a_time()
    activate(account=account, actor=actor)
    assign(account=account, instances=_instances(chosen), actor=actor)
    secret.account = account
    rollout = start_rollout(
        secret=secret, installations=chosen, reason=account.way, actor=actor, message=message
    )
    draft.delete()
    return rollout


@transaction.atomic
def activate_draft(*, draft: Draft, actor: Actor) -> None:
    """Make a complete draft an account without a rollout, as automation does; the draft ends."""
    activate(account=draft.account, actor=actor)
    draft.delete()


@transaction.atomic
def roll_out(
    *,
    account: TechnicalAccount,
    installations: Sequence[Installation],
    secret: ClientSecret,
    reason: str,
    message: str,
    actor: Actor,
    despite_refusal: bool = False,
) -> Rollout:
    """Start a rollout of an active account's current secret; instances that are new to the account get it.

    `secret` is the version that the person saw: `AccountError` if it is no longer the current one. A secret
    that Adobe refused last needs `despite_refusal`. What the person had prepared for it is done with.
    """
    _one_start_at_a_time()
    current = usable_secret(TechnicalAccount.objects.select_for_update().get(pk=account.pk))
    if current is None or current != secret:
        raise AccountError(_("Another secret became current meanwhile. Nothing was started: look again."))
    answer = answer_about(current)
    if answer and answer.is_refusal and not despite_refusal:
        raise AccountError(
            _("Adobe refused the current secret. Enter the right one, or say that you know it.")
        )
    assign(account=account, instances=_instances(installations), actor=actor)
    Preparation.objects.filter(account=account, person=actor.user).delete()
    rollout = start_rollout(
        secret=current, installations=installations, reason=reason, actor=actor, message=message
    )
    if not (answer and answer.is_valid and answer.is_fresh):
        details = {"version": current.version, "rollout": rollout.number, "verdict": current.ims_verdict}
        record("client_secret.used_unconfirmed", actor=actor, target=account, details=details)
    return rollout


@transaction.atomic
def prepare(
    *, account: TechnicalAccount, person: User, chosen: Collection[uuid.UUID], reason: str, message: str
) -> Preparation:
    """Keep what a person chose and typed for a rollout, while they look for more to choose."""
    values = {"reason": reason, "message": message}
    preparation, _is_new = Preparation.objects.update_or_create(
        account=account, person=person, defaults=values
    )
    preparation.installations.set(Installation.objects.filter(pk__in=chosen))
    return preparation


def _instances(installations: Sequence[Installation]) -> list[Instance]:
    return list({installation.instance_id: installation.instance for installation in installations}.values())


def _one_start_at_a_time() -> None:
    # Every start locks this row before the head of the audit trail; the other order could deadlock with it.
    Duty.objects.get_or_create(name="start-rollout")
    Duty.objects.select_for_update().get(name="start-rollout")


@transaction.atomic
def delete_draft(*, draft: Draft, actor: Actor) -> None:
    """Delete a draft with its account and secrets: it was never used anywhere. `AccountError` if it was."""
    account = TechnicalAccount.objects.select_for_update().get(pk=draft.account_id)
    in_use = (
        Assignment.objects.filter(account=account).exists()
        or Rollout.objects.filter(secret__account=account).exists()
    )
    if account.state != TechnicalAccount.State.DRAFT or in_use:
        raise AccountError(_("Only a draft that was never used can be deleted."))
    draft.delete()
    account.secrets.all().delete()
    record("draft.deleted", actor=actor, target=account, details={"client_id": account.client_id})
    account.delete()


def _locked(draft: Draft, stamp: str) -> Draft:
    current = (
        Draft.objects.select_for_update(of=("self",)).select_related("account").filter(pk=draft.pk).first()
    )
    if current is None:
        raise AccountError(_("This draft was finished or deleted meanwhile."))
    if current.stamp != stamp:
        raise StaleDraft(current)
    return current


def _mark_done(draft: Draft, step: Step, next_step: Step) -> None:
    draft.done = [*kept(draft.done, without=[step.slug]), step.slug]
    draft.step = next_step.slug


def _touch(draft: Draft, actor: Actor) -> None:
    draft.changed_by, draft.changed_by_name = actor.user, actor.name
    draft.save()
