"""The verbs that pages and the command offer: when each fits, and what it will do, said before it is done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from credentials.rollouts.models import Push
from credentials.rotation import deleting, moving, services
from credentials.rotation.models import PassedGate, PolicyKind, Rotation
from credentials.rotation.waits import Wait

Gate = PassedGate.Gate
DETOURS = ("enter-secret", "use-spare", "choose-canary", "go-by-hand")
"""What the portal does by itself, unless a person does it instead."""
DELETING = ("pass-gate", "report-usage", "confirm-deletion")
"""What lets the old secret be deleted, or says that it was."""


@dataclass(frozen=True)
class Verb:
    """One of them. `fields` names what has to be typed; `run` takes these as keywords."""

    name: str
    label: Promise
    done: Promise
    """What is said once it was done."""
    can: Callable[[Rotation], bool]
    explain: Callable[[Rotation], str]
    run: Callable[..., Rotation]
    fields: tuple[str, ...] = ()
    is_danger: bool = False


def _pause(rotation: Rotation) -> str:
    pushes = Push.objects.filter(rollout__wave__rotation=rotation)
    queued = pushes.filter(state=Push.State.QUEUED).count()
    running = pushes.filter(state__in=[Push.State.RUNNING, Push.State.UNKNOWN]).count()
    text = _(
        "Nothing more is started. Queued pushes (%(queued)s) are cancelled, but are made after all if you "
        "continue. Pushes under way (%(running)s) end by themselves."
    )
    return text % {"queued": queued, "running": running}


def _go_on(rotation: Rotation) -> str:
    if not rotation.new_id:
        return _("The rotation continues, from now on in your name.")
    left, failed = moving.untried(rotation).count(), moving.broken(rotation).count()
    text = ngettext(
        "The rotation continues, from now on in your name: %(count)s installation is still to be pushed to.",
        "The rotation continues, from now on in your name: %(count)s installations are still to be pushed "
        "to.",
        left,
    )
    stop_rule = ngettext(
        "The stop rule no longer counts the %(count)s that has already failed.",
        "The stop rule no longer counts the %(count)s that have already failed.",
        failed,
    )
    return f"{text % {'count': left}} {stop_rule % {'count': failed}}"


def _enter(rotation: Rotation) -> str:
    if rotation.policy == PolicyKind.OPEN:
        return _(
            "The secret is stored encrypted, and a worker asks Adobe whether it is valid. Then the portal "
            "pushes it to the canary by itself, within the maintenance windows, and waits for a person."
        )
    return _(
        "The secret is stored encrypted, and a worker asks Adobe whether it is valid. Then the portal pushes "
        "it to the canary and on in waves by itself, within the maintenance windows."
    )


def _take_back(rotation: Rotation) -> str:
    count = moving.last_pushes(rotation).count()
    if not count:
        return _(
            "Nothing has been pushed yet, so there is nothing to take back: the rotation ends. The goal "
            "stays as it is."
        )
    text = ngettext(
        "%(count)s installation was started: it gets the old secret again, and version %(old)s becomes the "
        "goal. The new secret is kept here and at Adobe.",
        "%(count)s installations were started: they get the old secret again, and version %(old)s becomes "
        "the goal. The new secret is kept here and at Adobe.",
        count,
    )
    return text % {"count": count, "old": rotation.old.version}


def _make_room(rotation: Rotation) -> str:
    if spare := services.spare(rotation):
        text = _(
            "Version %s is permanently deleted at Adobe, and the portal's copy of it is destroyed. Backups "
            "still contain it. The portal first checks whether any installation needs this version."
        )
        return text % spare.version
    text = _("The secret %s is permanently deleted at Adobe. Anyone who uses it is cut off at once.")
    return text % str(rotation.params.get("id", ""))


def _pass(rotation: Rotation) -> str:
    gate = services.gate_of(rotation)
    if gate == Gate.CANARY_USE:
        return _("The waves begin even though nobody has seen Campaign use the new secret.")
    if gate == Gate.VERIFIED:
        ways = deleting.in_the_way(rotation)
        count = min(len(ways), services.MOST_PASSED)
        text = ngettext(
            "%(count)s installation is left out of the gate: %(names)s. Once the old secret is deleted, it "
            "has no working secret if it still holds the old one.",
            "%(count)s installations are left out of the gate: %(names)s. Once the old secret is deleted, "
            "they have no working secret if they still hold the old one.",
            count,
        )
        told = text % {"count": count, "names": ways.named(10)}
        return f"{told} {_not_yet_passed(len(ways) - count)}".strip()
    if gate == Gate.ACCEPTED:
        return _("The rotation continues even though Adobe has not said that it accepts the new secret.")
    return _("The old secret is deleted even though someone may still use it: they are cut off at once.")


def _not_yet_passed(count: int) -> str:
    if not count:
        return ""
    text = ngettext(
        "%(count)s more installation is not left out yet: pass the gate again for it.",
        "%(count)s more installations are not left out yet: pass the gate again for them.",
        count,
    )
    return text % {"count": count}


VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "enter-secret",
            gettext_lazy("Enter the new secret"),
            gettext_lazy("The new secret was stored."),
            services.can_enter_secret,
            _enter,
            services.enter_secret,
            ("plaintext",),
        ),
        Verb(
            "use-spare",
            gettext_lazy("Use the second version"),
            gettext_lazy("The second version is now the new secret."),
            services.can_use_spare,
            lambda rotation: _("The version that is already stored becomes the new secret of this rotation."),
            services.use_spare,
        ),
        Verb(
            "make-room",
            gettext_lazy("Delete it at Adobe"),
            gettext_lazy("The secret will be deleted at Adobe."),
            services.can_make_room,
            _make_room,
            services.make_room,
            ("message",),
            is_danger=True,
        ),
        Verb(
            "choose-canary",
            gettext_lazy("Choose the canary"),
            gettext_lazy("The canary was chosen."),
            services.can_choose_canary,
            lambda rotation: _("This installation gets the new secret first."),
            services.choose_canary,
            ("canary",),
        ),
        Verb(
            "go-on",
            gettext_lazy("Continue"),
            gettext_lazy("The rotation continues."),
            services.can_go_on,
            _go_on,
            services.go_on,
            ("stop_rule",),
        ),
        Verb(
            "pause",
            gettext_lazy("Pause"),
            gettext_lazy("The rotation was paused."),
            services.can_pause,
            _pause,
            services.pause,
        ),
        Verb(
            "pass-gate",
            gettext_lazy("Pass this gate early"),
            gettext_lazy("The gate was passed."),
            lambda rotation: services.gate_of(rotation) is not None,
            _pass,
            services.pass_gate,
            ("gate", "reason", "shown"),
            is_danger=True,
        ),
        Verb(
            "report-usage",
            gettext_lazy("Enter when it was last used"),
            gettext_lazy("The last use was noted."),
            services.can_report_usage,
            lambda rotation: _(
                "Look at the old secret in the Developer Console, and enter what it says about its last use."
            ),
            services.report_usage,
            ("used", "note"),
        ),
        Verb(
            "confirm-deletion",
            gettext_lazy("I have deleted it in the console"),
            gettext_lazy("The deletion was noted."),
            services.can_confirm_deletion,
            lambda rotation: _(
                "A worker asks Adobe whether the new secret still works. If so, the portal destroys its copy "
                "of the deleted one. Backups still contain it."
            ),
            services.confirm_deletion,
            ("note",),
        ),
        Verb(
            "ask-again",
            gettext_lazy("Look again now"),
            gettext_lazy("The portal looks again."),
            services.can_ask_again,
            lambda rotation: _("A worker looks at once, and asks Adobe again."),
            services.ask_again,
        ),
        Verb(
            "go-by-hand",
            gettext_lazy("Continue by hand"),
            gettext_lazy("The rotation continues by hand."),
            services.can_go_by_hand,
            lambda rotation: _(
                "From now on the portal does not use Adobe's API: you add and delete secrets in the console, "
                "and enter here when the old one was last used."
            ),
            services.go_by_hand,
        ),
        Verb(
            "declare-leak",
            gettext_lazy("The old secret has leaked"),
            gettext_lazy("The old secret is marked as leaked."),
            services.can_declare_leak,
            lambda rotation: _(
                "All waiting is skipped from now on: the rest is pushed at once, and the old secret is "
                "deleted as soon as every installation is verified. Anyone else who uses it is cut off then."
            ),
            services.declare_leak,
            ("message",),
            is_danger=True,
        ),
        Verb(
            "turn-round",
            gettext_lazy("Continue with the new secret"),
            gettext_lazy("The rotation continues with the new secret."),
            services.can_turn_round,
            lambda rotation: _(
                "The rotation is no longer taken back: the new secret becomes the goal again, and is pushed "
                "to every installation that does not hold it."
            ),
            services.turn_round,
            ("message",),
            is_danger=True,
        ),
        Verb(
            "take-back",
            gettext_lazy("Take it back"),
            gettext_lazy("The rotation is being taken back."),
            services.can_take_back,
            _take_back,
            services.take_back,
            ("message",),
            is_danger=True,
        ),
    )
}


ANSWERS: dict[str, str] = {
    Wait.SECRET_NEEDED: "enter-secret",
    Wait.SECRET_REFUSED: "enter-secret",
    Wait.SPARE_VERSION: "use-spare",
    Wait.SPARE_NEEDED: "use-spare",
    Wait.UNKNOWN_SECRET: "make-room",
    Wait.ORPHAN: "make-room",
    Wait.CANARY_FAILED: "choose-canary",
    Wait.CANARY_CHANGED: "choose-canary",
    Wait.STOPPED: "go-on",
    Wait.PAUSED: "go-on",
    Wait.OPENED: "go-on",
    Wait.NOBODY: "go-on",
    Wait.USAGE_NEEDED: "report-usage",
    Wait.DELETE_BY_HAND: "confirm-deletion",
    Wait.SPARE_BY_HAND: "confirm-deletion",
    Wait.WHICH_SECRET: "go-by-hand",
    Wait.NEW_REFUSED: "take-back",
    Wait.OLD_REFUSED: "turn-round",
}
"""What a rotation waits for, and the verb that people most likely look for then."""


def offered(rotation: Rotation) -> list[Verb]:
    """Return the verbs that fit a rotation as it is now; the one that answers what it waits for is first."""
    answer = ANSWERS.get(rotation.wait, "")
    fitting = [verb for verb in VERBS.values() if verb.can(rotation)]
    return sorted(fitting, key=lambda verb: verb.name != answer)


def is_answer(verb: Verb, rotation: Rotation) -> bool:
    """Whether a verb answers what a rotation waits for."""
    return ANSWERS.get(rotation.wait) == verb.name


def run(verb: Verb, rotation: Rotation, **values: Any) -> Rotation:  # Any: what each verb takes
    """Do it. `RotationError`, `AccountError` and `plans.RuleError` say what prevents it."""
    return verb.run(rotation=rotation, **values)
