"""The services that other tests stand on do what they promise."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
from django.contrib.auth.models import Group
from playwright.sync_api import BrowserContext, Page
from psycopg import sql

from tests.services.accounts import CAMPAIGN, NEOLANE, ROOT, SudoLog
from tests.services.argv_sampler import ArgvSampler, Sighting
from tests.services.chromium import PageFaults, no_faults_left
from tests.services.fixtures import StartOpenSSH, StartProcess
from tests.services.openssh_server import OpenSSHServer
from tests.services.postgres_server import PostgresServer
from tests.services.processes import Process, descendants
from tests.services.programs import require, require_that
from tests.services.redis_server import RedisServer
from tests.services.usage import cpu_seconds
from tests.services.waiting import DeadlineExceededError, accepts_connections, free_port, wait_until

ROOT_FOLDER = Path(__file__).resolve().parents[2]
WITH_POSTGRES = ROOT_FOLDER / "tests/services/with_postgres.py"
READ_ONE_LINE = 'echo ready; read -r line; echo got "$line" as $(id -un)'


def process_exists(pid: int) -> bool:
    stat = Path("/proc", str(pid), "stat")
    return stat.exists() and ") Z" not in stat.read_text()


# Programs


def test_a_missing_program_skips_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no frobnicator here"):
        require("frobnicator")


def test_a_missing_program_fails_where_all_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_ALL", "1")
    # A skip is caught too: it would otherwise skip this test instead of failing it.
    with pytest.raises((pytest.fail.Exception, pytest.skip.Exception), match="no frobnicator here") as ended:
        require("frobnicator")
    assert ended.type is pytest.fail.Exception


def test_an_unmet_condition_skips_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="the moon is not full"):
        require_that(condition=False, otherwise="the moon is not full")


# Waiting


def test_waiting_gives_the_first_true_answer() -> None:
    answers = iter([0, 0, 7, 8])
    assert wait_until(lambda: next(answers), within=120, what="a number") == 7


def test_waiting_in_vain_names_the_state_the_last_answer_and_the_hint() -> None:
    with pytest.raises(DeadlineExceededError, match=r"for the tide; last answer: 0\nthe log"):
        wait_until(lambda: 0, within=0.05, what="the tide", hint=lambda: "the log")


# Processes


def test_a_process_shows_its_lines_and_its_exit_status(start_process: StartProcess) -> None:
    process = start_process(["sh", "-c", "echo port 4711; exit 3"], name="teller")
    assert process.wait_for_exit(within=120) == 3
    assert process.output() == "port 4711\n"
    assert process.log.name == "teller.log"


def test_waiting_for_a_line_gives_the_match(start_process: StartProcess) -> None:
    process = start_process(["sh", "-c", "echo starting; echo port 4711; exec sleep 60"])
    assert process.wait_for_line(r"^port (\d+)$", within=120)[1] == "4711"


def test_waiting_for_a_process_that_ended_fails_at_once_with_its_output(start_process: StartProcess) -> None:
    process = start_process(["sh", "-c", "echo no such option >&2; exit 2"])
    with pytest.raises(AssertionError, match=r"ended \(2\) before port(.|\n)*no such option"):
        process.wait_for(lambda: False, within=60, what="port")


def test_stopping_a_process_ends_its_deaf_children_too(start_process: StartProcess) -> None:
    script = "sh -c 'trap \"\" TERM; echo child $$; while :; do sleep 1; done' & wait"
    process = start_process(["sh", "-c", script])
    child = int(process.wait_for_line(r"^child (\d+)$", within=120)[1])
    process.stop()
    assert process.exit_status == -signal.SIGTERM
    wait_until(lambda: not process_exists(child), within=120, what="the child's end")


def test_a_process_deaf_to_the_stop_signal_is_killed(start_process: StartProcess) -> None:
    process = start_process(["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"])
    process.wait_for_line("^deaf$", within=120)
    process.stop(within=0.2)
    assert process.exit_status == -signal.SIGKILL


def test_the_time_of_what_a_process_orphaned_counts_where_it_is_adopted(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.5: pass\nprint('worked')"
    # The inner shell ends at once and leaves the busy program to whoever takes it.
    argv = ["sh", "-c", """sh -c '"$0" -c "$1" &' "$0" "$1"; exec sleep 60""", sys.executable, busy]
    with Process(argv, log=tmp_path / "log", adopts=True) as process:
        process.wait_for_line("^worked$", within=120)
        process.wait_for(lambda: len(descendants(process.pid)) == 1, within=120, what="the end of the orphan")
        assert cpu_seconds(process.pid) >= 0.49
    assert process.exit_status == -signal.SIGTERM


def test_a_process_ends_when_the_test_run_is_killed(tmp_path: Path) -> None:
    program = (
        "import pathlib, signal, sys\n"
        "from tests.services.processes import Process\n"
        "process = Process(['sleep', '60'], log=pathlib.Path(sys.argv[1]))\n"
        "process.wait_for(lambda: pathlib.Path(f'/proc/{process.pid}/comm').read_text() == 'sleep\\n',"
        " within=120, what='sleep')\n"
        "print(process.pid, flush=True)\n"
        "signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "log"], cwd=ROOT_FOLDER, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        pid = int(run.stdout.readline())
        assert process_exists(pid)
        run.kill()
    wait_until(lambda: not process_exists(pid), within=120, what="the end of what the killed run had started")


# Arguments


def test_the_sampler_sees_arguments_of_other_processes_only_with_the_needle(
    start_process: StartProcess,
) -> None:
    with ArgvSampler("canary-4711") as sampler:
        start_process(["sleep", "60"], name="other")
        process = start_process(["sh", "-c", "read -r x < /dev/zero; : canary-4711"], name="carrier")
        # Before it is the shell, it is the program that starts it and has the same arguments.
        carrier = Sighting("sh", os.geteuid(), ("sh", "-c", "read -r x < /dev/zero; : canary-4711"))
        wait_until(lambda: carrier in sampler.sightings, within=120, what="the carrier")
        process.stop()
    assert "sleep" not in sampler.programs()


def test_the_sampler_looks_often_enough_to_see_short_commands() -> None:
    with ArgvSampler("canary-short") as sampler:
        for _ in range(5):
            subprocess.run(["sh", "-c", "sleep 0.1", "canary-short"], check=True)
    assert "sh" in sampler.programs()
    assert sampler.scans > 20


# Redis


def test_redis_keeps_its_data_over_a_restart(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set("kept", "yes")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    redis_server.restart()
    with redis_server.client() as client:
        assert client.get("kept") == b"yes"


def test_redis_can_be_away_and_come_back_empty(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set("lost", "soon")
    redis_server.stop()
    assert not accepts_connections(redis_server.host, redis_server.port)
    redis_server.start()
    redis_server.flush()
    with redis_server.client() as client:
        assert client.dbsize() == 0


# PostgreSQL


def test_postgres_keeps_its_data_over_a_restart(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.create_database("kept")) as connection:
        connection.execute("CREATE TABLE kept (value integer)")
    postgres_server.restart()
    with psycopg.connect(postgres_server.url("kept")) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_postgres_refuses_a_wrong_password(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("postgres").replace(postgres_server.password, "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


def test_postgres_can_be_away_while_a_client_is_connected(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        started = time.monotonic()
        postgres_server.stop()
        assert time.monotonic() - started < 30
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    postgres_server.start()
    postgres_server.execute(sql.SQL("SELECT 1"))


def with_postgres(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, WITH_POSTGRES, *command], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.usefixtures("postgres_server")
def test_a_command_runs_with_a_postgres_that_ends_with_it() -> None:
    program = (
        "import os, psycopg\n"
        "connection = psycopg.connect(os.environ['DATABASE_URL'])\n"
        "print(*connection.execute('SELECT current_database(), inet_server_port()').fetchone())\n"
        "raise SystemExit(7)\n"
    )
    ended = with_postgres(sys.executable, "-c", program)
    database, port = ended.stdout.split()
    assert (ended.returncode, database) == (7, "portal")
    assert not accepts_connections("127.0.0.1", int(port))


@pytest.mark.usefixtures("postgres_server")
def test_a_stopped_run_takes_the_command_and_its_postgres_along() -> None:
    command = ["sh", "-c", "echo $$ ${DATABASE_URL##*:}; exec sleep 60"]
    with subprocess.Popen(
        [sys.executable, WITH_POSTGRES, *command], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        child, port = run.stdout.readline().removesuffix("/portal\n").split()
        run.terminate()
        assert run.wait(timeout=20) == 128 + signal.SIGTERM
    assert not process_exists(int(child))
    assert not accepts_connections("127.0.0.1", int(port))


# OpenSSH


def ssh(
    server: OpenSSHServer, account: str, command: str, *, stdin: str = "", key: Path | None = None
) -> subprocess.CompletedProcess[str]:
    known_hosts = server.home / "known_hosts"
    known_hosts.write_text("".join(f"[{server.host}]:{server.port} {key.line}\n" for key in server.host_keys))
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
    }
    return subprocess.run(
        [
            require("ssh"), "-F", "/dev/null", "-T", "-i", key or server.client_key, "-p", str(server.port),
            *(f"-o{name}={value}" for name, value in options.items()),
            f"{account}@{server.host}", command,
        ],
        input=stdin, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("account", "become"),
    [
        pytest.param(NEOLANE, "sh -c '{}'", id="logged in"),
        pytest.param(CAMPAIGN, "sudo -n -u neolane -- sh -c '{}'", id="sudo"),
        pytest.param(ROOT, "su - neolane -c '{}'", id="su"),
    ],
)
def test_each_way_to_become_neolane_works_and_passes_stdin(
    openssh: OpenSSHServer, account: str, become: str
) -> None:
    ended = ssh(openssh, account, become.format(READ_ONE_LINE), stdin="hello\n")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "ready\ngot hello as neolane\n"


def test_the_other_account_may_become_neolane_and_nobody_else(openssh: OpenSSHServer) -> None:
    assert ssh(openssh, CAMPAIGN, "sudo -n -u root -- sh -c id").returncode == 1
    assert ssh(openssh, CAMPAIGN, "sudo -n -u neolane -- cat /etc/hostname").returncode == 1


def test_the_sudo_log_shows_whole_commands_of_this_test(openssh: OpenSSHServer, sudo_log: SudoLog) -> None:
    long = "x" * 2000
    assert sudo_log.text() == ""
    ssh(openssh, CAMPAIGN, f"sudo -n -u neolane -- sh -c 'read -r line' {long}", stdin="unseen\n")
    assert f"USER=neolane ; COMMAND=/usr/bin/sh -c 'read -r line' {long}\n" in sudo_log.text()
    assert "unseen" not in sudo_log.text()


def test_a_key_must_be_authorized(openssh: OpenSSHServer, start_openssh: StartOpenSSH) -> None:
    stranger = start_openssh().client_key
    assert "Permission denied" in ssh(openssh, NEOLANE, "true", key=stranger).stderr


def test_an_openssh_server_of_the_current_user_takes_options_and_further_keys(
    start_openssh: StartOpenSSH,
) -> None:
    server = start_openssh(host="127.0.0.7", options={"ForceCommand": "echo forced"})
    (account,) = server.accounts
    stranger = start_openssh().client_key
    assert ssh(server, account, "echo asked", key=stranger).returncode == 255
    server.authorize(account, stranger.with_suffix(".pub").read_text(), restrictions="restrict")
    assert ssh(server, account, "echo asked", key=stranger).stdout == "forced\n"
    assert f"Accepted publickey for {account}" in server.log.read_text()


def test_fingerprints_are_those_that_ssh_keygen_prints(start_openssh: StartOpenSSH) -> None:
    server = start_openssh(host_key_types=("ed25519", "rsa", "ecdsa"))
    lines = "".join(f"{key.line}\n" for key in server.host_keys)
    printed = subprocess.run(
        [require("ssh-keygen"), "-lf", "-"], input=lines, capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[1] for line in printed.splitlines()] == [key.fingerprint for key in server.host_keys]


def test_a_server_set_up_anew_shows_other_host_keys_on_the_same_port(start_openssh: StartOpenSSH) -> None:
    server = start_openssh()
    (account,) = server.accounts
    before, port = server.host_keys, server.port
    server.change_host_keys()
    assert server.port == port
    assert set(server.host_keys).isdisjoint(before)
    assert ssh(server, account, "echo anew").stdout == "anew\n"


def test_stopping_openssh_cuts_its_connections(start_openssh: StartOpenSSH) -> None:
    server = start_openssh()
    (account,) = server.accounts
    ended: list[subprocess.CompletedProcess[str]] = []
    caller = threading.Thread(target=lambda: ended.append(ssh(server, account, "echo $$; exec sleep 60")))
    caller.start()
    wait_until(lambda: "Starting session" in server.log.read_text(), within=120, what="the session")
    server.stop()
    caller.join(timeout=10)
    assert [call.returncode for call in ended] == [255]
    server.start()
    assert ssh(server, account, "echo back").stdout == "back\n"


# Chromium


@contextmanager
def web_page(body: str, *, policy: str = "default-src 'self'") -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            # An icon of its own: the browser would ask for /favicon.ico, and complain.
            icon = '<link rel="icon" href="data:,">'
            self.wfile.write(f"<!doctype html>{icon}{body}".encode() if found else b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


ANY_SCRIPT = "default-src * 'unsafe-inline'; img-src * data:"


def test_a_good_page_shows_without_faults(page: Page, page_faults: PageFaults) -> None:
    with web_page("<h1>Rollout</h1>", policy="default-src 'self'; img-src data:") as url:
        page.goto(url)
        assert page.get_by_role("heading").inner_text() == "Rollout"
        assert page.viewport_size == {"width": 1440, "height": 900}
    assert page_faults.seen == []


@pytest.mark.parametrize(
    ("body", "policy", "fault"),
    [
        ("<script>console.error('broken')</script>", ANY_SCRIPT, "console error: broken"),
        ("<script>null.length</script>", ANY_SCRIPT, "uncaught exception"),
        ("<p style='color: red'>", "default-src 'self'; img-src data:", "Content Security Policy"),
        ("<img src='http://192.0.2.1/x.png'>", ANY_SCRIPT, "another host: GET http://192.0.2.1/x.png"),
        ("<img src='http://example.com/x.png'>", ANY_SCRIPT, "another host: GET http://example.com/x.png"),
        ("<img src='/missing.png'>", ANY_SCRIPT, "404"),
    ],
)
def test_a_fault_of_a_page_is_seen(
    page: Page, page_faults: PageFaults, body: str, policy: str, fault: str
) -> None:
    with web_page(body, policy=policy) as url:
        page.goto(url, wait_until="load")
        wait_until(lambda: page.evaluate("1") and page_faults.seen, within=120, what="the fault")
        page_faults.expect(fault)
    # What a refused address says on the console besides.
    page_faults.seen = [left for left in page_faults.seen if "Failed to load resource" not in left]


def test_a_fault_that_nobody_expected_fails_the_test(browser_context: BrowserContext) -> None:
    with (
        web_page("<script>console.error('broken')</script>", policy=ANY_SCRIPT) as url,
        pytest.raises(AssertionError, match="console error: broken"),
        no_faults_left(browser_context),
    ):
        browser_context.new_page().goto(url, wait_until="load")


def test_expecting_a_fault_that_did_not_happen_fails(page_faults: PageFaults) -> None:
    with pytest.raises(AssertionError, match="no page fault with '403'"):
        page_faults.expect("403")


@pytest.mark.parametrize("time", ["first", "second"])
@pytest.mark.usefixtures("page", "db")
def test_the_database_works_beside_the_browser_and_is_rolled_back(time: str) -> None:
    assert not Group.objects.filter(name="beside the browser").exists(), f"left behind, the {time} time"
    Group.objects.create(name="beside the browser")
    assert Group.objects.filter(name="beside the browser").exists()


def test_a_free_port_can_be_taken_and_is_not_ephemeral() -> None:
    port = free_port("127.0.0.3")
    assert port < 32_768
    with ThreadingHTTPServer(("127.0.0.3", port), BaseHTTPRequestHandler):
        assert accepts_connections("127.0.0.3", port)
