"""Scanning all containers without an approved key, and approving many keys on one page."""

import subprocess
import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError
from pytest_django import Settings

from instances import tasks
from instances.inventory import pasted_keys
from instances.models import Container, ExpectedHostKey, HostKey, Installation, Instance, KeyScan
from instances.pages import key_lists
from instances.reaching import host_keys, key_scans
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from tests.factories import JUMP_HOST_KEY, make_jump_host
from tests.instances.ssh.ssh_peers import lets_through, peer
from tests.services.fixtures import StartOpenSSH
from tests.services.programs import require
from tests.services.waiting import free_port

pytestmark = pytest.mark.django_db
State = KeyScan.State
PAGE, SCAN = "/containers/host-keys/", "/containers/host-keys/scan/"


def fingerprint(letter: str) -> str:
    return "SHA256:" + letter * 42 + "A"


def container(name: str, *keys: str, types: tuple[str, ...] = ("ssh-ed25519", "ssh-rsa")) -> Container:
    row = Container.objects.create(name=name, address=f"{name}.example.com")
    for letter, key_type in zip(keys, types, strict=False):
        HostKey.objects.create(container=row, type=key_type, base64="AAAA", fingerprint=fingerprint(letter))
    return row


def key_of(name: str) -> HostKey:
    return HostKey.objects.filter(container__name=name).earliest("pk")


def states() -> dict[str, str]:
    return dict(KeyScan.objects.values_list("container__name", "state"))


# Scan all


def test_all_without_an_approved_key_are_scanned_and_failures_are_named(
    start_openssh: StartOpenSSH, admin: User, as_admin: Client
) -> None:
    server = start_openssh()
    up = Container.objects.create(name="up", address=server.host, port=server.port)
    Container.objects.create(name="down", address="127.0.0.1", port=free_port("127.0.0.1"))
    Container.objects.create(name="off", address="127.0.0.1", port=1, is_enabled=False)
    approved = container("approved", "A")
    approved.host_keys.update(state=HostKey.State.APPROVED)
    as_admin.post(SCAN)
    assert states() == {"up": State.WAITING, "down": State.WAITING}
    assert "0 of 2 containers have been asked" in as_admin.get(PAGE).content.decode()
    key_scans.work(threading.Event())
    assert states() == {"up": State.DONE, "down": State.FAILED}
    page = as_admin.get(PAGE).content.decode()
    assert "2 of 2 containers have been asked" in page
    assert "Connection refused" in page
    assert server.host_keys[0].fingerprint in page
    assert host_keys.approved_lines(up) == ()
    asked, scanned = AuditEvent.objects.filter(action__startswith="host_key.scan").order_by("seq")
    assert (asked.details, asked.actor, scanned.actor) == ({"containers": 2}, admin, admin)


def test_a_scan_of_all_that_is_cut_off_keeps_what_it_saw_and_says_what_is_missing(
    start_openssh: StartOpenSSH, as_admin: Client
) -> None:
    server = start_openssh(host_key_types=("ed25519", "rsa"))
    with peer(lets_through(server.port, 1)) as port:
        Container.objects.create(name="cut", address="127.0.0.1", port=port)
        as_admin.post(SCAN)
        key_scans.work(threading.Event())
    assert states() == {"cut": State.DONE}
    page = as_admin.get(PAGE).content.decode()
    assert "The server could not be asked for its other key types; what was seen is kept." in page
    assert HostKey.objects.get().type == "ssh-ed25519"


def test_an_expected_key_is_approved_by_the_scan_of_all(start_openssh: StartOpenSSH, actor: Actor) -> None:
    server = start_openssh()
    row = Container.objects.create(name="up", address=server.host, port=server.port)
    ExpectedHostKey.objects.create(
        container=row, fingerprint=server.host_keys[0].fingerprint, given_by="alice"
    )
    key_scans.start(actor=actor)
    key_scans.work(threading.Event())
    assert host_keys.approved_lines(row) == (server.host_keys[0].line,)
    assert not key_scans.without_key().exists()


def test_a_stopped_scan_keeps_what_was_seen_and_begins_nothing_more(as_admin: Client, actor: Actor) -> None:
    container("seen"), container("waiting")
    key_scans.start(actor=actor)
    KeyScan.objects.filter(container__name="seen").update(state=State.DONE)
    page = as_admin.post(f"{SCAN}stop/", follow=True).content.decode()
    assert "1 container was not scanned" in page
    assert states() == {"seen": State.DONE, "waiting": State.STOPPED}
    key_scans.work(threading.Event())  # which would fail: there is no such host
    assert states()["waiting"] == State.STOPPED
    assert key_scans.start(actor=actor)  # again, from the beginning
    assert states() == {"seen": State.WAITING, "waiting": State.WAITING}


def test_a_worker_that_ends_gives_back_what_it_did_not_begin(actor: Actor) -> None:
    container("a")
    key_scans.start(actor=actor)
    stopping = threading.Event()
    stopping.set()
    key_scans.work(stopping)
    assert states() == {"a": State.WAITING}


@pytest.mark.database
def test_a_row_is_taken_once_and_again_when_its_worker_vanished(actor: Actor, settings: Settings) -> None:
    settings.PUSHES_PER_JUMP_HOST = 2
    host = make_jump_host()
    for number in range(4):
        behind = container(f"behind-{number}")
        Container.objects.filter(pk=behind.pk).update(jump_host=host)
    container("direct")
    assert key_scans.start(actor=actor)
    assert not key_scans.start(actor=actor)
    taken = key_scans._take(10, ())
    assert len([scan for scan in taken if scan.container.jump_host_id]) == 2
    assert len(taken) == 3
    assert key_scans._take(10, taken) == []
    assert not key_scans.is_nobody_working()
    long_ago = timezone.now() - timedelta(minutes=5)
    KeyScan.objects.update(asked=long_ago)
    KeyScan.objects.filter(state=State.RUNNING).update(taken=long_ago)
    assert key_scans.is_nobody_working()
    again = key_scans._take(10, ())
    assert len(again) == 3
    for scan in again:
        key_scans._end(scan, State.DONE)
    assert len(key_scans._take(10, ())) == 2
    assert key_scans.is_under_way()


def test_a_broker_that_is_away_does_not_lose_a_scan(
    as_admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: object) -> None:
        raise OperationalError

    monkeypatch.setattr(tasks.scan_host_keys, "apply_async", away)
    container("a")
    assert as_admin.post(SCAN)["Location"] == PAGE
    assert states() == {"a": State.WAITING}


def test_there_may_be_nothing_to_scan(as_admin: Client) -> None:
    page = as_admin.post(SCAN, follow=True).content.decode()
    assert "Every container that is on has an approved host key" in page
    assert "No container has a first key waiting for you" in page


# Pasted lists


def test_what_the_tools_print_is_understood(start_openssh: StartOpenSSH) -> None:
    server = start_openssh(host_key_types=["ed25519", "ecdsa"])
    scanned = subprocess.run(
        [require("ssh-keyscan"), "-p", str(server.port), server.host],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    listed = subprocess.run(
        [require("ssh-keygen"), "-l", "-f", "-"], input=scanned, capture_output=True, text=True, check=True
    ).stdout
    wanted = {key.fingerprint for key in server.host_keys}
    for text in (scanned, listed):
        keys, wrong = pasted_keys.read(text)
        assert wrong == []
        assert {key.fingerprint for key in keys} == wanted
        assert {key.family for key in keys} == {"ED25519", "ECDSA"}
        assert {key.names for key in keys} == {(f"{server.host}:{server.port}",)}


@pytest.mark.parametrize(
    ("line", "names", "family"),
    [
        (fingerprint("A"), (), ""),
        (f"app-1 {fingerprint('A')}", ("app-1",), ""),
        (f"App-1;{fingerprint('A')[7:]}=", ("app-1",), ""),
        (f"256 {fingerprint('A')} root@app-1 (ED25519)", ("app-1",), "ED25519"),
        (f"256 {fingerprint('A')} no comment (ED25519)", ("no", "comment"), "ED25519"),
        (f"[app-1]:2222,10.0.0.1 {JUMP_HOST_KEY}", ("app-1:2222", "10.0.0.1"), "ED25519"),
        (f"|1|abc=|def= {JUMP_HOST_KEY}", (), "ED25519"),
        (f"{JUMP_HOST_KEY} root@app-1", ("app-1",), "ED25519"),
    ],
)
def test_a_pasted_line_says_whose_key_it_is(line: str, names: tuple[str, ...], family: str) -> None:
    ((key,), wrong) = pasted_keys.read(f"# a note\n\n{line}\r\n")
    assert (key.names, key.family, wrong) == (names, family, [])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2048 MD5:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff app-1 (RSA)", "MD5"),
        (JUMP_HOST_KEY[:-9], "end is missing"),
        ("app-1 is fine", "43 characters"),
    ],
)
def test_a_pasted_line_that_says_nothing_is_named(line: str, said: str) -> None:
    keys, (wrong,) = pasted_keys.read(f"\n{line}")
    assert keys == []
    assert wrong.startswith("Line 2: ")
    assert said in wrong


def compared(text: str) -> tuple[dict[str, str], int]:
    """What a list makes of each container, and how many of its lines fit none."""
    lines = key_lists.lines_of([each.pk for each in key_lists.offered()])
    unused = key_lists.compare(lines, pasted_keys.read(text)[0])
    words = {
        line.container.name: "differs"
        if line.mismatches
        else "matches"
        if any(key.is_matched for key in line.keys)
        else ""
        for line in lines
    }
    return words, len(unused)


def test_a_list_confirms_and_contradicts() -> None:
    container("app-1", "A", "R")
    container("app-2", "B")
    container("app-3", "C")
    for text, first, second, unused in (
        (f"app-1 {fingerprint('A')}", "matches", "", 0),
        (fingerprint("A"), "matches", "", 0),
        (f"256 {fingerprint('Z')} root@app-1 (ED25519)", "differs", "", 0),
        (f"256 {fingerprint('Z')} root@app-1 (ECDSA)", "", "", 1),  # a type that it did not show
        (f"app-1 {fingerprint('B')}", "differs", "", 0),  # the key of another container
        (f"app-1.example.com {fingerprint('A')}\napp-1:22 {fingerprint('Z')}", "differs", "", 0),
        (f"elsewhere {fingerprint('Z')}", "", "", 1),
        (f"root {fingerprint('B')}", "", "matches", 0),
    ):
        words, left = compared(text)
        assert (words, left) == ({"app-1": first, "app-2": second, "app-3": ""}, unused), text


# The page


def test_many_keys_are_compared_and_approved_at_once(as_admin: Client) -> None:
    first, second = container("app-1", "A", "R"), container("app-2", "B")
    Installation.objects.create(instance=Instance.objects.create(name="prod1"), container=first)
    pasted = f"app-1 {fingerprint('A')}\napp-2 {fingerprint('Z')}\nnonsense"
    page = as_admin.post(PAGE, {"do": "compare", "fingerprints": pasted}).content.decode()
    assert "1 container shows a different key from the one in your list" in page
    assert "Line 3" in page
    assert "prod1" in page
    assert fingerprint("Z") in page  # nothing typed is lost
    assert f'value="{key_of("app-1").pk}" checked' in page
    assert f'value="{key_of("app-2").pk}" checked' not in page
    keys = [key.pk for key in HostKey.objects.all()]
    form = {"do": "approve", "fingerprints": pasted, "key": keys}
    assert "Compare the fingerprints first" in as_admin.post(PAGE, form).content.decode()
    assert not HostKey.objects.filter(state="approved").exists()
    page = as_admin.post(PAGE, {**form, "compared": "on"}).content.decode()
    assert "app-2: the pasted list names another key" in page
    assert len(host_keys.approved_lines(first)) == 2  # of two types, seen together
    assert host_keys.approved_lines(second) == ()
    details = (
        AuditEvent.objects.filter(action="host_key.approved")
        .order_by("seq")
        .values_list("details", flat=True)
    )
    assert sorted(each["fingerprint_entered"] for each in details) == [False, True]


def test_keys_that_changed_are_left_out_of_the_page_and_cannot_be_slipped_in(as_admin: Client) -> None:
    changed = container("changed", "A", "B")
    changed.host_keys.filter(type="ssh-rsa").update(state=HostKey.State.APPROVED)
    unexpected = container("unexpected", "C")
    ExpectedHostKey.objects.create(container=unexpected, fingerprint=fingerprint("D"), given_by="alice")
    page = as_admin.get(PAGE).content.decode()
    assert f'value="{key_of("unexpected").pk}"' not in page
    assert f"/containers/host-keys/{key_of('unexpected').pk}/approve/" in page
    assert fingerprint("A") not in page
    keys = list(HostKey.objects.values_list("pk", flat=True))
    as_admin.post(PAGE, {"do": "approve", "compared": "on", "key": keys})
    assert list(HostKey.objects.filter(state="approved").values_list("fingerprint", flat=True)) == [
        fingerprint("B")
    ]


def test_where_no_key_can_be_chosen_nothing_asks_for_a_choice(as_admin: Client) -> None:
    unexpected = container("unexpected", "C")
    ExpectedHostKey.objects.create(container=unexpected, fingerprint=fingerprint("D"), given_by="alice")
    controls = ("data-check-all", 'name="compared"', 'value="approve"')
    page = as_admin.get(PAGE).content.decode()
    assert not [each for each in controls if each in page]
    assert page.index(fingerprint("C")) < page.index("Another key is expected") < page.index(fingerprint("D"))
    assert "approve each one by its fingerprint" in page
    container("app-1", "A")
    page = as_admin.get(PAGE).content.decode()
    assert all(each in page for each in controls)
    assert "approve each one by its fingerprint" not in page


def test_who_gave_a_fingerprint_is_named_in_the_language_of_the_reader(as_admin: Client) -> None:
    unexpected = container("unexpected", "C")
    given_by = "root (command line)"
    ExpectedHostKey.objects.create(container=unexpected, fingerprint=fingerprint("D"), given_by=given_by)
    pages = (f"/containers/{unexpected.pk}/", f"/containers/host-keys/{key_of('unexpected').pk}/approve/")
    for page in pages:
        text = as_admin.get(page, headers={"Accept-Language": "fr"}).content.decode()
        assert fingerprint("D") in text
        assert "root (" in text
        assert given_by not in text


def test_what_is_missing_is_said_at_the_button(as_admin: Client) -> None:
    container("app-1", "A")
    page = as_admin.post(PAGE, {"do": "approve"}).content.decode()
    assert page.index("</table>") < page.index("Choose at least one key.") < page.index('value="approve"')


def test_what_the_server_shows_after_the_page_was_made_is_not_approved(as_admin: Client) -> None:
    first, second = container("app-1", "A"), container("app-2", "B")
    shown = [key_of("app-1").pk, key_of("app-2").pk]
    HostKey.objects.create(container=first, type="ssh-ed25519", base64="AAAA", fingerprint=fingerprint("Z"))
    key_of("app-2").delete()
    HostKey.objects.create(container=second, type="ssh-ed25519", base64="AAAA", fingerprint=fingerprint("Y"))
    page = as_admin.post(PAGE, {"do": "approve", "compared": "on", "key": shown}).content.decode()
    assert not HostKey.objects.filter(state="approved").exists()
    assert "Choose at least one key" in page
    lines = key_lists.lines_of([second.pk])
    HostKey.objects.update(state=HostKey.State.REVOKED)  # between reading and approving
    approved, left = key_lists.approve(lines, {key_of("app-2").pk}, Actor("alice"))
    assert approved == []
    assert "there is a doubt" in left[0]


def test_two_hundred_containers_take_two_pages(as_admin: Client) -> None:
    rows = [Container(name=f"app-{number:03}", address=f"a{number}.example.com") for number in range(200)]
    Container.objects.bulk_create(rows)
    HostKey.objects.bulk_create(
        HostKey(container=row, type="ssh-ed25519", base64="AAAA", fingerprint=f"SHA256:{row.name}")
        for row in rows
    )
    page = as_admin.get(PAGE, {"page": 2}).content.decode()
    assert "200 containers are waiting" in page
    assert "app-199" in page
    assert "app-000" not in page
