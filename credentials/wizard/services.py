"""What people do with a draft: begin it, go on with it, give it up, and turn it into a rollout."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from credentials.entry import AccountEntry, create_account, rename, set_values, usable_secret
from credentials.ims_check import answer_about
from credentials.models import Assignment, TechnicalAccount
from credentials.rollouts import starting
from credentials.rollouts.choosing import ChoiceChange
from credentials.rollouts.models import Rollout
from credentials.services import AccountError, activate
from credentials.taken import name_taken
from credentials.wizard.models import Draft
from credentials.wizard.steps import CREDENTIAL, VALUES, DraftProgress, Step, first_slug, kept
from instances.models import NONE_RETIRED, PUSHABLE
from instances.requirements import all_met
from portal.audit.trail import Actor, record

NAME_LENGTH = 80
"""Characters of the account's column."""


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


@sensitive_variables()
@transaction.atomic
def begin_with_json(*, name: str, way: str, entry: AccountEntry, actor: Actor) -> Draft:
    """Create a draft with the values of the console's file; it waits at the first step that needs something.

    Without a name the project's title is taken. What was read is kept even if the name is missing or taken:
    the draft gets another one until the person chooses. `AccountError` if the client id is taken.
    """
    wanted = name or entry.extras.get("project", "")[:NAME_LENGTH].strip()
    free = _free_name(wanted, entry.ids["client_id"], actor)
    draft = begin(name=free, way=way, actor=actor)
    draft.has_json = True
    draft.done = [CREDENTIAL.slug] if free == wanted else []
    draft.save()
    draft = enter_values(
        draft=draft, stamp=draft.stamp, step=VALUES, next_step=VALUES, entry=entry, actor=actor
    )
    return _at_first_open(draft, actor)


def _free_name(wanted: str, client_id: str, actor: Actor) -> str:
    """Return the wanted name, or one like it that nobody has."""
    base = wanted or _("New account")
    known_by = client_id[:36]
    for name in (wanted, f"{base[:40]} ({known_by[:8]})", f"{base[:40]} ({known_by})"):
        if name and not name_taken(name, actor):
            return name
    raise name_taken(base, actor) or AccountError(_("Another account has this name."))


@transaction.atomic
def go_by(
    *, draft: Draft, stamp: str, has_json: bool, notes: Mapping[str, str], actor: Actor, name: str = ""
) -> Draft:
    """Go on with the console's file, or step by step without it. What was noted and entered stays.

    `name` is another one for the account; `Taken` if somebody has it.
    """
    draft = _noted(draft, stamp, notes, name, actor)
    draft.has_json = has_json
    if has_json:
        draft.done = [*kept(draft.done, without=[CREDENTIAL.slug]), CREDENTIAL.slug]
    return _at_first_open(draft, actor)


def _at_first_open(draft: Draft, actor: Actor) -> Draft:
    draft.step = DraftProgress(draft).first_open.slug
    _touch(draft, actor)
    return draft


def _noted(draft: Draft, stamp: str, notes: Mapping[str, str], name: str, actor: Actor) -> Draft:
    draft = _locked(draft, stamp)
    for field, text in notes.items():
        setattr(draft.account, field, text)
    if notes:
        draft.account.save(update_fields=list(notes))
    if name:
        rename(account=draft.account, name=name, actor=actor)
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
    name: str = "",
) -> Draft:
    """Keep what was noted at a step; mark it done, unless the person saves and leaves.

    `name` is another one for the account; `Taken` if somebody has it.
    """
    draft = _noted(draft, stamp, notes, name, actor)
    if confirmed:
        _mark_done(draft, step, next_step)
    _touch(draft, actor)
    return draft


@sensitive_variables()
@transaction.atomic
def enter_values(
    *, draft: Draft, stamp: str, step: Step, next_step: Step, entry: AccountEntry, actor: Actor
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
    change: ChoiceChange,
    confirmed: bool,
    actor: Actor,
) -> Draft:
    """Change which installations receive the account. The step is done once there is one."""
    draft = _locked(draft, stamp)
    _apply(change, draft.installations)
    if confirmed and draft.installations.filter(PUSHABLE).exists():
        _mark_done(draft, step, next_step)
    _touch(draft, actor)
    return draft


@transaction.atomic
def keep_message(*, draft: Draft, stamp: str, message: str, actor: Actor) -> Draft:
    """Keep the message for the history until the rollout is started."""
    draft = _locked(draft, stamp)
    draft.message = message
    _touch(draft, actor)
    return draft


def _apply(change: ChoiceChange, chosen: Any) -> None:  # Any: the manager that Django makes for the field
    chosen.remove(*(change.removed - change.added))
    chosen.add(*change.added)


@transaction.atomic
def start(*, draft: Draft, stamp: str, message: str, actor: Actor) -> Rollout:
    """Make the account active, give it to the chosen instances, and start its rollout: all or nothing.

    `AccountError` and `RolloutError` say what prevents it. The draft ends: its account is one now.
    """
    draft = _locked(draft, stamp)
    account = draft.account
    version = usable_secret(account)
    answer = answer_about(version)
    if version is None or draft.cautions or (answer and answer.is_refusal):
        raise AccountError(_("The values are not complete: go back to the Values step."))
    chosen = list(draft.installations.filter(all_met(NONE_RETIRED)).select_related("instance"))
    starting.one_start_at_a_time()
    activate(account=account, actor=actor)
    rollout = starting.start(
        version=version,
        installations=chosen,
        reason=account.way,
        actor=actor,
        message=message,
        consent=starting.Consent.WAIVED,
        assigns=True,
    )
    draft.delete()
    return rollout


@transaction.atomic
def activate_draft(*, draft: Draft, actor: Actor) -> None:
    """Make a complete draft an account without a rollout, as automation does; the draft ends."""
    activate(account=draft.account, actor=actor)
    draft.delete()


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
        raise AccountError(_("This draft has since been finished or deleted."))
    if current.stamp != stamp:
        raise StaleDraft(current)
    return current


def _mark_done(draft: Draft, step: Step, next_step: Step) -> None:
    draft.done = [*kept(draft.done, without=[step.slug]), step.slug]
    draft.step = next_step.slug


def _touch(draft: Draft, actor: Actor) -> None:
    draft.changed_by, draft.changed_by_name = actor.user, actor.name
    draft.save()
