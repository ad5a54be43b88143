"""What people do with a rotation: start it, steer it, and tell it what only they can know."""

import uuid
from collections.abc import Callable, Collection
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.debug import sensitive_variables

from credentials.desired import set_goal
from credentials.models import ClientSecret, TechnicalAccount, Why
from credentials.rollouts.starting import one_start_at_a_time
from credentials.rollouts.versions import enter
from credentials.rotation import adobe, deleting, engine, first_steps, gates, moving, wave_steps
from credentials.rotation.models import ConsoleCall, PassedGate, Rotation
from credentials.rotation.plans import StopRule, WaveRule
from credentials.rotation.waits import Wait
from credentials.services import AccountError, abandon
from instances.models import Installation
from portal.audit.trail import Actor, record
from portal.plaintext import Secret

State = Rotation.State
MOST_PASSED = 500
"""How many installations can be left out of a gate at once, at most."""
USUAL_WAVES, USUAL_STOP = "environment", "0"
NUMBERS_NEEDED = gettext_lazy("Adobe's API needs the organization number and the credential number.")


class RotationError(Exception):
    """A verb that does not fit the rotation as it is now; the text is for the person who asked."""


def is_in_use(account: TechnicalAccount) -> bool:
    """Whether an account has a secret to replace, as opposed to a draft or a retired one."""
    return account.state == TechnicalAccount.State.ACTIVE


def is_any_in_use() -> bool:
    return TechnicalAccount.objects.filter(state=TechnicalAccount.State.ACTIVE).exists()


def may_start(account: TechnicalAccount) -> str:
    """Return why no rotation of an account can be started, for a person, or an empty text."""
    if not is_in_use(account):
        return _("Only an account in use has a secret to replace.")
    if Rotation.objects.open().filter(account=account).exists():
        return _("A rotation of this account is open already.")
    if account.goal is None or not account.goal.is_usable:
        return _("Nothing has been rolled out yet: a rotation replaces the version that is the goal.")
    return ""


def start(
    *,
    account: TechnicalAccount,
    actor: Actor,
    way: str = "",
    version: ClientSecret | None = None,
    canary: Installation | None = None,
    wave_rule: str = USUAL_WAVES,
    stop_rule: str = USUAL_STOP,
    is_leak: bool = False,
    is_migration_closed: bool = False,
    message: str = "",
    numbers: tuple[str, str] | None = None,
    policy: str = "",
) -> Rotation:
    """Start a rotation of an account's secret; a worker takes it up.

    `way` is by Adobe's API or by hand; without one, by the API where the account has its numbers. `version`
    is a second version that is stored already. `numbers`, of organization and credential, are stored with the
    account if the rotation starts. `policy` is the kind of the one that starts it. `RotationError` and
    `plans.RuleError` say what prevents it.
    """
    waves, stop = str(WaveRule.parse(wave_rule)), str(StopRule.parse(stop_rule))
    if account.way == TechnicalAccount.Way.MIGRATION and not is_migration_closed:
        raise RotationError(
            _(
                "Adobe does not rotate secrets while a migration from JWT is open. Delete the JWT credential "
                "in the console first, and confirm here that it is gone."
            )
        )
    _refuse_canary(account, canary)
    with transaction.atomic():
        one_start_at_a_time()
        account = TechnicalAccount.objects.select_for_update().get(pk=account.pk)
        if problem := may_start(account):
            raise RotationError(problem)
        if numbers:
            _set_numbers(account, *numbers, actor)
        way = way or usual_way(account)
        if way == Rotation.Way.API and not adobe.has_api(account):
            raise RotationError(str(NUMBERS_NEEDED))
        by_hand = moving.by_hand(account).count()
        if way == Rotation.Way.API and by_hand and not is_leak:
            raise RotationError(secret_for_hands(by_hand))
        if version and (version.pk == account.goal_id or not version.is_usable):
            raise RotationError(_("Version %s cannot replace the one in use.") % version.version)
        rotation = Rotation(
            number=Rotation.next_number(),
            account=account,
            old=account.goal,
            new=version,
            way=way,
            is_leak=is_leak,
            wave_rule=waves,
            stop_rule=stop,
            canary=canary,
            message=message[:250],
            policy=policy,
            requested_by_name=actor.name,
            acts_for=actor.user,
            acts_for_name=actor.name,
        )
        try:
            with transaction.atomic():
                rotation.save(force_insert=True)
        except IntegrityError:
            raise RotationError(_("A rotation of this account is open already.")) from None
        TechnicalAccount.objects.filter(pk=account.pk).update(is_rotating=True)
        details: dict[str, object] = {
            "account": account.name,
            "old": rotation.old.version,
            "way": way,
            "waves": waves,
            "stop": stop,
            "leak": is_leak,
            "message": message,
        }
        details |= {"policy": policy} if policy else {}
        record("rotation.started", actor=actor, target=rotation, details=details)
        transaction.on_commit(engine.ring, robust=True)
    return rotation


def _refuse_canary(account: TechnicalAccount, canary: Installation | None) -> None:
    if canary and not moving.installations(account).filter(pk=canary.pk).exists():
        raise RotationError(_("The canary must be an installation of this account."))
    if canary and moving.by_hand(account).filter(pk=canary.pk).exists():
        raise RotationError(_("The portal cannot reach this installation: choose another canary."))


def usual_way(account: TechnicalAccount) -> Rotation.Way:
    """Return who adds and deletes secrets unless somebody chooses: the API, where nobody has to know them."""
    has_api = adobe.has_api(account) and not moving.by_hand(account).exists()
    return Rotation.Way.API if has_api else Rotation.Way.BY_HAND


def secret_for_hands(count: int) -> str:
    """Return why Adobe's API must not make the secret where people set it on some of the containers."""
    text = ngettext(
        "The portal cannot reach %(count)d installation of this account: a person types the secret there. "
        "Nobody is shown a secret that Adobe's API makes. Choose “%(way)s”: add the secret there, and enter "
        "it here.",
        "The portal cannot reach %(count)d installations of this account: a person types the secret there. "
        "Nobody is shown a secret that Adobe's API makes. Choose “%(way)s”: add the secret there, and enter "
        "it here.",
        count,
    )
    return text % {"count": count, "way": Rotation.Way.BY_HAND.label}


def _changed(pk: uuid.UUID, change: Callable[[Rotation], None]) -> Rotation:
    """Change an open rotation in a transaction that holds its row, and have a worker look at it.

    The account is locked next, before pushes and the head of the history, as everybody else locks them.
    """
    with transaction.atomic():
        related = ("account", "old", "new", "canary", "acts_for")
        rows = Rotation.objects.select_for_update(of=("self",))
        account = rows.values_list("account", flat=True).get(pk=pk)
        TechnicalAccount.objects.select_for_update().get(pk=account)
        rotation = rows.select_related(*related).get(pk=pk)
        if not rotation.is_open:
            raise RotationError(_("This rotation has ended."))
        before = rotation.wait
        change(rotation)
        if rotation.wait == before and not rotation.hold:
            rotation.wait, rotation.params = Wait.BEGINNING, {}
        rotation.save()
        Rotation.objects.filter(pk=pk).update(due=Now(), put_off=Now())
        transaction.on_commit(engine.ring, robust=True)
    return rotation


def _refuse_without(reason: str) -> None:
    if not reason.strip():
        raise RotationError(_("Give a reason: it is kept in the history."))


def can_pause(rotation: Rotation) -> bool:
    is_moving = rotation.state in Rotation.MOVING or (
        rotation.state == State.DELETING and rotation.old.is_usable
    )
    return rotation.is_open and not rotation.hold and is_moving


def pause(*, rotation: Rotation, actor: Actor) -> Rotation:
    """Start nothing more, and cancel what is queued. What runs ends by itself."""

    def change(row: Rotation) -> None:
        if not can_pause(row):
            raise RotationError(_("There is nothing to pause. Its state: %s.") % row.get_state_display())
        row.hold, row.params = Rotation.Hold.PAUSED, {"who": actor.name}
        row.wait = Wait.PAUSED
        wave_steps.call_off(row)
        record("rotation.paused", actor=actor, target=row, details={})

    return _changed(rotation.pk, change)


def can_go_on(rotation: Rotation) -> bool:
    return rotation.is_open and bool(rotation.hold)


def go_on(*, rotation: Rotation, actor: Actor, stop_rule: str = "") -> Rotation:
    """Go on after a pause or a stop, from now on in this person's name.

    What had failed by then is not counted again by the stop rule, which can be changed.
    """
    rule = str(StopRule.parse(stop_rule)) if stop_rule else ""

    def change(row: Rotation) -> None:
        if not can_go_on(row):
            raise RotationError(_("It is neither paused nor stopped."))
        failed = (
            [str(pk) for pk in moving.broken(row).values_list("installation", flat=True)] if row.new else []
        )
        row.tolerated = sorted({*row.tolerated, *failed})
        row.hold, row.params, row.wait = Rotation.Hold.NONE, {}, Wait.BEGINNING
        row.stop_rule = rule or row.stop_rule
        row.acts_for, row.acts_for_name = actor.user, actor.name
        row.waves.update(is_released=True)
        details: dict[str, object] = {"count": len(failed), "stop": row.stop_rule}
        record("rotation.continued", actor=actor, target=row, details=details)

    return _changed(rotation.pk, change)


def can_take_back(rotation: Rotation) -> bool:
    """Whether there is a way back: as long as nobody may have deleted the old secret at Adobe."""
    if not rotation.is_open or rotation.takes_back:
        return False
    if rotation.state == State.DELETING:
        return not _may_be_gone(rotation)
    return rotation.state in (*Rotation.BEFORE, *Rotation.MOVING)


def _may_be_gone(rotation: Rotation) -> bool:
    """Whether the old secret may have been deleted at Adobe: asked for, or said by a person.

    While Adobe refuses the new one, what a person said is not believed.
    """
    if rotation.confirmed is not None:
        return rotation.wait != Wait.NEW_REFUSED
    calls = rotation.calls.filter(what=ConsoleCall.What.DELETE, adobe_id=rotation.old.adobe_id)
    done = calls.filter(Q(outcome=ConsoleCall.DONE) | Q(may_have_been_done=True) | Q(ended=None))
    return bool(rotation.old.adobe_id) and done.exists()


def take_back(*, rotation: Rotation, actor: Actor, message: str) -> Rotation:
    """Go back to the old secret: it becomes the goal, and is pushed to whatever was begun.

    `RotationError` without a reason, or where the old secret may be deleted already.
    """
    _refuse_without(message)

    def change(row: Rotation) -> None:
        if not can_take_back(row):
            raise RotationError(_("It cannot be taken back. Its state: %s.") % row.get_state_display())
        row.hold, row.params, row.wait = Rotation.Hold.NONE, {}, Wait.BEGINNING
        row.takes_back = True
        if row.state != State.MAKING_ROOM:
            row.state, row.room_id = State.TAKING_BACK, ""
        row.tries, row.verified, row.confirmed = 0, None, None
        row.acts_for, row.acts_for_name = actor.user, actor.name
        if row.old.state == ClientSecret.State.DELETING:
            ClientSecret.objects.filter(pk=row.old_id).update(state=ClientSecret.State.USABLE)
        wave_steps.call_off(row)
        account = TechnicalAccount.objects.get(pk=row.account_id)
        set_goal(account=account, version=row.old, why=Why.TAKEN_BACK, actor=actor, message=message[:250])
        record("rotation.taken_back", actor=actor, target=row, details={"message": message[:250]})

    return _changed(rotation.pk, change)


def can_turn_round(rotation: Rotation) -> bool:
    """Whether the way back can be given up, for the new secret after all."""
    is_back = rotation.is_open and rotation.state == State.TAKING_BACK
    return is_back and rotation.new is not None and rotation.new.is_usable


def turn_round(*, rotation: Rotation, actor: Actor, message: str) -> Rotation:
    """Go on to the new secret after all: it becomes the goal again. `RotationError` without a reason."""
    _refuse_without(message)

    def change(row: Rotation) -> None:
        if not can_turn_round(row) or row.new is None:
            raise RotationError(_("It is not being taken back."))
        row.hold, row.params, row.wait = Rotation.Hold.NONE, {}, Wait.BEGINNING
        row.takes_back, row.state, row.tries = False, State.WAVES, 0
        row.acts_for, row.acts_for_name = actor.user, actor.name
        row.waves.update(is_released=True)
        account = TechnicalAccount.objects.get(pk=row.account_id)
        set_goal(account=account, version=row.new, why=Why.ROTATION, actor=actor, message=message[:250])
        record("rotation.turned_round", actor=actor, target=row, details={"message": message[:250]})

    return _changed(rotation.pk, change)


def can_ask_again(rotation: Rotation) -> bool:
    return rotation.is_open and not rotation.hold


def ask_again(*, rotation: Rotation, actor: Actor) -> Rotation:
    """Have a worker look now, and ask Adobe anew, whatever was said before."""

    def change(row: Rotation) -> None:
        row.listed = None
        versions = [pk for pk in (row.old_id, row.new_id) if pk]
        refused = ClientSecret.objects.filter(pk__in=versions).exclude(ims_verdict="valid")
        refused.update(ims_checked=None)

    return _changed(rotation.pk, change)


def can_enter_secret(rotation: Rotation) -> bool:
    if not rotation.is_open or rotation.takes_back:
        return False
    is_refused = rotation.state == State.CHECKING and rotation.wait == Wait.SECRET_REFUSED
    # One that Adobe made for the portal was not entered wrong; it is deleted at Adobe, not given up here.
    was_entered = rotation.new is not None and not rotation.new.adobe_id
    return rotation.state == State.PREPARING or (is_refused and was_entered)


@sensitive_variables()
def enter_secret(*, rotation: Rotation, plaintext: Secret, actor: Actor) -> Rotation:
    """Use a secret that a person has. `RotationError`, or `AccountError` for the old one or a deleted one."""

    def change(row: Rotation) -> None:
        if not can_enter_secret(row):
            raise RotationError(_("It already has its new secret."))
        if row.new:  # Adobe refused it
            former, row.new = row.new, None
            abandon(version=former, actor=actor)
        version, _is_new = enter(account=row.account, plaintext=plaintext, actor=actor, is_rotation=True)
        if version.pk == row.old_id:
            raise AccountError(_("This is the old secret, which the rotation replaces. Enter the new one."))
        row.new, row.state = version, State.CHECKING

    return _changed(rotation.pk, change)


def spares(account: TechnicalAccount) -> QuerySet[ClientSecret]:
    """Return the versions that could replace the goal of an account."""
    usable = ClientSecret.objects.usable().filter(account=account)
    return usable.exclude(pk=account.goal_id) if account.goal_id else usable


def can_use_spare(rotation: Rotation) -> bool:
    return rotation.is_open and rotation.state == State.PREPARING and spare(rotation) is not None


def spare(rotation: Rotation) -> ClientSecret | None:
    """Return a second version that can be used for this rotation."""
    version = first_steps.spare_version(rotation)
    return version if version and version.is_usable else None


def use_spare(*, rotation: Rotation, actor: Actor) -> Rotation:
    """Use the second version that is stored already."""

    def change(row: Rotation) -> None:
        version = spare(row) if row.state == State.PREPARING else None
        if version is None:
            raise RotationError(_("There is no second version that can be used."))
        row.new, row.state = version, State.CHECKING
        details: dict[str, object] = {"rotation": row.number, "version": version.version}
        record("client_secret.selected", actor=actor, target=row.account, details=details)

    return _changed(rotation.pk, change)


def can_make_room(rotation: Rotation) -> bool:
    """Whether the rotation waits for a decision about a second secret that the API can delete."""
    waits = (Wait.SPARE_VERSION, Wait.SPARE_NEEDED, Wait.UNKNOWN_SECRET, Wait.ORPHAN)
    is_known = bool(rotation.old.adobe_id) or rotation.wait == Wait.ORPHAN
    return rotation.is_open and rotation.way == Rotation.Way.API and rotation.wait in waits and is_known


def make_room(*, rotation: Rotation, actor: Actor, message: str) -> Rotation:
    """Have the second secret deleted at Adobe: the spare version, or one that the portal does not know.

    `RotationError` without a reason.
    """
    _refuse_without(message)

    def change(row: Rotation) -> None:
        if not can_make_room(row) or row.state not in (State.PREPARING, State.TAKING_BACK):
            raise RotationError(_("There is nothing to delete: check the rotation again."))
        row.room_id = str(row.params.get("id") or "")
        row.state, row.wait = State.MAKING_ROOM, Wait.BEGINNING
        details: dict[str, object] = {"secret": row.room_id, "message": message[:250]}
        record("rotation.room_asked", actor=actor, target=row, details=details)

    return _changed(rotation.pk, change)


def can_go_by_hand(rotation: Rotation) -> bool:
    return rotation.is_open and rotation.way == Rotation.Way.API


def go_by_hand(*, rotation: Rotation, actor: Actor) -> Rotation:
    """Leave Adobe's API alone from now on: a person does in the console what has to be done there."""

    def change(row: Rotation) -> None:
        if not can_go_by_hand(row):
            raise RotationError(_("It is already done by hand."))
        row.way, row.listed, row.tries, row.confirmed = Rotation.Way.BY_HAND, None, 0, None
        left = first_steps.spare_version(row)
        if row.state == State.MAKING_ROOM and (left is None or left.is_usable):
            row.state, row.room_id = State.TAKING_BACK if row.takes_back else State.PREPARING, ""
        lost = first_steps.lost_creation(row) is not None and row.new is None
        record("rotation.goes_by_hand", actor=actor, target=row, details={"lost": lost})

    return _changed(rotation.pk, change)


def can_choose_canary(rotation: Rotation) -> bool:
    waits = (Wait.CANARY_FAILED, Wait.CANARY_CHANGED, Wait.NO_CANARY, Wait.NOT_STARTABLE)
    is_early = rotation.state in Rotation.BEFORE
    return rotation.is_open and (is_early or (rotation.state == State.CANARY and rotation.wait in waits))


def choose_canary(*, rotation: Rotation, canary: Installation, actor: Actor) -> Rotation:
    """Try another installation first."""

    def change(row: Rotation) -> None:
        if not can_choose_canary(row):
            raise RotationError(_("The canary can no longer be changed."))
        _refuse_canary(row.account, canary)
        row.canary, row.proven = canary, None
        details: dict[str, object] = {"installation": str(canary)}
        record("rotation.canary_chosen", actor=actor, target=row, details=details)

    return _changed(rotation.pk, change)


GATE_OF = {
    Wait.CANARY_UNUSED: PassedGate.Gate.CANARY_USE,
    Wait.NOT_VERIFIED: PassedGate.Gate.VERIFIED,
    Wait.IDLE: PassedGate.Gate.IDLE,
    Wait.STILL_USED: PassedGate.Gate.IDLE,
    Wait.USAGE_NEEDED: PassedGate.Gate.IDLE,
}


def gate_of(rotation: Rotation) -> PassedGate.Gate | None:
    """Return the gate that a rotation waits at, if a person may pass it early."""
    if not rotation.is_open or rotation.hold:
        return None
    if rotation.wait == Wait.ADOBE_LATER and rotation.state in (State.CHECKING, *Rotation.MOVING):
        return PassedGate.Gate.ACCEPTED if rotation.params.get("asks") == "ims" else None
    return GATE_OF.get(Wait(rotation.wait))


def pass_gate(
    *, rotation: Rotation, gate: str, reason: str, actor: Actor, shown: Collection[str] | None = None
) -> Rotation:
    """Pass the gate that a rotation waits at, early and with a reason; `RotationError` if it waits elsewhere.

    The gate of verification is passed for those installations alone that are in the way now, each for what is
    missing there, and of these for what was `shown` to the person (`InTheWay.passable`); for
    `MOST_PASSED` of them at once. A push that is under way is passed by nobody.
    Nor is, unless the secret leaked, an installation that the portal cannot reach, and that nobody has
    reported on the new secret.
    """
    _refuse_without(reason)

    def change(row: Rotation) -> None:
        if gate_of(row) != gate:
            raise RotationError(_("It no longer waits at this gate: check the rotation again."))
        found = deleting.in_the_way(row) if gate == PassedGate.Gate.VERIFIED else gates.NOTHING
        if found.kinds & set(gates.BUSY):
            raise RotationError(_("A push is under way: wait until it ends."))
        if not row.is_leak and (unreported := found.unreported):
            raise RotationError(_not_reported(unreported))
        ways = [each for each in found.first() if shown is None or each.passable in shown][:MOST_PASSED]
        if shown and not ways:
            raise RotationError(_("What you were shown is no longer in the way: check the rotation again."))
        PassedGate.objects.create(
            rotation=row,
            gate=gate,
            installations=[each.passable for each in ways],
            reason=reason[:250],
            by=actor.name,
        )
        names = [f"{each}: {each.missing.value}" for each in ways]
        details: dict[str, object] = {"gate": str(gate), "reason": reason[:250]}
        details |= {"installations": names[:50], "count": len(names)} if names else {}
        record("rotation.gate_passed", actor=actor, target=row, details=details)

    return _changed(rotation.pk, change)


def _not_reported(ways: gates.Ways) -> str:
    return _(
        "Nobody has reported the new secret on these installations, which the portal cannot reach: "
        "%(names)s. Have the runbook run and its result reported first, or retire what is gone."
    ) % {"names": ways.named(5)}


def can_report_usage(rotation: Rotation) -> bool:
    return rotation.way == Rotation.Way.BY_HAND and rotation.is_open and rotation.state == State.WATCHING


def report_usage(*, rotation: Rotation, used: datetime | None, note: str, actor: Actor) -> Rotation:
    """Keep what a person read in the console: when the old secret was used last; None: never."""
    if not note.strip():
        raise RotationError(_("Say what you saw: the note is kept in the history."))
    if used and used > timezone.now():
        raise RotationError(_("That time is in the future: check again what the console says."))

    def change(row: Rotation) -> None:
        if not can_report_usage(row):
            raise RotationError(_("There is nothing to look up in the console now."))
        row.looked, row.looked_used = timezone.now(), used
        row.looked_by, row.looked_note = actor.name, note[:250]
        details: dict[str, object] = {"used": used.isoformat() if used else "", "note": note[:250]}
        record("rotation.usage_reported", actor=actor, target=row, details=details)

    return _changed(rotation.pk, change)


def can_confirm_deletion(rotation: Rotation) -> bool:
    return rotation.is_open and rotation.wait in (Wait.DELETE_BY_HAND, Wait.SPARE_BY_HAND)


def confirm_deletion(*, rotation: Rotation, note: str, actor: Actor) -> Rotation:
    """Note that a person deleted a secret in the console. `RotationError` without a note.

    Nothing is destroyed here before Adobe has accepted the new secret once more.
    """
    if not note.strip():
        raise RotationError(_("Say what you deleted and saw: the note is kept in the history."))

    def change(row: Rotation) -> None:
        if not can_confirm_deletion(row):
            raise RotationError(_("There is nothing to delete in the console now: check the rotation again."))
        row.confirmed, row.confirmed_note = timezone.now(), note[:250]
        row.acts_for, row.acts_for_name = actor.user, actor.name
        details: dict[str, object] = {"note": note[:250]}
        record("rotation.deletion_confirmed", actor=actor, target=row, details=details)

    return _changed(rotation.pk, change)


def can_declare_leak(rotation: Rotation) -> bool:
    return rotation.is_open and not rotation.is_leak and not rotation.takes_back


def declare_leak(*, rotation: Rotation, actor: Actor, message: str) -> Rotation:
    """Skip all waiting from now on, because the old secret has leaked. `RotationError` without a reason."""
    _refuse_without(message)

    def change(row: Rotation) -> None:
        if not can_declare_leak(row):
            raise RotationError(_("It already skips all waiting, or is being taken back."))
        row.is_leak = True
        record("rotation.leak_declared", actor=actor, target=row, details={"message": message[:250]})

    return _changed(rotation.pk, change)


def set_numbers(*, account: TechnicalAccount, organization: str, credential: str, actor: Actor) -> None:
    """Store the numbers by which Adobe's API knows a credential.

    `RotationError` if they are none, or while a rotation of the account is open.
    """
    with transaction.atomic():
        row = TechnicalAccount.objects.select_for_update().get(pk=account.pk)
        if row.is_rotating:
            raise RotationError(
                _("A rotation of this account is open: the account's numbers cannot be changed now.")
            )
        _set_numbers(row, organization, credential, actor)


def number_problems(organization: str, credential: str, *, is_for_api: bool = False) -> dict[str, str]:
    """Return what is wrong with these numbers, by the account's fields; the API needs both."""
    numbers = {"numeric_organization_id": organization.strip(), "credential_id": credential.strip()}
    digits = _("Enter digits only: the numbers are in the address of the console's page.")
    problems = {
        name: digits
        for name, text in numbers.items()
        if text and not (text.isascii() and text.isdecimal() and len(text) <= 32)
    }
    if is_for_api or any(numbers.values()):
        missed = NUMBERS_NEEDED if is_for_api else _("Enter both numbers, or neither.")
        problems |= {name: str(missed) for name, text in numbers.items() if not text}
    return problems


def _set_numbers(account: TechnicalAccount, organization: str, credential: str, actor: Actor) -> None:
    """Store them in a locked account."""
    if problems := number_problems(organization, credential):
        raise RotationError(next(iter(problems.values())))
    numbers = {"numeric_organization_id": organization.strip(), "credential_id": credential.strip()}
    before = {name: getattr(account, name) for name in numbers}
    if before == numbers:
        return
    for name, value in numbers.items():
        setattr(account, name, value)
    account.save(update_fields=list(numbers))
    account.secrets.update(adobe_id="")  # another credential has other secrets
    details: dict[str, object] = {"before": before, "after": numbers}
    record("account.numbers_entered", actor=actor, target=account, details=details)
