"""Records sign-in, failed sign-in, lock-out and sign-out in the audit trail, and counts failures.

Django tells of these only by signals: its own views authenticate, there is no service of ours to record from.
Nothing else in the portal uses signals.
"""

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.http import HttpRequest

from portal.audit.models import Actor, record
from portal.people import lock_out


def connect() -> None:
    """Listen; called once when the app is ready."""
    user_logged_in.connect(_signed_in, dispatch_uid="people.signed_in")
    user_logged_out.connect(_signed_out, dispatch_uid="people.signed_out")
    user_login_failed.connect(_failed, dispatch_uid="people.failed")


def _signed_in(request: HttpRequest, user: User, **_: object) -> None:
    lock_out.forget_failures(user.get_username(), lock_out.address_of(request))
    _record("sign_in.succeeded", _actor(request, user))


def _signed_out(request: HttpRequest, user: User | None, **_: object) -> None:
    if user is not None:
        _record("sign_in.ended", _actor(request, user))


def _failed(credentials: dict[str, object], request: HttpRequest | None = None, **_: object) -> None:
    if request is None:
        return
    name = str(credentials.get("username"))
    failures = lock_out.count_failure(name, lock_out.address_of(request))
    if not failures:
        return  # a try against a lock: nobody may flood the history from the sign-in page
    user = _known(name)
    _record("sign_in.failed", _nobody(request), user=user)
    if failures == lock_out.FAILURE_LIMIT:
        _record("sign_in.locked", _nobody(request), user=user)


def _known(name: str) -> str:
    """Return a name that exists; other input may be a password typed in the wrong field."""
    user = User.objects.filter(username=name[:150].replace("\0", "")).first()
    return user.username if user else ""


def _actor(request: HttpRequest, user: User) -> Actor:
    nobody = _nobody(request)
    return Actor(user.get_username(), user, nobody.ip, nobody.request_id)


def _nobody(request: HttpRequest) -> Actor:
    meta = request.META
    return Actor("anonymous", None, meta.get("portal.client_ip", ""), meta.get("portal.request_id", ""))


@transaction.atomic
def _record(action: str, actor: Actor, **details: object) -> None:
    record(action, actor=actor, target=actor.user, details=details)
