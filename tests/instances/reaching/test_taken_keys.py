"""Two keys in the portal's file: who waits for the new one, and when the former one may go."""

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from instances import checks, ssh
from instances.inventory import retiring
from instances.models import Container, JumpHost
from instances.reaching import portal_key, taken_keys
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.keys import known
from portal.keys.known import KeysRefused
from portal.keys.models import KeyHolder, KnownKey
from tests.factories import make_container, make_jump_host

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[3]
NEW, FORMER, THIRD = (ssh.generate_private_key() for _ in range(3))
NEW_NAME, FORMER_NAME = (ssh.name_of(ssh.load_private_key(text)) for text in (NEW, FORMER))


@pytest.fixture
def file(tmp_path: Path, settings: Settings) -> Path:
    """The file of a portal whose key is the former one, and that has got a new one."""
    file = settings.SSH_KEY_PATH = tmp_path / "ssh_key"
    settings.STATIC_ROOT.mkdir(exist_ok=True)  # WhiteNoise warns of a missing one, and warnings are errors
    file.write_text(FORMER)
    portal_key.make_if_none()
    KnownKey.objects.create(name="ssh_key", fingerprint=FORMER_NAME)
    file.write_text(NEW + FORMER)
    return file


def answer(hop: Container | JumpHost, *, taken: str = "", refused: str = "") -> None:
    hop.key_taken, hop.key_refused = taken, refused
    hop.key_way, hop.key_asked = taken_keys.way_to(hop), timezone.now()
    hop.save()


def takes_new(hop: Container | JumpHost) -> None:
    answer(hop, taken=NEW_NAME)


def accept(**options: object) -> str:
    out = io.StringIO()
    call_command("keys", "accept", "ssh_key", stdout=out, **options)
    return out.getvalue()


def waiting() -> list[str]:
    return [str(each) for each in taken_keys.standing().waiting]


def test_the_new_key_is_next_until_the_portal_moves_to_it(file: Path) -> None:
    found = taken_keys.standing()
    assert found.next
    assert (found.present.fingerprint, found.next.fingerprint, found.past) == (FORMER_NAME, NEW_NAME, None)
    assert known.problems() == []
    accept()
    found = taken_keys.standing()
    assert found.past
    assert (found.present.fingerprint, found.next, found.past.fingerprint) == (NEW_NAME, None, FORMER_NAME)
    file.write_text(NEW)
    found = taken_keys.standing()
    assert (found.present.fingerprint, found.next, found.past) == (NEW_NAME, None, None)
    assert known.problems() == []


def test_a_former_key_that_was_forgotten_too_early_stops_the_start(file: Path) -> None:
    make_container()
    file.write_text(NEW)
    [problem] = known.problems()
    assert FORMER_NAME in problem
    assert "Put the portal's own key back" in problem
    with pytest.raises(CommandError, match="web1"):  # and the way out asks who would be lost
        accept()


def test_who_has_not_taken_the_new_key_keeps_the_former_one(file: Path, actor: Actor) -> None:
    bastion, unused = make_jump_host(), make_jump_host(name="bastion-2")
    web1, web2, off = (
        make_container(),
        make_container(name="web2"),
        make_container(name="web3", is_enabled=False),
    )
    gone = make_container(name="web4")
    Container.objects.filter(pk=web2.pk).update(jump_host=bastion)
    web2.refresh_from_db()
    retiring.retire(row=gone, reason="gone", actor=actor)
    assert waiting() == ["bastion-1 (not_asked)", "web1 (not_asked)", "web2 (not_asked)", "web3 (off)"]
    answer(web1, taken=FORMER_NAME, refused=NEW_NAME)
    answer(web2, refused=NEW_NAME)
    answer(bastion, taken=FORMER_NAME)  # before the new key came
    assert waiting() == ["bastion-1 (not_asked)", "web1 (former)", "web2 (neither)", "web3 (off)"]
    for hop in (web1, web2, bastion):
        takes_new(hop)
        with pytest.raises(CommandError, match=r"1 has not|\d have not") as caught:
            accept()
        assert str(hop) not in str(caught.value)
    assert waiting() == ["web3 (off)"]
    takes_new(off)
    assert unused.name not in accept()
    event = AuditEvent.objects.get(action="key.accepted")
    assert (event.details["before"], event.details["after"]) == (FORMER_NAME, NEW_NAME)
    assert "reason" not in event.details


def test_a_server_that_took_the_new_key_once_and_now_only_the_former_one_needs_that(file: Path) -> None:
    container = make_container()
    takes_new(container)
    assert waiting() == []
    answer(container, taken=FORMER_NAME, refused=NEW_NAME)
    assert waiting() == ["web1 (former)"]


def test_another_new_key_begins_anew(file: Path) -> None:
    takes_new(make_container())
    file.write_text(THIRD + FORMER)
    assert waiting() == ["web1 (not_asked)"]


def test_only_a_typed_reason_leaves_servers_behind_and_the_history_keeps_it(file: Path) -> None:
    make_container()
    for blank in ("", "   "):
        with pytest.raises(CommandError, match="--reason"):
            accept(reason=blank)
    assert KnownKey.objects.get(name="ssh_key").fingerprint == FORMER_NAME
    assert not AuditEvent.objects.filter(action="key.accepted").exists()
    accept(reason=" web1 is scrapped on Friday ")
    event = AuditEvent.objects.get(action="key.accepted")
    assert event.details["reason"] == "web1 is scrapped on Friday"
    assert event.details["left_behind"] == ["web1 (not_asked)"]
    assert event.details["left_behind_count"] == 1
    assert KnownKey.objects.get(name="ssh_key").fingerprint == NEW_NAME


def test_the_portal_moves_to_no_key_that_a_running_process_lacks(file: Path) -> None:
    KeyHolder.objects.create(name="worker-1:7", keys={"ssh_key": [FORMER_NAME]})
    KeyHolder.objects.create(name="web-1:8", keys={"ssh_key": []})  # does without it
    with pytest.raises(KeysRefused, match="worker-1:7") as caught:
        accept()
    assert "web-1:8" not in str(caught.value)
    KeyHolder.objects.filter(name="worker-1:7").update(keys={"ssh_key": [NEW_NAME, FORMER_NAME]})
    accept()


def test_the_command_prints_the_new_line_and_says_apart_who_waits(file: Path) -> None:
    make_container()
    out, err = io.StringIO(), io.StringIO()
    call_command("portal_key", stdout=out, stderr=err)
    assert out.getvalue() == portal_key.authorized_line() + "\n"
    assert portal_key.fingerprint() == NEW_NAME
    assert "0 of 1 containers take the new key." in err.getvalue()
    assert "Waiting for: web1 (not_asked)" in err.getvalue()
    found = told()
    assert (found["present"], found["next"], found["past"]) == (FORMER_NAME, NEW_NAME, None)
    assert found["containers"] == {"new": 0, "former": 0, "neither": 0, "not_asked": 1}
    assert (found["waiting"][0]["name"], found["former_may_go"]) == ("web1", False)
    takes_new(Container.objects.get())
    assert (told()["waiting"], told()["former_may_go"]) == ([], True)


def told() -> Any:  # Any: what JSON holds
    out = io.StringIO()
    call_command("portal_key", json=True, stdout=out)
    return json.loads(out.getvalue())


def test_a_single_key_has_nothing_to_say_about_servers(file: Path) -> None:
    make_container()
    file.write_text(FORMER)
    out, err = io.StringIO(), io.StringIO()
    call_command("portal_key", stdout=out, stderr=err)
    assert err.getvalue() == ""
    assert told()["former_may_go"] is None


def test_the_page_shows_both_keys_and_who_waits(file: Path, as_helpdesk: Client, as_auditor: Client) -> None:
    container = make_container()
    answer(container, taken=FORMER_NAME, refused=NEW_NAME)
    page = as_helpdesk.get("/containers/ssh-key/").content.decode()
    for text in (NEW_NAME, FORMER_NAME, "web1", "Takes only the former key", "Read all containers now"):
        assert text in page
    assert f"restrict {portal_key.public_line()}" in page
    assert "PRIVATE" not in page
    assert "Read all containers now" not in as_auditor.get("/containers/ssh-key/").content.decode()
    takes_new(container)
    assert "the former one may be removed" in as_helpdesk.get("/containers/ssh-key/").content.decode()
    accept()
    assert "deploy/new-key --forget ssh_key" in as_helpdesk.get("/containers/ssh-key/").content.decode()
    file.write_text(NEW)
    assert FORMER_NAME not in as_helpdesk.get("/containers/ssh-key/").content.decode()
    assert NEW_NAME in as_helpdesk.get(f"/containers/{container.pk}/").content.decode()


def test_the_page_costs_the_same_for_many_servers(file: Path, as_admin: Client) -> None:
    def cost(count: int) -> int:
        for number in range(count):
            make_container(name=f"app{count}-{number}")
        with CaptureQueriesContext(connection) as captured:
            page = as_admin.get("/containers/ssh-key/").content.decode()
        assert "app" in page
        return len(captured)

    as_admin.get("/containers/ssh-key/")
    assert cost(2) == cost(150)
    assert "And 52 more." in as_admin.get("/containers/ssh-key/").content.decode()


@pytest.mark.parametrize(
    ("text", "offered", "warnings"),
    [
        (NEW + FORMER, [NEW_NAME, FORMER_NAME], []),
        (NEW[:150] + "\n" + FORMER, [FORMER_NAME, ""], ["instances.W001"]),
        (NEW + FORMER[:150], [NEW_NAME, ""], ["instances.W001"]),
        (NEW.replace("\n", "\r\n") + "\n\n" + FORMER, [NEW_NAME, FORMER_NAME], []),
        (NEW + NEW, [NEW_NAME, ""], []),
        (NEW + THIRD + FORMER, [NEW_NAME, FORMER_NAME], ["instances.W002"]),
    ],
    ids=["two", "new one cut off", "former one cut off", "line ends", "twice the same", "three"],
)
def test_what_a_file_of_several_keys_offers(
    file: Path, text: str, offered: list[str], warnings: list[str]
) -> None:
    file.write_text(text)
    assert [(each and ssh.name_of(each)) or "" for each in portal_key.in_use()] == offered
    assert [each.id for each in checks.usable_ssh_key()] == warnings


def new_key(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / "deploy/new-key", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    "kind", [("-t", "ed25519"), ("-t", "ecdsa", "-m", "PEM"), ("-t", "rsa", "-m", "PKCS8")]
)
def test_the_script_puts_a_key_above_the_former_one_and_forgets_that(
    tmp_path: Path, settings: Settings, kind: tuple[str, ...]
) -> None:
    settings.SSH_KEY_PATH = file = tmp_path / "keys" / "ssh_key"
    file.parent.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-N", "", *kind, "-f", file], check=True)
    file.chmod(0o444)
    former = portal_key.fingerprint()
    assert new_key("ssh_key", file.parent).stdout == f"{file}: 2 key(s)\n"
    new, last = (ssh.name_of(each) for each in portal_key.held())
    assert (last, file.stat().st_mode & 0o777) == (former, 0o444)
    assert portal_key.public_line().split()[1] == file.with_suffix(".pub").read_text().split()[1]
    text = file.read_text()
    refused = new_key("ssh_key", file.parent)
    assert refused.returncode == 1
    assert "Nothing was changed" in refused.stderr
    assert file.read_text() == text
    assert new_key("--forget", "ssh_key", file.parent).stdout == f"{file}: 1 key(s)\n"
    assert [ssh.name_of(each) for each in portal_key.held()] == [new]
    assert sorted(each.name for each in file.parent.iterdir()) == ["ssh_key", "ssh_key.pub"]
