"""Whether a password is right: not looked at while there is a lock, and a few at once."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from portal.people.signing_in import turns
from portal.people.signing_in.lock_out import Counter, Origin, locked_until


class PasswordBackend(ModelBackend):
    """Django's, behind locks and turns. `turns.Busy` if there was no turn; then no failure is counted."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,  # Django's own signature
    ) -> User | None:
        if request is None:
            return super().authenticate(request, username, password, **kwargs)
        counter = Counter(str(username), Origin.of(request, str(username)))
        _refuse_if_locked(counter)
        lane = turns.known if counter.origin.device else turns.strangers
        with lane.turn():
            _refuse_if_locked(counter)  # others failed while this one waited
            return super().authenticate(request, username, password, **kwargs)

    def get_user(self, user_id: int) -> User | None:
        """Return a person with the preferences, which every page asks for."""
        user = User.objects.select_related("preferences").filter(pk=user_id).first()
        return user if user and self.user_can_authenticate(user) else None


def _refuse_if_locked(counter: Counter) -> None:
    if locked_until(counter):
        raise PermissionDenied
