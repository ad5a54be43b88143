"""By what the lists of rollouts and of failed pushes can be ordered, on pages and in files."""

from portal.web.lists import Orders

ROLLOUT_ORDERS = Orders(
    {
        "number": ["number"],
        "account": ["secret__account__name", "number"],
        "reason": ["reason", "number"],
    },
    usual="-number",
)
FAILED_ORDERS = Orders(
    {
        "requested": ["requested", "-pk"],
        "instance": ["installation__instance__name", "installation__container__name", "pk"],
        "state": ["state", "-requested", "pk"],
        "rollout": ["rollout__number", "pk"],
    },
    usual="-requested",
)
