"""The number in the top bar: how many pushes wait for a person."""

from django.http import HttpRequest

from credentials.rollouts.models import Push

MOST = 1000
"""Every page counts so far and no farther; it then shows "999+"."""


def attention(request: HttpRequest) -> dict[str, int]:
    """Return the count of failed and unknown pushes, for people who may see them."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not user.has_perm("rollouts.view_rollout"):
        return {}
    return {"attention_count": Push.objects.needing_attention().order_by()[:MOST].count()}
