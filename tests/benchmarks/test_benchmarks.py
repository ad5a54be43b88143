"""The benchmark measures what it says: a small race over real OpenSSH, and what would falsify its figures."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks import admin_urls, pages, pushes, scale
from tests.benchmarks.ansible import Ansible
from tests.benchmarks.containers import Fleet, make_fleet, swallowing_port
from tests.benchmarks.contenders import OTHER, Contender, Lap, interleaved, median_seconds, ratio
from tests.benchmarks.course import Size, make_folder, make_race
from tests.benchmarks.visits import VISITS
from tests.figures import Goal, Report
from tests.services.accounts import require_accounts
from tests.services.postgres_server import reason_against_postgres
from tests.services.programs import require, require_that
from tests.services.usage import Peak, cpu_seconds, forget_peak, memory, peak_memory

CONTAINERS = 5


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Two containers that no portal knows."""
    require_accounts()
    require("sshd")
    with make_folder() as folder, make_fleet(folder / "fleet", containers=2) as made:
        yield made


@pytest.mark.slow
def test_bare_loop_and_portal_push_to_the_same_containers() -> None:
    require_accounts()
    require("sshd")
    require("redis-server")
    require_that(not reason_against_postgres(), "no PostgreSQL here (Debian package postgresql)")
    size = Size(workers=1, concurrency=CONTAINERS)
    with make_race(size, containers=CONTAINERS) as race:
        contenders = [
            Contender("script", lambda: race.bare("script")),
            Contender("portal", race.portal),
            Contender("plain", lambda: race.bare("plain")),
        ]
        laps = interleaved(contenders, 1)
    for name, (lap,) in laps.items():
        assert lap.handshakes == CONTAINERS
        assert lap.seconds > 0
        assert lap.own > 0
        assert lap.containers > 0
        assert (lap.services > 0) == (name == "portal")


def test_an_attempt_in_vain_misses_a_goal() -> None:
    lap = Lap(seconds=1, containers=1, handshakes=3, in_vain={"timed_out": 2})
    goal = pushes.at_the_first_try("scale", [Lap(1, 1, 3), lap, lap])
    assert not goal.is_met
    assert goal.row[0] == "scale: attempts in vain (4 timed_out)"
    assert pushes.at_the_first_try("scale", [Lap(1, 1, 3)]).is_met


def test_a_container_that_was_not_written_spoils_the_lap(fleet: Fleet) -> None:
    with (
        pytest.raises(AssertionError, match=r"c00000: .* should have been written once"),
        fleet.expecting(OTHER.client_id),
    ):
        pass


def test_a_container_that_was_written_twice_spoils_the_lap(fleet: Fleet) -> None:
    target = fleet.targets[0]
    with (
        pytest.raises(AssertionError, match="should have been written once"),
        fleet.expecting(OTHER.client_id, [target]),
    ):
        _run_nlserver(fleet, OTHER.client_id, times=2)


def test_a_container_that_holds_something_else_spoils_the_lap(fleet: Fleet) -> None:
    target = fleet.targets[0]
    with fleet.expecting("another", [target]):
        _run_nlserver(fleet, "another")
    with (
        pytest.raises(AssertionError, match="does not hold"),
        fleet.expecting(OTHER.client_id, [target]),
    ):
        _run_nlserver(fleet, "another")


def _run_nlserver(fleet: Fleet, client_id: str, *, times: int = 1) -> None:
    target = fleet.targets[0]
    told = f"-setimsoauth:organization/{client_id}/account/secret"
    program = [str(target.base / "bin/nlserver"), "config", f"-instance:{target.instances[0]}", told]
    for _ in range(times):
        subprocess.run(program, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


def test_a_swallowing_port_answers_on_no_address() -> None:
    with swallowing_port() as port, socket.socket() as probe:
        probe.settimeout(0.5)
        with pytest.raises(TimeoutError):
            probe.connect(("127.1.20.250", port))


def test_who_cannot_run_is_not_measured_and_misses_the_goal(tmp_path: Path, fleet: Fleet) -> None:
    assert Ansible.find(tmp_path / "missing", tmp_path / "home", fleet) is None
    laps = interleaved([Contender("ansible", None), Contender("portal", lambda: Lap(2.0, 0, 0))], 3)
    assert [len(each) for each in laps.values()] == [0, 3]
    speed = ratio(median_seconds(laps["ansible"]), median_seconds(laps["portal"]))
    assert speed is None
    assert not Goal("faster than ansible", speed, "at least", 3).is_met


def test_contenders_take_turns_and_the_median_counts() -> None:
    seconds = iter([9.0, 1.0, 2.0])
    order = []

    def runs(name: str) -> Lap:
        order.append(name)
        return Lap(next(seconds) if name == "a" else 4.0, 0, 0)

    laps = interleaved([Contender("a", lambda: runs("a")), Contender("b", lambda: runs("b"))], 3)
    assert order == ["a", "b"] * 3
    assert median_seconds(laps["a"]) == 2.0
    assert ratio(median_seconds(laps["a"]), median_seconds(laps["b"])) == 0.5


def test_the_processor_time_of_ended_children_counts() -> None:
    before = cpu_seconds(os.getpid())
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert cpu_seconds(os.getpid()) - before >= 0.4  # in hundredths, rounded down


def test_a_peak_is_seen_after_it_has_passed() -> None:
    enough = threading.Event()
    threads = [threading.Thread(target=enough.wait) for _ in range(20)]
    with Peak([os.getpid()]) as rest:
        pass
    for thread in threads:
        thread.start()
    with Peak([os.getpid()]) as peak:
        enough.set()
    assert peak.threads >= rest.threads + 20
    assert peak.descriptors >= 3
    for thread in threads:
        thread.join()


def test_the_peak_of_memory_can_be_forgotten() -> None:
    mine = os.getpid()
    forget_peak(mine)
    before = peak_memory(mine)
    taken = bytearray(os.urandom(1024)) * (64 * 1024)
    assert peak_memory(mine) >= before + 60
    del taken
    forget_peak(mine)
    assert peak_memory(mine) <= memory(mine) + 10


def test_a_scenario_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        command.main(["rollouts"])
    assert refused.value.code == 2
    assert "no such scenario: rollouts" in capsys.readouterr().err


def test_goals_of_speed_are_about_lists_and_details() -> None:
    report = Report("make bench")
    fast, slow = [0.01] * 20, [0.5] * 20
    rows = [
        pages.Row("a list", "list", "app.model", "empty", (5, 5), (9, 9), slow, fast, fast),
        pages.Row("a detail", "detail", "app.model", "one", (5, 5), (9, 1_000), fast, fast, slow),
        pages.Row("a form", "task", "app.model", "empty", (5, 6), (9, 1_001), slow, fast, fast),
    ]
    pages.show_pages(report, rows, scale.ONE)
    queries, fetched, bare, admin = (goal.what for goal in report.goals)
    assert queries == "pages, of 3, with more queries (a form)"
    assert fetched == "pages, of 3, that fetch more than 1,000 rows (a form)"
    assert bare == "lists and details, of 2, more than 2 times as slow as bare (a list)"
    assert admin == "lists and details, of 2, less than 3 times as fast as the admin's list (a list)"
    assert len(report.tables[0].rows) == 3


@pytest.mark.slow
@pytest.mark.one_engine
@pytest.mark.timeout(600)
def test_the_pages_of_what_was_seen_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ROUNDS", 1)
    reason = reason_against_postgres()
    require_that(not reason, reason or "")
    report = tmp_path / "report.md"
    command.main(["seen", "--quick", "--record", str(report)])
    told = report.read_text()
    assert "| coverage | list |" in told
    assert "| instance_timeline, as of | detail |" in told
    assert "| seen: pages, of 22, with more statements | 0 |" in told


def test_every_page_has_a_list_of_the_admin_to_be_compared_with() -> None:
    columns = {model._meta.label_lower: (model, names) for model, names in admin_urls.COLUMNS.items()}
    assert {visit.table for visit in VISITS} <= set(columns)
    for model, names in columns.values():
        assert all(name == "pk" or model._meta.get_field(name) for name in names)
