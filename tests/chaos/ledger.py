"""Adds up rounds to figures, and holds them against the goals."""

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.chaos.bounds import HANG
from tests.chaos.canaries import leaks
from tests.chaos.plan import PORTAL_FAULTS, SITE_FAULTS, STAGES, possible
from tests.chaos.rounds import Hit, Result
from tests.chaos.services import POOL
from tests.chaos.workers import PLACES
from tests.chaos.world import World
from tests.figures import Cell, Goal, Report, percentile

# A worker's pools fill up with time: deliveries and failures. A leak in each round comes to more.
THREADS_MORE = PLACES + max(2, PLACES // 8)
FILES_MORE, MEGABYTES_MORE = POOL + 8, 60

WHOLE = 1000
"""A run of so many injections has to bring every fault to every stage."""


class Ledger:
    """The figures of a run."""

    def __init__(self, without: frozenset[str]) -> None:
        self.without = without
        self.results: list[Result] = []
        self.growth: list[list[Cell]] = []
        self.connections_at_first = 0
        self.leaks: list[str] = []

    def add(self, result: Result) -> None:
        self.results.append(result)

    @property
    def hits(self) -> list[Hit]:
        return [hit for result in self.results for hit in result.hits]

    @property
    def injections(self) -> int:
        return len(self.hits)

    @property
    def unmet(self) -> set[tuple[str, str]]:
        """Faults and stages that can meet, and did not so far."""
        return set(possible(self.without)) - {(hit.fault, hit.stage) for hit in self.hits}

    @staticmethod
    def problems(result: Result) -> Iterator[str]:
        """Everything about a round that should not be."""
        for when, judged in (("", result.judgement), ("after a retry: ", result.after_retry)):
            for kind in ("lost", "wrong", "stale", "unresolved"):
                yield from (f"{when}{kind}: {told}" for told in getattr(judged, kind))
        for hit in result.hits:
            if hit.recovery is None:
                yield f"never settled: {hit.fault} at {hit.stage} on {hit.site}"
            elif hit.recovery > hit.bound:
                late = f"{hit.recovery:.1f} s > {hit.bound:.1f} s"
                yield f"late: {hit.fault} at {hit.stage} on {hit.site}: {late}"
        if not result.is_chain_whole:
            yield "the audit chain is broken"
        yield from (f"torn after a retry: {told}" for told in result.after_retry.torn)
        if result.vanished:
            yield f"{result.vanished} of {result.plan.planned} planned injections are in no book"
        yield from result.leaks + result.troubles

    def end(self, world: World) -> None:
        """Take the last measures, while the world still stands."""
        self.leaks = leaks(world.services, world.logs, world.desk.secrets.values())
        for worker in world.workers:
            for number, life in enumerate(worker.lives, start=1):
                if len(life.measures) > 1:
                    first, last = life.measures[0], life.measures[-1]
                    self.growth.append(
                        [
                            f"{worker.name} ({number})", len(life.measures), first.threads, last.threads,
                            first.files, last.files, first.megabytes, last.megabytes,
                        ]
                    )  # fmt: skip

    def report(self, options: argparse.Namespace) -> int:
        seeds = [result.plan.seed for result in self.results]
        command = f"python -m tests.chaos --seeds {in_words(seeds)}" if seeds else "no round"
        report = Report(command)
        self._totals(report)
        self._coverage(report)
        self._recovery(report)
        self._resources(report)
        self._goals(report, options)
        return report.finish(options.record)

    def _count(self, kind: str) -> int:
        return sum(
            len(getattr(judged, kind))
            for result in self.results
            for judged in (result.judgement, result.after_retry)
        )

    def _totals(self, report: Report) -> None:
        states: Counter[str] = Counter()
        for result in self.results:
            states.update(result.judgement.states)
        rows: list[list[Cell]] = [
            ["rounds", len(self.results)],
            ["injections that hit", self.injections],
            ["injections planned", sum(r.plan.planned for r in self.results)],
            *self._misses(),
            ["pushes accepted", sum(r.accepted for r in self.results)],
            ["duplicates executed (same version)", sum(r.after_retry.duplicates for r in self.results)],
            [
                "said to be written though failed or cancelled",
                sum(r.judgement.told_written for r in self.results),
            ],
            ["files torn until people put them back", sum(len(r.judgement.torn) for r in self.results)],
            ["seconds", sum(r.seconds for r in self.results)],
        ]
        rows += [[f"ended as {state}", count] for state, count in sorted(states.items())]
        upper = f"{3 / self.injections:.2%}" if self.injections else "unknown"
        report.table(
            "Rounds", ["figure", ""], rows, f"95 % upper bound where 0 was seen: {upper} (rule of three)."
        )

    def _misses(self) -> list[list[Cell]]:
        counts = Counter(miss.why for result in self.results for miss in result.misses)
        return [[f"planned, but {why}", count] for why, count in sorted(counts.items())]

    def _coverage(self, report: Report) -> None:
        counts = Counter((hit.fault, hit.stage) for hit in self.hits)
        faults = [fault for fault in (*SITE_FAULTS, *PORTAL_FAULTS) if fault not in self.without]
        can = set(possible(self.without))
        rows: list[list[Cell]] = [
            [fault, *[counts[fault, stage] if (fault, stage) in can else "-" for stage in STAGES]]
            for fault in faults
        ]
        note = "-: cannot be. With the report in the portal a container's fault no longer concerns the push."
        if self.without:
            note += f" Not to be had on this machine: {', '.join(sorted(self.without))}."
        report.table("Injections that hit, by fault and stage", ["fault", *STAGES], rows, note)

    def _recovery(self, report: Report) -> None:
        by_fault: dict[str, list[Hit]] = defaultdict(list)
        for hit in self.hits:
            by_fault[f"{hit.fault}, for ever" if hit.lasting else hit.fault].append(hit)
        rows: list[list[Cell]] = []
        for fault, hits in sorted(by_fault.items()):
            times = [hit.recovery for hit in hits if hit.recovery is not None]
            if times:
                rows.append(
                    [
                        fault,
                        len(times),
                        percentile(times, 0.5),
                        percentile(times, 0.95),
                        max(times),
                        hits[0].bound,
                    ]
                )
        columns = ["seconds from the end of the fault to the outcome", "count", "p50", "p95", "max", "bound"]
        report.table("Recovery", columns, rows)

    def _resources(self, report: Report) -> None:
        columns = ["worker (life)", "rounds", "threads", "then", "files", "then", "MB", "then"]
        report.table("Workers at rest, after their first round and after their last", columns, self.growth)
        counts = [result.connections for result in self.results]
        if counts:
            rows: list[list[Cell]] = [[self.connections_at_first, counts[0], max(counts), counts[-1]]]
            columns = [
                "after a calm round, before any fault",
                "after the first round",
                "most",
                "after the last",
            ]
            report.table("Database connections of all workers at rest", columns, rows)

    def _goals(self, report: Report, options: argparse.Namespace) -> None:
        zero = {
            "pushes lost": self._count("lost"),
            "wrong verdicts": self._count("wrong"),
            "stale overwrites": self._count("stale"),
            "unknown left unresolved": self._count("unresolved"),
            "rounds with a broken audit chain": sum(not r.is_chain_whole for r in self.results),
            "secrets in logs, queue or dump": sum(len(r.leaks) for r in self.results) + len(self.leaks),
            "other troubles": sum(len(r.troubles) for r in self.results),
            "planned injections in no book": sum(r.vanished for r in self.results),
            "files still torn after a retry": sum(len(r.after_retry.torn) for r in self.results),
            "outcomes later than their bound": sum(
                hit.recovery is None or hit.recovery > hit.bound for hit in self.hits
            ),
        }
        for what, count in zero.items():
            report.goal(Goal(what, count, "at most", 0))
        longest = max((r.longest_attempt for r in self.results), default=None)
        report.goal(Goal("longest attempt", longest, "at most", HANG, "s"))
        abandoned = max((r.longest_abandoned for r in self.results), default=None)
        report.goal(Goal("longest attempt whose worker vanished", abandoned, "at most", HANG, "s"))
        more = [(row[3] - row[2], row[5] - row[4], row[7] - row[6]) for row in self.growth]  # type: ignore[operator]
        report.goal(
            Goal("threads more than at first", max((m[0] for m in more), default=0), "at most", THREADS_MORE)
        )
        report.goal(
            Goal("files more than at first", max((m[1] for m in more), default=0), "at most", FILES_MORE)
        )
        grown = max((m[2] for m in more), default=0.0)
        report.goal(Goal("memory more than at first", grown, "at most", MEGABYTES_MORE, "MB"))
        rest = max((r.connections for r in self.results), default=0)
        report.goal(Goal("database connections of workers at rest", rest, "at most", POOL * options.workers))
        report.goal(Goal("injections that hit", self.injections, "at least", options.injections))
        if options.injections >= WHOLE:
            report.goal(Goal("faults x stages that were never hit", len(self.unmet), "at most", 0))


def in_words(seeds: list[int]) -> str:
    """Seeds as the command line takes them, runs of them as one: `1..75,78`."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ",".join(f"{run[0]}..{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
