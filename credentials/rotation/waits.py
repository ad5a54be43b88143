"""What a rotation waits for: codes that are stored, and their words. Every state that is no end has one."""

from dataclasses import dataclass
from datetime import datetime

from django.db import models
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from credentials.adobe.console import Problem
from credentials.adobe.ims import TokenVerdict
from credentials.rollouts.states import State
from instances.models import Instance, label_of
from portal.punctuation import some_of
from portal.web.times import duration


class Wait(models.TextChoices):
    """What has to happen before a rotation goes on."""

    BEGINNING = "beginning", _("About to begin")
    PUSHING = "pushing", _("Pushes are under way")
    READING = "reading", _("Containers are being read")
    ADOBE_LATER = "adobe_later", _("Adobe did not answer")
    CANARY_UNUSED = "canary_unused", _("The canary has not used the new secret")
    IDLE = "idle", _("The old secret is being watched")
    STILL_USED = "still_used", _("The old secret is still used")
    WINDOW = "window", _("Outside the maintenance window")
    NOT_STARTABLE = "not_startable", _("A rollout could not be started")
    SECRET_NEEDED = "secret_needed", _("The second secret is needed")
    SPARE_VERSION = "spare_version", _("There is a second version already")
    SPARE_BY_HAND = "spare_by_hand", _("The second secret must be deleted in the console")
    SPARE_NEEDED = "spare_needed", _("The second version is still needed")
    UNKNOWN_SECRET = "unknown_secret", _("Adobe has a secret that the portal does not know")
    ORPHAN = "orphan", _("A secret was made, but nobody has it")
    OLD_MISSING = "old_missing", _("Adobe does not list the secret in use")
    NEW_MISSING = "new_missing", _("Adobe does not list the new secret")
    ADOBE_REFUSED = "adobe_refused", _("Adobe refused")
    SECRET_REFUSED = "secret_refused", _("Adobe refuses the new secret")
    NEW_REFUSED = "new_refused", _("Adobe now refuses the new secret")
    NO_CANARY = "no_canary", _("No installation can be the canary")
    CANARY_FAILED = "canary_failed", _("The canary failed")
    CANARY_CHANGED = "canary_changed", _("The canary no longer holds the new secret")
    STOPPED = "stopped", _("Stopped by the stop rule")
    PAUSED = "paused", _("Paused")
    OPENED = "opened", _("Opened by its policy, stopped after the canary")
    NOBODY = "nobody", _("Nobody is responsible for it")
    NOT_VERIFIED = "not_verified", _("Not every installation is verified")
    USAGE_NEEDED = "usage_needed", _("Someone must look in the console")
    WHICH_SECRET = "which_secret", _("Which secret at Adobe is the old one?")
    DELETE_BY_HAND = "delete_by_hand", _("The old secret must be deleted in the console")
    STILL_HELD = "still_held", _("A container holds the old secret again")
    STILL_LISTED = "still_listed", _("Adobe still lists a deleted secret")
    UNREADABLE = "unreadable", _("A stored secret cannot be decrypted")
    PORTAL_ERROR = "portal_error", _("An error inside the portal")
    OLD_REFUSED = "old_refused", _("Adobe refuses the old secret")
    NOT_BACK = "not_back", _("Not every installation is back on the old secret")
    ENDED = "ended", _("Nothing: it has ended")


@dataclass(frozen=True)
class Explanation:
    """Why a rotation waits, what somebody does about it, and whether it goes on by itself."""

    cause: Promise
    next_step: Promise
    by_itself: bool = False


_ITSELF = _("No action is needed.")
EXPLANATIONS: dict[str, Explanation] = {
    Wait.BEGINNING: Explanation(
        _("A worker of the portal picks it up within a few seconds."),
        _("If this does not change, ask the people who operate the portal whether its worker is running."),
        by_itself=True,
    ),
    Wait.PUSHING: Explanation(
        ngettext_lazy(
            "A rollout of this rotation is under way: %(ended)s of %(total)s pushes has ended.",
            "A rollout of this rotation is under way: %(ended)s of %(total)s pushes have ended.",
            "ended",
        ),
        _ITSELF,
        by_itself=True,
    ),
    Wait.READING: Explanation(
        ngettext_lazy(
            "The portal is reading %(count)s container again, to judge by what it holds now.",
            "The portal is reading %(count)s containers again, to judge by what they hold now.",
            "count",
        ),
        _ITSELF,
        by_itself=True,
    ),
    Wait.ADOBE_LATER: Explanation(
        _("Adobe was asked, but gave no usable answer: %(problem)s."),
        _(
            "Adobe is asked again at the time shown here. If this continues, ask the network team whether "
            "the portal's workers may reach Adobe."
        ),
        by_itself=True,
    ),
    Wait.CANARY_UNUSED: Explanation(
        _(
            "The canary %(installation)s is proven to hold the new secret, but Adobe has not seen the secret "
            "used since. Campaign asks for a token when it next needs one, which may take hours."
        ),
        _(
            "Adobe is asked every few minutes. To continue sooner, let Campaign use the account, or pass "
            "this gate with a reason."
        ),
        by_itself=True,
    ),
    Wait.IDLE: Explanation(
        _(
            "Every installation is verified. The old secret is deleted once nobody has used it for "
            "%(hours)s: at %(until)s at the earliest."
        ),
        _ITSELF,
        by_itself=True,
    ),
    Wait.STILL_USED: Explanation(
        _(
            "Every installation is verified, but the old secret was used at %(used)s. The containers have "
            "been read again since, and none holds it. So it was used by a server or program that is not in "
            "the inventory, or by a Campaign process that was not restarted."
        ),
        _(
            "Find out who still uses it. The old secret is deleted once nobody has used it for %(hours)s: "
            "at %(until)s at the earliest."
        ),
        by_itself=True,
    ),
    Wait.WINDOW: Explanation(
        _("The next wave goes to %(environment)s, whose maintenance window opens at %(until)s."),
        _ITSELF,
        by_itself=True,
    ),
    Wait.NOT_STARTABLE: Explanation(
        _("The next rollout was refused: %(text)s"),
        _("It is tried again every half minute. Fix what is named here."),
        by_itself=True,
    ),
    Wait.SECRET_NEEDED: Explanation(
        _("A rotation needs a second secret of the same credential."),
        _(
            "In the Developer Console, open the credential, choose OAuth Server-to-Server, add a client "
            "secret, and enter it here."
        ),
    ),
    Wait.SPARE_VERSION: Explanation(
        _(
            "Version %(version)s of this account, entered on %(entered)s, exists in addition to the one in "
            "use. Adobe allows two secrets at a time."
        ),
        _("Use it for this rotation, or have it deleted at Adobe, so that a new one can be made."),
    ),
    Wait.SPARE_BY_HAND: Explanation(
        _(
            "Version %(version)s, entered on %(entered)s, is out of use here and can no longer be pushed. It "
            "may still exist at Adobe."
        ),
        _(
            "In the Developer Console, delete that secret. Never delete the one in use. Then confirm the "
            "deletion here."
        ),
    ),
    Wait.SPARE_NEEDED: Explanation(
        ngettext_lazy(
            "Version %(version)s was going to be deleted at Adobe to make room for a new one, but %(count)s "
            "installation holds it, or may hold it: %(names)s.",
            "Version %(version)s was going to be deleted at Adobe to make room for a new one, but %(count)s "
            "installations hold it, or may hold it: %(names)s.",
            "count",
        ),
        _("Roll the version in use out there, or use the second version for this rotation."),
    ),
    Wait.UNKNOWN_SECRET: Explanation(
        _(
            "Adobe lists a second secret of this credential (created: %(created)s; last used: %(used)s). The "
            "portal does not have it: someone made it in the console."
        ),
        _("Enter it here if someone has it, or have it deleted at Adobe if nobody needs it."),
    ),
    Wait.ORPHAN: Explanation(
        _(
            "The portal asked Adobe for a new secret, but the answer was lost. Adobe lists a secret that was "
            "not there before (created: %(created)s; last used: %(used)s). If that request made it, nobody "
            "has it. If it was used, someone made it in the console."
        ),
        _("Have it deleted at Adobe; the rotation then makes another one."),
    ),
    Wait.OLD_MISSING: Explanation(
        ngettext_lazy(
            "Adobe lists %(count)s secret of this credential, but not the one in use. Perhaps someone "
            "deleted it, or the organization and credential numbers belong to a different credential.",
            "Adobe lists %(count)s secrets of this credential, but not the one in use. Perhaps someone "
            "deleted it, or the organization and credential numbers belong to a different credential.",
            "count",
        ),
        _("Compare the credential in the console. Then look again, or take the rotation back."),
    ),
    Wait.NEW_MISSING: Explanation(
        ngettext_lazy(
            "Adobe lists %(count)s secret of this credential, but not the new one. So the old one is not "
            "deleted: the containers might be left without a secret.",
            "Adobe lists %(count)s secrets of this credential, but not the new one. So the old one is not "
            "deleted: the containers might be left without a secret.",
            "count",
        ),
        _("Compare the credential in the console. Then look again, or take the rotation back."),
    ),
    Wait.ADOBE_REFUSED: Explanation(
        _("Adobe refused to manage the secrets of this credential: %(problem)s."),
        _(
            "Compare the organization and credential numbers, and add the I/O Management API to the project. "
            "Then look again, or continue by hand."
        ),
    ),
    Wait.SECRET_REFUSED: Explanation(
        _("Adobe was asked for a token with the new secret, and said: %(answer)s."),
        _("Look again, take the rotation back, or enter the right secret if the wrong one was entered."),
    ),
    Wait.NO_CANARY: Explanation(
        _("None of the installations can be pushed to: all are off, marked by hand, retired or hosted."),
        _("Look at the account's instances. The rotation continues as soon as one of them can be pushed to."),
    ),
    Wait.CANARY_FAILED: Explanation(
        _("The push to the canary %(installation)s was not proven: %(state)s."),
        _(
            "Look at the push, fix the cause and retry it: the rotation continues once it is proven. Or "
            "choose another canary, or take the rotation back."
        ),
    ),
    Wait.CANARY_CHANGED: Explanation(
        _(
            "The push to the canary %(installation)s was proven, but the new secret is no longer there: its "
            "file was changed, or another secret was pushed there since."
        ),
        _(
            "Roll the new secret out there: the rotation continues by itself. If the file was restored from "
            "a backup, find out why. Or choose another canary, or take the rotation back."
        ),
    ),
    Wait.STOPPED: Explanation(
        ngettext_lazy(
            "%(count)s installation failed, is unknown or is not proven: more than the rule %(rule)s "
            "allows. Nothing more is started.",
            "%(count)s installations failed, are unknown or are not proven: more than the rule %(rule)s "
            "allows. Nothing more is started.",
            "count",
        ),
        _("Fix the causes and retry the pushes. Then continue, or take the rotation back."),
    ),
    Wait.PAUSED: Explanation(
        _("%(who)s paused it. Nothing more is started."),
        _("Continue, or take the rotation back."),
    ),
    Wait.OPENED: Explanation(
        _(
            "Its policy opened it and stopped it after the canary: %(installation)s holds the new secret and "
            "is proven. Nothing more is started."
        ),
        _("Continue when you are ready, or take the rotation back."),
    ),
    Wait.NOBODY: Explanation(
        _("A policy started it in the name of %(who)s, who is no longer allowed to rotate secrets."),
        _("An admin must continue it, in their own name from then on, or take it back."),
    ),
    Wait.NOT_VERIFIED: Explanation(
        ngettext_lazy(
            "%(count)s installation is not verified on the new secret.",
            "%(count)s installations are not verified on the new secret.",
            "count",
        ),
        _("Look at the list below: each line says what is missing, and what to do."),
    ),
    Wait.USAGE_NEEDED: Explanation(
        _(
            "Nobody has entered yet when the old secret was last used. The console shows this with the "
            "secret."
        ),
        _("Look in the Developer Console, and enter what it says."),
    ),
    Wait.WHICH_SECRET: Explanation(
        ngettext_lazy(
            "Adobe lists %(count)s secret, but the portal cannot tell for certain which one it is.",
            "Adobe lists %(count)s secrets, but the portal cannot tell for certain which is which.",
            "count",
        ),
        _("Continue by hand: delete the right secret in the console, and confirm it here."),
    ),
    Wait.NEW_REFUSED: Explanation(
        _(
            "Adobe was asked for a token with the new secret, which the containers hold, and said: "
            "%(answer)s. Perhaps the wrong secret was deleted in the console. The portal's copy of the old "
            "one is kept."
        ),
        _(
            "Look in the console at once. If the new secret is gone and the old one is there, take the "
            "rotation back. Otherwise look again."
        ),
    ),
    Wait.DELETE_BY_HAND: Explanation(
        _(
            "Version %(version)s (%(fingerprint)s), entered on %(entered)s, is out of use here and can no "
            "longer be pushed. It still exists at Adobe. The containers hold version %(new_version)s "
            "(%(new_fingerprint)s), entered on %(new_entered)s."
        ),
        _(
            "In the Developer Console, delete the secret of version %(version)s. Never delete the secret of "
            "version %(new_version)s. If you are not sure which is which, do not delete either. Then confirm "
            "the deletion here: the portal asks Adobe whether the new secret still works before the rotation "
            "ends."
        ),
    ),
    Wait.STILL_HELD: Explanation(
        ngettext_lazy(
            "Since the gates were checked, %(count)s installation holds version %(version)s again, or it is "
            "being pushed there. It is not deleted at Adobe until that is fixed.",
            "Since the gates were checked, %(count)s installations hold version %(version)s again, or it is "
            "being pushed there. It is not deleted at Adobe until that is fixed.",
            "count",
        ),
        _("Roll the new secret out there: the list below says where."),
    ),
    Wait.STILL_LISTED: Explanation(
        _("Adobe was asked to delete the secret, but still lists it."),
        _("Adobe is asked again in a moment. If this does not change, look in the console."),
        by_itself=True,
    ),
    Wait.UNREADABLE: Explanation(
        _("The stored secret of version %(version)s cannot be decrypted with the portal's keys."),
        _("Ask the people who operate the portal: a key is missing from the key ring."),
    ),
    Wait.PORTAL_ERROR: Explanation(
        _("A step of this rotation ran into a defect of the portal. The log says which one."),
        _("It is tried again. Ask the people who operate the portal to look in the worker's log."),
    ),
    Wait.OLD_REFUSED: Explanation(
        _("Taking the rotation back needs the old secret, but Adobe refuses it: %(answer)s."),
        _("Look again, or continue with the new secret instead."),
    ),
    Wait.NOT_BACK: Explanation(
        ngettext_lazy(
            "%(count)s of the installations that were begun does not hold the old secret again.",
            "%(count)s of the installations that were begun do not hold the old secret again.",
            "count",
        ),
        _("Look at their pushes, fix the causes and retry them. Or continue with the new secret instead."),
    ),
    Wait.ENDED: Explanation(_("It has ended."), _ITSELF),
}


_NEVER_OPENS = _(
    "The next wave goes to %(environment)s, whose maintenance window never opens: this machine does not know "
    "its time zone."
)
FOR_PEOPLE = [wait for wait in Wait if not EXPLANATIONS[wait].by_itself and wait != Wait.ENDED]


def cause(code: str, params: dict[str, object]) -> str:
    """Return why a rotation waits, with what it names; a detail that is not there is a dash."""
    if code == Wait.WINDOW and params.get("until", "") is None:
        return _filled(_NEVER_OPENS, params)
    return _filled(EXPLANATIONS[code].cause, params)


def next_step(code: str, params: dict[str, object]) -> str:
    """Return what somebody does about it."""
    return _filled(EXPLANATIONS[code].next_step, params)


MOMENTS = ("until", "used", "created", "entered", "new_entered")
"""Params that are moments, stored as `iso` makes them."""


def iso(moment: datetime | None) -> str | None:
    """Return a moment as `Rotation.params` and `Rotation.adobe_secrets` hold it."""
    return moment.isoformat() if moment else None


class _Missing(int):
    """A detail that is not there: a dash, and several where a plural asks."""

    def __str__(self) -> str:
        return "—"


class _Named(dict[str, object]):
    def __missing__(self, key: str) -> _Missing:
        return _Missing(2)


def _filled(text: Promise, params: dict[str, object]) -> str:
    words = _Named({key: _shown(key, value, params) for key, value in params.items()})
    for name in ("count", "ended"):  # a plural asks for its number even where nothing has it
        words.setdefault(name, words[name])
    return str(text % words)


def _shown(key: str, value: object, params: dict[str, object]) -> object:
    """Return a detail as people read it; a code that nobody knows, or an older release's text, as it is."""
    if key in MOMENTS:
        return _moment(key, value)
    if key == "installation":
        return label_of(value)
    if key == "names" and isinstance(value, list):
        count = params.get("count")
        return some_of(map(label_of, value), count if isinstance(count, int) else len(value))
    if key == "hours":
        return duration(float(str(value)) * 3600)
    codes: dict[str, dict[object, object]] = {
        "problem": dict(TokenVerdict.choices if params.get("asks") == "ims" else Problem.choices),
        "answer": dict(TokenVerdict.choices),
        "state": dict(State.choices),
        "environment": dict(Instance.Environment.choices),
    }
    return codes.get(key, {}).get(value, value)


def _moment(key: str, value: object) -> str:
    if moment := parse_datetime(value) if isinstance(value, str) else None:
        return f"{localtime(moment):%Y-%m-%d %H:%M}"
    return gettext("never") if key == "used" else gettext("not known")
