"""Reading a container: what the script tells of each instance, that it leaves no trace, what it may say."""

import fcntl
import getpass
import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from instances.nlserver.reading import MOST_FILES, FileSeen, Reading, ReadingFields, parse_reading
from instances.nlserver.report import Ready, Transcript
from tests.instances.nlserver.shell_fleet import (
    NONCE,
    OLD_CONFIG,
    SHELLS,
    ShellContainer,
    argv,
    converse,
    make_container,
    started,
)
from tests.services.small_disk import SmallDisk, may_mount
from tests.services.waiting import wait_until

OLD_DIGEST = hashlib.sha256(b"@b2xk").hexdigest()


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def container(tmp_path: Path) -> ShellContainer:
    return make_container(tmp_path / "root", getpass.getuser())


def read(container: ShellContainer, shell: str = "dash") -> Reading:
    reply = converse(argv(shell, container, mode="read", instance="any", portal="me"), line=b"")
    fields = parse(reply.output)
    assert (reply.exit_status, fields.malformed, fields.has("done")) == (0, False, True), reply.output
    return parse_reading(fields, Ready(), b"")


def parse(output: bytes) -> ReadingFields:
    fields = ReadingFields()
    transcript = Transcript(NONCE, fields)
    for line in output.splitlines(keepends=True):
        transcript.feed(line)
    return fields


def add(container: ShellContainer, name: str, text: str = OLD_CONFIG) -> Path:
    file = container.base / "conf" / f"config-{name}.xml"
    file.write_text(text)
    return file


def everything(root: Path) -> dict[str, tuple[int, ...]]:
    """Every file and folder below a folder, with all that a write would change."""
    found: dict[str, tuple[int, ...]] = {}
    for entry in [root, *root.rglob("*")]:
        stat = entry.lstat()
        name = str(entry.relative_to(root))
        found[name] = (stat.st_ino, stat.st_size, stat.st_mode, stat.st_mtime_ns, stat.st_ctime_ns)
    return found


def by_name(reading: Reading) -> dict[str, FileSeen]:
    return {each.instance: each for each in reading.files}


def test_all_instances_are_read_whoever_knows_them(container: ShellContainer, shell: str) -> None:
    add(container, "default", "<serverConf/>")
    add(container, "two", OLD_CONFIG.replace("old-client", "other-client"))
    add(container, "jwt", OLD_CONFIG.replace("<ims ", "<ims authIMSTAPrivateKey='@x' "))
    add(container, "torn", OLD_CONFIG[:-20])
    reading = read(container, shell)
    found = by_name(reading)
    assert set(found) == {"prod1", "two", "jwt", "torn"}
    assert found["prod1"].state.client_ids == ("old-client",)
    assert found["prod1"].state.digest == OLD_DIGEST
    assert found["two"].state.client_ids == ("other-client",)
    assert (found["jwt"].state.jwt, found["prod1"].state.jwt) == (True, False)
    assert (found["torn"].state.torn, found["torn"].state.read) == (True, False)
    assert (reading.strange, reading.further) == (0, 0)
    assert len({each.state.stamp for each in reading.files}) == 4


def test_a_reading_leaves_no_trace(container: ShellContainer, shell: str) -> None:
    container.state.mkdir()
    (container.state / "prod1.lock").write_text("")
    (container.state / "prod1.fence").write_text("9 9\nanother\n")
    read(container, shell)  # the stand-in for nlserver notes its calls in a file of its own
    before = everything(container.root)
    read(container, shell)
    after = everything(container.root)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed <= {"nl6/calls"}
    assert {call[0] for call in container.calls()} == {"pdump"}


def test_a_reading_makes_no_state_folder(container: ShellContainer) -> None:
    read(container)
    assert not container.state.exists()


def test_a_file_that_nobody_can_write_is_read(container: ShellContainer) -> None:
    container.config.chmod(0o400)
    (container.base / "var").chmod(0o500)
    assert by_name(read(container))["prod1"].unread == ""


@pytest.fixture
def held_lock(container: ShellContainer) -> Iterator[None]:
    container.state.mkdir()
    lock = os.open(container.state / "prod1.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield
    os.close(lock)


@pytest.mark.usefixtures("held_lock")
def test_a_file_that_a_push_holds_is_left_alone_and_the_others_are_read(
    container: ShellContainer, shell: str
) -> None:
    add(container, "two")
    found = by_name(read(container, shell))
    assert (found["prod1"].unread, found["two"].unread) == ("busy", "")
    assert found["prod1"].state.stamp == ""


def test_what_is_no_file_of_an_instance_is_said(container: ShellContainer, shell: str) -> None:
    folder = container.base / "conf"
    (folder / "config-loop.xml").symlink_to("config-loop.xml")
    (folder / "config-folder.xml").mkdir()
    (folder / "config-gone.xml").symlink_to("nowhere")
    with (folder / "config-big.xml").open("wb") as file:
        file.truncate(100_000_000)
    os.mkfifo(folder / "config-pipe.xml")
    for name in ("a b", "ü", "-x", "_y", "x" * 41, "q'uote", "new\nline"):
        add(container, name)
    reading = read(container, shell)
    found = {name: each.unread for name, each in by_name(reading).items()}
    assert found == {
        "prod1": "",
        "loop": "none",
        "folder": "none",
        "gone": "none",
        "pipe": "none",
        "big": "too_big",
    }
    assert reading.strange == 7


def test_no_more_than_two_hundred_files_are_read(container: ShellContainer) -> None:
    for number in range(5_000):
        (container.base / "conf" / f"config-i{number}.xml").touch()
    reading = read(container)
    assert (len(reading.files), reading.further) == (MOST_FILES, 4_801)


def test_a_container_without_any_instance_is_read(container: ShellContainer, shell: str) -> None:
    container.config.unlink()
    assert read(container, shell) == Reading(Ready(), ())


def test_a_file_that_changes_while_it_is_read_is_read_again(container: ShellContainer) -> None:
    """The program that takes the file apart changes it: once, and then each time."""
    tools = container.root / "tools"
    tools.mkdir()
    real = subprocess.run(["which", "awk"], capture_output=True, text=True, check=True).stdout.strip()
    touch = f"""[ "$LIMIT" -le "$(cat {tools}/count)" ] || for each; do case $each in
        conf/*) echo $(($(cat {tools}/count) + 1)) >{tools}/count; echo '<!-- -->' >>"$each" ;; esac; done"""
    (tools / "awk").write_text(f'#!/bin/sh\n{touch}\nexec {real} "$@"\n')
    (tools / "awk").chmod(0o755)
    found = []
    for limit in ("0", "1", "9"):
        (tools / "count").write_text("0")
        command = ["env", f"LIMIT={limit}", f"PATH={tools}:{os.environ['PATH']}"]
        reply = converse([*command, *argv("dash", container, mode="read", instance="any")], line=b"")
        found.append(parse_reading(parse(reply.output), Ready(), b"").files[0].unread)
    assert found == ["", "", "moving"]


def test_a_large_file_costs_little_time_and_memory(container: ShellContainer) -> None:
    """One of 100 MB is not opened; one below the limit, all one piece, is read in bounded memory."""
    folder = container.base / "conf"
    for name, size in (("big", 100_000_000), ("full", 8_000_000)):
        with (folder / f"config-{name}.xml").open("wb") as file:
            file.truncate(size)
    command = ["sh", "-c", 'ulimit -v 200000; exec "$@"', "limited"]
    begin = time.monotonic()
    reply = converse([*command, *argv("dash", container, mode="read", instance="any")], line=b"")
    found = by_name(parse_reading(parse(reply.output), Ready(), b""))
    assert time.monotonic() - begin < 20
    assert (found["big"].unread, found["prod1"].unread) == ("too_big", "")
    assert found["full"].state.torn  # it was read to its end, which is not that of a document
    assert len(reply.output) < 5_000


def test_a_reading_that_nobody_listens_to_ends_before_the_next_file(
    container: ShellContainer, shell: str
) -> None:
    for number in range(20):
        add(container, f"i{number:02}")
    tools = container.root / "tools"
    tools.mkdir()
    real = subprocess.run(["which", "awk"], capture_output=True, text=True, check=True).stdout.strip()
    wait = f"for each; do case $each in conf/*) echo >>{tools}/read; read -r _ <{tools}/gate ;; esac; done"
    (tools / "awk").write_text(f'#!/bin/sh\n{wait}\nexec {real} "$@"\n')
    (tools / "awk").chmod(0o755)
    os.mkfifo(tools / "gate")
    command = ["env", f"PATH={tools}:{os.environ['PATH']}"]
    with started([*command, *argv(shell, container, mode="read", instance="any")]) as process:
        wait_until((tools / "read").exists, within=120, what="the first file to be read")
        assert process.stdout
        process.stdout.close()
        (tools / "gate").write_text("go on\n")
        assert process.wait(30) in {-signal.SIGPIPE, 128 + signal.SIGPIPE}
    assert (tools / "read").read_text() == "\n"


def test_where_no_stamp_can_be_had_a_look_goes_without(
    container: ShellContainer, shell: str, tmp_path: Path
) -> None:
    (tmp_path / "stat").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "stat").chmod(0o755)
    command = ["env", f"PATH={tmp_path}:{os.environ['PATH']}", *argv(shell, container, mode="look")]
    state = converse(command, line=b"").fields.file_state("after")
    assert (state.client_ids, state.read, state.stamp) == (("old-client",), True, "")


def test_a_push_and_a_look_tell_the_stamp_that_a_reading_sees(container: ShellContainer, shell: str) -> None:
    replies = [converse(argv(shell, container)), converse(argv(shell, container, mode="look"), line=b"")]
    stamps = [reply.fields.file_state("after").stamp for reply in replies]
    stamps.append(by_name(read(container, shell))["prod1"].state.stamp)
    assert len(set(stamps)) == 1
    assert stamps[0]
    before = [reply.fields.file_state("before").stamp for reply in replies]
    assert before == ["", ""]


def test_a_push_tells_the_stamp_of_the_file_just_before_it_writes(
    container: ShellContainer, shell: str
) -> None:
    known = by_name(read(container, shell))["prod1"].state.stamp
    fields = converse(argv(shell, container)).fields
    held = fields.file_state("held")
    assert (held.stamp, held.client_ids, held.read) == (known, ("old-client",), True)
    assert fields.file_state("after").stamp != known


def said(*lines: str) -> bytes:
    return b"".join(f"PORTAL {NONCE} {line}\n".encode() for line in lines)


WHOLE = ["user=me", "nlserver=/x/nlserver", "run=probe", "rc.probe=0", "errors.probe=0", "build=9390"]
FILE = ["instance=prod1", "now.stamp=1.2.3 a", "now.client_id=c", "now.read=yes"]


@pytest.mark.parametrize(
    "lines",
    [
        [*WHOLE, *FILE, *FILE],
        [*WHOLE, "instance=default"],
        [*WHOLE, "instance=../x"],
        [*WHOLE, "now.client_id=c"],
        [*WHOLE, *FILE, "now.client_id=late"],
        [*WHOLE, *FILE, "now.secret=p8e-a-secret-in-clear"],
        [*WHOLE, *FILE, "build=9391"],
        [*WHOLE, *FILE, "strange=0", "instance=two"],
        [*WHOLE, *FILE, "strange=0", "now.jwt=yes"],
        [*WHOLE, *FILE, "held.client_id=c"],
        [*WHOLE, "listening=yes"],
        [*WHOLE, *(f"instance=i{number}" for number in range(MOST_FILES + 1))],
        [*WHOLE, "instance=prod1", *["now.client_id=c"] * 41],
    ],
)
def test_what_the_script_cannot_have_said_is_malformed_and_not_kept(lines: list[str]) -> None:
    fields = parse(said(*lines))
    assert fields.malformed
    assert "p8e" not in repr(fields)


def test_what_the_script_says_is_not() -> None:
    fields = parse(said(*WHOLE, *FILE, "instance=two", "file=busy", "strange=1", "further=3", "done=yes"))
    assert not fields.malformed
    reading = parse_reading(fields, Ready(), b"")
    assert [(each.instance, each.unread) for each in reading.files] == [("prod1", ""), ("two", "busy")]
    assert (reading.strange, reading.further) == (1, 3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_readings_leave_no_trace(container: ShellContainer) -> None:
    """Files, folders and states are as before, whichever shell reads."""
    container.state.mkdir()
    for suffix in ("lock", "fence", "journal"):
        (container.state / f"prod1.{suffix}").write_text("9 9\n")
    add(container, "two")
    quiet = container.base / "bin" / "nlserver"
    lines = quiet.read_text().splitlines(keepends=True)
    quiet.write_text("".join(line for line in lines if '"$base/calls"' not in line))
    before = everything(container.root)
    for number in range(1_000):
        assert len(read(container, list(SHELLS)[number % 3]).files) == 2
    assert everything(container.root) == before


@pytest.mark.skipif(not may_mount(), reason="no small disk can be mounted here")
def test_a_full_disk_does_not_stop_a_reading(container: ShellContainer) -> None:
    disk = SmallDisk(container.base, megabytes=1)
    kept = container.root / "kept"
    shutil.copytree(container.base, kept)
    with disk:
        shutil.copytree(kept, container.base, dirs_exist_ok=True)
        (container.base / "calls").symlink_to("/dev/null")  # where the stand-in notes its calls
        disk.fill()
        before = everything(container.base)
        assert by_name(read(container))["prod1"].state.client_ids == ("old-client",)
        assert everything(container.base) == before
