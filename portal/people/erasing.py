"""Erases a person's name where somebody asked to be forgotten. Only the command `erase_name` does it."""

from django.contrib.auth.models import User
from django.db import transaction

from portal.audit import erasing
from portal.audit.erasing import Erasure
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.people.services import end_sessions


class NobodyOfThatName(Exception):
    """Neither a user nor the history has the name."""


class StillActive(Exception):
    """The person can still sign in."""


@transaction.atomic
def erase_name(*, name: str, reason: str, actor: Actor) -> Erasure:
    """Erase a user's name, or another one that the history knows as a name, as a recorded act.

    The user stays as a number, without password and with a name that means nothing. `NobodyOfThatName`;
    `StillActive` if that user was not deactivated.
    """
    user = User.objects.select_for_update().filter(username=name).first()
    acted = AuditEvent.objects.filter(actor_name=name, actor=None)
    if user is None and not acted.exists() and not erasing.is_known(name):
        raise NobodyOfThatName
    if user and user.is_active:
        raise StillActive
    if user:
        end_sessions(user)
        user.first_name = user.last_name = user.email = ""
        user.last_login = None
        user.set_unusable_password()
        user.save()
    return erasing.erase(name, user=user, reason=reason, actor=actor)
