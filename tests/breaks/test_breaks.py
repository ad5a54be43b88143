"""The deliberate breaks fit the present tree, and what tries them says when one is not noticed.

`make breaks` tries them; here they are only looked at.
"""

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.breaks.__main__ import main
from tests.breaks.breaks import FOLDER, ROOT, Break, copy_files, environment_for, read_all

BREAKS = read_all()


def test_there_are_breaks_with_numbers_of_their_own() -> None:
    numbers = [each.name.partition("-")[0] for each in BREAKS]
    assert len(numbers) > 20
    assert sorted(set(numbers)) == numbers


@pytest.mark.parametrize("tried", BREAKS, ids=lambda each: each.name)
def test_a_break_still_applies(tried: Break, tmp_path: Path) -> None:
    copy_files(ROOT, tmp_path, tried.files)
    assert tried.files
    assert tried.apply(tmp_path)


def functions(path: str, names: list[str]) -> list[ast.stmt]:
    """What a file defines under these names, one inside the other."""
    found: list[ast.stmt] = ast.parse((ROOT / path).read_text()).body
    for name in names:
        found = [
            inner
            for each in found
            if isinstance(each, ast.FunctionDef | ast.ClassDef) and each.name == name
            for inner in each.body
        ]
    return found


@pytest.mark.parametrize("tried", BREAKS, ids=lambda each: each.name)
def test_each_test_that_a_break_names_exists(tried: Break) -> None:
    for test in tried.tests:
        path, *names = test.partition("[")[0].split("::")
        assert names
        assert functions(path, names), test


@pytest.mark.parametrize(
    "preamble", ["", "Test: a.py::test_a\n", "It is broken.\n", "\nTest: a.py::test_a\n"]
)
def test_a_break_has_to_say_what_it_is_and_who_notices(preamble: str, tmp_path: Path) -> None:
    patch = tmp_path / "01-a.patch"
    patch.write_text(f"{preamble}diff --git a/a b/a\n")
    with pytest.raises(ValueError, match="01-a"):
        Break.read(patch)


# The runner, with a tiny tree of its own

CORE = 'def double(number):\n    """Return twice the number."""\n    return 2 * number\n'
TESTS = """
import locale  # noqa: F401

import core

def test_two():
    assert core.double(2) == 4

def test_zero():
    assert core.double(0) == 0

def test_wrong():
    assert core.double(1) == 1
"""
PATCH = """It is not doubled.
Test: tests/test_core.py::{test}

diff --git a/core.py b/core.py
--- a/core.py
+++ b/core.py
@@ -1,3 +1,3 @@
 def double(number):
     \"\"\"Return twice the number.\"\"\"
-    return {old}
+    {new}
"""
PATCHES = {
    "01-noticed": {"test": "test_two", "new": "return number"},
    "02-not-noticed": {"test": "test_zero", "new": "return number"},
    "03-other-code": {"test": "test_two", "new": "return number", "old": "3 * number"},
    "04-no-code": {"test": "test_two", "new": "return ("},
    "05-another-error": {"test": "test_two", "new": "return numbr"},
}


def git(folder: Path, *arguments: str) -> None:
    """Run git here, also where a hook of another repository runs these tests."""
    subprocess.run(["git", *arguments], cwd=folder, env=environment_for(folder), check=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one function, whose files were never committed."""
    (tmp_path / "tests" / "breaks").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = "--import-mode=importlib"\npythonpath = ["."]\n'
    )
    (tmp_path / "locale").mkdir()  # as Django wants it, and as a module of Python is called
    (tmp_path / "locale" / "django.po").touch()
    (tmp_path / "core.py").write_text(CORE)
    (tmp_path / "tests" / "test_core.py").write_text(TESTS)
    shutil.copy(FOLDER / "witness.py", tmp_path / "tests" / "breaks")
    for name, values in PATCHES.items():
        patch = PATCH.format(**{"old": "2 * number", **values})
        (tmp_path / "tests" / "breaks" / f"{name}.patch").write_text(patch)
    for command in (["init", "--quiet"], ["add", "."]):
        git(tmp_path, *command)
    return tmp_path


def tried(tree: Path, capsys: pytest.CaptureFixture[str], *names: str) -> tuple[int, dict[str, str], str]:
    """The exit status, what the table says of each break, and the last line."""
    status = main(names, root=tree, folder=tree / "tests" / "breaks")
    lines = capsys.readouterr().out.splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| 0")]
    return status, {row[0]: row[2] for row in rows}, lines[-1]


def test_a_break_that_a_test_notices_is_well(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, words, last = tried(tree, capsys, "01")
    assert (status, words) == (0, {"01-noticed": "noticed"})
    assert last.startswith("All 1 breaks were noticed.")
    assert (tree / "core.py").read_text() == CORE


def test_a_break_that_is_not_noticed_is_told(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, words, last = tried(tree, capsys)
    assert status == 1
    assert words == {
        "01-noticed": "noticed",
        "02-not-noticed": "NOT NOTICED",
        "03-other-code": "does not apply",
        "04-no-code": "NOT NOTICED (not run)",
        "05-another-error": "NOT NOTICED (error)",
    }
    assert last.startswith("4 of 5 breaks were not noticed: 02-not-noticed, 03-other-code, 04-no-code, ")


def test_nothing_is_tried_where_a_test_fails_by_itself(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patch = PATCH.format(test="test_wrong", new="return number", old="2 * number")
    (tree / "tests" / "breaks" / "01-noticed.patch").write_text(patch)
    assert main(["01"], root=tree, folder=tree / "tests" / "breaks") == 2
    assert "tests/test_core.py::test_wrong: failed" in capsys.readouterr().out


def test_a_run_that_imports_another_tree_shows_nothing(
    tree: Path, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(tree / "core.py", elsewhere)
    conftest = tree / "conftest.py"
    conftest.write_text(f"import sys\nsys.path.insert(0, {str(elsewhere)!r})\nimport core\n")
    git(tree, "add", ".")
    assert main(["01"], root=tree, folder=tree / "tests" / "breaks") == 2
    assert "another tree was imported" in capsys.readouterr().out


def test_a_name_that_no_break_has_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-break"]) == 2
    assert "no-such-break" in capsys.readouterr().err
