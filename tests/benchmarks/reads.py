"""What reading costs, beside pushing: a scenario of `python -m tests.benchmarks`.

A read may come to every container every day, so it has to be cheap on both sides.
"""

import shlex
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from instances.nlserver.conversation import HARMLESS_LINES
from instances.nlserver.job import Job, Mode, command, read_job
from tests.benchmarks.containers import Fleet, Target, make_fleet
from tests.benchmarks.contenders import LINE, Lap, Race, line_for_zeros, with_zeros
from tests.benchmarks.course import Size, make_folder
from tests.benchmarks.site import ACCOUNT, Site, make_site
from tests.figures import Cell, Goal, Report
from tests.services.accounts import NEOLANE
from tests.services.usage import cpu_seconds

NONCE = "bench"
FENCE = 10**9  # newer than whatever was pushed before


@dataclass(frozen=True)
class Script:
    """What one conversation takes on the container, and on the wire before SSH's own bytes."""

    processes: int
    there: int
    back: int


def reads(report: Report, size: Size) -> None:
    """Have every container read, and count what one read costs here, there and in the database."""
    with make_folder() as folder, ExitStack() as stack:
        fleet = stack.enter_context(make_fleet(folder / "fleet", containers=size.many))
        site = stack.enter_context(make_site(folder / "portal"))
        site.stock(fleet)
        few = [target.name for target in fleet.targets[: size.containers]]
        statements = site.ask("--statements", few[0], ACCOUNT, patience=120)
        with site.working(size.workers, size.concurrency):
            race = Race(fleet, site, size.at_once)
            _read_all(fleet, site)  # which meets every host key for the first time
            race.portal(*few)
            laps: dict[str, list[Lap]] = {"push": [], "read": []}
            for _ in range(size.rounds):
                laps["push"].append(race.portal(*few))
                laps["read"].append(_read_all(fleet, site))
        # One that no portal has pushed to: it would let nobody else in.
        scripts: Mapping[str, Script] = {
            "push": script_of(fleet.targets[-1], "apply"),
            "read": script_of(fleet.targets[-1], "read"),
        }
    counts = {"push": len(few), "read": size.many}
    report.table(
        "Cost of one read, and of one push",
        [
            "what",
            "how many",
            "in a second",
            "own CPU (ms)",
            "database and broker (ms)",
            "sshd and containers (ms)",
            "statements",
            "processes there",
            "bytes there",
            "bytes back",
        ],
        [
            _row(what, counts[what], laps[what], int(str(statements[what])), scripts[what])
            for what in ("read", "push")
        ],
        f"Medians of {size.rounds}, in turns; nlserver takes no time, one instance on each container. "
        f"{size.workers_told}, of which readings take an eighth. Statements: those of the visit. Processes: "
        f"those that the script starts. Bytes: what is said, without SSH's own. "
        "Again: `make bench ARGS=reads`.",
    )
    report.goal(Goal("reads: in vain", sum(lap.in_vain.get("", 0) for lap in laps["read"]), "at most", 0))
    report.goal(
        Goal(
            "CPU of a read against a push, here and there",
            _cpu(laps["read"], counts["read"]) / _cpu(laps["push"], counts["push"]),
            "at most",
            1,
            "x",
        )
    )


def _row(what: str, count: int, laps: Sequence[Lap], statements: int, script: Script) -> list[Cell]:
    def each(values: Sequence[float]) -> float:
        return statistics.median(values) / count * 1000

    return [
        what,
        count,
        statistics.median(count / lap.seconds for lap in laps),
        each([lap.own for lap in laps]),
        each([lap.services for lap in laps]),
        each([lap.containers for lap in laps]),
        statements,
        script.processes,
        script.there,
        script.back,
    ]


def _cpu(laps: Sequence[Lap], count: int) -> float:
    return statistics.median(lap.own + lap.services + lap.containers for lap in laps) / count


def _read_all(fleet: Fleet, site: Site) -> Lap:
    """Have every container read once, and return what that took; `in_vain` counts those that failed."""
    assert fleet.server.pid
    before = site.worker_cpu(), site.service_cpu(), cpu_seconds(fleet.server.pid), fleet.handshakes()
    told = site.ask("--limit", "1800", patience=2000)
    counts = told["counts"]
    assert isinstance(counts, dict)
    return Lap(
        seconds=float(str(told["seconds"])),
        own=site.worker_cpu() - before[0],
        services=site.service_cpu() - before[1],
        containers=cpu_seconds(fleet.server.pid) - before[2],
        handshakes=fleet.handshakes() - before[3],
        in_vain={"": sum(number for end, number in counts.items() if end != "succeeded")},
    )


def script_of(target: Target, mode: Mode) -> Script:
    """Run the portal's script as neolane, in a namespace where every process has the next number."""
    job = read_job(install_root=str(target.root), become="none")
    if mode != "read":
        job = Job(target.instances[0], str(target.root), "none", fence=FENCE, attempt=1)
    told = with_zeros(command(job, mode, NONCE))
    line = line_for_zeros(LINE, NONCE)
    said = "" if mode == "read" else "harmless\n" * HARMLESS_LINES + f"{line}\n"
    idle, _output = _numbered("true", "")
    busy, output = _numbered(told, said)
    if f"PORTAL {NONCE} done=yes" not in output:
        raise AssertionError(f"the script did not come to its end: {output}")
    return Script(busy - idle, len(told) + len(said), len(output))


def _numbered(told: str, said: str) -> tuple[int, str]:
    """Run a command line; return how many processes there were until its end, and what it printed."""
    number = "sh -c 'echo number $$; :'"
    inner = f"{number}; runuser -u {NEOLANE} -- sh -c {shlex.quote(told)}; {number}"
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "sh", "-c", inner],
        input=said,
        capture_output=True,
        text=True,
        timeout=120,
        cwd="/",
        check=True,
    )
    lines = done.stdout.splitlines()
    first, last = (int(line.removeprefix("number ")) for line in (lines[0], lines[-1]))
    return last - first, "\n".join(lines[1:-1])
