"""`deploy/by-hand`: nginx really proxies as the page says, and systemd understands the units."""

import http.client
import http.server
import json
import re
import shlex
import ssl
import subprocess
import threading
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings

from portal.environment import env
from portal.management.commands.start import programs
from portal.supervisor import STOP_PATIENCE
from tests.services.portal import ROOT
from tests.services.processes import Process
from tests.services.programs import require
from tests.services.waiting import accepts_connections, free_port

FOLDER = ROOT / "deploy" / "by-hand"
UNITS = sorted((FOLDER / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
PAGE = (ROOT / "docs" / "by-hand.md").read_text()
NGINX = (FOLDER / "nginx.conf").read_text()
NAME = "portal.example.com"


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers with the headers and the length that came through."""

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        read = 0
        while read < length:
            read += len(self.rfile.read(min(1 << 20, length - read)))
        body = json.dumps({"headers": dict(self.headers.items()), "read": read}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815  # the library asks for this name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        pass


@dataclass
class Proxy:
    """nginx with our file, its ports and its folder moved."""

    home: Path
    tls: int
    plain: int

    def ask(
        self, method: str, path: str, size: int = 0, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.tls, timeout=60, context=context)
        try:
            connection.request(method, path, b"x" * size, {"Host": NAME, **(headers or {})})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    program, home = require("nginx"), tmp_path_factory.mktemp("nginx")
    tls, plain, upstream = (
        free_port(),
        free_port(),
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream),
    )
    subprocess.run(
        [
            *(require("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *(
                "-nodes",
                "-subj",
                f"/CN={NAME}",
                "-keyout",
                home / "privkey.pem",
                "-out",
                home / "fullchain.pem",
            ),
        ],
        check=True,
        capture_output=True,
    )
    ours = NGINX.replace("/etc/campaign-portal/tls", str(home)).replace("/var/log/nginx", str(home))
    ours = re.sub(r"listen \[::\].*\n", "\n", ours)
    ours = ours.replace("listen 80;", f"listen 127.0.0.1:{plain};").replace(
        "listen 443", f"listen 127.0.0.1:{tls}"
    )
    ours = ours.replace("127.0.0.1:8000", f"127.0.0.1:{upstream.server_port}")
    temporary = "\n".join(
        f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (home / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {home}/pid;\nerror_log {home}/error.log warn;\n"
        f"events {{}}\nhttp {{\n{temporary}\n{ours}\n}}\n"
    )
    subprocess.run(
        [program, "-t", "-q", "-c", home / "nginx.conf", "-e", home / "error.log"], check=True, timeout=60
    )
    thread = threading.Thread(target=upstream.serve_forever, daemon=True)
    thread.start()
    command: list[str | Path] = [program, "-c", home / "nginx.conf", "-e", home / "error.log"]
    with Process(command, log=home / "output.log") as process:
        process.wait_for(lambda: accepts_connections("127.0.0.1", tls), within=60, what="nginx")
        yield Proxy(home, tls, plain)
    upstream.shutdown()
    upstream.server_close()
    thread.join()


def test_an_inventory_passes_and_no_form_is_written_to_disk(proxy: Proxy) -> None:
    status, body = proxy.ask("POST", "/", settings.FILE_UPLOAD_MAX_MEMORY_SIZE)
    assert (status, json.loads(body)["read"]) == (200, settings.FILE_UPLOAD_MAX_MEMORY_SIZE)
    assert (
        "buffered to a temporary file" in (proxy.home / "error.log").read_text()
    )  # as the next one must not be
    (proxy.home / "error.log").write_text("")
    assert proxy.ask("POST", "/", 1_000_000)[0] == 200
    assert "temporary file" not in (proxy.home / "error.log").read_text()


def test_what_is_larger_than_any_upload_is_refused(proxy: Proxy) -> None:
    limit = int(re.findall(r"client_max_body_size (\d+)m", NGINX)[0]) << 20
    assert limit >= settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    assert proxy.ask("POST", "/", 0, {"Content-Length": str(limit + 1)})[0] == 413


def test_visitors_do_not_choose_their_address(proxy: Proxy) -> None:
    forged = {"X-Forwarded-For": "10.1.1.1", "X-Forwarded-Proto": "http", "Forwarded": "for=10.1.1.1"}
    headers = json.loads(proxy.ask("GET", "/", headers=forged)[1])["headers"]
    assert (headers["X-Forwarded-For"], headers["X-Forwarded-Proto"]) == ("127.0.0.1", "https")
    assert headers["Host"] == NAME
    assert "Forwarded" not in headers


def test_searches_are_in_no_log_and_plain_requests_go_to_tls(proxy: Proxy) -> None:
    assert proxy.ask("GET", "/history/?q=confidential")[0] == 200
    connection = http.client.HTTPConnection("127.0.0.1", proxy.plain, timeout=60)
    connection.request("GET", "/history/?q=confidential", headers={"Host": NAME})
    response = connection.getresponse()
    assert (response.status, response.headers["Location"]) == (301, f"https://{NAME}/history/?q=confidential")
    connection.close()
    logs = "".join(log.read_text() for log in proxy.home.glob("*.log"))
    assert "/history/" in logs
    assert "confidential" not in logs


def parsed(unit: Path) -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # the library's documented way
    parser.read(unit)
    return parser


def test_systemd_understands_every_unit(tmp_path: Path) -> None:
    program = require("systemd-analyze")
    for unit in UNITS:
        text = unit.read_text().replace("/opt/campaign-portal/.venv/bin/", "/usr/bin/")
        (tmp_path / unit.name.replace("@", "@1")).write_text(
            re.sub(r"/usr/bin/(celery|python)", "/bin/true", text)
        )
    done = subprocess.run(
        [program, "verify", "--man=no", *sorted(map(str, tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "campaign-portal" in line]
    assert ours == []


def test_every_timer_has_its_service_and_every_service_what_it_needs() -> None:
    for timer in (unit for unit in UNITS if unit.suffix == ".timer"):
        assert timer.with_suffix(".service") in UNITS
    for unit in SERVICES:
        service = parsed(unit)["Service"]
        assert service["User"] == "campaign-portal"
        assert service["EnvironmentFile"] == "/etc/campaign-portal/portal.env"
        assert (service["UMask"], service["NoNewPrivileges"]) == ("0077", "yes")


def test_the_worker_is_started_as_everywhere_else() -> None:
    service = parsed(FOLDER / "systemd" / "campaign-portal-worker@.service")["Service"]
    [program] = [each for each in programs("127.0.0.1", 8000, pushes=1) if each.name == "worker"]
    assert shlex.split(service["ExecStart"])[1:] == list(program.command)[3:]
    assert int(service["TimeoutStopSec"]) >= STOP_PATIENCE > settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT


def test_the_settings_by_hand_exist_and_are_enough_for_production() -> None:
    lines = (FOLDER / "portal.env").read_text().splitlines()
    names = {line.partition("=")[0].removesuffix("_FILE") for line in lines if not line.startswith("#")}
    assert names <= env.names
    assert names >= {"DATABASE_URL", "BROKER_URL", "TARGET_NETWORKS", "TRUSTED_PROXY_HOPS", "ALLOWED_HOSTS"}


def test_the_page_names_files_and_units_that_exist() -> None:
    for path in re.findall(r"deploy/[\w./@-]+\w", PAGE):
        assert (ROOT / path.rstrip("/*")).exists(), path
    named = {re.sub(r"@\d", "@", name) for name in re.findall(r"campaign-portal-[a-z]+(?:@\d)?", PAGE)}
    assert named == {unit.stem for unit in UNITS}


def test_what_the_page_says_of_nginx_is_in_the_file() -> None:
    section = PAGE.partition("## What nginx has to do")[2].partition("\n## ")[0]
    for line in re.findall(r"^\| `([^`]+)`", section, re.MULTILINE):
        assert line in NGINX
