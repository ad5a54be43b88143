"""A container can be entered in all three ways on a machine without the user neolane."""

import subprocess
from pathlib import Path

import pytest

from portal.sandbox.config_files import Shape
from portal.sandbox.container import Container, make_container


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return make_container(tmp_path / "mkt 1", instances={"prod1": Shape.PLAIN, "prod_2-b": Shape.JWT})


def login(container: Container, user: str, command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/sh", "-c", command],
        env=container.environment(user),
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("neolane", "id -un"),
        ("campaign", "sudo -n -u neolane -- sh -c 'id -un'"),
        ("root", 'su - neolane -c "id -un"'),
    ],
)
def test_each_way_in_ends_as_neolane_at_home(container: Container, user: str, command: str) -> None:
    done = login(container, user, command.replace("id -un", "id -un; cd; pwd"))
    assert done.stdout.splitlines()[-2:] == ["neolane", str(container.install_root)]


@pytest.mark.parametrize("user", ["campaign", "root"])
def test_a_login_is_itself_until_it_becomes_neolane(container: Container, user: str) -> None:
    assert login(container, user, "id -un").stdout == f"{user}\n"


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("stranger", "sudo -n -u neolane -- id -un"),
        ("campaign", "sudo -n -- id -un"),
        ("campaign", "su - neolane -c 'id -un'"),
        ("root", "su neolane -c 'id -un'"),
    ],
)
def test_who_may_not_become_neolane_does_not(container: Container, user: str, command: str) -> None:
    done = login(container, user, command)
    assert done.returncode == 1
    assert "neolane" not in done.stdout
    assert done.stderr


def test_su_reads_a_profile_that_talks(container: Container) -> None:
    assert "only with a ticket" in login(container, "root", "su - neolane -c true").stdout


def test_sudo_logs_the_command_with_its_arguments(container: Container) -> None:
    login(container, "campaign", "sudo -n -u neolane -- sh -c 'echo $0' visible-argument")
    assert "COMMAND=sh -c echo $0 visible-argument" in (container.folder / "sudo.log").read_text()


def test_it_has_the_files_of_a_campaign_server(container: Container) -> None:
    names = {path.name for path in container.conf.iterdir()}
    assert names == {"config-default.xml", "config-prod1.xml", "config-prod_2-b.xml", "serverConf.xml"}
    assert (container.install_root / "nl6/var/prod1/log").is_dir()


def test_making_it_again_keeps_its_configuration(container: Container) -> None:
    container.config("prod1").write_text("<serverConf/>")
    key = container.key
    again = make_container(container.folder, instances={"prod1": Shape.PLAIN}, build=9400)
    assert again.config("prod1").read_text() == "<serverConf/>"
    assert again.key == key


def test_the_way_to_neolane_keeps_what_marks_its_processes(container: Container) -> None:
    command = "SANDBOX_SERVER=mark su - neolane -c 'echo $SANDBOX_SERVER'"
    assert login(container, "root", command).stdout.splitlines()[-1] == "mark"
