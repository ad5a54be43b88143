"""Whole conversations over real OpenSSH, with a small stand-in for nlserver."""

import getpass
import pwd
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from instances import nlserver, ssh
from instances.failures import Code
from portal.plaintext import Secret
from tests.instances.nlserver.shell_fleet import (
    ACCOUNT,
    NO_HOME,
    Cable,
    ShellContainer,
    give_to,
    make_container,
)
from tests.services.accounts import CAMPAIGN, NEOLANE, ROOT, SudoLog
from tests.services.argv_sampler import ArgvSampler
from tests.services.fixtures import StartOpenSSH
from tests.services.openssh_server import OpenSSHServer
from tests.services.programs import require
from tests.services.waiting import wait_until

SECRET = Secret("p8e-canary-secret")
POLICY = ssh.AddressPolicy(allow_loopback=True)


@pytest.fixture(scope="module")
def sshd() -> Iterator[OpenSSHServer]:
    require("sshd")
    with OpenSSHServer(options=NO_HOME) as server:
        yield server


@pytest.fixture
def container(tmp_path: Path) -> ShellContainer:
    return make_container(tmp_path / "root", getpass.getuser())


def connect(
    server: OpenSSHServer, login: str = "", *, port: int = 0, tick: ssh.Tick = lambda: None
) -> ssh.Connection:
    keys = tuple(key.line for key in server.host_keys)
    target = ssh.Target(server.host, port or server.port, login or getpass.getuser(), keys)
    key = ssh.load_private_key(server.client_key)
    return ssh.Connection.open(target, key=key, policy=POLICY, tick=tick)


@pytest.fixture
def connection(sshd: OpenSSHServer) -> Iterator[ssh.Connection]:
    with connect(sshd) as connection:
        yield connection


def nothing() -> None:
    pass


def push(
    connection: ssh.Connection, job: nlserver.Job, before_newline: Callable[[], None] = nothing
) -> tuple[nlserver.Report, nlserver.Verdict]:
    with nlserver.Conversation(connection, job) as conversation:
        conversation.ready()
        report = conversation.commit(ACCOUNT, SECRET, before_newline=before_newline)
    return report, nlserver.judge(report, ACCOUNT)


def test_a_push_succeeds_and_tells_everything(connection: ssh.Connection, container: ShellContainer) -> None:
    with nlserver.Conversation(connection, container.job(restart_pipelined=True)) as conversation:
        ready = conversation.ready()
        assert (ready.user, ready.build, ready.build_sha) == (getpass.getuser(), 9383, "4a05ee3d089")
        assert ready.before.client_ids == ("old-client",)
        report = conversation.commit(ACCOUNT, SECRET, before_newline=nothing)
    assert report.exit_codes == {"config": 0, "reload": 0, "restart": 0}
    assert b"build 9383" in report.output
    assert b"PORTAL" not in report.output
    assert nlserver.judge(report, ACCOUNT) == nlserver.Verdict("succeeded", written=True, proof="changed")
    assert "p8e-canary-secret" in container.calls()[1][2]


def test_several_pushes_share_a_connection(connection: ssh.Connection, container: ShellContainer) -> None:
    for attempt in (1, 2):
        assert push(connection, container.job(attempt=attempt))[1].state == "succeeded"


@pytest.mark.parametrize(
    ("fault", "argument", "code"),
    [
        ("exit", 3, Code.WRITE_NOT_CONFIRMED),
        ("error", "16:08:56 >>> XTK-170006 refused", Code.WRITE_NOT_CONFIRMED),
        ("reload-exit", 2, Code.RELOAD_FAILED),
        ("reload-error", "", Code.RELOAD_FAILED),
        ("no-write", "", Code.NOT_APPLIED),
    ],
)
def test_a_push_fails_with_its_code(
    connection: ssh.Connection, container: ShellContainer, fault: str, argument: object, code: str
) -> None:
    container.fault(fault, argument)
    assert push(connection, container.job())[1].code == code


def test_a_stopped_nlserver_is_told(connection: ssh.Connection, container: ShellContainer) -> None:
    container.fault("before-write", 30)
    assert push(connection, container.job(limit=1))[1].code == Code.STOPPED_BY_LIMIT


@pytest.mark.parametrize("liar", ["same-cipher", "no-write"])
def test_an_unchanged_secret_is_not_proven_unless_its_digest_is_known(
    connection: ssh.Connection, container: ShellContainer, liar: str
) -> None:
    container.fault("same-cipher")
    first, verdict = push(connection, container.job())
    assert verdict.state == "succeeded"
    container.fault(liar)
    report, verdict = push(connection, container.job(attempt=2))
    assert report.held.digest == report.after.digest == first.after.digest
    assert (verdict.code, verdict.final) == (Code.NOT_PROVEN, False)
    known = nlserver.Known(this=True)
    assert nlserver.judge(report, ACCOUNT, known) == nlserver.Verdict("succeeded", "", True, "recognized")


def refusal(connection: ssh.Connection, job: nlserver.Job) -> nlserver.Refused:
    with nlserver.Conversation(connection, job) as talk, pytest.raises(nlserver.Refused) as caught:
        talk.ready()
    return caught.value


def build_is(build: str) -> Callable[[ShellContainer], None]:
    return lambda container: container.fault("build", build)


REFUSALS: dict[str, Callable[[ShellContainer], object]] = {
    Code.NLSERVER_NOT_FOUND: lambda container: (container.base / "bin" / "nlserver").unlink(),
    Code.INSTANCE_NOT_FOUND: lambda container: container.config.unlink(),
    Code.NOT_WRITABLE: lambda container: container.state.write_text("in the way"),
    Code.BUILD_TOO_OLD: build_is("9382@4a05ee3d089"),
    Code.BUILD_UNKNOWN: build_is("unknown"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_container_that_is_not_fit_refuses(
    connection: ssh.Connection, container: ShellContainer, code: str
) -> None:
    REFUSALS[code](container)
    refused = refusal(connection, container.job())
    assert (refused.code, refused.ready.user) == (code, getpass.getuser())
    assert all(call == ["pdump"] for call in container.calls())


def test_another_user_than_expected_is_refused(connection: ssh.Connection, container: ShellContainer) -> None:
    assert refusal(connection, container.job(user="somebody")).code == Code.WRONG_USER


def test_a_build_without_a_commit_is_recognized(
    connection: ssh.Connection, container: ShellContainer
) -> None:
    container.fault("build", "9400")
    with nlserver.Conversation(connection, container.job()) as conversation:
        assert conversation.ready().build == 9400


def test_a_login_that_runs_no_commands_is_told(
    start_openssh: StartOpenSSH, container: ShellContainer
) -> None:
    server = start_openssh(
        options=NO_HOME | {"ForceCommand": "echo This account is currently not available.; exit 1"}
    )
    with connect(server) as connection:
        refused = refusal(connection, container.job())
    assert refused.code == Code.SCRIPT_NOT_RUN
    assert b"not available" in refused.output


def test_noise_of_the_login_shell_does_no_harm(
    start_openssh: StartOpenSSH, container: ShellContainer
) -> None:
    noise = "printf 'Welcome\\\\n\\\\033[1mno end of line'; printf 'and errors' >&2; "
    server = start_openssh(options=NO_HOME | {"ForceCommand": noise + 'eval "$SSH_ORIGINAL_COMMAND"'})
    with connect(server) as connection:
        report, verdict = push(connection, container.job())
    assert verdict.state == "succeeded"
    assert b"Welcome" in report.output


def test_if_the_portal_changes_its_mind_nothing_is_executed(
    connection: ssh.Connection, container: ShellContainer
) -> None:
    def no_longer() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        push(connection, container.job(), no_longer)
    found = nlserver.look(connection, container.job(attempt=2))
    assert (found.journal, found.after.client_ids) == (None, ("old-client",))
    assert all(call == ["pdump"] for call in container.calls())


def test_a_connection_cut_before_the_newline_changes_nothing(
    sshd: OpenSSHServer, container: ShellContainer
) -> None:
    with (
        Cable(sshd.port) as cable,
        connect(sshd, port=cable.port) as connection,
        nlserver.Conversation(connection, container.job()) as conversation,
    ):
        conversation.ready()
        cable.cut()
        with pytest.raises((ssh.ConnectionLost, nlserver.ReportLost)):
            conversation.commit(ACCOUNT, SECRET, before_newline=nothing)
    with connect(sshd) as connection:
        found = nlserver.look(connection, container.job(attempt=2))
    assert nlserver.judge_look(found, ACCOUNT, found.after.digest, 1, 1).state == "requeue"
    assert all(call == ["pdump"] for call in container.calls())


@contextmanager
def cut_when_started(cable: Cable, container: ShellContainer) -> Iterator[None]:
    """Break the connection as soon as nlserver runs."""

    def wait_and_cut() -> None:
        container.wait_for("started")
        cable.cut()

    cutting = threading.Thread(target=wait_and_cut)
    cutting.start()
    yield
    cutting.join()


def lose_report(sshd: OpenSSHServer, container: ShellContainer, job: nlserver.Job) -> str:
    """Push over a connection that breaks while nlserver runs; return the digest before."""
    with (
        Cable(sshd.port) as cable,
        connect(sshd, port=cable.port) as connection,
        nlserver.Conversation(connection, job) as conversation,
    ):
        ready = conversation.ready()
        with cut_when_started(cable, container), pytest.raises(nlserver.ReportLost):
            conversation.commit(ACCOUNT, SECRET, before_newline=nothing)
    return ready.before.digest


@pytest.mark.parametrize(
    ("faults", "state", "code"),
    [
        ({}, "succeeded", ""),
        ({"exit": 3, "no-write": ""}, "failed", Code.REFUSED_BY_NLSERVER),
        ({"error": "16:08:56 >>> refused"}, "failed", Code.WRITE_NOT_CONFIRMED),
        ({"no-write": ""}, "failed", Code.NOT_APPLIED),
        ({"reload-exit": 4}, "failed", Code.RELOAD_FAILED),
    ],
)
def test_a_look_tells_how_a_lost_conversation_ended(
    sshd: OpenSSHServer, container: ShellContainer, faults: dict[str, object], state: str, code: str
) -> None:
    for fault, argument in {"before-write": 0.4, **faults}.items():
        container.fault(fault, argument)
    before = lose_report(sshd, container, container.job(attempt=1))
    with connect(sshd) as connection:
        # At once: the look itself waits until nlserver has ended.
        found = nlserver.look(connection, container.job(attempt=2))
    verdict = nlserver.judge_look(found, ACCOUNT, before, 1, 1)
    assert (verdict.state, verdict.code) == (state, code)


def test_a_report_that_does_not_come_in_time_leaves_the_outcome_unknown(
    sshd: OpenSSHServer, container: ShellContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time-out of any other name would be told as: failed, and nothing was sent."""
    monkeypatch.setattr(nlserver.Job, "report_seconds", 1)
    container.fault("after-write", 3)
    with connect(sshd) as connection, pytest.raises(nlserver.ReportLost) as lost:
        push(connection, container.job())
    assert lost.value.code == Code.NO_REPORT
    with connect(sshd) as connection:
        found = nlserver.look(connection, container.job(attempt=2))
    assert nlserver.judge_look(found, ACCOUNT, "", 1, 1).state == "succeeded"


def test_an_older_push_is_superseded(connection: ssh.Connection, container: ShellContainer) -> None:
    assert push(connection, container.job(fence=5))[1].state == "succeeded"
    _, verdict = push(connection, container.job(fence=4, attempt=9))
    assert (verdict.state, verdict.code) == ("superseded", Code.NEWER_PUSH)
    found = nlserver.look(connection, container.job(fence=4, attempt=10))
    assert nlserver.judge_look(found, ACCOUNT, "", 4, 9).state == "superseded"


def test_what_a_tick_raises_while_nlserver_runs_reaches_the_caller(
    sshd: OpenSSHServer, container: ShellContainer
) -> None:
    def tick() -> None:
        if (container.base / "started").exists():
            raise InterruptedError

    container.fault("after-write", 3)
    with connect(sshd, tick=tick) as connection, pytest.raises(InterruptedError):
        push(connection, container.job())


def test_a_silent_su_that_waits_for_a_password_is_not_allowed(
    sshd: OpenSSHServer, container: ShellContainer
) -> None:
    job = container.job(become="su")
    with connect(sshd) as connection, nlserver.Conversation(connection, job) as conversation:
        conversation._talk = connection.talk(
            f"{conversation._command.partition('su -')[0]} printf 'Password: '; sleep 3"
        )
        with pytest.raises(nlserver.Refused) as caught:
            conversation.ready(seconds=1.5)
    assert caught.value.code == Code.BECOME_REFUSED


@pytest.fixture
def neolanes_container() -> Iterator[ShellContainer]:
    folder = Path(tempfile.mkdtemp(prefix="portal-neolane-"))
    folder.chmod(0o755)
    container = make_container(folder / "root", NEOLANE)
    give_to(container.root, NEOLANE)
    yield container
    shutil.rmtree(folder)


WAYS = {"none": NEOLANE, "sudo": CAMPAIGN, "su": ROOT}


@pytest.mark.parametrize("become", WAYS)
def test_all_three_ways_to_become_neolane_lead_to_success(
    openssh: OpenSSHServer, neolanes_container: ShellContainer, become: str
) -> None:
    with connect(openssh, WAYS[become]) as connection:
        assert push(connection, neolanes_container.job(become=become))[1].state == "succeeded"
    owners = {pwd.getpwuid(file.stat().st_uid).pw_name for file in neolanes_container.state.iterdir()}
    assert owners == {NEOLANE}


def test_a_sudo_that_is_not_allowed_is_told(
    openssh: OpenSSHServer, neolanes_container: ShellContainer
) -> None:
    job = neolanes_container.job(become="sudo", user="root")
    with connect(openssh, CAMPAIGN) as connection:
        assert refusal(connection, job).code == Code.BECOME_REFUSED


def test_a_file_that_neolane_may_not_write_is_told(
    openssh: OpenSSHServer, neolanes_container: ShellContainer
) -> None:
    neolanes_container.config.chmod(0o444)
    with connect(openssh, NEOLANE) as connection:
        assert refusal(connection, neolanes_container.job()).code == Code.NOT_WRITABLE
        assert nlserver.look(connection, neolanes_container.job()).after.client_ids == ("old-client",)


@pytest.mark.parametrize("become", WAYS)
def test_the_secret_shows_in_no_arguments_but_nlservers_and_in_no_log_of_sudo(
    openssh: OpenSSHServer, neolanes_container: ShellContainer, sudo_log: SudoLog, become: str
) -> None:
    secret = f"p8e-{uuid4().hex}"
    neolanes_container.fault("before-write", 0.3)
    with (
        connect(openssh, WAYS[become]) as connection,
        ArgvSampler(secret) as sampler,
        nlserver.Conversation(connection, neolanes_container.job(become=become)) as conversation,
    ):
        conversation.ready()
        conversation.commit(ACCOUNT, Secret(secret), before_newline=nothing)
    program = f"{neolanes_container.base}/bin/nlserver"
    assert {sighting.argv[1:3] for sighting in sampler.sightings} == {(program, "config")}
    if become == "sudo":
        wait_until(lambda: program.rpartition("/nl6")[0] in sudo_log.text(), within=120, what="sudo's log")
    assert secret not in sudo_log.text()
