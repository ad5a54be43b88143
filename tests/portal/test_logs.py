"""Log lines: one per event, fields beside the message, no secret, and nothing that breaks a line."""

import io
import json
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from logging.config import DictConfigurator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from celery import current_app
from django.conf import settings
from django.test import Client

from portal.logs import bound
from portal.management.commands.start import programs
from tests.services.fixtures import StartProcess
from tests.services.portal import ROOT, Portal
from tests.services.processes import Process

CANARY = "p8e-Canary0-Canary0-Canary0"
Lines = Callable[[], list[str]]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("tests.logs")
    logger.propagate, logger.level = False, logging.INFO
    yield logger
    logger.handlers.clear()


def attach(logger: logging.Logger, form: str) -> Lines:
    """Make a logger write as the portal's settings say, and return how to read what it wrote."""
    config = DictConfigurator(settings.LOGGING)
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(config.configure_formatter(dict(settings.LOGGING["formatters"][form])))
    for name in settings.LOGGING["handlers"]["stderr"]["filters"]:
        handler.addFilter(config.configure_filter(dict(settings.LOGGING["filters"][name])))
    logger.addHandler(handler)
    return lambda: text.getvalue().removesuffix("\n").split("\n")


@pytest.fixture
def json_lines(logger: logging.Logger) -> Callable[[], list[dict[str, object]]]:
    lines = attach(logger, "json")
    return lambda: [json.loads(line) for line in lines()]


JSONLines = Callable[[], list[dict[str, object]]]


def test_a_json_line_says_when_how_bad_who_and_what(logger: logging.Logger, json_lines: JSONLines) -> None:
    logger.warning("half of %s", "it", extra={"rollout": 7, "container": uuid.UUID(int=1)})
    [line] = json_lines()
    assert str(line.pop("time")).endswith("+00:00")
    assert line.pop("pid")
    assert line == {
        "level": "WARNING",
        "logger": "tests.logs",
        "message": "half of it",
        "rollout": 7,
        "container": "00000000-0000-0000-0000-000000000001",
    }


def test_bound_fields_stand_on_every_line_inside_and_on_none_after(
    logger: logging.Logger, json_lines: JSONLines
) -> None:
    with bound(rollout=7, push="one"):
        with bound(push="two", attempt=3):
            logger.info("inner")
        logger.info("outer", extra={"rollout": 8})
    logger.info("after")
    fields = [(each.get("rollout"), each.get("push"), each.get("attempt")) for each in json_lines()]
    assert fields == [(7, "two", 3), (8, "one", None), (None, None, None)]


def test_a_running_task_is_named(logger: logging.Logger, json_lines: JSONLines) -> None:
    @current_app.task(name="tests.logs.speak")
    def speak() -> None:
        logger.info("here")

    speak.apply(task_id="the-task")
    assert json_lines()[0]["task"] == "the-task"


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_secret_is_cut_out_of_message_traceback_and_every_field(logger: logging.Logger, form: str) -> None:
    lines = attach(logger, form)
    try:
        int(CANARY)
    except ValueError:
        logger.exception("sent %s", CANARY, extra={"path": f"/{CANARY}"}, stack_info=True)
    with bound(push=CANARY):
        logger.info("again")
    text = "\n".join(lines())
    assert "ValueError" in text
    assert "***" in text
    assert "Canary0" not in text


def test_what_is_neither_text_nor_number_is_no_field(logger: logging.Logger, json_lines: JSONLines) -> None:
    logger.info("x", extra={"request": object(), "data": {"args": CANARY}, "status_code": 404})
    [line] = json_lines()
    assert line["status_code"] == 404
    assert not {"request", "data"} & line.keys()


BREAKS = "one\ntwo\r\n2026 ERROR forged\x1b[2Jthree\x85four\u2028five\x00"


def fail(text: str) -> None:
    raise ValueError(text)


def test_no_text_breaks_a_json_line(logger: logging.Logger, json_lines: JSONLines) -> None:
    logger.info("said %s", BREAKS, extra={"path": BREAKS})
    [line] = json_lines()
    assert (line["message"], line["path"]) == (f"said {BREAKS}", BREAKS)


def test_no_text_breaks_a_text_line_or_begins_one(logger: logging.Logger) -> None:
    lines = attach(logger, "text")
    try:
        fail(BREAKS)
    except ValueError:
        logger.exception("said %s", BREAKS, extra={"path": BREAKS})
    first, *below = lines()
    assert first.count("\\n") == 4
    assert all(line.startswith("    ") for line in below)
    assert all(line.isprintable() for line in [first, *below])


@pytest.mark.django_db
def test_a_request_is_one_line_without_its_query(as_admin: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "portal.access")
    response = as_admin.get("/rollouts/?state=secret-search", headers={"referer": "/secret-referrer"})
    [line] = [record for record in caplog.records if record.name == "portal.access"]
    fields = vars(line)
    assert (fields["method"], fields["path"], fields["status"]) == ("GET", "/rollouts/", 200)
    assert fields["user"] == int(as_admin.session["_auth_user_id"])
    assert fields["milliseconds"] > 0
    assert "secret-" not in str(fields)
    assert response["X-Request-ID"]


def lines_of(process: Process, *, until: str) -> list[dict[str, object]]:
    """Every line of a running process so far, once one of them matches; each must be JSON."""
    process.wait_for_line(until, within=60)
    return [json.loads(line) for line in process.output().splitlines()]


def test_web_server_and_worker_write_json_and_nothing_else(
    tmp_path: Path, start_process: StartProcess
) -> None:
    portal = Portal(
        tmp_path, {"BROKER_URL": "filesystem://localhost", "LOG_FORMAT": "json", "PYTHONWARNINGS": "ignore"}
    )
    portal.prepare()
    web, worker = programs("127.0.0.1", portal.port, pushes=2)
    serving = start_process(web.command, name="web", env=portal.environment, cwd=ROOT)
    serving.wait_for_port(portal.port, within=60)
    for path in (f"/login/?next={CANARY}", f"/{CANARY}/", "/a%0Ab%1B%5B2J/"):
        with suppress(HTTPError), urlopen(portal.url + path, timeout=30):
            pass
    written = lines_of(serving, until=r"2J")
    asked = [(line["path"], line["status"]) for line in written if line["logger"] == "portal.access"]
    assert asked == [("/login/", 200), ("/***/", 404), ("/a\nb\x1b[2J/", 404)]
    assert {"portal.webserver", "portal.access"} == {line["logger"] for line in written}
    working = start_process(worker.command, name="worker", env=portal.environment, cwd=ROOT)
    assert {"celery.apps.worker"} <= {line["logger"] for line in lines_of(working, until=r"ready\.")}
