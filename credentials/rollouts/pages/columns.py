"""Which columns of related rows lists of failed pushes read: `progress.with_names` reads no others."""

PLACE = ("installation__instance__name", "container__name")
ROLLOUT = ("rollout__number", "rollout__secret__version", "rollout__secret__account__name")
JUDGED = (
    "installation__instance__deployment",
    "rollout__secret__state",
    "rollout__secret__account__state",
    "container__is_enabled",
    "container__is_by_hand",
    "installation__retired",
    "installation__instance__retired",
    "installation__container__retired",
    "installation__instance__assignment__account",
    "installation__desired__push",
)
"""What decides whether a push can be retried."""
REACHED = (
    "installation__instance__environment",
    "installation__instance__uses_triggers",
    "container__address",
    "container__port",
    "container__login",
    "container__jump_host__name",
)
"""Where a container is, for those who look for it on the network, and what a push does there besides."""
FAILED = (*PLACE, "installation__container__name", *REACHED, *ROLLOUT, *JUDGED)
"""Everything that a failed push is shown, judged and told of with."""
