"""Waits for a rollout at the command line, and reports its outcome."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.rollouts.models import Rollout
from credentials.rollouts.progress import Progress, PushLine, named, progress_of, push_lines
from portal import command_line
from portal.command_line import table
from portal.punctuation import labelled

INTERVAL = 0.5  # seconds between two looks at the database
HEADINGS = (
    gettext_lazy("INSTANCE"),
    gettext_lazy("CONTAINER"),
    gettext_lazy("STATE"),
    gettext_lazy("CODE"),
    gettext_lazy("ATTEMPTS"),
    gettext_lazy("SECONDS"),
)


def wait(rollout: Rollout, *, seconds: float, tell: Callable[[str], object]) -> Progress:
    """Wait until every push has an outcome, at most `seconds`; `tell` gets a line whenever one moved."""
    deadline = time.monotonic() + seconds
    told = ""
    while True:
        progress = progress_of([rollout])[rollout.pk]
        line = _("%(ended)s of %(total)s ended: %(tally)s") % {
            "ended": progress.ended,
            "total": progress.total,
            "tally": tally(progress),
        }
        if line != told:
            tell(line)
            told = line
        if not progress.open or time.monotonic() >= deadline:
            return progress
        time.sleep(min(INTERVAL, max(0.0, deadline - time.monotonic())))


def tally(progress: Progress) -> str:
    """Return the counts in words: `3 succeeded, 1 failed`."""
    return ", ".join(text for _state, text, _count in progress.tally)


def as_json(rollout: Rollout, **more: object) -> str:
    """Return the rollout as one JSON object: number, state, every push, and what else is given.

    Moments are in ISO 8601, in UTC, or null. At `next_try` the portal sends or looks again. `shown_state` is
    what the pages show: `partly` where only some pushes failed or are unknown.
    """
    pushes = [
        {
            "instance": line.push.installation.instance.name,
            "container": line.push.container.name,
            "state": line.push.state,
            "code": line.push.code,
            "attempts": line.attempts,
            "seconds": round(line.seconds, 3),
            "unknown_since": _moment(line.unknown_since),
            "next_try": _moment(line.next_try),
        }
        for line in _lines(rollout)
    ]
    progress = progress_of([rollout])[rollout.pk]
    found = {
        "rollout": rollout.number,
        "state": progress.state,
        "shown_state": progress.shown_state,
        "states": progress.counts,
        "pushes": pushes,
    }
    return command_line.as_json(found | more)


def _moment(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def as_table(rollout: Rollout) -> str:
    """Return the outcome of every push as a table, with cause and next step of what did not succeed."""
    lines = _lines(rollout)
    return "\n".join([table(HEADINGS, map(_row, lines)), *_unknown(lines), *advice(lines)])


def _lines(rollout: Rollout) -> list[PushLine]:
    return push_lines(named(rollout.pushes.all()))


def _row(line: PushLine) -> tuple[str, ...]:
    push = line.push
    names = (push.installation.instance.name, push.container.name, push.state, push.code or "-")
    return (*names, str(line.attempts), f"{line.seconds:.1f}")


def _unknown(lines: list[PushLine]) -> list[str]:
    """Return since when each unknown push is unknown, and when the portal looks again."""
    return [
        "\n"
        + _("%(installation)s: unknown since %(since)s, next look %(next_look)s")
        % {
            "installation": line.push.installation.label,
            "since": _moment(line.unknown_since) or "?",
            "next_look": _moment(line.next_try) or _("at once"),
        }
        for line in lines
        if line.push.state == "unknown"
    ]


def advice(lines: list[PushLine]) -> list[str]:
    """Return cause and next step of each code among failed and unknown pushes, once."""
    open_ends = [line.push for line in lines if line.push.state in ("failed", "unknown")]
    said = {
        f"\n{labelled(push.code, push.explanation.cause)}\n  {push.explanation.next_step}"
        for push in open_ends
        if push.explanation
    }
    return sorted(said)
