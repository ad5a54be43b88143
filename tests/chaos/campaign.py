"""Round after round, and the figures of all of them."""

import argparse
import time

from tests.chaos.bounds import Bounds
from tests.chaos.ledger import WHOLE, Ledger
from tests.chaos.plan import Plan, calm_plan, make_plan
from tests.chaos.rounds import Result, Round
from tests.chaos.services import Services
from tests.chaos.world import World, keep, make_world
from tests.figures import say

REST_SECONDS = 90.0


def run(
    services: Services, options: argparse.Namespace, *, without: frozenset[str], small_disks: bool
) -> int:
    """Run the rounds of these seeds until enough was injected or time is up; return the exit status."""
    ledger = Ledger(without)
    with make_world(services, sites=options.sites, workers=options.workers, small_disks=small_disks) as world:
        calm = Round(calm_plan(), world, Bounds(calm=60)).run()
        bounds, ledger.connections_at_first = Bounds(calm.seconds), calm.connections
        say(f"A calm rollout to {options.sites} containers takes {bounds.calm:.1f} s here.")
        for seed in options.seeds:
            plan = make_plan(seed, sites=options.sites, without=without)
            if time.monotonic() > options.ends:
                break
            if ledger.injections >= options.injections and not _is_still_wanted(plan, ledger, options):
                continue
            world.wait_for_workers()
            result = Round(plan, world, bounds).run()
            ledger.add(result)
            _tell(result, ledger, world, options)
            if not result.after_retry.is_clean and not _comes_to_rest(world):
                say("The world did not come to rest; no further rounds.")
                break
        ledger.end(world)
    return ledger.report(options)


def _is_still_wanted(plan: Plan, ledger: Ledger, options: argparse.Namespace) -> bool:
    """Whether a round brings what a whole run still lacks, although enough was injected."""
    return options.every_seed or (options.injections >= WHOLE and bool(ledger.unmet & plan.cards))


def _comes_to_rest(world: World) -> bool:
    """Whether what a failed round left open ends after all, now that nothing disturbs the portal."""
    ends = time.monotonic() + REST_SECONDS
    while time.monotonic() < ends:
        world.supervise()
        view = world.desk.look(world.desk.rollouts)
        if view and view.is_quiet:
            return True
        time.sleep(0.5)
    return False


def _tell(result: Result, ledger: Ledger, world: World, options: argparse.Namespace) -> None:
    plan, hit, missed = result.plan, len(result.hits), len(result.misses)
    say(
        f"seed {plan.seed}: {plan.fault}, {plan.people}; {hit} hit, {missed} missed, "
        f"{dict(result.judgement.states)}, {result.seconds:.0f} s; {ledger.injections} injections so far"
    )
    for told in result.judgement.torn:
        say(f"    torn, until people mend it: {told}")
    for problem in ledger.problems(result):
        say(f"    {problem}")
    if not result.is_clean:
        folder = keep(world.services.home, options.keep / f"seed-{plan.seed}")
        say(f"    repeat it alone: python -m tests.chaos --seeds {plan.seed}; kept: {folder}")
