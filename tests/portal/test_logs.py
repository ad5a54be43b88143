"""Log lines: one per event, fields beside the message, no secret, and nothing that breaks a line."""

import io
import json
import logging
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from logging.config import DictConfigurator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from celery import current_app
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from portal.health import readiness
from portal.management.commands.start import programs
from portal.processes.logs import Lines as Stream
from portal.processes.logs import bound
from portal.web.middleware import request_identity, session_limit
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


def output_of(portal: Portal, *command: str, status: int = 0) -> list[dict[str, object]]:
    """Run a command; return all that it wrote, each line of which must be JSON."""
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=portal.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]


@pytest.mark.slow
def test_every_process_writes_json_and_nothing_else(tmp_path: Path, start_process: StartProcess) -> None:
    portal = Portal(tmp_path, {"BROKER_URL": "filesystem://localhost", "LOG_FORMAT": "json"})
    said = [
        output_of(portal, *each) for each in (("migrate",), ("sync_roles",), ("collectstatic", "--noinput"))
    ]
    for lines, part in zip(
        said, ("people.0001_failed_sign_ins... OK", "Auditor:", "static files"), strict=True
    ):
        assert part in str(lines)
    web, worker, _scheduler = programs("127.0.0.1", portal.port, pushes=2)
    serving = start_process(web.command, name="web", env=portal.environment, cwd=ROOT)
    serving.wait_for_port(portal.port, within=60)
    for path in (f"/login/?next={CANARY}", f"/{CANARY}/", "/a%0Ab%1B%5B2J/"):
        with suppress(HTTPError), urlopen(portal.url + path, timeout=30):
            pass
    for headers, data in (({"Host": "evil.example"}, None), ({}, b"username=x")):
        with suppress(HTTPError), urlopen(Request(f"{portal.url}/login/", data, headers), timeout=30):
            pass
    written = lines_of(serving, until=r"CSRF cookie not set")
    requests = [line for line in written if line["logger"] == "portal.access"]
    asked = [(line["path"], line["status"]) for line in requests]
    assert asked == [
        ("/login/", 200),
        ("/***/", 404),
        ("/a\nb\x1b[2J/", 404),
        ("/login/", 400),
        ("/login/", 403),
    ]
    assert {line["client"] for line in requests} == {"127.0.0.1"}
    assert "evil.example" in str(requests[3]["reason"])
    assert max(len(json.dumps(line)) for line in requests) < 600
    assert {line["logger"] for line in written} == {"portal.webserver", "portal.access"}
    working = start_process(worker.command, name="worker", env=portal.environment, cwd=ROOT)
    assert {"celery.apps.worker"} <= {line["logger"] for line in lines_of(working, until=r"ready\.")}
    scheduling = start_process(
        [sys.executable, "manage.py", "scheduler"], name="scheduler", env=portal.environment, cwd=ROOT
    )
    assert lines_of(scheduling, until=r"The scheduler runs")
    working.send(signal.SIGTERM)
    working.wait_for_exit(within=60)  # its last words are lines, too
    assert "worker: Warm shutdown (MainProcess)" in [
        json.loads(line)["message"] for line in working.output().splitlines()
    ]


def test_a_process_that_cannot_even_read_its_settings_says_so_as_json(tmp_path: Path) -> None:
    portal = Portal(tmp_path, {"LOG_FORMAT": "json", "TIME_ZONE": "Nowhere/At_all"})
    [line] = output_of(portal, "scheduler", status=3)
    assert line["level"] == "ERROR"
    assert str(line["message"]).startswith("The settings cannot be read: ")


def test_what_a_library_prints_is_one_event_and_a_half_line_waits_for_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    behind = io.StringIO()
    stream = Stream(behind, logging.ERROR)
    for text in ("  Applying", " it... ", "OK\n", "\n", "one\ntwo\n", '{"message": "a line"}\n'):
        assert stream.write(text) == len(text)
    assert [each.getMessage() for each in caplog.records] == ["Applying it... OK", "one\ntwo"]
    assert behind.getvalue() == '{"message": "a line"}\n'


# Bounds


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_line_is_bounded_whatever_is_logged(logger: logging.Logger, form: str) -> None:
    lines = attach(logger, form)
    huge = "%41" * 100_000
    try:
        fail(huge + "\n" + huge)
    except ValueError:
        logger.exception("said %s", huge, extra={"path": huge}, stack_info=True)
    text = "\n".join(lines())
    assert len(text) < 25_000
    assert "300000 characters" in text


def test_the_same_traceback_is_written_once_a_minute_and_the_event_each_time(
    logger: logging.Logger, json_lines: JSONLines
) -> None:
    for number in range(5):
        try:
            fail(f"request {number}")
        except ValueError:
            logger.exception("failed", extra={"request_id": str(number)})
    first, *later = json_lines()
    assert "ValueError" in str(first["exception"])
    assert [each["request_id"] for each in later] == ["1", "2", "3", "4"]
    assert not any("exception" in each for each in later)
    assert all(str(each["repeated"]).startswith("ValueError at test_logs.py:") for each in later)


@pytest.mark.django_db
def test_lines_of_a_request_carry_its_client_its_id_and_the_person(
    admin: User, as_admin: Client, logger: logging.Logger, json_lines: JSONLines
) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        logger.info("inside")
        return HttpResponse()

    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.9")
    request.user, request.session = admin, as_admin.session
    response = request_identity(session_limit(view))(request)
    [line] = json_lines()
    assert (line["client"], line["user"]) == ("10.0.0.9", admin.pk)
    assert line["request_id"] == response["X-Request-ID"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("ask", "status", "reason"),
    [
        (lambda client: client.get("/", headers={"host": "evil.example" + "x" * 200}), 400, "HTTP_HOST"),
        (lambda client: client.post("/login/", {"username": "x"}), 403, "CSRF cookie not set"),
        (lambda client: client.get("/no/such/page/"), 404, None),
        (lambda client: client.generic("X" * 3000, "/login/"), 400, "method"),
        (lambda client: client.get("/" + "x" * 9000), 404, None),
    ],
)
def test_a_strangers_request_is_one_short_line_without_a_traceback(
    logger: logging.Logger,
    ask: Callable[[Client], HttpResponse],
    status: int,
    reason: str | None,
) -> None:
    lines = attach(logging.getLogger(), "json")
    root = logging.getLogger().handlers[-1]
    try:
        answer = ask(Client(enforce_csrf_checks=True, raise_request_exception=False))
    finally:
        logging.getLogger().removeHandler(root)
    assert answer.status_code == status
    [line] = [json.loads(each) for each in lines()]
    assert len(json.dumps(line)) < 800
    assert (line["logger"], line["status"]) == ("portal.access", status)
    assert reason is None or reason in str(line["reason"])


def test_a_check_that_fails_is_explained_once_a_minute_however_often_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(readiness, "_said", {})
    for error in (OSError("away"), OSError("away"), ValueError("other"), ValueError("other")):
        readiness._say("database", error)
    assert [vars(each)["reason"] for each in caplog.records] == ["OSError: away", "ValueError: other"]
