"""How fast pushes are, against what a person would use instead: scenarios of `python -m tests.benchmarks`.

Each makes its own containers, portal and workers, and adds its tables and goals to the report. A portal is
warmed up by one rollout that does not count, which also meets every host key for the first time.
"""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from tests.benchmarks.ansible import FORKS, Ansible
from tests.benchmarks.containers import make_fleet
from tests.benchmarks.contenders import LINE, Contender, Lap, Race, interleaved, median_seconds, ratio
from tests.benchmarks.course import Size, make_folder, make_race
from tests.benchmarks.site import SUCCEEDED, Rollout, Site, make_embedded_site, make_site
from tests.figures import Cell, Goal, Report, percentile, say, shown
from tests.services.usage import Peak, forget_peak, memory, peak_memory
from tests.services.wiretap import Wiretap

NLSERVER_SECONDS = 2.0
SHIPPED_WORKERS = 2
SHIPPED_PLACES = 32
SHIPPED_PER_ROLLOUT = 28
DELAY_PAUSE = 1.0  # seconds, the most between two presses
COSTS = ["own CPU/push (ms)", "database and broker (ms)", "sshd and containers (ms)"]
# What a container that does not answer may honestly be called.
HONEST = ("failed timed_out", "failed host_unreachable")


def rollout(report: Report, size: Size) -> None:
    """Push to every container, nlserver taking two seconds: press to last verdict, against all others."""
    with make_race(size, containers=size.containers, pause=NLSERVER_SECONDS) as race, _shipped(race) as other:
        race.ansible = Ansible.find(size.ansible, race.fleet.folder.parent / "ansible", race.fleet)
        race.portal()
        other.portal()
        if race.ansible:
            race.ansible.push("shell", "true", LINE, race.fleet.targets[0].name)
        contenders = _contenders(race, other)
        laps = interleaved(contenders, size.rounds)
    medians = {name: median_seconds(each) for name, each in laps.items()}
    report.goal(at_the_first_try("rollout", laps["portal"]))
    report.table(
        f"{size.containers} containers, nlserver takes {NLSERVER_SECONDS:g} s",
        [
            "contender",
            "seconds",
            "against the bare loop",
            "each round",
            "what runs there",
            "what is known afterwards",
        ],
        [
            [
                contender.name,
                _cell(medians[contender.name]),
                _cell(ratio(medians[contender.name], medians["bare loop"])),
                ", ".join(shown(lap.seconds) for lap in laps[contender.name]) or "-",
                contender.does,
                contender.proves,
            ]
            for contender in contenders
        ],
        "Medians. In turns, on the same sshd and folders. Portal: press to last verdict recorded, "
        f"{size.workers_told}; as shipped: {SHIPPED_WORKERS} workers with {SHIPPED_PLACES} places, "
        f"{SHIPPED_PER_ROLLOUT} of them for one rollout. Bare loops: {size.at_once} threads, their start not "
        f"counted. Ansible: its defaults with {FORKS} forks, host keys checked, all connections new, its "
        f"start counted. {_again('rollout')}",
    )
    portal, bare = medians["portal"], medians["bare loop"]
    report.goal(Goal("Rollout against the bare loop", ratio(portal, bare), "at most", 1.25, "x"))
    report.goal(Goal("Faster than ansible raw", ratio(medians["ansible raw"], portal), "at least", 3, "x"))
    report.goal(
        Goal("Faster than ansible shell", ratio(medians["ansible shell"], portal), "at least", 8, "x")
    )


@contextmanager
def _shipped(race: Race) -> Iterator[Race]:
    """Run a second portal on the same containers, with the places that a portal has unless told otherwise."""
    shipped = {"PUSHES_PER_ROLLOUT": str(SHIPPED_PER_ROLLOUT)}
    with make_site(race.fleet.folder.parent / "shipped", shipped) as site:
        site.stock(race.fleet)
        with site.working(SHIPPED_WORKERS, SHIPPED_PLACES):
            yield Race(race.fleet, site, race.concurrency)


def _contenders(race: Race, shipped: Race) -> list[Contender]:
    conversation = "the portal's script, fed with the line"
    proof = "file read back; verdict, attempt, audit recorded"
    plain = "nlserver config, then its reload"
    exit_status = "exit status; nothing recorded"
    found = race.ansible is not None
    if not found:
        say("Skipped: ansible-core is not installed (make bench makes its environment).")
    by_raw = (lambda: race.by_ansible("raw")) if found else None
    by_shell = (lambda: race.by_ansible("shell")) if found else None
    script_by_raw = race.script_by_ansible if found else None
    return [
        Contender("bare loop", lambda: race.bare("script"), conversation, exit_status),
        Contender("portal", race.portal, conversation, proof),
        Contender("portal, as shipped", shipped.portal, conversation, proof),
        Contender("bare loop, plain", lambda: race.bare("plain"), plain, exit_status),
        Contender("ansible raw", by_raw, plain, exit_status),
        Contender("ansible shell", by_shell, plain, exit_status),
        Contender("ansible raw, script", script_by_raw, conversation, exit_status),
    ]


def instant(report: Report, size: Size) -> None:
    """Push to every container, nlserver taking no time: what the portal itself costs."""
    with make_race(size, containers=size.containers) as race:
        race.portal()
        contenders = [
            Contender("bare loop", lambda: race.bare("script")),
            Contender("portal", race.portal),
        ]
        laps = interleaved(contenders, size.rounds)
    report.goal(at_the_first_try("instant", laps["portal"]))
    rates = {
        name: statistics.median(size.containers / lap.seconds for lap in each) for name, each in laps.items()
    }
    report.table(
        f"{size.containers} containers, nlserver takes no time",
        ["contender", "pushes/s", "each round", *COSTS],
        [
            [
                name,
                rates[name],
                ", ".join(shown(size.containers / lap.seconds) for lap in each),
                *_costs(each, size.containers),
            ]
            for name, each in laps.items()
        ],
        f"Medians. Portal: {size.workers_told}, database and broker are PostgreSQL (durable) and Redis. Bare "
        f"loop: {size.at_once} threads, the portal's script. {_again('instant')}",
    )
    report.goal(
        Goal(
            "Pushes/s against the bare loop",
            ratio(rates["portal"], rates["bare loop"]),
            "at least",
            0.6,
            "x",
        )
    )


def _costs(laps: Sequence[Lap], pushes: int) -> list[Cell]:
    """Return what one push cost, the median of all laps, in milliseconds of processor."""
    return [
        statistics.median(lap.own for lap in laps) / pushes * 1000,
        statistics.median(lap.services for lap in laps) / pushes * 1000,
        statistics.median(lap.containers for lap in laps) / pushes * 1000,
    ]


def many(report: Report, size: Size) -> None:
    """Push to ten times as many containers: the cost of one push, and the memory of the workers."""
    with make_race(size, containers=size.many) as race:
        few = [target.name for target in race.fleet.targets[: size.containers]]
        race.portal()
        contenders = [
            Contender(f"{size.containers}", lambda: race.portal(*few)),
            Contender(f"{size.many}", race.portal),
        ]
        kept: list[float] = []
        laps: dict[str, list[Lap]] = {contender.name: [] for contender in contenders}
        before = _memory(race.site)
        for _ in range(size.rounds):
            for name, each in interleaved(contenders, 1).items():
                laps[name] += each
            kept.append(_memory(race.site))
    report.goal(at_the_first_try("scale", [lap for each in laps.values() for lap in each]))
    counts = {name: int(name) for name in laps}
    report.table(
        "Cost of one push",
        ["pushes in the rollout", "pushes/s", *COSTS],
        [
            [
                name,
                statistics.median(counts[name] / lap.seconds for lap in each),
                *_costs(each, counts[name]),
            ]
            for name, each in laps.items()
        ],
        f"Medians of {size.rounds}, in turns; nlserver takes no time. {_again('scale')}",
    )
    per_push = [
        statistics.median(lap.own + lap.services for lap in each) / counts[name]
        for name, each in laps.items()
    ]
    report.goal(
        Goal(
            f"CPU per push, {size.many} against {size.containers}",
            ratio(per_push[1], per_push[0]),
            "at most",
            1.1,
            "x",
        )
    )
    report.table(
        "Memory of a worker over all these pushes (MB)",
        ["before", *(f"after round {number}" for number in range(1, size.rounds + 1))],
        [[before, *kept]],
        f"The larger of the workers; each round is {size.containers + size.many:,} pushes. {_again('scale')}",
    )
    report.goal(Goal("Memory after the last round", ratio(kept[-1], kept[0]), "at most", 1.1, "x the first"))


def at_the_first_try(scenario: str, laps: Sequence[Lap]) -> Goal:
    """Return the goal that no attempt is made in vain: a push that waits for its next one spoils the time."""
    codes = sum((Counter(lap.in_vain) for lap in laps), Counter())
    told = ", ".join(f"{count} {code}" for code, count in sorted(codes.items()))
    return Goal(f"{scenario}: attempts in vain" + (f" ({told})" if told else ""), codes.total(), "at most", 0)


def at_once(report: Report, size: Size) -> None:
    """Have one worker alone speak with all containers at the same time."""
    with make_folder() as folder, ExitStack() as stack:
        fleet = stack.enter_context(
            make_fleet(folder / "fleet", containers=size.containers, pause=NLSERVER_SECONDS)
        )
        site = stack.enter_context(make_site(folder / "portal"))
        site.stock(fleet)
        rows: list[list[Cell]] = []
        with site.working(1, size.containers):
            pid = site.worker_pids[0]
            before = memory(pid)
            for number in range(1, size.rounds + 1):
                forget_peak(pid)
                with Peak([pid]) as peak, fleet.expecting(site.console.client_id):
                    site.press().require_success()
                rows.append([number, before, peak_memory(pid), memory(pid), peak.threads, peak.descriptors])
                before = memory(pid)
    report.table(
        f"One worker, {size.containers} pushes at the same time",
        ["round", "MB before", "MB at peak", "MB after", "threads at peak", "descriptors at peak"],
        rows,
        f"nlserver takes {NLSERVER_SECONDS:g} s, so that all of them stand open together. {_again('memory')}",
    )
    highest = max(float(row[2]) for row in rows)
    report.goal(Goal(f"Memory of a worker at {size.containers} pushes", highest, "at most", 250, "MB"))


def one_handshake(report: Report, size: Size) -> None:
    """Push ten instances that live on one container."""
    with make_race(size, containers=1, instances=10) as race:
        race.portal()
        contenders = [
            Contender("bare loop", lambda: race.bare("script")),
            Contender("portal", race.portal),
        ]
        laps = interleaved(contenders, size.rounds)
    most = {name: max(lap.handshakes for lap in each) for name, each in laps.items()}
    report.table(
        "Ten instances on one container",
        ["contender", "handshakes", "seconds", "each round"],
        [
            [name, most[name], _cell(median_seconds(each)), ", ".join(shown(lap.seconds) for lap in each)]
            for name, each in laps.items()
        ],
        f"Handshakes are logins in sshd's log, the most of any round. The portal writes one instance after "
        f"the other, the bare loop all at once. {_again('one-handshake')}",
    )
    report.goal(Goal("Handshakes for ten instances", most["portal"], "at most", 1))


def delay(report: Report, size: Size) -> None:
    """Press on an idle portal, and see when its connection arrives at the container."""
    waits = {
        "PostgreSQL and Redis": _waits(size, embedded=False),
        "SQLite and files": _waits(size, embedded=True),
    }
    report.table(
        "From the press to the first connection (seconds)",
        ["portal", "median", "p95", "longest", "presses"],
        [
            [name, statistics.median(each), percentile(each, 0.95), max(each), len(each)]
            for name, each in waits.items()
        ],
        f"One idle worker, presses up to {DELAY_PAUSE:g} s after the end of the one before. The press is the "
        f"call that the page makes; the arrival is a TCP connection at a listener before sshd. "
        f"{_again('delay')}",
    )
    for (name, each), limit in zip(waits.items(), (0.2, 1), strict=True):
        report.goal(Goal(f"First connection, {name}", statistics.median(each), "at most", limit, "s"))


def _waits(size: Size, *, embedded: bool) -> list[float]:
    with make_folder() as folder, ExitStack() as stack:
        fleet = stack.enter_context(make_fleet(folder / "fleet", containers=1))
        tap = stack.enter_context(Wiretap(fleet.server.port))
        fleet.targets = [replace(target, address="127.0.0.1", port=tap.port) for target in fleet.targets]
        make = make_embedded_site if embedded else make_site
        site = stack.enter_context(make(folder / "portal"))
        site.stock(fleet)
        with site.working(1, size.concurrency):
            site.press().require_success()
            pressed = site.press_often(size.presses, pause=DELAY_PAUSE)
    for each in pressed:
        each.require_success()
    return [_first_after(each.pressed, tap.arrivals) - each.pressed for each in pressed]


def _first_after(moment: float, arrivals: Sequence[float]) -> float:
    return min(arrival for arrival in arrivals if arrival >= moment)


def unreachable(report: Report, size: Size) -> None:
    """Push to the containers while many more do not answer at all."""
    alone: list[Rollout] = []
    mixed: list[Rollout] = []
    # One try each: the pauses of further ones would only be waited for.
    with make_race(
        size, containers=size.containers, dead=size.dead, environment={"PUSH_RETRY_DELAYS": ""}
    ) as race:
        reachable = [target.name for target in race.fleet.targets]
        limit = 600 + size.dead * 0.2
        race.portal(*reachable)
        with Peak(race.site.worker_pids) as idle:
            pass
        with Peak(race.site.worker_pids) as peak:
            for _ in range(size.rounds):
                with race.fleet.expecting(race.site.console.client_id):
                    alone.append(race.site.press(*reachable))
                with race.fleet.expecting(race.site.console.client_id):
                    mixed.append(race.site.press(limit=limit))
    report.table(
        f"{size.dead:,} containers that do not answer, and {size.containers} that do",
        ["rollout", "reachable done (s)", "each round", "all done (s)", "verdicts"],
        [
            _reached("reachable ones alone", alone),
            _reached("all", mixed),
        ],
        f"Medians. The dead ones swallow every SYN and get one try each; {size.workers_told}. "
        f"{_again('unreachable')}",
    )
    report.table(
        "A worker during these rollouts",
        ["", "at rest", "at its peak"],
        [["threads", idle.threads, peak.threads], ["file descriptors", idle.descriptors, peak.descriptors]],
        f"The highest of the workers. {_again('unreachable')}",
    )
    slower = ratio(_done(mixed), _done(alone))
    report.goal(Goal("Reachable ones, with the dead against without", slower, "at most", 5, "x"))
    dishonest = max(size.dead - sum(each.counts.get(name, 0) for name in HONEST) for each in mixed)
    report.goal(Goal("Dead containers without an honest code", dishonest, "at most", 0))
    late = max(size.containers - each.counts.get(SUCCEEDED, 0) for each in (*alone, *mixed))
    report.goal(Goal("Reachable containers that did not succeed", late, "at most", 0))


def _reached(name: str, rollouts: Sequence[Rollout]) -> list[Cell]:
    return [
        name,
        _done(rollouts),
        ", ".join(shown(each.ends[SUCCEEDED]) for each in rollouts),
        statistics.median(each.seconds for each in rollouts),
        ", ".join(f"{count:,} {verdict}" for verdict, count in rollouts[-1].counts.items()),
    ]


def _done(rollouts: Sequence[Rollout]) -> float:
    """Return when the last success was recorded, the median of all rollouts."""
    return statistics.median(each.ends[SUCCEEDED] for each in rollouts)


def _memory(site: Site) -> float:
    return max(memory(pid) for pid in site.worker_pids)


def _cell(value: float | None) -> Cell:
    return "not measured" if value is None else value


def _again(scenario: str) -> str:
    return f"Again: `make bench ARGS={scenario}`."
