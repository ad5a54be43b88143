import contextlib
import datetime as dt
import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from credentials.adobe.ims import NEXT_STEPS, TokenCheck, TokenVerdict, check
from portal.plaintext import Secret
from tests.services.answering import drip, http, serving

CLIENT = "0123456789abcdef0123456789abcdef"
CANARY = "p8e-CANARYCANARYCANARYCANARYCANARY1234"
TOKEN = {"access_token": "eyJ.CANARY.token", "token_type": "bearer", "expires_in": 86399}


def ask(url: str, **options: float | str) -> TokenCheck:
    # The options are those of `check`; a wrong name fails there.
    result = check(CLIENT, Secret(CANARY), ["openid", " AdobeID "], base_url=url, **options)  # type: ignore[arg-type]
    assert "CANARY" not in f"{result!r} {result.detail}"
    return result


def ask_about(status: int, body: bytes | object, *headers: str) -> TokenCheck:
    with serving(http(status, body, *headers)) as server:
        return ask(server.url)


@pytest.fixture(autouse=True)
def _nothing_leaks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    assert "CANARY" not in caplog.text
    deadline = time.monotonic() + 5
    while any(thread.name == "http-call" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the thread of the check is still there"
        time.sleep(0.01)


def test_a_token_proves_the_credential() -> None:
    before = dt.datetime.now(dt.UTC)
    with serving(http(200, TOKEN)) as server:
        result = ask(server.url + "/")
    assert result.verdict == TokenVerdict.VALID
    assert before <= result.checked_at <= dt.datetime.now(dt.UTC)
    head, _, body = server.requests[0].decode().partition("\r\n\r\n")
    assert head.startswith("POST /ims/token/v3 HTTP/1.1")
    assert parse_qs(body) == {
        "client_id": [CLIENT],
        "client_secret": [CANARY],
        "grant_type": ["client_credentials"],
        "scope": ["openid,AdobeID"],
    }


@pytest.mark.parametrize("status", [200, 400, 401])
@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (
            {"error": "invalid_client", "error_description": "invalid client_secret parameter"},
            TokenVerdict.WRONG_SECRET,
        ),
        (
            {"error": "invalid_client", "error_description": "invalid client_id parameter"},
            TokenVerdict.UNKNOWN_CLIENT,
        ),
        ({"error": "invalid_scope"}, TokenVerdict.WRONG_SCOPE),
        (
            {
                "error": "unauthorized_client",
                "error_description": "This client is no longer allowed to get access token",
            },
            TokenVerdict.NO_LONGER_ALLOWED,
        ),
        ({"error": "invalid_client"}, TokenVerdict.UNCLEAR),
        ({"error": "server_error", "error_description": {"CANARY": 1}}, TokenVerdict.UNCLEAR),
        ({"error": CANARY} | TOKEN, TokenVerdict.UNCLEAR),
    ],
)
def test_errors_are_told_by_the_body_whatever_the_status(
    status: int, body: object, verdict: TokenVerdict
) -> None:
    assert ask_about(status, body).verdict == verdict


@pytest.mark.parametrize("body", [b"", {"error": "too_many_requests"}, b"<html>slow down</html>"])
def test_too_many_requests_ask_for_a_pause(body: object) -> None:
    assert ask_about(429, body).verdict == TokenVerdict.THROTTLED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>CANARY",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b"[" * 60_000,
        b'{"access_token": ' + b"9" * 60_000 + b"}",
        {"access_token": ""},
        {"access_token": None},
        {"access_token": ["CANARY"]},
        {"error": 7},
    ],
)
def test_garbage_proves_nothing(body: object) -> None:
    assert ask_about(200, body).verdict == TokenVerdict.UNCLEAR


def test_a_token_with_an_error_status_proves_nothing() -> None:
    assert ask_about(500, TOKEN).verdict == TokenVerdict.UNCLEAR


@pytest.mark.parametrize("status", [407, 502, 503, 504])
def test_a_gateway_in_between_is_not_adobe(status: int) -> None:
    assert ask_about(status, b"<html>").verdict == TokenVerdict.UNREACHABLE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_not_followed(status: int) -> None:
    with serving(http(200, TOKEN)) as elsewhere:
        assert (
            ask_about(status, b"", f"Location: {elsewhere.url}/ims/token/v3").verdict == TokenVerdict.UNCLEAR
        )
    assert elsewhere.requests == []


def test_a_huge_body_is_not_read() -> None:
    sent = []

    def flood(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent.append(peer.send(b" " * 65536))

    with serving(flood) as server:
        assert ask(server.url).verdict == TokenVerdict.UNCLEAR
        assert server.cut.wait(20)
    assert sum(sent) < 20 * 1024 * 1024


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\n\r\n{"])
def test_a_dripping_server_is_cut_off_at_the_deadline(start: bytes) -> None:
    with serving(drip(start)) as server:
        began = time.monotonic()
        assert ask(server.url, deadline=0.4).verdict == TokenVerdict.UNREACHABLE
        assert time.monotonic() - began < 20
        assert server.cut.wait(20)


def test_a_dripping_tls_server_is_cut_off_at_the_deadline(tls: ssl.SSLContext, ca_bundle: str) -> None:
    with serving(drip(b"HTTP/1.1 200 OK\r\n\r\n{"), tls) as server:
        began = time.monotonic()
        assert ask(server.url, deadline=0.6, ca_bundle=ca_bundle).verdict == TokenVerdict.UNREACHABLE
        assert time.monotonic() - began < 20
        assert server.cut.wait(20)


def test_a_server_that_says_nothing_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = ask(f"http://127.0.0.1:{silent.getsockname()[1]}", read_timeout=0.2)
    assert result.verdict == TokenVerdict.UNREACHABLE
    assert "in time" in str(result.detail)


def test_a_server_that_never_accepts_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as waiting:
        for _ in range(3):
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        result = ask(f"http://127.0.0.1:{full.getsockname()[1]}", connect_timeout=0.2)
    assert result.verdict == TokenVerdict.UNREACHABLE
    assert "in time" in str(result.detail)


def test_a_closed_port_is_unreachable(closed_port: int) -> None:
    result = ask(f"http://127.0.0.1:{closed_port}")
    assert result.verdict == TokenVerdict.UNREACHABLE
    assert "refused" in str(result.detail)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"garbage\r\n\r\n"]
)
def test_a_connection_that_breaks_off_is_unreachable(answer: bytes) -> None:
    with serving(lambda peer: peer.sendall(answer)) as server:
        assert ask(server.url).verdict == TokenVerdict.UNREACHABLE


@pytest.mark.parametrize(
    "url", ["", "ims.example.org", "file:///etc/passwd", "http://", "http://[::1", "http://.a", "ftp://x"]
)
def test_an_address_that_is_none_is_said(url: str) -> None:
    result = ask(url)
    assert result.verdict == TokenVerdict.UNREACHABLE
    assert "settings" in str(result.detail)


def test_an_unknown_certificate_is_not_accepted(tls: ssl.SSLContext) -> None:
    with serving(http(200, TOKEN), tls) as server:
        result = ask(server.url)
    assert result.verdict == TokenVerdict.UNREACHABLE
    assert "certificate" in str(result.detail)
    assert server.requests == []


def test_a_certificate_of_the_given_authority_is_accepted(tls: ssl.SSLContext, ca_bundle: str) -> None:
    with serving(http(200, TOKEN), tls) as server:
        assert ask(server.url, ca_bundle=ca_bundle).verdict == TokenVerdict.VALID


def test_plain_http_on_a_tls_address_is_unreachable() -> None:
    with serving(http(200, TOKEN)) as server:
        assert (
            ask(server.url.replace("http", "https"), connect_timeout=0.3).verdict == TokenVerdict.UNREACHABLE
        )


def test_the_proxy_is_used() -> None:
    with serving(http(200, TOKEN)) as proxy:
        assert ask("http://ims.invalid", proxy=proxy.url).verdict == TokenVerdict.VALID
    assert proxy.requests[0].startswith(b"POST http://ims.invalid/ims/token/v3 ")


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:{port}", "nonsense://"])
@pytest.mark.parametrize("url", ["http://ims.invalid", "https://ims.invalid"])
def test_a_proxy_that_does_not_work_is_said(url: str, proxy: str, closed_port: int) -> None:
    result = ask(url, proxy=proxy.format(port=closed_port))
    assert result.verdict == TokenVerdict.UNREACHABLE
    assert "proxy" in str(result.detail)


def test_a_dripping_proxy_is_cut_off_at_the_deadline() -> None:
    with serving(drip(b"HTTP/1.1 200 OK\r\nX-Slow: ")) as proxy:
        assert ask("https://ims.invalid", proxy=proxy.url, deadline=0.4).verdict == TokenVerdict.UNREACHABLE
        assert proxy.cut.wait(20)


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port}")
    assert ask_about(200, TOKEN).verdict == TokenVerdict.VALID


def test_every_verdict_has_a_label_and_a_next_step() -> None:
    assert set(NEXT_STEPS) == set(TokenVerdict)
    assert all(str(verdict.label) and str(NEXT_STEPS[verdict]) for verdict in TokenVerdict)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh self-signed certificate for 127.0.0.1 with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "stand-in.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


@pytest.fixture
def ca_bundle(certificate: Path) -> str:
    return str(certificate)


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
