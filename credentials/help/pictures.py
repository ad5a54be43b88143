"""The pictures of the help: what each one shows, for the browser test that makes them."""

from dataclasses import dataclass
from pathlib import Path

from credentials.help.topics import FOLDER

PICTURES_FOLDER = FOLDER / "pictures"
STATIC_PREFIX = "help"
"""Under it the pictures are static files: `help/<name>.<language>.png`."""


@dataclass(frozen=True)
class Picture:
    """One picture, made once for each language as `<name>.<language>.png`."""

    name: str
    page: str
    """The name of the URL."""
    role: str
    shows: str
    """What has to be on it."""
    width: int = 1200
    """Of the browser's window, in pixels."""

    def file(self, language: str) -> Path:
        """Return where it is, whether or not it was made."""
        return PICTURES_FOLDER / f"{self.name}.{language}.png"


PICTURES = (
    Picture(
        "home-admin",
        "home",
        "Admin",
        "the fleet today with figures by environment, two lines under What needs you now, an open rotation",
    ),
    Picture(
        "home-helpdesk",
        "home",
        "Helpdesk",
        "two causes of failed pushes, each with What to do, its contact and its button to retry",
    ),
    Picture(
        "home-auditor",
        "home",
        "Auditor",
        "the chart of the last quarter, the oldest secrets in use, an intact last verification",
    ),
    Picture(
        "wizard-review",
        "wizard",
        "Admin",
        "the step Review of a new account: What will happen, how long it takes, Start the rollout",
    ),
    Picture(
        "rollout-under-way",
        "rollout",
        "Admin",
        "a rollout of about 12 pushes, half of them succeeded, one failed, one running, the others queued",
    ),
    Picture(
        "push-failed",
        "push",
        "Helpdesk",
        "a push that failed as connection_refused: cause, What to do, Retry now",
    ),
    Picture(
        "rotation-gate",
        "rotation",
        "Admin",
        "a rotation that waits at its canary (canary_unused): steps, cause, buttons, at least one wave",
    ),
    Picture(
        "history-evidence",
        "history",
        "Auditor",
        "the history narrowed to Last quarter, with Evidence pack and Verify among the buttons",
    ),
)
