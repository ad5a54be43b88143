"""What people are told of rotations: that a secret is due, and that one waits for a person or ended."""

from django.urls import reverse
from django.utils.dateparse import parse_datetime
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from credentials.rotation.models import Policy, Rotation
from credentials.rotation.standing import WHY, Standing
from credentials.rotation.waits import EXPLANATIONS, Wait, cause, next_step
from portal.notices.kinds import Batch, Kind, Told, Words, register
from portal.notices.notes import note
from portal.punctuation import labelled

DUE, WAITING, ENDED = "rotation.due", "rotation.waiting", "rotation.ended"
PROGRESS = (Wait.PUSHING, Wait.CANARY_UNUSED, Wait.IDLE, Wait.STILL_USED, Wait.WINDOW)
"""After these a wait is another one than before, even if it has the same name."""


def note_due(policy: Policy, standing: Standing) -> None:
    """Have people told that the secret of an account is due, in the caller's transaction."""
    details = {"due": standing.due.isoformat(), "policy": policy.kind, "why": standing.why}
    link = reverse("rotation_start", args=[policy.account_id])
    note(DUE, subject=policy.account.name, details=details, link=link)


def note_wait(rotation: Rotation, former: str) -> None:
    """Have people told that a rotation, which waited for `former`, waits for a person from now on.

    Each wait is told once, also where a reading or a call to Adobe comes in between. Changes the row.
    """
    if rotation.wait in PROGRESS:
        rotation.told = ""
    now = f"{rotation.state}:{rotation.wait}"
    if not rotation.needs_person or rotation.wait == former or rotation.told == now:
        return
    rotation.told = now
    _note(WAITING, rotation, {"wait": rotation.wait, "params": rotation.params})


def note_end(rotation: Rotation) -> None:
    """Have people told that a rotation ended, in the caller's transaction."""
    new = rotation.new.version if rotation.new else None
    _note(ENDED, rotation, {"state": rotation.state, "old": rotation.old.version, "new": new})


def _note(kind: str, rotation: Rotation, details: dict[str, object]) -> None:
    link = reverse("rotation", args=[rotation.pk])
    note(kind, subject=rotation.account.name, details={"rotation": rotation.number} | details, link=link)


def _due(batch: Batch) -> Words:
    if only := batch.only:
        day = parse_datetime(str(only.details.get("due")))
        words = {"account": only.subject, "day": f"{localtime(day):%Y-%m-%d}" if day else "—"}
        lines = [str(WHY[why])] if (why := str(only.details.get("why"))) in WHY else []
        return Words(_("The secret of %(account)s has been due for rotation since %(day)s") % words, lines)
    return Words(
        ngettext("%d secret is due for rotation", "%d secrets are due for rotation", batch.count)
        % batch.count,
        [batch.names],
        reverse("rotations"),
    )


def _waiting(batch: Batch) -> Words:
    if only := batch.only:
        words = {"rotation": _name(only), "wait": _wait(only)}
        code, params = str(only.details.get("wait")), only.details.get("params")
        lines = []
        if code in EXPLANATIONS:
            lines = [cause(code, params if isinstance(params, dict) else {}), next_step(code, {})]
        return Words(_("%(rotation)s waits for a person: %(wait)s") % words, lines)
    lines = [labelled(_name(each), _wait(each)) for each in batch.first]
    return Words(
        ngettext("%d rotation waits for a person", "%d rotations wait for a person", batch.count)
        % batch.count,
        lines,
        reverse("rotations"),
    )


def _name(told: Told) -> str:
    words = {"number": told.details.get("rotation"), "account": told.subject}
    return _("Rotation #%(number)s of %(account)s") % words


def _wait(told: Told) -> str:
    code = str(told.details.get("wait"))
    return str(dict(Wait.choices).get(code, code))


def _ended(batch: Batch) -> Words:
    lines = [labelled(_name(each), _end(each)) for each in batch.first]
    if batch.only:
        return Words(lines[0])
    return Words(
        ngettext("%d rotation ended", "%d rotations ended", batch.count) % batch.count,
        lines,
        reverse("rotations"),
    )


def _end(told: Told) -> str:
    if told.details.get("state") == Rotation.State.TAKEN_BACK:
        return _("taken back to version %s") % told.details.get("old")
    text = _("version %(old)s is deleted, version %(new)s is in use")
    return text % {"old": told.details.get("old"), "new": told.details.get("new")}


register(Kind(DUE, gettext_lazy("Secret due for rotation"), _due, quiet=60))
register(Kind(WAITING, gettext_lazy("Rotation waits for a person"), _waiting, quiet=60))
register(Kind(ENDED, gettext_lazy("Rotation ended"), _ended, quiet=60))
