"""Records sign-in, failed sign-in, lock-out and sign-out in the audit trail.

Django tells of these only by signals: its own views authenticate, there is no service of ours to record from.
Nothing else in the portal uses signals.
"""

from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.http import HttpRequest

from portal.audit.models import Actor, record


def connect() -> None:
    """Listen; called once when the app is ready."""
    user_logged_in.connect(_signed_in, dispatch_uid="people.signed_in")
    user_logged_out.connect(_signed_out, dispatch_uid="people.signed_out")
    user_login_failed.connect(_failed, dispatch_uid="people.failed")


def _signed_in(request: HttpRequest, user: User, **_: object) -> None:
    _record("sign_in.succeeded", _actor(request, user))


def _signed_out(request: HttpRequest, user: User | None, **_: object) -> None:
    if user is not None:
        _record("sign_in.ended", _actor(request, user))


def _failed(credentials: dict[str, object], request: HttpRequest | None = None, **_: object) -> None:
    if request is None:
        return
    # axes counts first, since its app stands before ours. Tries during a lock add no event: nobody may
    # flood the history from the sign-in page.
    failures = AxesProxyHandler.get_failures(request, credentials)
    user = _known(credentials.get("username"))
    if failures <= settings.AXES_FAILURE_LIMIT:
        _record("sign_in.failed", _nobody(request), user=user)
    if failures == settings.AXES_FAILURE_LIMIT:
        _record("sign_in.locked", _nobody(request), user=user)


def _known(name: object) -> str:
    """Return a name that exists; other input may be a password typed in the wrong field."""
    user = User.objects.filter(username=str(name)[:150].replace("\0", "")).first()
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
