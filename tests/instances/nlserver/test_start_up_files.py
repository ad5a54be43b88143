"""What runs around nlserver may read, print, trap and redefine: it neither sees the account nor counts.

Start-up files are those of the login shell and of `su -`, what they leave in the environment, and env.sh.
"""

import fcntl
import getpass
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from instances import nlserver, ssh
from instances.failures import Code
from instances.nlserver.conversation import HARMLESS_LINES
from instances.nlserver.job import spec_line
from instances.nlserver.report import PAD_BYTES
from portal.plaintext import Secret
from tests.instances.nlserver.shell_fleet import (
    ACCOUNT,
    SHELLS,
    STAND_IN,
    Reply,
    ShellContainer,
    argv,
    converse,
    enciphered,
    give_to,
    make_container,
    read_until,
    started,
)
from tests.instances.nlserver.test_nlserver_conversation import connect, nothing, refusal
from tests.services.accounts import NEOLANE, PROFILED, ROOT, SUDO_LOG, require_accounts
from tests.services.openssh_server import OpenSSHServer
from tests.services.programs import require
from tests.services.waiting import wait_until

EXPORTED_FUNCTIONS = (
    "[",
    "awk",
    "cat",
    "command",
    "declare",
    "flock",
    "printf",
    "read",
    "sh",
    "timeout",
    "umask",
)
SEARCHED_AND_FOUND = "calls"
"""The stand-in for nlserver notes its arguments in this file, so a search for the secret finds it there."""


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    require(SHELLS[str(request.param)][0])
    return str(request.param)


@pytest.fixture
def secret() -> str:
    return f"p8e-{uuid4().hex}"


def shells_folder(folder: Path, shell: str) -> Path:
    """A folder in which `sh` is this shell, for the beginning of a PATH."""
    place = folder / f"sh-is-{shell}"
    place.mkdir()
    (place / "sh").symlink_to(require(SHELLS[shell][0]))
    return place


def files_with(secret: str, *places: Path) -> set[str]:
    """The names of all files below these places that hold the secret."""
    found = subprocess.run(["grep", "-rlaF", secret, *places], capture_output=True, text=True, check=False)
    return {Path(line).name for line in found.stdout.splitlines()}


def talking_nlserver(container: ShellContainer) -> None:
    """Let nlserver be a bash script that writes down its environment and umask."""
    text = STAND_IN.replace("#!/bin/sh", "#!/bin/bash", 1)
    noting = '\numask >"$base/umask"; env >>"$base/environment"\nfault() {'
    (container.base / "bin" / "nlserver").write_text(text.replace("\nfault() {", noting, 1))


def converse_in(place: Path, container: ShellContainer, secret: str, **environment: str) -> Reply:
    """Run the script in the shell of `shells_folder`, with additions to the environment."""
    words = [*argv("dash", container, flags="reload,pipelined"), str(place)]
    assert words[0] == "dash"
    command = ["env", f"PATH={place}:{os.environ['PATH']}", *(f"{k}={v}" for k, v in environment.items())]
    return converse([*command, str(place / "sh"), *words[1:-1]], f"a/b/c/{secret}\n".encode())


def assert_well(reply: Reply) -> None:
    """The conversation went as if there were nothing around it."""
    steps = ("config", "reload", "restart")
    assert (reply.exit_status, reply.said("done")) == (0, "yes")
    assert [(reply.said(f"rc.{step}"), reply.said(f"errors.{step}")) for step in steps] == [("0", "0")] * 3
    assert reply.said("build") == "9383@4a05ee3d089"


ENV_SH = r"""
echo '16:08:55 >>> from env.sh'; printf 'build 2024, and no end of line'
cat >>SEEN; read -r x; echo "$x" >>SEEN
export LD_LIBRARY_PATH="it's $HOME
two lines" line=1 portal_line=1 nonce=1 limit=0 nlserver=/bin/false instance=x environment=x each=x
export BASH_ENV=BASH_FILE UID
umask 027
set -- a b
IFS=/
trap 'echo ">>> build 2024"; cat >>SEEN; export -p >>SEEN' EXIT
alias exec=false unset=false awk=false umask=false
awk() { false; }; umask() { false; }; printf() { false; }; timeout() { false; }; read() { cat >>SEEN; }
if [ -n "$BASH_VERSION" ]; then
    exec() { false; }; unset() { false; }
    shopt -s expand_aliases; set -ET; export -f read printf
    trap 'echo ">>> build 2024"; declare -p >>SEEN' DEBUG
    trap 'echo ">>> build 2024"' ERR
fi
(trap - DEBUG 2>/dev/null; while [ -e SEEN ]; do sleep 0.1; done) &
PS4='>>> build 2024 $(cat)'
exec >>SEEN 2>>SEEN 8>>SEEN
set -aux
"""


def test_env_sh_can_do_what_it_likes(
    shell: str, container: ShellContainer, secret: str, tmp_path: Path
) -> None:
    seen, startup = tmp_path / "seen", tmp_path / "startup"
    startup.write_text(f"declare -p >>{seen}\n")
    talking_nlserver(container)
    text = ENV_SH.replace("SEEN", str(seen)).replace("BASH_FILE", str(startup))
    (container.base / "env.sh").write_text(text)
    reply = converse_in(shells_folder(tmp_path, shell), container, secret)
    assert reply.said("environment") == ""
    assert_well(reply)
    assert (
        f"LD_LIBRARY_PATH=it's {os.environ['HOME']}\ntwo lines\n"
        in (container.base / "environment").read_text()
    )
    assert int((container.base / "umask").read_text(), 8) == 0o027
    assert b"build 2024" not in reply.output
    assert files_with(secret, tmp_path) == {SEARCHED_AND_FOUND}
    seen.unlink()  # ends the process that env.sh left behind


def test_without_bash_env_sh_is_read_all_the_same(container: ShellContainer, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in (
        *("awk", "cat", "chmod", "date", "env", "flock", "id", "ls", "mkdir", "od"),
        *("mv", "sha256sum", "sleep", "stat", "timeout"),
    ):
        (tools / name).symlink_to(require(name))
    (tools / "sh").symlink_to(require("dash"))
    program = container.base / "bin" / "nlserver"
    program.write_text(STAND_IN.replace("\nfault() {", '\nenv >"$base/environment"\nfault() {', 1))
    (container.base / "env.sh").write_text("export CAMPAIGN=here\nset -- a b\n")
    script = nlserver.script().replace(":/usr/sbin:/usr/bin:/sbin:/bin", "")
    words = argv("dash", container, script=script)[1:]
    reply = converse([str(tools / "env"), f"PATH={tools}", str(tools / "sh"), *words])
    assert reply.said("rc.config") == "0"
    assert "CAMPAIGN=here\n" in (container.base / "environment").read_text()


def test_no_start_up_file_is_read_around_env_sh(
    shell: str, container: ShellContainer, secret: str, tmp_path: Path
) -> None:
    seen, home = tmp_path / "seen", tmp_path / "home"
    home.mkdir()
    for name in (".bashrc", ".profile", ".bash_profile", "startup"):
        (home / name).write_text(f"echo {name} >>{seen}\n")
    (container.base / "env.sh").write_text("export CAMPAIGN=here\n")
    startup = str(home / "startup")
    hostile = {"HOME": str(home), "BASH_ENV": startup, "ENV": startup}
    assert_well(
        converse_in(
            shells_folder(tmp_path, shell),
            container,
            secret,
            **hostile,
            SSH_CLIENT="192.0.2.1 5 22",
            SHLVL="0",
        )
    )
    assert not seen.exists()


def test_nothing_left_in_the_environment_acts_on_the_script(
    shell: str, container: ShellContainer, secret: str, tmp_path: Path
) -> None:
    seen, home = tmp_path / "seen", tmp_path / "home"
    home.mkdir()
    startup = f"declare -p >>{seen}; echo '>>> x'; echo build 2024; timeout 0.5 cat >>{seen}; printf 'no end'"
    for name in (".bashrc", ".profile", ".bash_profile", "startup"):
        (home / name).write_text(startup)
    talking_nlserver(container)
    spying = f"() {{ builtin declare -p >>{seen}; builtin command $name; }}"
    functions = {
        f"BASH_FUNC_{name}%%": spying.replace("$name", f'{name} "$@"') for name in EXPORTED_FUNCTIONS
    }
    reply = converse_in(
        shells_folder(tmp_path, shell),
        container,
        secret,
        HOME=str(home),
        BASH_ENV=str(home / "startup"),
        ENV=str(home / "startup"),
        SHELLOPTS="allexport:errexit:noclobber:nounset:xtrace",
        PS4=f"$(echo $line $portal_line >>{seen})",
        SSH_CLIENT="192.0.2.1 5 22",
        SHLVL="0",
        TMOUT="1",
        **dict.fromkeys(("line", "portal_line", "text", "each", "value", "found", "pair"), "x"),
        **functions,
    )
    assert_well(reply)
    assert files_with(secret, tmp_path) == {SEARCHED_AND_FOUND}
    left = (container.base / "environment").read_text()
    assert "BASH_FUNC" not in left
    assert "BASH_ENV" not in left


@pytest.fixture
def container(tmp_path: Path) -> ShellContainer:
    return make_container(tmp_path / "root", getpass.getuser())


def with_timeout(folder: Path, before_config: str) -> str:
    """The script, with a `timeout` that first does something where nlserver would be given the account."""
    program = folder / "timeout"
    program.write_text(
        f'#!/bin/sh\ncase $* in *setimsoauth*) {before_config} ;; esac\nexec {require("timeout")} "$@"\n'
    )
    program.chmod(0o755)
    return f"PATH={folder}:$PATH; {nlserver.script()}"


def test_only_what_nlserver_prints_is_an_error_of_nlserver(
    shell: str, container: ShellContainer, tmp_path: Path
) -> None:
    script = with_timeout(tmp_path, "echo '16:08:55 >>> not from nlserver'")
    reply = converse(argv(shell, container, script=script))
    assert (reply.said("rc.config"), reply.said("errors.config")) == ("0", "0")
    assert b"not from nlserver" in reply.output


@pytest.mark.parametrize("ends", ["exit 97", "kill -9 $$", "cat >/dev/null; exec </dev/null"])
def test_a_line_that_nlserver_was_not_given_is_not_its_error(
    shell: str, container: ShellContainer, tmp_path: Path, ends: str
) -> None:
    reply = converse(argv(shell, container, script=with_timeout(tmp_path, ends)))
    assert (reply.exit_status, reply.said("line"), reply.said("rc.config")) == (97, "unread", "")
    report = nlserver.parse_report(reply.transcript, container.job(), None)
    assert report
    verdict = nlserver.judge(report, ACCOUNT)
    assert verdict == nlserver.Verdict("failed", Code.NOT_HANDED_OVER, written=False)
    assert container.noted("journal").startswith("1 1 begun config=- reload=- restart=- errors=0 held=")
    assert [call[0] for call in container.calls()] == ["pdump"]


def test_an_nlserver_that_ends_with_97_was_given_the_line(container: ShellContainer) -> None:
    container.fault("exit", 97)
    reply = converse(argv("dash", container))
    assert (reply.said("line"), reply.said("rc.config")) == ("", "97")


@dataclass(frozen=True)
class Stage:
    """A container, the folder in which liars write down what they see, and where start-up files are read."""

    container: ShellContainer
    server: OpenSSHServer
    login: str
    become: nlserver.Become
    folder: Path
    homes: tuple[Path, ...]

    def job(self) -> nlserver.Job:
        return self.container.job(become=self.become, restart_pipelined=True)

    @property
    def seen(self) -> Path:
        return self.folder / "seen"

    def searched(self) -> list[Path]:
        """Wherever a start-up file, a history or a log could have kept something."""
        logs = [SUDO_LOG] if SUDO_LOG.exists() else []
        return [self.folder, *self.homes, *logs]


@contextmanager
def profiled(home: Path, text: str) -> Iterator[None]:
    """Give a home these start-up files. One test at a time uses it."""
    with (home.parent / f".{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = {file: file.read_bytes() for file in home.iterdir() if file.is_file()}
        for name in (".profile", ".bashrc"):
            (home / name).write_text(text)
        try:
            yield
        finally:
            for file in home.iterdir():
                if file not in kept:
                    file.unlink()
            for file, content in kept.items():
                file.write_bytes(content)


@contextmanager
def staged(become: nlserver.Become, shell: str, profile: str, variables: dict[str, str]) -> Iterator[Stage]:
    """An sshd whose logins read these start-up files, and a container behind it.

    `$HOME` of the login is a folder of ours; `su -` sets it to the account's own.
    """
    require_accounts()
    account = PROFILED[shell]
    folder = Path(tempfile.mkdtemp(prefix="portal-profile-"))
    folder.chmod(0o777)
    home, seen = folder / "home", folder / "seen"
    for each in (home, seen):
        each.mkdir()
        each.chmod(0o777)
    shims = shells_folder(folder, shell)
    text = (
        profile.replace("SEEN", str(seen))
        .replace("SHIMS", str(shims))
        .replace("STARTUP", str(home / ".bashrc"))
    )
    for name in (".bashrc", ".profile"):
        (home / name).write_text(text)
    owner = NEOLANE if become == "sudo" else account
    login = ROOT if become == "su" else account
    container = make_container(folder / "root", owner)
    give_to(container.root, owner)
    set_env = {
        "HOME": str(home),
        "PATH": f"{shims}:/usr/local/bin:/usr/bin:/bin",
        "BASH_ENV": str(home / ".bashrc"),
    } | variables
    options = {"SetEnv": " ".join(f"{name}={value}" for name, value in set_env.items())}
    own = Path(pwd.getpwnam(account).pw_dir)
    try:
        with (
            profiled(own, text),
            OpenSSHServer(accounts=[login], host_key_types=["ed25519"], options=options) as server,
        ):
            yield Stage(container, server, login, become, folder, (own,))
    finally:
        # What the start-up files left running still writes by its old name: move the folder from under it.
        gone = folder.rename(f"{folder}-gone")
        shutil.rmtree(gone)


NOISY = r"""
umask 000
echo "$$" >>SEEN/ran
printf '\033]0;title\007no end of line'
echo '16:08:55 >>> from a start-up file'
echo 'build 2024'
printf 'no end of line'
timeout 0.2 cat >>SEEN/read
(while [ -e SEEN ]; do printf '\n16:08:55 >>> background, build 2024\n'; sleep 0.05; done) &
cat >>SEEN/background &
trap 'cat >>SEEN/exit; export -p >>SEEN/exit; echo "16:08:55 >>> late"' EXIT
trap '' CHLD USR1
PATH=SHIMS:$PATH
export PATH line=x portal_line=x text=x TMOUT=1 HISTFILE=SEEN/history ENV=STARTUP BASH_ENV=STARTUP
if [ -n "$BASH_VERSION" ]; then
    read -r -t 0.2 x
    set -o history
    shopt -s expand_aliases extdebug
    alias sh=false sudo=false su=false
    for each in read printf timeout awk cat command declare; do
        eval "$each() { builtin declare -p >>SEEN/function; builtin command $each \"\$@\"; }; export -f $each"
    done
    set -ET
    trap 'declare -p >>SEEN/debug; echo ">>> debug"' DEBUG
    trap 'echo ">>> error"' ERR
    exec 7>>SEEN/trace
    PS4='>>> build 2024 $(declare -p >>SEEN/ps4) '
    export PS4 BASH_XTRACEFD=7 SHELLOPTS BASHOPTS
    set -xa
fi
"""


@pytest.mark.parametrize("become", ["none", "sudo", "su"])
def test_start_up_files_neither_see_the_account_nor_count(
    shell: str, become: nlserver.Become, secret: str
) -> None:
    variables = {"line": "x", "portal_line": "x", "TMOUT": "1"}
    with staged(become, shell, NOISY, variables) as stage:
        with (
            connect(stage.server, stage.login) as connection,
            nlserver.Conversation(connection, stage.job()) as talk,
        ):
            ready = talk.ready()
            report = talk.commit(ACCOUNT, Secret(secret), before_newline=nothing)
            found = files_with(secret, *stage.searched())
        # In each shell around the script, and in none below it.
        ran = stage.seen / "ran"
        expected = {"none": shell == "bash", "sudo": shell == "bash", "su": 2}[become]
        assert len(set(ran.read_text().split()) if ran.exists() else ()) == expected
        assert ready.build == 9383
        assert report.outcome == nlserver.StepExits(0, 0, 0)
        assert nlserver.judge(report, ACCOUNT).state == "succeeded"
        assert found == {SEARCHED_AND_FOUND}
        # No trap either, after the script.
        assert not (stage.seen / "exit").exists()


READERS = 5
"""Trials: where the system wakes it too late, a reader gets nothing of what is sent before the account."""
READING = r"""
exec 3<&0
cat <&3 >>SEEN/reader &
exec 3<&-
while [ -e /proc/$! ] && ! grep -qE 'cat\) S|\) Z' /proc/$!/stat; do sleep 0.02; done
"""
WHERE_START_UP_FILES_ARE_READ = [
    ("none", "bash"),
    ("sudo", "bash"),
    ("su", "bash"),
    ("su", "dash"),
    ("su", "busybox"),
]


@pytest.mark.parametrize(("become", "shell"), WHERE_START_UP_FILES_ARE_READ)
def test_the_account_is_not_sent_where_a_process_left_behind_reads(
    become: nlserver.Become, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instances.nlserver.conversation.HEARING_SECONDS", 1)
    assert any(is_refused_for_a_reader(become, shell) for _trial in range(READERS))


def is_refused_for_a_reader(become: nlserver.Become, shell: str) -> bool:
    """Whether a process that reads the script's input was noticed; if not, it slept on and got nothing."""
    with staged(become, shell, READING, {}) as stage:
        with (
            connect(stage.server, stage.login) as connection,
            nlserver.Conversation(connection, stage.job()) as talk,
        ):
            said = ""
            try:
                talk.ready()
            except nlserver.Refused as refused:
                said = refused.code
        if not said:
            return False
        assert said == Code.INPUT_NOT_PRIVATE
        # It took harmless lines instead.
        assert set(map(len, (stage.seen / "reader").read_text().split())) == {128}
        assert [call[0] for call in stage.container.calls()] == ["pdump"]
    return True


RECORDING = r"""
[ -n "$RECORDED" ] || { export RECORDED=1; exec script -qefc "$BASH_EXECUTION_STRING" SEEN/typescript; }
"""


def test_the_account_is_not_sent_into_a_terminal_that_records_it() -> None:
    require("script")
    with staged("none", "bash", RECORDING, {"TERM": "dumb"}) as stage:
        with connect(stage.server, stage.login) as connection:
            assert refusal(connection, stage.job()).code == Code.INPUT_NOT_PRIVATE
        assert (stage.seen / "typescript").exists()


def test_a_stop_is_told_though_a_process_left_behind_keeps_the_output_open() -> None:
    profile = "(while [ -e SEEN ]; do sleep 0.1; done) &\n"
    with staged("none", "bash", profile, {}) as stage, connect(stage.server, stage.login) as connection:
        found = nlserver.look(connection, stage.container.job(fence=2))
        assert found.after.client_ids == ("old-client",)
        (stage.container.base / "bin" / "nlserver").unlink()
        assert refusal(connection, stage.job()).code == Code.NLSERVER_NOT_FOUND


def test_a_line_that_comes_back_changed_stops_the_push(container: ShellContainer) -> None:
    """Part of it went elsewhere."""
    reply = converse(argv("dash", container))
    conversation = nlserver.Conversation.__new__(nlserver.Conversation)
    conversation.job = container.job()
    conversation._transcript = reply.transcript
    conversation._harmless = "harmless, whole"
    with pytest.raises(nlserver.Refused) as caught:
        conversation.require_ready()
    assert caught.value.code == Code.INPUT_NOT_PRIVATE


@pytest.mark.parametrize("number", [2, HARMLESS_LINES])
def test_every_harmless_line_counts(shell: str, container: ShellContainer, number: int) -> None:
    lines = [b"harmless\n"] * HARMLESS_LINES
    lines[number - 1] = b"harm\n"
    with started(argv(shell, container), b"".join(lines)) as process:
        assert b"heard=garbled\n" in read_until(process, b" ready")


LATE = r"""
exec 3<&0
(while [ -e SEEN/waits ]; do sleep 0.02; done; exec cat <&3 >>SEEN/reader) &
echo $! >SEEN/pid
exec 3<&-
"""


@pytest.mark.parametrize(("become", "shell"), WHERE_START_UP_FILES_ARE_READ)
def test_a_reader_that_slept_through_the_harmless_lines_learns_nothing(
    become: nlserver.Become, shell: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a busy host: it wakes when the script is ready, and the script itself is kept waiting."""
    monkeypatch.setattr(nlserver.Job, "report_seconds", 3)
    with staged(become, shell, LATE, {}) as stage, connect(stage.server, stage.login) as connection:
        (stage.seen / "waits").touch()
        with nlserver.Conversation(connection, stage.job()) as conversation:
            conversation.ready()
            with held_back(conversation._nonce):
                (stage.seen / "waits").unlink()
                wait_until_it_reads(int((stage.seen / "pid").read_text()))
                with pytest.raises(nlserver.ReportLost):
                    conversation.commit(ACCOUNT, Secret(secret), before_newline=lambda: None)
        taken = (stage.seen / "reader").read_bytes()
        assert [call[0] for call in stage.container.calls()] == ["pdump"]
    clear = f"{spec_line(ACCOUNT, secret)} {conversation._nonce}".encode()
    assert re.fullmatch(rb"[0-9a-f]+\n", taken)
    assert len(taken) == 2 * len(clear) + 1
    assert not any(clear.hex()[at : at + 8].encode() in taken for at in range(0, 2 * len(clear) - 8, 2))


@contextmanager
def held_back(nonce: str) -> Iterator[None]:
    """Have the script's processes wait for a while."""
    script = [
        int(file.parent.name)
        for file in Path("/proc").glob("[0-9]*/cmdline")
        if f"portal\0{nonce}\0".encode() in _bytes_of(file)
    ]
    assert script
    for pid in script:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in script:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # it has ended
        return b""


@pytest.mark.parametrize("taken", [(0, 2), (10, 11), (40, 60), (-2, None)])
def test_a_line_of_which_somebody_took_a_part_is_not_used(
    shell: str, container: ShellContainer, taken: tuple[int, int | None]
) -> None:
    with started(argv(shell, container)) as process:
        line = enciphered(read_until(process, b" ready")).rstrip(b"\n")
        left = line[: taken[0]] + (line[taken[1] :] if taken[1] is not None else b"")
        output, _ = process.communicate(left + b"\n", timeout=60)
    assert b"line=garbled\n" in output
    assert container.calls() == [["pdump"]]
    assert container.noted("journal") == ""


def test_no_two_pads_are_the_same(shell: str, container: ShellContainer) -> None:
    pads = {converse(argv(shell, container, attempt=each)).said("pad") for each in (1, 2)}
    assert len(pads) == 2
    assert {len(pad.split()) for pad in pads} == {PAD_BYTES}


def test_the_pad_is_in_no_environment(shell: str, container: ShellContainer) -> None:
    program = container.base / "bin" / "nlserver"
    program.write_text(
        program.read_text().replace("#!/bin/sh\n", '#!/bin/sh\nenv >>"${0%/bin/nlserver}/env"\n')
    )
    exported = "export pad=x plain=x code=x rest=x line=x"
    reply = converse(argv(shell, container, script=f"{exported}\n{nlserver.script()}"))
    assert reply.said("done") == "yes"
    found = (container.base / "env").read_text()
    assert reply.said("pad") not in found
    assert not re.search(r"^(pad|plain|code|rest|line)=", found, re.MULTILINE)


def wait_until_it_reads(pid: int) -> None:
    def sleeps() -> bool:
        return "(cat) S" in Path(f"/proc/{pid}/stat").read_text()

    # It also sleeps for moments while it is loaded.
    wait_until(sleeps, within=60, what="a cat that waits")
    time.sleep(0.3)
    wait_until(sleeps, within=60, what="a cat that waits")


def test_what_is_no_harmless_line_is_not_sent_back(shell: str, container: ShellContainer) -> None:
    command = argv(shell, container)
    lines = b"a/b/c/p8e-canary\n" * HARMLESS_LINES
    done = subprocess.run(command, input=lines, capture_output=True, cwd="/", check=False)
    assert b"heard=garbled" in done.stdout
    assert b"p8e-" not in done.stdout


def test_a_broken_connection_while_the_harmless_line_is_sent_hides_no_answer() -> None:
    """A script that has stopped already said why."""

    class Talk:
        def send(self, data: bytes) -> None:
            raise ssh.ConnectionLost

        def lines(self, seconds: float) -> Iterator[bytes]:
            yield from said

    job = nlserver.Job("prod1", "/usr/local/neolane", "none", 1, 1)
    conversation = nlserver.Conversation(connection=None, job=job)  # type: ignore[arg-type]  # never entered
    mark = conversation._transcript._mark
    said = [mark + b"user=neolane\n", mark + b"nlserver=missing\n", mark + b"exit=90\n"]
    conversation._talk = Talk()  # type: ignore[assignment]  # what it cannot do is not asked for
    with pytest.raises(nlserver.Refused) as caught:
        conversation.ready()
    assert caught.value.code == Code.NLSERVER_NOT_FOUND
