"""A plugin of pytest: writes down how each test ended, and whether it was this tree that was tested.

The project is installed as editable, so a run in a copy could import the original without anybody noticing.
"""

import sys
from pathlib import Path

import pytest

RESULTS = ("broken", "failed", "skipped", "passed")
"""The worst comes first. `broken`: it could not be run, which shows nothing."""
WRONG_TREE = 70
"""Exit status of a run that imported a module of the project from somewhere else."""
UNRUNNABLE = (ImportError, NameError, SyntaxError)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--witness", type=Path, help="file for the result of each test")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    with item.config.getoption("--witness").open("a") as file:
        file.write(f"{_result(call)} {item.nodeid}\n")


def _result(call: pytest.CallInfo[None]) -> str:
    if call.excinfo is None:
        return "passed"
    if call.excinfo.errisinstance(pytest.skip.Exception):
        return "skipped"
    return "failed" if call.when == "call" and not call.excinfo.errisinstance(UNRUNNABLE) else "broken"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if strangers := list(modules_from_elsewhere(session.config.rootpath)):
        sys.stderr.write(f"Not imported from {session.config.rootpath}: {', '.join(strangers)}\n")
        session.exitstatus = WRONG_TREE


def modules_from_elsewhere(root: Path) -> list[str]:
    """The modules that lie in this tree by their name, and were imported from another place."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        top = root / name.partition(".")[0]
        if top.name in sys.stdlib_module_names:  # `locale`: catalogs, no module of ours
            continue
        if file and (top.is_dir() or top.with_suffix(".py").is_file()):
            found += [name] if not Path(file).resolve().is_relative_to(root.resolve()) else []
    return found
