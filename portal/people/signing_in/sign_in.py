"""Records sign-in, failed sign-in, lock-out and sign-out in the audit trail, and counts failures.

Django tells of these only by signals: its own views authenticate, there is no service of ours to record from.
Nothing else in the portal uses signals.
"""

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from portal.audit.names import PersonName
from portal.audit.trail import Actor, record
from portal.people.signing_in import tally
from portal.people.signing_in.lock_out import FAILURE_LIMIT, Counter, Origin, count_failure, forget_failures


def connect() -> None:
    """Listen; called once when the app is ready."""
    user_logged_in.connect(_signed_in, dispatch_uid="people.signed_in")
    user_logged_out.connect(_signed_out, dispatch_uid="people.signed_out")
    user_login_failed.connect(_failed, dispatch_uid="people.failed")


def _signed_in(request: HttpRequest, user: User, **_: object) -> None:
    name = user.get_username()
    forget_failures(Counter(name, Origin.of(request, name)))
    _record("sign_in.succeeded", _actor(request, user))


def _signed_out(request: HttpRequest, user: User | None, **_: object) -> None:
    if user is not None:
        _record("sign_in.ended", _actor(request, user))


@transaction.atomic
def _failed(credentials: dict[str, object], request: HttpRequest | None = None, **_: object) -> None:
    if request is None:
        return
    name, now = str(credentials.get("username")), timezone.now()
    user = _known(name)
    origin = Origin.of(request, name)
    failures = count_failure(Counter(name, origin), user, now)
    is_lock = failures == FAILURE_LIMIT
    known_name = PersonName(user.get_username() if user else "")
    is_single = tally.add(
        name=known_name, address=origin.address, now=now, is_failure=failures > 0, is_lock=is_lock
    )
    if is_single:
        _record("sign_in.failed", _nobody(request), user=known_name)
        if is_lock:
            _record("sign_in.locked", _nobody(request), user=known_name)


def _known(name: str) -> User | None:
    """Return the person of a name; other input may be a password typed in the wrong field."""
    return User.objects.filter(username=name[:150].replace("\0", "")).first()


def _actor(request: HttpRequest, user: User) -> Actor:
    nobody = _nobody(request)
    return Actor(user.get_username(), user, nobody.ip, nobody.request_id)


def _nobody(request: HttpRequest) -> Actor:
    meta = request.META
    ip, request_id = meta.get("portal.client_ip", ""), meta.get("portal.request_id", "")
    return Actor("anonymous", None, ip, request_id, is_person=False)


@transaction.atomic
def _record(action: str, actor: Actor, **details: object) -> None:
    record(action, actor=actor, target=actor.user, details=details)
