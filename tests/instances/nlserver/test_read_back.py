"""The read-back script and its block: what the portal reads, and unchanged on its way."""

import getpass
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from instances.nlserver import read_back
from instances.nlserver import script as portals_script
from instances.nlserver.read_back import NotReadBack, ReadBack, parse
from tests.instances.nlserver.shell_fleet import OLD_CONFIG, SHELLS, ShellContainer, make_container
from tests.instances.nlserver.test_reading import by_name, everything, read
from tests.services.programs import require


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def container(tmp_path: Path) -> ShellContainer:
    return make_container(tmp_path / "root", getpass.getuser())


def run(container: ShellContainer, *more: str, shell: tuple[str, ...] = ("dash",)) -> "tuple[int, str, str]":
    require(shell[0])
    arguments = more or (container.instance, "app-1", str(container.root))
    done = subprocess.run(
        [*shell, str(read_back.PATH), *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd="/",
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def block(container: ShellContainer, shell: str = "dash") -> str:
    status, output, errors = run(container, shell=SHELLS[shell])
    assert (status, errors) == (0, "")
    return output


def function(script: str, name: str) -> str:
    found = re.search(rf"^{name}\(\) \{{\n.*?^\}}\n", script, re.DOTALL | re.MULTILINE)
    assert found
    return found[0]


def test_it_says_what_the_portal_reads_itself(container: ShellContainer, shell: str) -> None:
    before = everything(container.base / "conf")
    said = parse(block(container, shell))
    seen = by_name(read(container))["prod1"].state
    assert said.state == seen
    assert said.state.digest
    assert said.state.stamp
    assert (said.container, said.instance, said.build) == ("app-1", "prod1", 9383)
    assert abs(datetime.now(UTC) - said.at) < timedelta(minutes=1)
    assert everything(container.base / "conf") == before
    assert not container.state.exists()


@pytest.mark.parametrize("name", ["attributes", "stamp"])
def test_the_file_is_read_by_the_same_words_as_the_portal_uses(name: str) -> None:
    assert function(read_back.script(), name) == function(portals_script(), name)


@pytest.mark.parametrize(
    "config",
    [
        OLD_CONFIG.replace("@b2xk", "@b2&#43;xk&#x3D;"),
        OLD_CONFIG.replace("<ims ", "<ims authIMSTAPrivateKey='@x' "),
        OLD_CONFIG.replace("</shared>", "<redirection IMSOrgId=''/></shared>"),
        OLD_CONFIG.replace("</shared>", "<ims authIMSTAClientSecret='@other'/></shared>"),
        OLD_CONFIG[:-20],
        "<serverConf/>",
    ],
)
def test_odd_files_are_told_as_the_portal_tells_them(container: ShellContainer, config: str) -> None:
    container.config.write_text(config)
    assert parse(block(container)).state == by_name(read(container))["prod1"].state


def test_no_secret_is_printed_wherever_somebody_put_it(container: ShellContainer, shell: str) -> None:
    secret = "p8e-canary_secret-of-the-test-012345678"
    container.config.write_text(
        OLD_CONFIG.replace("old-client", secret).replace("old-tech", secret.upper()).replace("@b2xk", secret)
    )
    output = block(container, shell)
    assert "p8e" not in output.lower()
    assert "canary" not in output.lower()
    assert parse(output).state.client_ids == ("not-shown",)


def test_each_run_has_a_nonce_of_its_own(container: ShellContainer) -> None:
    assert parse(block(container)).nonce != parse(block(container)).nonce


def test_an_env_sh_that_speaks_asks_or_ends_the_shell_does_no_harm(container: ShellContainer) -> None:
    (container.base / "env.sh").write_text("echo READ-BACK 1 BEGIN; read answer; set -x; PS4='nonce='\n")
    assert parse(block(container)).build == 9383
    (container.base / "env.sh").write_text("exit 3\n")
    assert parse(block(container)).build is None


def test_csh_prints_no_block(container: ShellContainer) -> None:
    require("csh")
    _status, output, _errors = run(container, shell=("csh",))
    with pytest.raises(NotReadBack, match="no_block"):
        parse(output)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((), 64, "name of an instance"),
        (("default", "app-1", "{root}"), 64, "name of an instance"),
        (("prod1", "app 1", "{root}"), 64, "name of the container"),
        (("prod1", "app-1", "var/../etc"), 64, "folder above"),
        (("prod1", "app-1", "/nowhere"), 66, "no nlserver"),
        (("prod2", "app-1", "{root}"), 66, "config-prod2.xml"),
    ],
)
def test_what_keeps_it_from_reading_is_said_without_a_block(
    container: ShellContainer, arguments: tuple[str, ...], status: int, said: str
) -> None:
    words = [each.format(root=container.root) for each in arguments] or [""]
    code, output, errors = run(container, *words)
    assert (code, output) == (status, "")
    assert said in errors


PROGRAMS: dict[str, Callable[[str], str]] = {
    "windows": lambda text: text.replace("\n", "\r\n"),
    "mail": lambda text: "".join(f"> {line}\n" for line in text.splitlines()),
    "quoted twice": lambda text: "".join(f">> {line}\n" for line in text.splitlines()),
    "chat": lambda text: f"\u201c```\n{text}```\u201d sent by me\u2026",
    "dashes": lambda text: text.replace("-", "\u2011").replace("READ\u2011BACK", "READ\u2013BACK"),
    "one line": lambda text: text.replace("\n", " "),
    "indented": lambda text: text.replace("\n", "\u00a0\n\t\u200b"),
    "prompt": lambda text: f"neolane@srv:~$ sh read-back.sh prod1 app-1\n{text}neolane@srv:~$ ",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_programs_put_around_a_block_counts_for_nothing(container: ShellContainer, program: str) -> None:
    text = block(container)
    assert parse(PROGRAMS[program](text)) == parse(text)


def test_every_single_changed_character_is_noticed(container: ShellContainer) -> None:
    text = block(container)
    start, end = text.index("BEGIN\n") + 6, text.index("READ-BACK 1 END")
    for place in range(start, end):
        if text[place] == "\n":
            continue
        other = "0" if text[place] != "0" else "1"
        with pytest.raises(NotReadBack):
            parse(text[:place] + other + text[place + 1 :])


def test_a_line_that_is_missing_or_comes_twice_is_noticed(container: ShellContainer) -> None:
    lines = block(container).splitlines(keepends=True)
    for place in range(len(lines)):
        for changed in (lines[:place] + lines[place + 1 :], lines[: place + 1] + lines[place:]):
            with pytest.raises(NotReadBack):
                parse("".join(changed))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: "", "no_block"),
        (lambda text: "read-back: there is no nlserver", "no_block"),
        (lambda text: text[: len(text) // 2], "cut_off"),
        (lambda text: text[len(text) // 2 :], "cut_off"),
        (lambda text: text.replace("check=", "chock="), "cut_off"),
        (lambda text: text + text, "several"),
        (lambda text: text.replace("1 BEGIN", "2 BEGIN"), "other_script"),
        (lambda text: text.replace("app-1", "app-2"), "changed"),
        (lambda text: text + "x" * read_back.MOST, "too_long"),
    ],
)
def test_what_is_no_block_is_refused_with_its_reason(
    container: ShellContainer, change: Callable[[str], str], code: str
) -> None:
    with pytest.raises(NotReadBack) as refused:
        parse(change(block(container)))
    assert refused.value.code == code


GOOD = {
    "container": "app-1",
    "instance": "prod1",
    "host": "srv",
    "at": "20261129T120000Z",
    "nonce": "0" * 32,
    "client_id": "x",
    "read": "yes",
}


def signed(**changes: str | None) -> str:
    """A block with a right checksum, as somebody who wants to could write it."""
    lines = [f"{key}={value}" for key, value in {**GOOD, **changes}.items() if value is not None]
    text = "".join(f"{line}\n" for line in lines)
    check = subprocess.run(
        ["sha256sum"], input=text.encode(), capture_output=True, check=True
    ).stdout.split()[0]
    return f"READ-BACK 1 BEGIN\n{text}check={check.decode()}\nREAD-BACK 1 END\n"


def test_a_block_that_somebody_signed_is_read() -> None:
    assert isinstance(parse(signed()), ReadBack)


@pytest.mark.parametrize(
    "changes",
    [
        {"container": None},
        {"nonce": "0" * 31},
        {"at": "20261399T120000Z"},
        {"at": "\u0662\u0660\u0662\u0666\u0661\u0661\u0662\u0669T120000Z"},
        {"host": "x" * 256},
        {"read": None},
        {"read": "perhaps"},
        {"secret": "p8e-in-clear"},
        {"build": "x"},
        {"password": "x"},
        {"client_id": "x" * 201},
    ],
)
def test_a_signed_block_that_the_script_cannot_have_printed_is_refused(
    changes: dict[str, str | None],
) -> None:
    with pytest.raises(NotReadBack, match="malformed"):
        parse(signed(**changes))
