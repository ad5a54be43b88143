"""Host keys: nothing is trusted because it was seen."""

import socket
import time

import pytest
from pytest_django.fixtures import Settings

from instances import ssh
from instances.models import Container, ExpectedHostKey, HostKey
from instances.reaching import host_keys
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.notices.models import Note
from tests.services.fixtures import StartOpenSSH
from tests.services.openssh_server import OpenSSHServer
from tests.services.waiting import free_port

pytestmark = pytest.mark.django_db
State = HostKey.State


def container_at(server: OpenSSHServer) -> Container:
    return Container.objects.create(name="app-1", address=server.host, port=server.port)


def expect(container: Container, fingerprint: str) -> None:
    ExpectedHostKey.objects.create(container=container, fingerprint=fingerprint, given_by="alice")


def states(container: Container) -> dict[str, str]:
    return dict(container.host_keys.values_list("fingerprint", "state"))


def page_state(container: Container) -> str:
    """What the container's page says; the list's filter has to find it under the same state alone."""
    container.refresh_from_db()
    state = host_keys.state_of(container.host_keys.all(), host_keys.expected_of(container))
    every = ("approved", "changed", "unexpected", "offered", "")
    found = [each for each in every if host_keys.in_host_key_state(Container.objects.all(), each).exists()]
    assert found == [state]
    return state


def test_a_scan_stores_the_keys_that_a_real_server_shows_and_trusts_none(
    start_openssh: StartOpenSSH, actor: Actor
) -> None:
    server = start_openssh(host_key_types=["ed25519", "rsa", "ecdsa"])
    container = container_at(server)
    assert page_state(container) == ""
    scan = host_keys.scan_container(container=container, actor=actor)
    assert {key.fingerprint for key in scan.keys} == {key.fingerprint for key in server.host_keys}
    assert set(states(container).values()) == {State.OFFERED}
    assert host_keys.approved_lines(container) == ()
    assert page_state(container) == "offered"


def test_scanning_again_adds_nothing(start_openssh: StartOpenSSH, actor: Actor) -> None:
    container = container_at(start_openssh())
    first = host_keys.scan_container(container=container, actor=actor)
    second = host_keys.scan_container(container=container, actor=actor)
    assert [key.pk for key in first.keys] == [key.pk for key in second.keys]


def test_an_expected_key_is_approved_by_the_scan_that_shows_it(
    start_openssh: StartOpenSSH, actor: Actor
) -> None:
    server = start_openssh()
    container = container_at(server)
    expect(container, server.host_keys[0].fingerprint)
    scan = host_keys.scan_container(container=container, actor=actor)
    assert scan.approved is not None
    assert host_keys.approved_lines(container) == (server.host_keys[0].line,)
    event = AuditEvent.objects.get(action="host_key.approved")
    assert event.details["expected_by"] == "alice"


def test_another_key_than_the_expected_one_is_not_approved(start_openssh: StartOpenSSH, actor: Actor) -> None:
    container = container_at(start_openssh())
    expect(container, "SHA256:" + "A" * 43)
    scan = host_keys.scan_container(container=container, actor=actor)
    assert scan.is_expected_missing
    assert host_keys.approved_lines(container) == ()
    assert page_state(container) == "unexpected"
    assert not host_keys.in_host_key_state(Container.objects.all(), "needed").exists()


def test_a_revoked_key_is_not_approved_again_because_it_is_expected(
    start_openssh: StartOpenSSH, actor: Actor
) -> None:
    server = start_openssh()
    container = container_at(server)
    expect(container, server.host_keys[0].fingerprint)
    approved = host_keys.scan_container(container=container, actor=actor).approved
    assert approved is not None
    host_keys.revoke_host_key(key=approved, actor=actor)
    assert host_keys.scan_container(container=container, actor=actor).approved is None
    assert host_keys.approved_lines(container) == ()
    with pytest.raises(host_keys.FingerprintNeeded):
        host_keys.approve_host_key(key=approved, actor=actor)
    host_keys.approve_host_key(key=approved, actor=actor, fingerprint=approved.fingerprint)
    assert host_keys.approved_lines(container) == (server.host_keys[0].line,)


def test_approving_the_key_of_a_reinstalled_server_revokes_every_old_one(
    start_openssh: StartOpenSSH, actor: Actor
) -> None:
    server = start_openssh(host_key_types=["ed25519", "rsa"])
    container = container_at(server)
    old = host_keys.scan_container(container=container, actor=actor).keys
    for key in old:
        host_keys.approve_host_key(key=key, actor=actor, fingerprint=key.fingerprint)
    assert len(host_keys.approved_lines(container)) == 2
    server.change_host_keys()
    new = host_keys.scan_container(container=container, actor=actor).keys
    assert page_state(container) == "changed"
    with pytest.raises(host_keys.FingerprintNeeded):
        host_keys.approve_host_key(key=new[0], actor=actor)
    with pytest.raises(host_keys.FingerprintDiffers):
        host_keys.approve_host_key(key=new[0], actor=actor, fingerprint=new[1].fingerprint)
    host_keys.approve_host_key(key=new[0], actor=actor, fingerprint=new[0].fingerprint)
    assert host_keys.approved_lines(container) == (new[0].line,)
    assert {states(container)[key.fingerprint] for key in old} == {State.REVOKED}
    assert page_state(container) == "approved"


def test_a_second_key_type_of_the_same_server_leaves_the_first_approved(
    start_openssh: StartOpenSSH, actor: Actor
) -> None:
    container = container_at(start_openssh(host_key_types=["ed25519", "rsa"]))
    keys = host_keys.scan_container(container=container, actor=actor).keys
    host_keys.approve_host_key(key=keys[0], actor=actor)
    assert page_state(container) == "approved"
    with pytest.raises(host_keys.FingerprintNeeded):
        host_keys.approve_host_key(key=keys[1], actor=actor)
    host_keys.approve_host_key(key=keys[1], actor=actor, fingerprint=keys[1].fingerprint)
    assert len(host_keys.approved_lines(container)) == 2


def stored(
    container: Container, name: str, state: str = State.OFFERED, key_type: str = "ssh-ed25519"
) -> HostKey:
    return HostKey.objects.create(
        container=container, type=key_type, base64=name, fingerprint=f"SHA256:{name}", state=state
    )


def test_the_old_expectation_ends_when_another_key_is_approved(actor: Actor) -> None:
    container = Container.objects.create(name="app-1", address="app-1.example.com")
    expect(container, "SHA256:old")
    key = stored(container, "new")
    with pytest.raises(host_keys.FingerprintNeeded):
        host_keys.approve_host_key(key=key, actor=actor)
    assert ExpectedHostKey.objects.exists()
    host_keys.approve_host_key(key=key, actor=actor, fingerprint=key.fingerprint)
    assert not ExpectedHostKey.objects.exists()
    details = AuditEvent.objects.get(action="host_key.approved").details
    assert (details["no_longer_expected"], details["doubt"]) == ("SHA256:old", "unexpected")
    assert details["expectation_was_given_by"] == "alice"
    assert details["fingerprint_entered"] is True


@pytest.mark.parametrize(
    ("other", "doubt"),
    [
        ("approved", "changed"),  # or a type that comes beside it
        ("approved and revoked", "changed"),
        ("offered", "several"),
        ("rejected", ""),
        ("offered, another type", ""),
    ],
)
def test_what_is_known_of_the_container_decides_how_a_key_is_approved(other: str, doubt: str) -> None:
    container = Container.objects.create(name="app-1", address="app-1.example.com")
    key = stored(container, "new")
    state = {"app": State.APPROVED, "off": State.OFFERED, "rej": State.REVOKED}[other[:3]]
    old = stored(container, "old", state, "ssh-rsa" if "type" in other else "ssh-ed25519")
    if other.startswith("approved"):
        old.approved = old.seen
        old.state = State.REVOKED if "revoked" in other else State.APPROVED
        old.save()
    assert host_keys.doubt_about(key, list(container.host_keys.all())) == doubt


def test_a_page_that_was_made_before_another_key_was_approved_approves_nothing(actor: Actor) -> None:
    container = Container.objects.create(name="app-1", address="app-1.example.com")
    first = stored(container, "first", key_type="ssh-rsa")
    shown_as_first = HostKey.objects.get(pk=stored(container, "second").pk)
    host_keys.approve_host_key(key=first, actor=actor)
    with pytest.raises(host_keys.FingerprintNeeded):
        host_keys.approve_host_key(key=shown_as_first, actor=actor)
    rejected = stored(container, "third", key_type="ecdsa-sha2-nistp256")
    HostKey.objects.filter(pk=rejected.pk).update(state=State.REVOKED)
    with pytest.raises(host_keys.FingerprintNeeded):
        host_keys.approve_host_key(key=rejected, actor=actor)  # it was rejected since
    assert host_keys.approved_lines(container) == (first.line,)


def test_approving_twice_is_recorded_once(start_openssh: StartOpenSSH, actor: Actor) -> None:
    container = container_at(start_openssh())
    (key,) = host_keys.scan_container(container=container, actor=actor).keys
    host_keys.approve_host_key(key=key, actor=actor)
    host_keys.approve_host_key(key=key, actor=actor)
    assert AuditEvent.objects.filter(action="host_key.approved").count() == 1


@pytest.mark.parametrize("key_type", ["ssh-ed25519", "ssh-rsa"])
def test_a_key_noted_by_a_push_shows_as_changed_until_somebody_decides(actor: Actor, key_type: str) -> None:
    container = Container.objects.create(name="app-1", address="app-1.example.com")
    HostKey.objects.create(
        container=container, type="ssh-ed25519", base64="AAAA", fingerprint="SHA256:old", state=State.APPROVED
    )
    for _again in range(2):
        noted = host_keys.note_offered(
            container=container, type=key_type, base64="BBBB", fingerprint="SHA256:new"
        )
    assert noted.state == State.OFFERED
    assert AuditEvent.objects.filter(action="host_key.offered").count() == 1
    told = Note.objects.get(kind="host_key.changed")
    assert (told.subject, told.details["fingerprint"]) == ("app-1", "SHA256:new")
    assert page_state(container) == "changed"
    host_keys.revoke_host_key(key=noted, actor=actor)
    assert page_state(container) == "approved"


def test_a_server_that_is_down_stores_nothing(actor: Actor) -> None:
    container = Container.objects.create(name="app-1", address="127.0.0.1", port=free_port("127.0.0.1"))
    with pytest.raises(ssh.ConnectionRefused):
        host_keys.scan_container(container=container, actor=actor)
    assert not AuditEvent.objects.exists()


def test_a_loopback_address_is_not_scanned_in_production(
    start_openssh: StartOpenSSH, actor: Actor, settings: Settings
) -> None:
    settings.ALLOW_LOOPBACK_TARGETS = False
    container = container_at(start_openssh())
    with pytest.raises(ssh.AddressNotAllowed):
        host_keys.scan_container(container=container, actor=actor)


def test_a_server_that_accepts_and_says_nothing_ends_the_scan_in_time(
    actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instances.reaching.policy.SCAN_SECONDS", 1.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        container = Container.objects.create(name="app-1", address="127.0.0.1", port=silent.getsockname()[1])
        began = time.monotonic()
        with pytest.raises(ssh.TimedOut):
            host_keys.scan_container(container=container, actor=actor)
        assert time.monotonic() - began < 10
