"""The web server as it is started: processes, signals, memory, and a person who is served meanwhile."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.webserver.__main__ import main
from tests.services.portal import ROOT, Portal
from tests.services.processes import Process, descendants
from tests.services.usage import memory, peak_memory
from tests.services.waiting import wait_until
from tests.services.wire import ask, held_open, request

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Portal:
    portal = Portal(tmp_path_factory.mktemp("portal"), {"BROKER_URL": "filesystem://localhost"})
    portal.prepare()
    return portal


@pytest.fixture(scope="module")
def web(portal: Portal) -> Iterator[Process]:
    with portal.web() as web:
        assert served(portal)
        yield web


def served(portal: Portal) -> bool:
    return ask(portal.port, request("GET /login/")).status == 200


def test_forty_half_sent_requests_leave_room_for_a_person(portal: Portal, web: Process) -> None:
    half = [b"GET /login/ HTT", request("POST /login/", FORM | {"Content-Length": "60000"}) + b"a=b"]
    with held_open(portal.port, half * 20):
        assert served(portal)


def test_twenty_megabytes_from_a_stranger_take_no_memory(portal: Portal, web: Process) -> None:
    [serving] = descendants(web.pid)
    before = memory(serving)
    for _ in range(2):
        assert ask(portal.port, request("POST /login/", FORM, b"%41" * 7_000_000)).status == 413
    assert peak_memory(serving) < before + 60


def test_a_refused_request_gets_page_headers_and_two_short_lines(portal: Portal, web: Process) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-7"}
    before = web.log.stat().st_size
    for data in (request("POST /login/", kind, b"a=b"), request("GET /%ff"), b"nonsense\r\n\r\n"):
        answer = ask(portal.port, data)
        assert answer.status == 400
        assert "frame-ancestors" in answer.header("Content-Security-Policy")
        assert answer.header("X-Request-ID")
        assert b"was not understood" in answer.body
    assert web.log.stat().st_size - before < 3 * 600


def test_a_process_that_dies_is_replaced_and_sigterm_ends_all(portal: Portal) -> None:
    portal = Portal(portal.home, {"BROKER_URL": "filesystem://localhost"})  # on a port of its own
    with portal.web() as web:
        assert served(portal)
        [first] = descendants(web.pid)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: descendants(web.pid) - {first}, within=60, what="another process")
        assert served(portal)
        web.send(signal.SIGTERM)
        assert web.wait_for_exit(within=60) == 0
        assert "web server stopped" in web.output()


def test_former_settings_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--workers 4")
    monkeypatch.setattr("sys.argv", ["portal.webserver"])
    assert main() == 3
    assert "--processes" in capsys.readouterr().err
    assert (ROOT / "portal" / "gunicorn.py").exists()
