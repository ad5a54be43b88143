"""The fixed script, as a container runs it: in every shell, with a small stand-in for nlserver."""

import fcntl
import getpass
import hashlib
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from instances import nlserver
from instances.failures import Code
from instances.nlserver import Mark
from tests.instances.nlserver.shell_fleet import (
    ACCOUNT,
    LINE,
    OLD_CONFIG,
    SHELLS,
    ShellContainer,
    argv,
    converse,
    enciphered,
    make_container,
    read_until,
    started,
)
from tests.services.argv_sampler import ArgvSampler
from tests.services.programs import require, require_that
from tests.services.waiting import wait_until

MOST_PROCESSES = 37
"""What an apply with a reload may start, besides what nlserver starts."""


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def container(tmp_path: Path) -> ShellContainer:
    return make_container(tmp_path / "root", getpass.getuser())


@pytest.fixture
def held_lock(container: ShellContainer) -> Iterator[int]:
    container.state.mkdir()
    lock = os.open(container.state / "prod1.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield lock
    os.close(lock)


OLD_DIGEST = hashlib.sha256(b"@b2xk").hexdigest()


def ending(journal: str) -> str:
    """What a line of the journal says about the steps, without the file before and after them."""
    return journal.partition(" held=")[0]


def lock_is_free(container: ShellContainer) -> bool:
    with (container.state / "prod1.lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_shellcheck_finds_nothing() -> None:
    subprocess.run([require("shellcheck"), nlserver.SCRIPT], check=True)


def test_the_script_is_ascii_and_holds_no_value() -> None:
    assert nlserver.script().isascii()
    assert "p8e-" not in nlserver.script()


def test_an_account_is_written_reloaded_and_read_back(shell: str, container: ShellContainer) -> None:
    reply = converse(argv(shell, container, flags="reload,pipelined"))
    assert (reply.exit_status, reply.said("done")) == (0, "yes")
    assert [reply.said(f"rc.{step}") for step in ("config", "reload", "restart")] == ["0", "0", "0"]
    assert reply.fields.file_state("before").client_ids == ("old-client",)
    after = reply.fields.file_state("after")
    assert after.shows(ACCOUNT)
    assert after.digest != reply.fields.file_state("held").digest == OLD_DIGEST
    assert reply.fields.file_state("written") == replace(after, stamp="")
    assert not reply.fields.malformed
    assert container.calls() == [
        ["pdump"],
        ["config", "-instance:prod1", f"-setimsoauth:{LINE.decode().strip()}"],
        ["config", "-reload"],
        ["restart", "pipelined@prod1"],
    ]


def test_without_flags_nothing_follows(shell: str, container: ShellContainer) -> None:
    converse(argv(shell, container, flags="none"))
    assert [call[0] for call in container.calls()] == ["pdump", "config"]


def test_a_line_cut_off_before_its_newline_is_not_executed(shell: str, container: ShellContainer) -> None:
    reply = converse(argv(shell, container), LINE.rstrip(b"\n"))
    assert reply.exit_status == 97
    assert container.calls() == [["pdump"]]
    assert container.noted("journal") == container.noted("fence") == ""


@pytest.mark.parametrize("line", [b"a/b/c\n", b"a/b/c/d/e\n", b"a//c/d\n", b"a/b/c/\n", b"/b/c/d\n", b"\n"])
def test_a_line_that_is_not_four_parts_is_refused(container: ShellContainer, line: bytes) -> None:
    reply = converse(argv("dash", container), line)
    assert (reply.exit_status, reply.said("line")) == (98, "malformed")
    assert container.calls() == [["pdump"]]


def test_a_late_line_is_refused(shell: str, container: ShellContainer) -> None:
    script = nlserver.script().replace("READY_SECONDS=30", "READY_SECONDS=-1")
    reply = converse(argv(shell, container, script=script))
    assert (reply.exit_status, reply.said("late")) == (94, "yes")
    assert container.calls() == [["pdump"]]


def test_values_pass_literally(shell: str, container: ShellContainer) -> None:
    line = rb"""a$(id)`id`/b"c'd\n%s/*;&|<>!#~/-e $HOME \\ """
    converse(argv(shell, container), line + b"\n")
    assert container.calls()[1][2] == "-setimsoauth:" + line.decode()


BAD_ARGUMENTS = {
    "instance": ("default", "", "-x", "_x", "a b", "a;id", "../x", "é", "a\nb"),
    "mode": ("delete", ""),
    "fence": ("1x", "", "-1", "9" * 16),
    "attempt": ("-1", "1 2"),
    "limit": ("9" * 16, "1;id"),
}


@pytest.mark.parametrize("argument", BAD_ARGUMENTS)
def test_bad_arguments_are_refused(shell: str, container: ShellContainer, argument: str) -> None:
    for value in BAD_ARGUMENTS[argument]:
        values: dict[str, Any] = {argument: value}
        reply = converse(argv(shell, container, **values))
        assert (reply.exit_status, reply.said("argument")) == (96, argument), value
    assert container.calls() == []


def test_another_user_touches_nothing(shell: str, container: ShellContainer) -> None:
    stranger = ShellContainer(container.root, "neolane-of-elsewhere")
    reply = converse(argv(shell, stranger))
    assert (reply.exit_status, reply.said("user")) == (90, getpass.getuser())
    assert not container.state.exists()
    assert container.calls() == []


def test_a_missing_tool_is_named(shell: str, container: ShellContainer, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("id", "awk", "head", "cat"):
        (tools / name).symlink_to(require(name))
    program = require(SHELLS[shell][0])
    command = [str(program), *argv(shell, container)[1:]]
    path = f"PATH={tools}; {nlserver.script()}"
    command[command.index(nlserver.script())] = path
    reply = converse(command)
    assert reply.exit_status == 90
    assert "flock" in reply.said("tools").split()
    assert "awk" not in reply.said("tools").split()


def test_a_printf_that_is_a_program_counts_as_missing(container: ShellContainer) -> None:
    reply = converse(argv("bash", container, script=f"enable -n printf; {nlserver.script()}"))
    assert (reply.exit_status, container.calls()) == (90, [])
    # Said by the program itself, which may say everything but the account.
    assert reply.said("tools") == "builtin-printf"


def with_tools(tmp_path: Path, **tools: str) -> str:
    """The script, with these programs in place of the real ones."""
    for name, text in tools.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    return f"PATH={tmp_path}:$PATH; {nlserver.script()}"


def test_a_user_without_a_name_is_nobody(shell: str, container: ShellContainer, tmp_path: Path) -> None:
    reply = converse(argv(shell, container, script=with_tools(tmp_path, id="exit 1")))
    assert (reply.exit_status, reply.fields.values["user"]) == (90, [""])


def test_a_file_that_holds_nothing_was_read(shell: str, container: ShellContainer) -> None:
    container.config.write_text("<serverconf/>")
    reply = converse(argv(shell, container, mode="look"), b"")
    assert {key for key in reply.fields.values if key.startswith("after")} == {"after.stamp", "after.read"}
    assert reply.fields.file_state("after").read


def test_a_file_that_was_not_read_to_its_end_counts_as_unread(
    shell: str, container: ShellContainer, tmp_path: Path
) -> None:
    script = with_tools(tmp_path, awk="echo client_id=half; exit 2")
    state = converse(argv(shell, container, mode="look", script=script), b"").fields.file_state("after")
    assert (state.client_ids, state.read, state.torn) == (("half",), False, False)


OVERFLOW = "<serverConf>" + '<ims authIMSTAClientSecret="@b2xk"/>' * 41 + "</serverConf>"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (OLD_CONFIG, "yes"),
        (OLD_CONFIG.strip(), "yes"),
        (f"{OLD_CONFIG}<!-- </serverConf> -->\n\n", "yes"),
        (OLD_CONFIG.replace("</serverConf>", "</serverConf\n >"), "yes"),
        (OLD_CONFIG.strip()[:-1], "torn"),
        (OLD_CONFIG[: OLD_CONFIG.index("</shared>")], "torn"),
        (OLD_CONFIG.replace("</serverConf>", "<!-- </serverConf>"), "torn"),
        (OLD_CONFIG.replace("</serverConf>", "</shared>"), "torn"),
        ("", "torn"),
        ("<?xml version='1.0'?>", "torn"),
        (OVERFLOW, "no"),
        (OVERFLOW.replace("@b2xk", "", 1).replace('<ims authIMSTAClientSecret=""/>', ""), "yes"),
    ],
)
def test_only_a_whole_file_was_read(shell: str, container: ShellContainer, text: str, read: str) -> None:
    container.config.write_text(text)
    reply = converse(argv(shell, container, mode="look"), b"")
    assert reply.said("after.read") == read
    assert not reply.fields.malformed


SPELLINGS = [
    "@b2xk+/==",
    "&#64;b2xk&#43;/&#61;=",
    "&#x40;b2xk&#x2b;&#x2F;==",
    " @b2\n xk+/=\t=\r\n",
    "@b2xk+/=&#10;=",
]


@pytest.mark.parametrize("awk", ["mawk", "busybox"])
def test_another_spelling_of_the_encrypted_secret_is_the_same_digest(
    container: ShellContainer, tmp_path: Path, awk: str
) -> None:
    (tmp_path / "awk").symlink_to(require(awk))
    digests = set()
    for spelling in SPELLINGS:
        container.config.write_text(OLD_CONFIG.replace("@b2xk", spelling), newline="")
        script = f"PATH={tmp_path}:$PATH; {nlserver.script()}"
        digests.add(converse(argv("dash", container, mode="look", script=script), b"").said("after.secret"))
    assert digests == {hashlib.sha256(b"@b2xk+/==").hexdigest()}


def test_a_missing_nlserver_is_said(shell: str, container: ShellContainer) -> None:
    (container.base / "bin" / "nlserver").unlink()
    reply = converse(argv(shell, container))
    assert (reply.exit_status, reply.said("nlserver")) == (90, "missing")


def test_an_instance_that_is_not_there_is_said(shell: str, container: ShellContainer) -> None:
    container.config.unlink()
    reply = converse(argv(shell, container))
    assert (reply.exit_status, reply.said("config")) == (90, "missing")


def test_nl7_is_found_too(shell: str, container: ShellContainer) -> None:
    container.base.rename(container.root / "nl7")
    assert converse(argv(shell, container)).said("nlserver") == f"{container.root}/nl7/bin/nlserver"


def test_a_full_disk_is_noticed_before_anything_is_sent(shell: str, container: ShellContainer) -> None:
    container.state.mkdir()
    (container.state / "prod1.lock").symlink_to("/dev/full")
    reply = converse(argv(shell, container))
    assert (reply.exit_status, reply.said("state")) == (90, "unwritable")
    assert container.calls() == []


def test_a_state_folder_that_cannot_be_made_is_said(shell: str, container: ShellContainer) -> None:
    container.state.write_text("in the way")
    reply = converse(argv(shell, container))
    assert (reply.exit_status, reply.said("state")) == (90, "unwritable")


def test_state_files_are_for_their_owner_and_the_configuration_keeps_its_mode(
    shell: str, container: ShellContainer
) -> None:
    container.config.chmod(0o664)
    (container.base / "bin" / "nlserver").write_text('#!/bin/sh\n[ "$1" = pdump ] || umask >"$0.umask"\n')
    expected = subprocess.run(["sh", "-c", "umask"], capture_output=True, check=True).stdout
    converse(argv(shell, container, flags="none"))
    assert (container.base / "bin" / "nlserver.umask").read_bytes() == expected
    assert stat.S_IMODE(container.state.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in container.state.iterdir()}
    assert modes == {"prod1.lock": 0o600, "prod1.fence": 0o600, "prod1.journal": 0o600}


@pytest.mark.parametrize(
    ("environment", "path_seen"),
    [
        ("PATH=/from/env.sh:$PATH; export PATH", True),
        ("limit=0 nlserver=/bin/false root=/ portal_line=x; set -eux; PATH=/from/env.sh:$PATH", True),
        ("echo noise; echo noise >&2; cat; PATH=/from/env.sh:$PATH; return 3", True),
        ("exit 1", False),
        ("if then syntax", False),
    ],
)
def test_env_sh_counts_for_nlserver_and_cannot_harm_the_script(
    shell: str, container: ShellContainer, environment: str, path_seen: bool
) -> None:
    (container.base / "env.sh").write_text(environment + "\n")
    program = container.base / "bin" / "nlserver"
    program.write_text(program.read_text().replace("\nbase=", '\necho "PATH is $PATH"\nbase=', 1))
    reply = converse(argv(shell, container))
    assert (reply.exit_status, reply.said("rc.config")) == (0, "0")
    assert (b"PATH is /from/env.sh:" in reply.output) == path_seen
    assert (reply.said("environment") == "unusable") == (environment == "exit 1")
    assert b"canary" not in reply.output
    assert b"noise" not in reply.output


def test_a_busy_lock_ends_an_apply(shell: str, container: ShellContainer, held_lock: int) -> None:
    script = nlserver.script().replace("take_lock 5", "take_lock 0")
    reply = converse(argv(shell, container, script=script))
    assert (reply.exit_status, reply.said("busy")) == (93, "yes")
    assert container.calls() == [["pdump"]]


def test_a_lock_is_waited_for(container: ShellContainer, held_lock: int) -> None:
    with started(argv("dash", container)) as process:
        line = enciphered(read_until(process, b"ready"))
        assert process.stdin
        assert process.stdout
        process.stdin.write(line)
        process.stdin.flush()
        release = threading.Timer(0.3, fcntl.flock, (held_lock, fcntl.LOCK_UN))
        release.start()
        assert b"rc.config=0" in process.stdout.read()
        release.join()


@pytest.mark.parametrize("pair", [(6, 9), (7, 2), (7, 3)])
def test_what_is_not_newer_is_refused(shell: str, container: ShellContainer, pair: tuple[int, int]) -> None:
    assert converse(argv(shell, container, fence=7, attempt=3)).exit_status == 0
    reply = converse(argv(shell, container, fence=pair[0], attempt=pair[1]))
    assert (reply.exit_status, reply.said("newer")) == (95, "7 3")
    assert len([call for call in container.calls() if "-instance:prod1" in call]) == 1


@pytest.mark.parametrize("pair", [(8, 1), (7, 4)])
def test_what_is_newer_passes_and_is_kept(
    shell: str, container: ShellContainer, pair: tuple[int, int]
) -> None:
    converse(argv(shell, container, fence=7, attempt=3))
    assert converse(argv(shell, container, fence=pair[0], attempt=pair[1])).exit_status == 0
    assert container.noted("fence") == f"{pair[0]} {pair[1]}"


def test_a_look_may_repeat_its_number_but_not_go_back(shell: str, container: ShellContainer) -> None:
    converse(argv(shell, container, fence=7, attempt=3))
    assert converse(argv(shell, container, mode="look", fence=7, attempt=3), b"").exit_status == 0
    assert converse(argv(shell, container, mode="look", fence=7, attempt=2), b"").exit_status == 95


def test_a_damaged_fence_counts_as_none(shell: str, container: ShellContainer) -> None:
    container.state.mkdir()
    (container.state / "prod1.fence").write_bytes(b"\x00 garbage; id\n")
    assert converse(argv(shell, container)).exit_status == 0


def test_who_pushed_is_kept_and_another_portal_is_not_even_asked_for_the_line(
    shell: str, container: ShellContainer
) -> None:
    assert converse(argv(shell, container, fence=7, portal="ours")).exit_status == 0
    assert (container.state / "prod1.fence").read_text() == "7 1\nours\n"
    reply = converse(argv(shell, container, fence=8, portal="theirs"))
    assert (reply.exit_status, reply.said("elsewhere"), reply.said("listening")) == (90, "ours", "")
    assert len([call for call in container.calls() if "-instance:prod1" in call]) == 1


def test_another_portal_that_came_meanwhile_is_noticed_under_the_lock(
    shell: str, container: ShellContainer
) -> None:
    with started(argv(shell, container, fence=8, portal="ours")) as waiting:
        line = enciphered(read_until(waiting, b"ready"))
        assert converse(argv(shell, container, fence=7, portal="theirs")).exit_status == 0
        output, _ = waiting.communicate(line)
        assert (b"elsewhere=theirs" in output, waiting.returncode) == (True, 95)
    assert container.noted("fence") == "theirs"


def test_a_look_reads_what_another_portal_holds_and_leaves_it_its_own(
    shell: str, container: ShellContainer
) -> None:
    converse(argv(shell, container, fence=7, portal="theirs"))
    reply = converse(argv(shell, container, mode="look", fence=8, portal="ours"), b"")
    assert (reply.exit_status, reply.said("elsewhere"), reply.said("after.read")) == (0, "theirs", "yes")
    assert container.noted("fence") == "theirs"


@pytest.mark.parametrize(
    ("over", "passes"), [("theirs", True), ("9999.1", True), ("9999.2", False), ("others", False)]
)
def test_what_an_admin_took_over_has_no_say_any_more(
    shell: str, container: ShellContainer, over: str, passes: bool
) -> None:
    portal = "theirs" if over in ("theirs", "others") else "ours"
    converse(argv(shell, container, fence=9999, portal=portal))
    with started(argv(shell, container, fence=7, portal="ours", over=over)) as older:
        line = enciphered(read_until(older, b" ready", or_the_end=not passes))
        reply = converse(argv(shell, container, fence=8, portal="ours", over=over))
        assert (reply.exit_status == 0) is passes
        # The decision counts once: afterwards the numbers do again.
        output, _ = older.communicate(line)
        assert older.returncode == (95 if passes or portal == "ours" else 90)
        assert (b"newer=8 1" in output) is passes
    assert container.noted("fence") == ("ours" if passes else portal)


def test_after_a_look_no_older_conversation_can_write(shell: str, container: ShellContainer) -> None:
    with started(argv(shell, container, attempt=1)) as waiting:
        line = enciphered(read_until(waiting, b"ready"))
        assert converse(argv(shell, container, mode="look", attempt=2), b"").exit_status == 0
        output, _ = waiting.communicate(line)
        assert b"newer=1 2" in output
        assert waiting.returncode == 95
    assert "old-client" in container.config.read_text()


def test_a_look_tells_the_journal_and_the_file_and_calls_no_config(
    shell: str, container: ShellContainer
) -> None:
    converse(argv(shell, container))
    reply = converse(argv(shell, container, mode="look", attempt=2), b"")
    assert ending(reply.said("journal")) == "1 1 done config=0 reload=0 restart=- errors=0"
    after = reply.fields.file_state("after")
    assert after.shows(ACCOUNT)
    told = nlserver.parse_journal(reply.said("journal"))
    assert told
    assert (told.held, told.written) == (Mark(True, frozenset({OLD_DIGEST})), after.mark)
    assert container.calls()[3:] == [["pdump"]]


@pytest.mark.parametrize(
    ("faults", "journal"),
    [
        ({"exit": 3}, "1 1 done config=3 reload=- restart=- errors=0"),
        ({"error": "16:08:56 >>> refused"}, "1 1 done config=0 reload=0 restart=- errors=config"),
        ({"reload-exit": 1}, "1 1 done config=0 reload=1 restart=- errors=0"),
        ({"error": ">>> x", "reload-error": ""}, "1 1 done config=0 reload=0 restart=- errors=config,reload"),
        ({"error": "16:08:56 > all >>> well"}, "1 1 done config=0 reload=0 restart=- errors=0"),
        ({"error": "16:08:56 >> a warning"}, "1 1 done config=0 reload=0 restart=- errors=0"),
    ],
)
def test_the_journal_keeps_how_it_ended(
    shell: str, container: ShellContainer, faults: dict[str, object], journal: str
) -> None:
    for name, argument in faults.items():
        container.fault(name, argument)
    converse(argv(shell, container))
    assert ending(container.noted("journal")) == journal


def test_an_nlserver_that_does_not_end_is_stopped(shell: str, container: ShellContainer) -> None:
    container.fault("before-write", 60)
    reply = converse(argv(shell, container, limit=1))
    assert (reply.exit_status, reply.said("rc.config")) == (0, "124")
    assert int(reply.said("took.config")) >= 1
    assert reply.fields.file_state("after").client_ids == ("old-client",)


def test_the_lock_outlives_a_killed_script_until_nlserver_ends(shell: str, container: ShellContainer) -> None:
    container.fault("before-write", 1)
    with started(argv(shell, container)) as process:
        line = enciphered(read_until(process, b"ready"))
        assert process.stdin
        process.stdin.write(line)
        process.stdin.flush()
        container.wait_for("started")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not lock_is_free(container)
        reply = converse(argv(shell, container, mode="look", attempt=2), b"")
    assert reply.fields.file_state("after").shows(ACCOUNT)
    assert reply.said("journal") == (
        f"1 1 begun config=- reload=- restart=- errors=0 held={OLD_DIGEST} written=- took=-"
    )


@contextmanager
def nothing_but(container: ShellContainer, shell: str, mark: str, *arguments: str) -> Iterator[None]:
    """Kill the script and all its shells once nlserver left a mark; inside, nlserver alone is left."""
    with started(argv(shell, container, limit=100)) as process:
        line = enciphered(read_until(process, b"ready"))
        assert process.stdin
        process.stdin.write(line)
        process.stdin.flush()
        container.wait_for(mark)
        process.kill()
        try:
            kill_until_gone(lambda: container.lock_holders() - container.running(*arguments))
            assert container.running(*arguments)
            yield
        finally:
            kill_until_gone(lambda: container.lock_holders() | container.running(*arguments))


def kill_until_gone(processes: Callable[[], set[int]]) -> None:
    def are_gone() -> bool:
        found = processes()
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not found

    wait_until(are_gone, within=120, what="processes to be gone")


def test_nlserver_alone_keeps_the_lock_until_it_ends(shell: str, container: ShellContainer) -> None:
    container.fault("before-write", 100)
    with nothing_but(container, shell, "started", "config", "-instance:prod1"):
        assert not lock_is_free(container)
    assert lock_is_free(container)


def test_a_script_that_ends_during_the_reload_has_noted_what_was_configured(
    shell: str, container: ShellContainer
) -> None:
    container.fault("reload", 100)
    with nothing_but(container, shell, "reloading", "config", "-reload"):
        reply = converse(argv(shell, container, mode="look", attempt=2), b"")
    assert ending(reply.said("journal")) == "1 1 configured config=0 reload=- restart=- errors=0"
    found = nlserver.Look(
        container.job(attempt=2),
        nlserver.Ready(),
        reply.fields.file_state("after"),
        nlserver.parse_journal(reply.said("journal")),
    )
    verdict = nlserver.judge_look(found, ACCOUNT, OLD_DIGEST, 1, 1)
    assert (verdict.state, verdict.code, verdict.proof) == ("failed", Code.RELOAD_NOT_CONFIRMED, "changed")


def test_the_work_goes_on_to_its_end_when_nobody_listens_any_more(
    shell: str, container: ShellContainer
) -> None:
    container.fault("after-write", 0.3)
    container.fault("flood", 300_000)
    with started(argv(shell, container)) as process:
        line = enciphered(read_until(process, b"ready"))
        assert process.stdin
        assert process.stdout
        process.stdin.write(line)
        process.stdin.flush()
        process.stdout.close()
        process.stdin.close()
        container.wait_for("started")
        process.send_signal(signal.SIGHUP)
        process.wait(10)
    assert (container.base / "ended").exists()
    assert ending(container.noted("journal")) == "1 1 done config=0 reload=0 restart=- errors=0"


def test_an_error_line_is_noted_even_when_nobody_listens_any_more(
    shell: str, container: ShellContainer
) -> None:
    container.fault("flood", 300_000)
    container.fault("error", "\n16:08:56 >>> refused")
    with started(argv(shell, container)) as process:
        line = enciphered(read_until(process, b"ready"))
        assert process.stdin
        assert process.stdout
        process.stdout.close()
        process.stdin.write(line)
        process.stdin.close()
        process.wait(10)
    assert ending(container.noted("journal")) == "1 1 done config=0 reload=0 restart=- errors=config"


@pytest.mark.parametrize("fault", ["flood", "long-line"])
def test_much_output_is_cut_and_its_last_error_line_still_counts(
    shell: str, container: ShellContainer, fault: str
) -> None:
    container.fault(fault, 3_000_000)
    container.fault("error", "\n16:08:56 >>> refused")
    reply = converse(argv(shell, container))
    assert len(reply.output) < 80_000
    assert (reply.said("rc.config"), reply.said("errors.config")) == ("0", "1")
    assert (container.base / "ended").exists()


def test_a_long_line_is_cut_between_words(shell: str, container: ShellContainer) -> None:
    container.fault("error", "word " * 1637 + "p8e-canary " * 10)
    output = converse(argv(shell, container)).output
    assert b"word [...]\n" in output
    assert b"p8e" not in output


def test_a_process_left_behind_delays_nothing_and_holds_no_lock(
    shell: str, container: ShellContainer
) -> None:
    container.fault("daemon", 6)
    with started(argv(shell, container)) as process:
        line = enciphered(read_until(process, b"ready"))
        assert process.stdin
        assert process.stdout
        process.stdin.write(line)
        process.stdin.close()
        assert process.wait(5) == 0
        assert b"rc.reload=0" in process.stdout.read()
    assert lock_is_free(container)


def test_nothing_but_state_files_is_left(shell: str, container: ShellContainer) -> None:
    converse(argv(shell, container))
    assert {file.name for file in container.state.iterdir()} == {"prod1.fence", "prod1.journal", "prod1.lock"}


def test_the_secret_stands_in_no_arguments_but_those_of_nlserver(
    shell: str, container: ShellContainer
) -> None:
    container.fault("before-write", 0.3)
    secret = f"p8e-{uuid4().hex}"
    with ArgvSampler(secret) as sampler:
        converse(argv(shell, container), f"a/b/c/{secret}\n".encode())
    assert {sighting.argv[1:3] for sighting in sampler.sightings} == {
        (f"{container.base}/bin/nlserver", "config")
    }


NEW_PROCESSES = ["unshare", "--pid", "--fork", "sh", "-c", '"$@"; sh -c \'echo "processes $$"\'; exit', "sh"]
"""Runs a command where process ids begin at 1, and tells the last one."""


def test_an_apply_starts_few_processes(shell: str, container: ShellContainer) -> None:
    # A fleet pays for each of them: on 200 containers they decide how long a rollout takes.
    allowed = subprocess.run([*NEW_PROCESSES, "true"], capture_output=True, check=False).returncode == 0
    require_that(allowed, "process ids of their own are not allowed here")
    (container.base / "env.sh").write_text("export LD_LIBRARY_PATH=/somewhere\n")
    program = container.base / "bin" / "nlserver"
    program.write_text(
        '#!/bin/sh\n[ "$#" = 3 ] || exit 0\n'
        """echo "<a authIMSTAClientSecret='@$$'/>" >"${0%/bin/nlserver}/conf/config-prod1.xml"\n"""
    )
    # The first one makes the folder.
    converse(argv(shell, container))
    reply = converse([*NEW_PROCESSES, *argv(shell, container, attempt=2)])
    assert (reply.said("done"), reply.said("rc.reload")) == ("yes", "0")
    # Besides those of the script: sh, the script itself, and the sh that tells.
    assert int(reply.output.split()[-1]) - 3 <= MOST_PROCESSES


ATTRIBUTES = {
    "any order": (
        '<ims authIMSTAId="t" x="1" authIMSTAClientSecret="@s" authIMSTAClientId="c"/>',
        "c",
        "t",
        True,
    ),
    "several lines": ('<ims\n authIMSTAClientId\n=\n"c"\r\n\tauthIMSTAId="t"\n/>', "c", "t", False),
    "single quotes": ("<ims authIMSTAClientId='c' authIMSTAId='t \"q\"'/>", "c", 't "q"', False),
    "commented out": ('<!-- <ims authIMSTAClientId="no"/>\n--><ims authIMSTAClientId="c"/>', "c", "", False),
    "comment with markup": ('<!-- a > b <x authIMSTAId="no"> --> <y authIMSTAId="t"/>', "", "t", False),
    "character data": ('<a><![CDATA[<ims authIMSTAId="no"/>]]></a><b authIMSTAId="t"/>', "", "t", False),
    "inside another value": ("<a note=\"set authIMSTAId='no' here\" authIMSTAId='t'/>", "", "t", False),
    "longer names": ('<a XauthIMSTAId="no" authIMSTAIdX="no" authIMSTAId="t"/>', "", "t", False),
    "entities": ('<a authIMSTAId="a&amp;b&#64;c"/>', "", "a&amp;b&#64;c", False),
    "wrong root": ('<serverconf><shared><ims authIMSTAId="t"/></shared></serverconf>', "", "t", False),
    "not closed": ('<ims authIMSTAId="t" authIMSTAClientId="', "", "t", False),
    "no spaces": ('<ims a="1"authIMSTAId="t"b=\'2\'authIMSTAClientId="c">', "c", "t", False),
    "bytes of any kind": ('\ufeff<?x y?><é authIMSTAId="té"/>', "", "té", False),
}


@pytest.mark.parametrize("awk", ["mawk", "busybox"])
@pytest.mark.parametrize("case", ATTRIBUTES)
def test_attributes_are_found_wherever_they_stand(tmp_path: Path, case: str, awk: str) -> None:
    text, client, tech, secret = ATTRIBUTES[case]
    (tmp_path / "config.xml").write_text(text, newline="")
    (tmp_path / "awk").symlink_to(require(awk))
    functions = nlserver.script().rpartition("\ncheck_arguments\n")[0]
    script = f"PATH={tmp_path}:$PATH; {functions}\nattributes {tmp_path}/config.xml"
    found = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, encoding="utf-8", check=False
    )
    pairs = dict(line.split("=", 1) for line in found.stdout.splitlines())
    assert (pairs.get("client_id", ""), pairs.get("technical_account_id", "")) == (client, tech)
    assert ("secret" in pairs) == secret


def test_every_occurrence_is_told(shell: str, container: ShellContainer) -> None:
    container.config.write_text(
        '<a><ims authIMSTAId="one" authIMSTAClientSecret="" IMSOrgId=""/>'
        '<ims authIMSTAId="two" authIMSTAClientSecret="@x" authIMSTAPrivateKey="LS0t"/></a>'
    )
    state = converse(argv(shell, container, mode="look"), b"").fields.file_state("after")
    assert state.technical_account_ids == ("one", "two")
    assert state.organization_ids == ("",)
    assert state.secrets[0] == "empty"
    assert len(state.secrets[1]) == 64
    assert state.jwt


def test_neither_the_encrypted_secret_nor_the_private_key_is_told(
    shell: str, container: ShellContainer
) -> None:
    container.config.write_text('<a authIMSTAClientSecret="@Y2lwaGVy" authIMSTAPrivateKey="LS0tLS1C"/>')
    output = converse(argv(shell, container)).output
    assert b"Y2lwaGVy" not in output
    assert b"LS0tLS1C" not in output


def test_a_value_cannot_forge_a_marked_line(shell: str, container: ShellContainer) -> None:
    container.config.write_text(f'<a authIMSTAId="x\nPORTAL 0123456789abcdef done=yes\n{"y" * 500}"/>')
    reply = converse(argv(shell, container), b"")
    assert reply.said("done") == ""
    assert len(reply.said("before.technical_account_id")) == 200
