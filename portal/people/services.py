"""What admins do with users, and how Django's groups are kept in step with `portal.roles`."""

from collections.abc import Iterator

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from portal.audit.trail import Actor, record
from portal.roles import ROLES

MANAGING = {role for role, permissions in ROLES.items() if "auth.change_user" in permissions}


class PersonError(Exception):
    """A change of a user that the rules refuse; the text is for the person who asked."""


@transaction.atomic
def sync_roles() -> dict[str, int]:
    """Give each role's group exactly the permissions of `portal.roles`; return how many each has.

    `LookupError` names a permission that does not exist.
    """
    known = {
        f"{p.content_type.app_label}.{p.codename}": p
        for p in Permission.objects.select_related("content_type")
    }
    counts = {}
    for role, wanted in ROLES.items():
        missing = wanted - known.keys()
        if missing:
            raise LookupError(f"{role}: no such permission: {', '.join(sorted(missing))}")
        group, _created = Group.objects.get_or_create(name=role)
        group.permissions.set(known[name] for name in wanted)
        counts[role] = len(wanted)
    return counts


def active_admins() -> QuerySet[User]:
    """Return the people who can sign in and manage users."""
    manages = Q(groups__name__in=MANAGING) | Q(is_superuser=True)
    return User.objects.filter(manages, is_active=True).distinct()


def create_user(*, name: str, password: str, role: str, actor: Actor) -> User:
    """Create a person with one role."""
    user = User(username=User.normalize_username(name), password=make_password(password))
    with transaction.atomic():  # without the hashing, which takes half a second: others wait for its locks
        user.save()
        user.groups.set([Group.objects.get(name=role)])
        record("user.created", actor=actor, target=user, details={"role": role})
    return user


@transaction.atomic
def change_role(*, user: User, role: str, actor: Actor) -> bool:
    """Give a person another role, in force at their next click. False: they have it already.

    `PersonError` if nobody could manage users any more.
    """
    user = _locked(user)
    former = role_of(user)
    if former == role:
        return False
    user.groups.set([Group.objects.get(name=role)])
    _keep_one_admin()
    record("user.role_changed", actor=actor, target=user, details={"role": role, "former_role": former})
    return True


@transaction.atomic
def deactivate(*, user: User, actor: Actor) -> None:
    """Lock a person out and end their sessions at once; what they did stays in the history.

    `PersonError` if nobody could manage users any more.
    """
    user = _locked(user)
    if not user.is_active:
        return
    user.is_active = False
    user.save(update_fields=["is_active"])
    _keep_one_admin()
    ended = end_sessions(user)
    record("user.deactivated", actor=actor, target=user, details={"sessions_ended": ended})


@transaction.atomic
def reactivate(*, user: User, actor: Actor) -> None:
    """Let a person sign in again, with the role and password they had."""
    user = _locked(user)
    if user.is_active:
        return
    user.is_active = True
    user.save(update_fields=["is_active"])
    record("user.reactivated", actor=actor, target=user)


def set_password(*, user: User, password: str, actor: Actor) -> None:
    """Set a password. The hash in every session of that person stops matching, which ends them."""
    user.set_password(password)
    action = "user.password_changed" if actor.user == user else "user.password_reset"
    with transaction.atomic():  # without the hashing, as above
        user.save(update_fields=["password"])
        record(action, actor=actor, target=user)


def role_of(user: User) -> str:
    """Return the name of a person's role, or an empty string."""
    return next((group.name for group in user.groups.all() if group.name in ROLES), "")


def end_sessions(user: User) -> int:
    """Delete every session of a person; return how many."""
    keys = list(_session_keys(str(user.pk)))
    Session.objects.filter(pk__in=keys).delete()
    return len(keys)


def _session_keys(user_id: str) -> Iterator[str]:
    for session in Session.objects.iterator():
        if session.get_decoded().get(SESSION_KEY) == user_id:
            yield session.session_key


def _locked(user: User) -> User:
    # one change of admins at a time, or two admins who demote each other leave none
    list(Group.objects.select_for_update().filter(name__in=MANAGING))
    return User.objects.select_for_update().get(pk=user.pk)


def _keep_one_admin() -> None:
    if not active_admins().exists():
        raise PersonError(
            _("This is the last active person who can manage users. Make someone else an admin first.")
        )
