"""Is this process ready to serve? Every part of the portal registers what it cannot do without."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future

from portal.health.bounded import Bounded

logger = logging.getLogger(__name__)
PATIENCE = 2.0  # seconds for all checks together; a load balancer waits no longer
AGAIN = 60.0  # seconds
Check = Callable[[], None]
_said: dict[str, tuple[float, str]] = {}
"""When each check last gave which kind of reason."""
_checks: dict[str, Bounded[None]] = {}


def ready_if(name: str) -> Callable[[Check], Check]:
    """Register a check under `name`: it raises, with the reason for the log, if the portal is not ready."""

    def register(check: Check) -> Check:
        _checks[name] = Bounded(check)
        return check

    return register


def states() -> dict[str, str]:
    """Run every check and return `ok` or `failed` for each. Reasons go to the log alone."""
    deadline = time.monotonic() + PATIENCE
    running = {name: check.start() for name, check in _checks.items()}
    return {name: _state(name, answer, deadline) for name, answer in running.items()}


def is_ready(name: str) -> bool:
    """Run the check of this name alone, with the same patience."""
    return _state(name, _checks[name].start(), time.monotonic() + PATIENCE) == "ok"


def _state(name: str, answer: "Future[None]", deadline: float) -> str:
    try:
        error = answer.exception(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        error = TimeoutError(f"no answer within {PATIENCE:g} seconds")
    if error is None:
        _said.pop(name, None)
        return "ok"
    _say(name, error)
    return "failed"


def _say(name: str, error: BaseException) -> None:
    """Log a reason, but the same one only once a minute: anybody may ask, and as often as they like."""
    now, kind = time.monotonic(), type(error).__name__
    said_at, said = _said.get(name, (-AGAIN, ""))
    if now - said_at >= AGAIN or said != kind:
        _said[name] = (now, kind)
        logger.warning("not ready", extra={"check": name, "reason": f"{kind}: {error}"})
