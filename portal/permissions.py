"""What a page is for: permissions. Who lacks one is told which roles have it."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from django.contrib.auth.decorators import user_passes_test
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied

from portal.roles import ROLES

View = Callable[..., Any]  # Any: what Django lets a view return


class NotPermitted(PermissionDenied):
    """The person lacks one of these permissions, each `app.codename`."""

    def __init__(self, permissions: Sequence[str]) -> None:
        super().__init__()
        self.permissions = permissions

    @property
    def roles(self) -> list[str]:
        """The names of the roles that have them all."""
        return [name for name, having in ROLES.items() if having >= set(self.permissions)]


def permission_required(
    permission: str | Sequence[str], *, raise_exception: Literal[True]
) -> Callable[[View], View]:
    """Refuse a view to a person without the permission, as Django's decorator does; the refusal names it.

    `raise_exception` tells the reader, as with Django's, that nobody is sent to the page of signing in.
    """
    needed = [permission] if isinstance(permission, str) else permission

    def has_them(user: User | AnonymousUser) -> bool:
        if not user.has_perms(needed):
            raise NotPermitted(needed)
        return True

    return user_passes_test(has_them)
