"""Every text of a command is marked for translation: its help, and what it prints."""

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from credentials.rotation.models import Weekday
from portal.command_line import GROUPS, Commands
from tests.messages.pseudo import pseudo_language, widened
from tests.messages.test_pseudo_language import WORD
from tests.services.portal import ROOT
from tests.test_commands import OURS, load

MODULES = [
    *(
        path
        for room in ("portal", "instances", "credentials")
        for path in (ROOT / room).rglob("management/commands/*.py")
    ),
    ROOT / "portal" / "command_line.py",
    ROOT / "portal" / "backup.py",
    ROOT / "portal" / "key_changes.py",
    ROOT / "portal" / "keys" / "known.py",
    ROOT / "portal" / "keys" / "holders.py",
    ROOT / "credentials" / "by_name.py",
    ROOT / "credentials" / "rollouts" / "reporting.py",
]
MARKS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
AS_THEY_ARE = {
    # typed, or a command's name
    "seal this break",
    "not made yet",
    "not used yet",
    "erase this name",
    "manage.py keys accept ssh_key",
    "manage.py keys accept x",
    "manage.py migrate",
    "manage.py x",
    "--expect-head: x",
    "--reason: x",
    "deploy/new-key --forget ssh_key",
    # codes that JSON has
    "not recorded",
    "another key",
    "fits, newest key not in use",
    # before the settings are read, a log, a name in one
    "The settings cannot be read: x: x\n",
    "web server",
    "The keys of this process were not noted (%s).",
    # asked of argparse and databases
    "no such table",
    "does not exist",
    "DROP TABLE x CASCADE",
    'DELETE FROM "x"',
    "PRAGMA journal_mode=MEMORY",
    "PRAGMA integrity_check(1)",
}


def words_of_calls(parser: argparse.ArgumentParser) -> set[str]:
    """Return the words that people type, and the capitals that are in their place."""
    found = ["manage", "py"]
    for action in parser._actions:
        metavars = action.metavar if isinstance(action.metavar, tuple) else [action.metavar or action.dest]
        found += [*action.option_strings, *map(str, action.choices or ())]
        found += [each for word in metavars for each in (str(word), str(word).upper())]
    return set(WORD.findall(" ".join(found)))


def shown(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield each text of a parser that is not argparse's own."""
    yield parser.description or ""
    for group in parser._action_groups:
        yield group.description or ""
        if group.title not in ("positional arguments", "options"):
            yield group.title or ""
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            yield (action.help or "") % {**vars(action), "prog": ""}


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_help_is_marked(name: str) -> None:
    with pseudo_language():
        command = load(name)
        parser = command.create_parser("manage.py", name)
        texts = [*shown(parser), str(command.summary), str(command.help)]
        parser.format_help()
    typed = words_of_calls(parser) | {*Weekday.values}
    known = (
        typed if name != "migrate" else typed | set(WORD.findall(str(command.help)))
    )  # Django's, see `DJANGO`
    unmarked = {text: left for text in texts if (left := {*WORD.findall(text)} - known)}
    assert unmarked == {}


def test_the_list_of_commands_is_marked() -> None:
    with pseudo_language():
        ours = Commands(["manage.py", "help"]).main_help_text().split(widened("Django's own:"))[0]
    assert {*WORD.findall(ours)} - {word for name in OURS for word in WORD.findall(name)} == {"manage", "py"}


def unmarked_sentences(source: str) -> Iterator[str]:
    """Yield texts of several words that are in no mark; docstrings apart, and names in the place of `x`."""
    tree = ast.parse(source)
    inside = {
        id(each)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) or (isinstance(node, ast.Call) and _name(node.func) in MARKS)
        for each in _texts_below(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inside.update(id(each) for each in node.values)
            text = "".join(str(each.value) if isinstance(each, ast.Constant) else "x" for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        text = re.sub(r"\bx+\b", "x", text)
        if id(node) not in inside and re.search(r"[a-z]{2,}\S* \S*\w|\w\S* \S*[a-z]{2,}", text):
            yield text


def _texts_below(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Expr):
        yield node.value  # a docstring; a call is looked into
    else:
        yield from ast.walk(node)


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_sentence_is_marked(path: Path) -> None:
    assert {*unmarked_sentences(path.read_text())} - AS_THEY_ARE - {*GROUPS} == set()


def test_a_sentence_without_a_mark_is_found() -> None:
    source = (
        '"""A docstring."""\nwrite("Nothing is here.")\nwrite(f"{name} is here.")\nwrite(_("All is well."))'
    )
    assert [*unmarked_sentences(source)] == ["Nothing is here.", "x is here."]
