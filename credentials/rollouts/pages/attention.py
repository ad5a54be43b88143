"""The number in the top bar: how many pushes wait for a person."""

from django.http import HttpRequest

from credentials.rollouts.models import Push

MOST = 1000
"""Every page counts up to this number; above it, it shows "999+"."""


def attention(request: HttpRequest) -> dict[str, int]:
    """Return how many pushes wait for a person or for the outcome of a retry, for people who may see them.

    A retry alone takes none away: a number that falls at once would say that something was mended.
    """
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not user.has_perm("rollouts.view_rollout"):
        return {}
    waiting = Push.objects.needing_attention().order_by()[:MOST].count()
    retried = Push.objects.sent_again().order_by()[:MOST].count()
    return {"attention_count": min(waiting + retried, MOST)}
