"""Every command that README, docs, units and hints name exists, with the options that they give it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

import pytest
from django.core.management import get_commands, load_command_class

from tests.services.portal import ROOT

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").rglob("*.md"))
TEXT = "\n".join(page.read_text() for page in PAGES)
UNITS = sorted((ROOT / "deploy" / "by-hand" / "systemd").iterdir())
PICTURES = "../pictures/"
"""Those of the help are made by the browser tests; `tests/credentials/help` knows their names."""
OURS = {
    file.stem
    for app in ("portal", "instances", "credentials")
    for file in (ROOT / app).rglob("management/commands/*.py")
    if file.stem != "__init__"
}
DJANGOS = {"help", "check", "collectstatic", "makemigrations", "migrate"}
PROGRAMS = {
    "chaos": ("-m", "tests.chaos"),
    "keys": ("-m", "tests.keys"),
    "alerts": ("-m", "tests.alerts"),
    "bench": ("-m", "tests.benchmarks"),
    "measure": ("-m", "tests.benchmarks.measure"),
    "compose": ("-m", "tests.deployment.try_compose"),
}


def code() -> Iterator[str]:
    """Whatever the pages print as code: between backquotes, or indented."""
    yield from re.findall(r"`([^`\n]+)`", TEXT)
    yield from re.findall(r"^ {4,}(\S.*)$", TEXT, re.MULTILINE)
    for unit in UNITS:
        yield from re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)


def options(line: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", line))


def asked_of_manage() -> dict[str, set[str]]:
    """Each management command that is named, with the options that it is given anywhere."""
    found: dict[str, set[str]] = {}
    for line in code():
        named = re.search(r"manage\.py ([a-z_]+)(.*)", line) or re.match(rf"({'|'.join(OURS)})\b(.*)", line)
        if named:
            found.setdefault(named[1], set()).update(options(named[2]))
    return found


@cache
def help_of(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_every_management_command_is_there_with_its_options() -> None:
    asked = asked_of_manage()
    assert asked.keys() <= OURS | DJANGOS
    assert len(asked) > 10
    for command, given in asked.items():
        if given:
            parser = load_command_class(get_commands()[command], command).create_parser("manage.py", command)
            assert given <= options(parser.format_help()), command


def test_every_script_of_deploy_that_is_named_is_there_and_can_be_run() -> None:
    named = {
        found for line in code() for found in re.findall(r"deploy/[a-z]+(?:-[a-z]+)*(?:/[a-z.]+)?", line)
    }
    assert {"deploy/configure", "deploy/new-key", "deploy/new-password", "deploy/by-hand/manage"} <= named
    for name in named:
        assert (ROOT / name).exists(), name
    for name in ("configure", "new-key", "new-password", "by-hand/manage"):
        assert (ROOT / "deploy" / name).stat().st_mode & 0o100, name


def test_links_between_pages_lead_somewhere() -> None:
    """To files that exist, and to headings that they have."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if target.startswith(("http:", "https:", "mailto:", PICTURES)):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
                assert anchor in {anchor_of(each) for each in headings}, f"{page.name}: {target}"


def anchor_of(heading: str) -> str:
    """Return the anchor that forges make of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_what_messages_advise_can_be_done() -> None:
    """Commands in the texts of errors, checks and failures: whoever reads one types it."""
    texts = "\n".join(
        path.read_text()
        for room in ("portal", "instances", "credentials")
        for path in (ROOT / room).rglob("*.py")
        if "/tests/" not in str(path)
    )
    named = set(re.findall(r"manage\.py ([a-z_]+)", texts)) - {"shell"}
    assert named <= OURS | DJANGOS, named - OURS
    assert {"keys", "migrate", "verify_audit"} <= named


def test_every_command_of_make_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {found for line in code() for found in re.findall(r"^make ([a-z]+)", line)}
    assert {"chaos", "model", "keys", "bench", "compose"} <= named <= targets


@pytest.mark.parametrize("target", PROGRAMS)
def test_what_make_passes_on_is_understood(target: str) -> None:
    module = PROGRAMS[target]
    called = rf"make {target} ARGS=\"?([^\"]*)|python {re.escape(' '.join(module))}(?!\.)(.*)"
    given = [found for line in code() for found in re.findall(called, line)]
    text = help_of(*module)
    assert {option for pair in given for each in pair for option in options(each)} <= options(text)
    words = {word for first, _ in given for word in first.split() if re.fullmatch(r"[a-z]+(-[a-z]+)*", word)}
    assert all(word in text for word in words)
