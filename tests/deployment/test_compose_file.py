"""What docker-compose.yml and the image promise, read without Docker; `make compose` tries the rest."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.services.portal import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BASES = {"Dockerfile": "PYTHON_IMAGE", "deploy/sandbox/Dockerfile": "DEBIAN_IMAGE"}
OTHER_THREADS = 64  # of a worker that pushes nothing


def service(name: str) -> dict[str, Any]:  # Any: whatever YAML holds
    found: dict[str, Any] = COMPOSE["services"][name]
    return found


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9_.-]", each)[0].lower().replace("-", "_") for each in requirements}


def test_what_the_image_is_built_with_has_one_version() -> None:
    assert all(re.fullmatch(r"[a-z]+==[0-9.]+", each) for each in PROJECT["build-system"]["requires"])
    pinned = [line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()]
    assert names(PROJECT["project"]["dependencies"]) <= names(pinned)


@pytest.mark.parametrize(("dockerfile", "name"), BASES.items())
def test_every_base_image_can_be_named_by_digest(dockerfile: str, name: str) -> None:
    text = (ROOT / dockerfile).read_text()
    [tag] = re.findall(rf"^ARG {name}=(\S+)$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {f"${{{name}}}"}
    assert f"{name}: ${{{name}:-{tag}}}" in (ROOT / "docker-compose.yml").read_text()


def test_a_worker_may_have_the_threads_of_its_pushes() -> None:
    text = (ROOT / ".env.example").read_text()
    [(limit, pushes)] = re.findall(r"pids_limit=(\d+) has room for the threads of (\d+) pushes", text)
    assert service("worker")["pids_limit"] == int(limit) >= 3 * int(pushes) + OTHER_THREADS
    [default] = re.findall(r"^# PUSHES_PER_WORKER=(\d+)$", text, re.MULTILINE)
    assert int(default) <= int(pushes)


def test_a_restore_meets_an_empty_database() -> None:
    assert set(service("backup")["depends_on"]) == {"postgres"}
    assert service("backup")["profiles"] == ["backup"]
