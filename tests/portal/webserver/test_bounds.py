"""What the portal refuses before it parses it, for strangers and for people; through Django's test client."""

import logging
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory

from portal.web.request_bounds import PERSON, STRANGER, fit
from portal.web.request_shape import REFUSED, is_encoded, misfit

pytestmark = pytest.mark.django_db
URLENCODED = "application/x-www-form-urlencoded"
PART = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
BROKEN_FORMS = [
    (b"a=%00", URLENCODED),
    (b"a=%ff", URLENCODED),
    (b"a=%zz", URLENCODED),
    (b"a=b", URLENCODED + "; charset=utf-7"),
    (b"a=b", "text/plain; charset=latin-1"),
    (b"a=b", "multipart/form-data"),
    (b"a=b", "multipart/form-data; boundary=" + "x" * 200),
    (PART + b"\0\r\n--x--", "multipart/form-data; boundary=x"),
    (b"--x\r\n" + b"X: " + b"y" * 5000 + PART[3:] + b"b\r\n--x--", "multipart/form-data; boundary=x"),
]


@pytest.fixture
def stranger() -> Client:
    return Client(raise_request_exception=False, enforce_csrf_checks=True)


@pytest.fixture
def _lines(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """At the end: no line of a traceback, and no long one."""
    caplog.set_level(logging.INFO)
    yield
    assert len(caplog.records) <= 3
    assert all(not record.exc_info and len(record.getMessage()) < 300 for record in caplog.records)


@pytest.mark.usefixtures("_lines")
@pytest.mark.parametrize(("body", "kind"), BROKEN_FORMS)
def test_a_broken_form_of_a_stranger_gets_our_page_and_two_lines(
    stranger: Client, body: bytes, kind: str
) -> None:
    response = stranger.post("/login/", body, content_type=kind)
    assert response.status_code == 400
    assert "was not understood" in response.content.decode()
    assert "frame-ancestors 'none'" in response["Content-Security-Policy"]
    assert response["X-Frame-Options"] == "DENY"
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("path", ["/nothing/here/", "/accounts/new/"])
def test_no_form_is_parsed_where_none_is_expected(stranger: Client, path: str) -> None:
    found = {stranger.post(path, body, content_type=kind).status_code for body, kind in BROKEN_FORMS}
    assert found <= {302, 400, 404}


def test_a_broken_form_of_a_person_is_no_server_error(as_admin: Client) -> None:
    found = {as_admin.post("/users/new/", body, content_type=kind).status_code for body, kind in BROKEN_FORMS}
    assert found <= {200, 400}


def test_a_wrong_host_is_no_server_error_whatever_the_form(stranger: Client) -> None:
    headers = {"host": "evil.example.com"}
    found = {
        stranger.post("/", body, content_type=kind, headers=headers).status_code
        for body, kind in BROKEN_FORMS
    }
    assert found == {400}


@pytest.mark.parametrize(
    "body", [b"a=1&" * STRANGER.fields, b"%41" * (STRANGER.percents + 1), b"a" * (STRANGER.bytes + 1)]
)
def test_a_strangers_form_is_bounded(stranger: Client, body: bytes) -> None:
    assert stranger.post("/login/", body, content_type=URLENCODED).status_code in (400, 413)


def test_a_strangers_parts_are_bounded(stranger: Client) -> None:
    body = (PART + b"\r\n") * (STRANGER.fields + 1) + b"--x--"
    assert stranger.post("/login/", body, content_type="multipart/form-data; boundary=x").status_code == 400


@pytest.mark.parametrize(
    "body", [b"a=1&" * PERSON.fields, b"%41" * (PERSON.percents + 1), b"a" * (PERSON.bytes + 1)]
)
def test_a_persons_form_is_bounded_too(as_admin: Client, body: bytes) -> None:
    assert as_admin.post("/users/new/", body, content_type=URLENCODED).status_code in (400, 413)


def test_the_rollout_of_ten_thousand_installations_is_no_hostile_form() -> None:
    body = b"&".join(b"installation=%032d" % number for number in range(10_000))
    assert len(body) < PERSON.bytes
    assert is_encoded(body, fields=PERSON.fields, percents=PERSON.percents)


def test_who_was_signed_out_meanwhile_is_asked_to_sign_in_whatever_they_sent(stranger: Client) -> None:
    response = stranger.post("/instances/import/", {"text": "a" * 400_000})
    assert response["Location"] == "/login/?next=/instances/import/"


def test_only_who_may_import_gets_room_for_a_large_file(as_admin: Client, as_auditor: Client) -> None:
    assert as_auditor.get("/instances/import/").status_code == 403
    assert "ticket-importer" not in as_auditor.cookies
    large = b"instance,container,address\n" + b"#" * (PERSON.bytes + 1)
    part = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + large + b"\r\n--x--"
    )
    kind = "multipart/form-data; boundary=x"
    assert as_auditor.post("/instances/import/", part, content_type=kind).status_code == 413
    assert as_admin.get("/instances/import/").status_code == 200
    assert as_admin.cookies["ticket-importer"]["path"] == "/instances/import/"
    assert as_admin.post("/instances/import/", part, content_type=kind).status_code in (200, 302)


def test_a_ticket_goes_with_the_session(admin: User) -> None:
    client = Client()
    client.force_login(admin)
    client.get("/")
    assert client.cookies["ticket-person"].value
    client.post("/logout/")
    assert not client.cookies["ticket-person"].value


@pytest.mark.parametrize(
    "fields",
    [
        {"REQUEST_METHOD": "X" * 9000},
        {"CONTENT_TYPE": "a/b;" + "c=d;" * 9000},
        {"CONTENT_TYPE": 'text/plain; charset="\0"'},
        {"CONTENT_TYPE": "text/plain; charset=rot13"},
        {"CONTENT_LENGTH": "-1"},
        {"HTTP_CONTENT_ENCODING": "gzip"},
        {"HTTP_COOKIE": "a=\xff"},
        {"HTTP_COOKIE": "a=\0"},
        {"HTTP_HOST": "a" * 3000},
        {"PATH_INFO": "/a\0"},
        {"PATH_INFO": "/\xff"},
        {"REQUEST_URI": "/%zz"},
        {"QUERY_STRING": "a=%00"},
        {"QUERY_STRING": "a=%ff"},
        {"QUERY_STRING": "a=%"},
        {"QUERY_STRING": "a&" * 1001},
    ],
    ids=str,
)
def test_a_misfit_is_emptied_before_django_makes_its_request(fields: dict[str, str]) -> None:
    environ = RequestFactory().get("/").environ | fields
    assert misfit(environ)
    asked: list[dict[str, object]] = []

    def application(environ: dict[str, object], start_response: object) -> list[bytes]:
        asked.append(environ)
        return []

    fit(application)(environ, None)
    assert asked[0][REFUSED]
    assert asked[0]["CONTENT_TYPE"] == ""
    assert len(str(asked[0]["REQUEST_METHOD"])) < 20


@pytest.mark.parametrize(
    "fields",
    [
        {"QUERY_STRING": "q=%C3%A9+%2525&page=2"},
        {"CONTENT_TYPE": 'multipart/form-data; boundary="----WebKitFormBoundary7MA4YWxkTrZu0gW"'},
        {"CONTENT_TYPE": "application/x-www-form-urlencoded; charset=UTF-8"},
        {"HTTP_COOKIE": "foreign=100%; sid=abc; x=é".encode().decode("latin-1")},
        {"PATH_INFO": "/größe/".encode().decode("latin-1"), "REQUEST_URI": "/gr%C3%B6%C3%9Fe/"},
    ],
    ids=str,
)
def test_what_browsers_send_is_fit(fields: dict[str, str]) -> None:
    assert misfit(RequestFactory().get("/").environ | fields) is None
