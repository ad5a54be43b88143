"""The stand-in nlserver keeps to what is documented of the real one, and its faults do what they say."""

import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from portal.plaintext import Secret
from portal.sandbox import nlserver
from portal.sandbox.config_files import Shape
from portal.sandbox.container import Container, make_container, read_account
from tests.services.programs import require_that
from tests.services.small_disk import SmallDisk, may_mount
from tests.services.waiting import wait_until

ORGANIZATION = "0123456789ABCDEF01234567@AdobeOrg"
CLIENT = "0123456789abcdef0123456789abcdef"
ACCOUNT = "89ABCDEF0123456701234567@techacct.adobe.com"
SECRET = "p8e-canary_0123456789abcdef-ABCDEFGH"
VALUE = f"{ORGANIZATION}/{CLIENT}/{ACCOUNT}/{SECRET}"
KEY = bytes(range(32))


def container_at(
    folder: Path, *, shape: Shape = Shape.PLAIN, build: int = 9391, language: str = "en", major: str = "nl6"
) -> Container:
    return make_container(folder, instances={"prod1": shape}, build=build, language=language, major=major)


def run(container: Container, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    script = f'. "$HOME/{container.major}/env.sh" && exec nlserver "$@"'
    return subprocess.run(
        ["/bin/sh", "-c", script, "sh", *arguments],
        env=container.environment("neolane"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
    )


def set_account(container: Container, instance: str = "prod1") -> "subprocess.CompletedProcess[bytes]":
    return run(container, "config", f"-instance:{instance}", f"-setimsoauth:{VALUE}")


@pytest.mark.parametrize("shape", Shape)
def test_it_sets_the_account_in_every_shape_of_file(tmp_path: Path, shape: Shape) -> None:
    container = container_at(tmp_path, shape=shape)
    done = set_account(container)
    assert (done.returncode, b">>>" in done.stdout) == (0, False)
    account = read_account(container, "prod1")
    assert (account.organization_id, account.client_id) == (ORGANIZATION, CLIENT)
    assert account.technical_account_id == ACCOUNT
    assert account.secret is not None
    assert account.secret.reveal() == SECRET


@pytest.mark.parametrize("shape", Shape)
def test_it_leaves_everything_else_in_the_file_as_it_was(tmp_path: Path, shape: Shape) -> None:
    def others(text: str) -> list[tuple[str, dict[str, str]]]:
        ours = {"authIMSTAClientId", "authIMSTAId", "authIMSTAClientSecret", "IMSOrgId"}
        found = [
            (each.tag, {name: value for name, value in each.attrib.items() if name not in ours})
            for each in ET.fromstring(text.encode()).iter()
        ]
        return [each for each in found if each[1] or each[0] not in {"ims", "web", "redirection"}]

    container = container_at(tmp_path, shape=shape)
    before = container.config("prod1").read_text()
    set_account(container)
    after = container.config("prod1").read_text()
    assert others(after) == others(before)
    assert re.findall(r"<!--.*?-->", after, re.DOTALL) == re.findall(r"<!--.*?-->", before, re.DOTALL)


def test_it_keeps_bytes_that_are_no_utf8_and_the_mode_of_the_file(tmp_path: Path) -> None:
    container = container_at(tmp_path)
    config = container.config("prod1")
    config.write_bytes(b"\xef\xbb\xbf<serverConf>\r\n<!-- cr\xe9\xe9 -->\r\n<shared/></serverConf>\r\n")
    config.chmod(0o640)
    set_account(container)
    after = config.read_bytes()
    assert after.startswith(b"\xef\xbb\xbf<serverConf>")
    assert b"\r\n<!-- cr\xe9\xe9 -->\r\n<shared>" in after
    assert config.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("language", "words"), [("en", b"Application server"), ("fr", b"Serveur applicatif")]
)
def test_every_command_begins_with_the_banner(tmp_path: Path, language: str, words: bytes) -> None:
    container = container_at(tmp_path, language=language)
    for arguments in (["pdump"], ["config", "-?"], ["config", "-reload"], ["nonsense"]):
        first = run(container, *arguments).stdout.splitlines()[0]
        assert words in first
        assert re.fullmatch(rb"\d\d:\d\d:\d\d >   .* build 9391@[0-9a-f]{11}\).*", first)


def test_characters_with_a_meaning_in_xml_arrive_as_they_are(tmp_path: Path) -> None:
    container = container_at(tmp_path)
    run(container, "config", "-instance:prod1", "-setimsoauth:a&b/<c>/d\"e'/$(id)`id`")
    account = read_account(container, "prod1")
    assert (account.organization_id, account.client_id) == ("a&b", "<c>")
    assert account.technical_account_id == "d\"e'"
    assert account.secret is not None
    assert account.secret.reveal() == "$(id)`id`"


def test_errors_have_three_marks_and_a_nonzero_status(tmp_path: Path) -> None:
    for arguments in (["config", "-instance:none", "-setimsoauth:a/b/c/d"], ["config", "-nonsense"], ["x"]):
        done = run(container_at(tmp_path), *arguments)
        assert done.returncode != 0
        assert re.search(rb"^\d\d:\d\d:\d\d >>> XSV-", done.stdout, re.MULTILINE)


def test_a_build_before_9383_does_not_know_oauth_and_writes_nothing(tmp_path: Path) -> None:
    old = container_at(tmp_path / "old", build=9382)
    before = old.config("prod1").read_bytes()
    done = set_account(old)
    assert done.returncode != 0
    assert b">>>" in done.stdout
    assert old.config("prod1").read_bytes() == before
    assert b"setimsoauth" not in run(old, "config", "-?").stdout
    assert b"setimsoauth" in run(container_at(tmp_path / "new", build=9383), "config", "-?").stdout


def test_without_an_instance_it_writes_the_default_file(tmp_path: Path) -> None:
    container = container_at(tmp_path)
    assert run(container, "config", f"-setimsoauth:{VALUE}").returncode == 0
    assert read_account(container, "default").client_id == CLIENT
    assert read_account(container, "prod1").client_id == ""


def test_it_does_not_start_unless_env_sh_was_sourced(tmp_path: Path) -> None:
    container = container_at(tmp_path)
    done = subprocess.run(
        [container.program, "pdump"], env=container.environment("neolane"), capture_output=True
    )
    assert done.returncode == 127
    assert b"error while loading shared libraries" in done.stderr


def test_pdump_and_restart_name_the_instance(tmp_path: Path) -> None:
    container = container_at(tmp_path, major="nl7")
    assert b"mta@prod1 (" in run(container, "pdump").stdout
    assert run(container, "restart", "pipelined@prod1").returncode == 0
    assert run(container, "restart", "pipelined@other").returncode != 0


def test_the_same_secret_is_encrypted_differently_each_time_unless_told_otherwise(tmp_path: Path) -> None:
    container = container_at(tmp_path)
    set_account(container)
    first = container.config("prod1").read_bytes()
    set_account(container)
    second = container.config("prod1").read_bytes()
    container.set_faults("deterministic")
    set_account(container)
    third = container.config("prod1").read_bytes()
    set_account(container)
    assert first != second
    assert third == container.config("prod1").read_bytes()


def test_a_secret_encrypted_by_another_container_is_not_read() -> None:
    sealed = nlserver.encrypt(b"secret", KEY, b"n" * 16)
    assert nlserver.decrypt(sealed, KEY) == b"secret"
    with pytest.raises(ValueError, match="this container"):
        nlserver.decrypt(sealed, bytes(32))


def test_the_log_tells_secrets_apart_without_holding_them(tmp_path: Path) -> None:
    container = container_at(tmp_path)
    set_account(container)
    started, ended = container.invocations()
    assert (started["event"], ended["event"], ended["exit"]) == ("started", "ended", 0)
    assert started["fingerprint"] == container.fingerprint(Secret(SECRET))
    assert started["fingerprint"] != container.fingerprint(Secret("another"))
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("fault", "status", "error", "written"),
    [
        ("error_exit_0", 0, True, False),
        ("exit_0_without_writing", 0, False, False),
        ("readonly", 1, True, False),
        ("killed_after_writing", -9, False, True),
        ("killed_before_writing", -9, False, False),
        ("touches", 0, False, False),
        ("rewrites", 0, False, True),
        ("encrypts_anew", 0, False, False),
        ("third_value", 0, False, True),
        ("empties_organization", 0, False, True),
        ("slow=0.2", 0, False, True),
        ("echo_secret", 0, False, True),
        ("escape_codes", 0, False, True),
        ("prod1:error_exit_0", 0, True, False),
        ("prod2:error_exit_0", 0, False, True),
        ("reload_fails", 0, False, True),
        ("@pdump:hang", 0, False, True),
    ],
)
def test_a_fault_does_what_it_says(
    tmp_path: Path, fault: str, status: int, error: bool, written: bool
) -> None:
    container = container_at(tmp_path)
    container.set_faults(fault)
    done = set_account(container)
    assert (done.returncode, b">>>" in done.stdout) == (status, error)
    assert (read_account(container, "prod1").client_id == CLIENT) is written


def test_a_fault_with_a_count_is_used_up(tmp_path: Path) -> None:
    container = container_at(tmp_path)
    container.set_faults("error_exit_0*2", "reload_fails")
    assert [b">>>" in set_account(container).stdout for _ in range(3)] == [True, True, False]
    assert run(container, "config", "-reload").returncode != 0


@pytest.mark.parametrize(
    ("fault", "changed", "holds"),
    [
        ("touches", False, "before"),
        ("rewrites", True, "before"),
        ("encrypts_anew", True, "before"),
        ("third_value", True, "a value of its own"),
        ("second_node", True, "before"),
        ("reload_encrypts_anew", True, SECRET),
    ],
)
def test_a_lie_leaves_what_it_says(tmp_path: Path, fault: str, changed: bool, holds: str) -> None:
    container = container_at(tmp_path)
    before = VALUE.replace(SECRET, "before")
    run(container, "config", "-instance:prod1", f"-setimsoauth:{before}")
    container.set_faults(fault)
    file = container.config("prod1")
    old = file.read_bytes(), file.stat().st_mtime_ns
    set_account(container)
    if fault.startswith("reload"):
        old = file.read_bytes(), file.stat().st_mtime_ns
        run(container, "config", "-reload")
    assert file.stat().st_mtime_ns > old[1]
    assert fault == "rewrites" or (file.read_bytes() != old[0]) is changed
    secret = read_account(container, "prod1").secret
    assert secret
    assert secret.reveal() == holds


def test_a_late_write_comes_after_the_end(tmp_path: Path) -> None:
    container = container_at(tmp_path)
    container.set_faults("writes_late=1")
    assert set_account(container).returncode == 0
    assert read_account(container, "prod1").client_id == ""
    wait_until(lambda: read_account(container, "prod1").client_id == CLIENT, within=120, what="the write")


def test_the_noisy_faults_make_their_noise(tmp_path: Path) -> None:
    container = container_at(tmp_path)
    container.set_faults("echo_secret", "escape_codes", "@pdump:no_banner")
    output = set_account(container).stdout
    assert f"-setimsoauth:{VALUE}".encode() in output
    assert b"\x1b[31m" in output
    assert b"build" not in run(container, "pdump").stdout


def test_a_failed_reload_says_so(tmp_path: Path) -> None:
    container = container_at(tmp_path)
    container.set_faults("reload_fails", "restart_fails")
    for arguments in (["config", "-reload"], ["restart", "pipelined@prod1"]):
        done = run(container, *arguments)
        assert done.returncode != 0
        assert b">>>" in done.stdout


@pytest.mark.parametrize(("fault", "least"), [("flood_100mb", 100 << 20), ("flood", 8 << 20)])
def test_a_flood_is_as_large_as_it_says_and_ends_when_nobody_reads(
    tmp_path: Path, fault: str, least: int
) -> None:
    container = container_at(tmp_path)
    container.set_faults(fault)
    command = f"nlserver config -instance:prod1 -setimsoauth:{VALUE} | head -c {least} | wc -c"
    script = f'. "$HOME/nl6/env.sh"; {command}'
    done = subprocess.run(
        ["/bin/sh", "-c", script], env=container.environment("neolane"), capture_output=True, timeout=30
    )
    assert (int(done.stdout), done.stderr) == (least, b"")


def test_a_hang_lasts_until_it_is_ended(tmp_path: Path) -> None:
    container = container_at(tmp_path)
    container.set_faults("hang")
    script = '. "$HOME/nl6/env.sh"; exec nlserver config -instance:prod1 "-setimsoauth:$0"'
    with subprocess.Popen(["/bin/sh", "-c", script, VALUE], env=container.environment("neolane")) as hanging:
        try:
            wait_until(container.invocations, within=60, what="it has started")
            with pytest.raises(subprocess.TimeoutExpired):
                hanging.wait(0.5)
        finally:
            hanging.terminate()
        assert hanging.wait(60) == -signal.SIGTERM
    assert [line["event"] for line in container.invocations()] == ["started"]


def test_it_starts_quickly(tmp_path: Path) -> None:
    container = container_at(tmp_path)

    def seconds(start: Callable[[], object]) -> float:
        begin = time.monotonic()
        start()
        return time.monotonic() - begin

    bare = [sys.executable, "-I", "-S", "-c", "import argparse, json, hashlib, xml.etree.ElementTree"]
    rounds = range(5)
    usual = min(seconds(lambda: run(container, "pdump")) for _ in rounds)
    # A shell and an interpreter more, at most: nothing heavy is imported.
    assert usual < 4 * min(seconds(lambda: subprocess.run(bare, check=True)) for _ in rounds)


def test_a_call_waits_at_a_closed_gate_until_it_is_opened(tmp_path: Path) -> None:
    container = container_at(tmp_path / "c")
    container.set_gates("setimsoauth", "written")
    arguments = ("config", "-instance:prod1", f"-setimsoauth:{VALUE}")

    def waits_at(gate: str) -> bool:
        return any(line.get("gate") == gate for line in container.invocations())

    with ThreadPoolExecutor() as beside:
        call = beside.submit(run, container, *arguments)
        wait_until(lambda: waits_at("setimsoauth"), within=120, what="the first gate")
        assert read_account(container, "prod1").secret is None
        container.set_gates("written")
        wait_until(lambda: waits_at("written"), within=120, what="the second gate")
        held = read_account(container, "prod1").secret
        container.set_gates()
        assert call.result().returncode == 0
    assert held
    assert held.reveal() == SECRET
    assert [line["event"] for line in container.invocations()] == ["started", "waiting", "waiting", "ended"]


@pytest.mark.parametrize("shape", list(Shape))
def test_a_write_in_place_is_whole_only_at_its_end(tmp_path: Path, shape: Shape) -> None:
    container = container_at(tmp_path / "c", shape=shape)
    container.tear(0.5)
    arguments = ("config", "-instance:prod1", f"-setimsoauth:{VALUE}")
    with ThreadPoolExecutor() as beside:
        call = beside.submit(run, container, *arguments)
        wait_until(
            lambda: any(line.get("gate") == "torn" for line in container.invocations()),
            within=120,
            what="half of the write",
        )
        with pytest.raises(ET.ParseError):
            read_account(container, "prod1")
        container.set_gates()
        assert call.result().returncode == 0
    held = read_account(container, "prod1").secret
    assert held
    assert held.reveal() == SECRET


def test_a_torn_file_is_refused_in_words_and_stays_as_it_is(tmp_path: Path) -> None:
    container = container_at(tmp_path / "c")
    whole = container.config("prod1").read_bytes()
    container.config("prod1").write_bytes(whole[: len(whole) // 2])
    done = run(container, "config", "-instance:prod1", f"-setimsoauth:{VALUE}")
    assert done.returncode != 0
    assert b">>> " in done.stdout
    assert b"unexpected end of file" in done.stdout
    assert container.config("prod1").read_bytes() == whole[: len(whole) // 2]


def test_a_full_disk_is_refused_in_words_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    require_that(may_mount(), "not allowed to mount a small file system")
    container = container_at(tmp_path / "c")
    before = container.config("prod1").read_bytes()
    with SmallDisk(container.conf, megabytes=1) as disk:
        container.config("prod1").write_bytes(before)
        disk.fill()
        done = set_account(container)
        assert (done.returncode, b">>> " in done.stdout) == (1, True)
        assert container.config("prod1").read_bytes() == before
        assert list(container.conf.glob("*.tmp")) == []
        disk.empty()
        assert set_account(container).returncode == 0
