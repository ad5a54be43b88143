"""Who may rotate secrets: asked anew each time that something is done in a person's name."""

from collections.abc import Collection

from django.contrib.auth.models import User

PERMISSION = "rotation.manage_rotation"


def may_rotate(user: User | None) -> bool:
    """Whether a person may start and steer rotations; None: it was set at the command line."""
    return user is None or (user.is_active and user.has_perm(PERMISSION))


def who_may_rotate(people: Collection[int]) -> set[int]:
    """Return those of these people, by their ids, who may do so: one statement for all of them."""
    allowed = User.objects.with_perm(PERMISSION).filter(pk__in=people)
    return set(allowed.order_by().values_list("pk", flat=True))
