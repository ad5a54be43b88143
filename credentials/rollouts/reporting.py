"""Waits for a rollout at the command line, and reports its outcome."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from credentials.rollouts.models import Rollout
from credentials.rollouts.progress import Progress, PushLine, named, progress_of, push_lines
from portal import command_line
from portal.command_line import table

INTERVAL = 0.5  # seconds between two looks at the database
HEADINGS = ("INSTANCE", "CONTAINER", "STATE", "CODE", "ATTEMPTS", "SECONDS")


def wait(rollout: Rollout, *, seconds: float, tell: Callable[[str], object]) -> Progress:
    """Wait until every push has an outcome, at most `seconds`; `tell` gets a line whenever one moved."""
    deadline = time.monotonic() + seconds
    told = ""
    while True:
        progress = progress_of([rollout])[rollout.pk]
        line = f"{progress.ended} of {progress.total} ended: {tally(progress)}"
        if line != told:
            tell(line)
            told = line
        if not progress.open or time.monotonic() >= deadline:
            return progress
        time.sleep(min(INTERVAL, max(0.0, deadline - time.monotonic())))


def tally(progress: Progress) -> str:
    """Return the counts in words of the data model: `3 succeeded, 1 failed`."""
    return ", ".join(f"{count} {state}" for state, _word, count in progress.tally)


def as_json(rollout: Rollout, **more: object) -> str:
    """Return the rollout as one JSON object: number, state, every push, and what else is given.

    Moments are in ISO 8601, in UTC, or null. At `next_try` the portal sends or looks again.
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
    state = progress_of([rollout])[rollout.pk].state
    return command_line.as_json({"rollout": rollout.number, "state": state, "pushes": pushes, **more})


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
        f"\n{line.push.installation}: unknown since {_moment(line.unknown_since) or '?'}, "
        f"next look {_moment(line.next_try) or 'at once'}"
        for line in lines
        if line.push.state == "unknown"
    ]


def advice(lines: list[PushLine]) -> list[str]:
    """Return cause and next step of each code among failed and unknown pushes, once."""
    open_ends = [line.push for line in lines if line.push.state in ("failed", "unknown")]
    said = {
        f"\n{push.code}: {push.explanation.cause}\n  {push.explanation.next_step}"
        for push in open_ends
        if push.explanation
    }
    return sorted(said)
