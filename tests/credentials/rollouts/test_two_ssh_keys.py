"""The portal's SSH key is replaced while pushes go on: every server on the way may know either key."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.rollouts.models import Attempt
from instances import ssh
from instances.discovery.models import Reading
from instances.discovery.services import ask
from instances.models import Container, HostKey, JumpHost
from instances.reaching import portal_key, taken_keys
from instances.reaching.taken_keys import State
from instances.visits import visit
from portal.audit.trail import Actor
from tests.credentials.rollouts.conftest import FIRST, MakeSite, Site, Start, deliver_all, only_push
from tests.services.fixtures import StartOpenSSH
from tests.services.openssh_server import OpenSSHServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_engine]  # sshd matters
BASTION = "127.0.0.11"


class Keys:
    """The file of the portal's keys: the former one below the new one, or one of them alone."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.new, self.former = ssh.generate_private_key(), file.read_text()
        file.write_text(self.new + self.former)

    @property
    def new_name(self) -> str:
        return ssh.name_of(ssh.load_private_key(self.new))

    @property
    def former_name(self) -> str:
        return ssh.name_of(ssh.load_private_key(self.former))

    def line(self, which: str) -> str:
        return ssh.public_line(ssh.load_private_key(getattr(self, which)), "")


@pytest.fixture
def keys(tmp_path: Path, settings: Settings) -> Keys:
    file = tmp_path / "two_keys"
    file.write_text(ssh.generate_private_key())
    settings.SSH_KEY_PATH = file
    return Keys(file)


@pytest.fixture
def serve(start_openssh: StartOpenSSH, keys: Keys) -> Callable[..., OpenSSHServer]:
    """Have a real sshd serve a site's container; it knows the named keys."""

    def serve(site: Site, *names: str, **options: str) -> OpenSSHServer:
        variables = site.container.environment("neolane").items()
        quoted = " ".join(f'"{name}={value}"' for name, value in variables)
        server = start_openssh(options={"SetEnv": quoted, **options})
        install(server, keys, *names)
        site.row.address, site.row.port, site.row.login = server.host, server.port, server.accounts[0]
        site.row.save()
        site.row.host_keys.all().delete()
        key = server.host_keys[0]
        HostKey.objects.create(
            container=site.row,
            type=key.type,
            base64=key.base64,
            fingerprint=key.fingerprint,
            state="approved",
        )
        return server

    return serve


Serve = Callable[..., OpenSSHServer]


def install(server: OpenSSHServer, keys: Keys, *names: str, restrictions: str = "restrict") -> None:
    for name in names:
        server.authorize(server.accounts[0], keys.line(name), restrictions=restrictions)


def put_behind(start_openssh: StartOpenSSH, keys: Keys, site: Site, name: str, **options: str) -> JumpHost:
    server = start_openssh(host=BASTION, options=options)
    install(server, keys, name, restrictions="restrict,port-forwarding")
    row = JumpHost.objects.create(
        name="bastion-1",
        address=server.host,
        port=server.port,
        login=server.accounts[0],
        host_keys=server.host_keys[0].line,
    )
    Container.objects.filter(pk=site.row.pk).update(jump_host=row)
    return row


def state(site: Site, keys: Keys) -> State:
    site.row.refresh_from_db()
    return taken_keys.state_of(site.row, keys.new_name)


@pytest.mark.parametrize("tries", ["6", "1"])
@pytest.mark.parametrize(
    ("names", "expected"),
    [(["former"], State.FORMER), (["new"], State.NEW), (["new", "former"], State.NEW)],
)
def test_a_push_succeeds_with_either_key_and_notes_which(
    make_site: MakeSite, serve: Serve, start: Start, keys: Keys, names: list[str], expected: State, tries: str
) -> None:
    site = make_site()
    serve(site, *names, MaxAuthTries=tries)
    rollout = start(site)
    assert state(site, keys) == State.NOT_ASKED
    deliver_all(site)
    assert (only_push(rollout).state, site.secret("prod1")) == ("succeeded", FIRST)
    assert state(site, keys) == expected
    assert site.row.key_taken == (keys.new_name if expected == State.NEW else keys.former_name)
    assert site.row.key_asked
    assert abs(timezone.now() - site.row.key_asked) < timedelta(minutes=10)
    assert site.row.key_hung_up == (tries == "1" and expected == State.FORMER)


def test_a_push_that_neither_key_lets_in_names_both(
    make_site: MakeSite, serve: Serve, start: Start, keys: Keys
) -> None:
    site = make_site()
    serve(site)
    push = only_push(start(site))
    deliver_all(site)
    push.refresh_from_db()
    assert (push.state, push.code) == ("failed", "login_refused")
    said = " ".join(Attempt.objects.get(push=push).notes_in_words)
    assert f"newest key {keys.new_name} was refused" in said
    assert f"former key {keys.former_name} was refused" in said
    assert state(site, keys) == State.NEITHER


def test_a_reading_shows_which_key_a_container_takes_without_a_push(
    make_site: MakeSite, serve: Serve, keys: Keys, actor: Actor
) -> None:
    site = make_site()
    server = serve(site, "former")
    for expected in (State.FORMER, State.NEW):
        [reading] = ask(containers=[site.row], actor=actor)
        while visit.visit(site.row.pk):
            pass
        reading.refresh_from_db()
        assert reading.state == Reading.State.SUCCEEDED
        assert state(site, keys) == expected
        install(server, keys, "new")


@pytest.mark.parametrize("tries", ["6", "1"])
@pytest.mark.parametrize(("there", "here"), [("former", "new"), ("new", "former")])
def test_which_key_the_jump_host_took_is_noted_apart(
    make_site: MakeSite,
    serve: Serve,
    start_openssh: StartOpenSSH,
    start: Start,
    keys: Keys,
    there: str,
    here: str,
    tries: str,
) -> None:
    site = make_site()
    serve(site, here, MaxAuthTries=tries)
    row = put_behind(start_openssh, keys, site, there, MaxAuthTries=tries)
    rollout = start(site)
    deliver_all(site)
    assert only_push(rollout).state == "succeeded"
    row.refresh_from_db()
    assert taken_keys.state_of(row, keys.new_name) == there
    assert state(site, keys) == here
    assert {str(each) for each in taken_keys.standing().waiting} == (
        {"bastion-1 (former)"} if there == "former" else {"mkt-1 (former)"}
    )


def test_a_server_that_hangs_up_on_the_new_key_is_not_asked_again_at_once(
    make_site: MakeSite, serve: Serve, keys: Keys, actor: Actor
) -> None:
    """Guards count such endings: the containers behind a jump host would lock the portal out."""
    site = make_site()
    server = serve(site, "former", MaxAuthTries="1")

    def read() -> int:
        before = server.log.read_text().count("Connection from")
        ask(containers=[site.row], actor=actor)
        while visit.visit(site.row.pk):
            pass
        return server.log.read_text().count("Connection from") - before

    assert [read(), read(), read()] == [2, 1, 1]
    assert state(site, keys) == State.FORMER
    lines = server._authorized_keys / server.accounts[0]
    lines.write_text("")
    install(server, keys, "new")
    assert read() == 2  # the line was replaced meanwhile: it hangs up on the former key now
    assert state(site, keys) == State.NEW
    lines.write_text("")
    install(server, keys, "former")
    assert [read(), read()] == [2, 1]
    install(server, keys, "new")
    Container.objects.update(key_asked=timezone.now() - taken_keys.PUT_OFF)
    assert read() == 1
    assert state(site, keys) == State.NEW


def test_another_address_is_another_server(
    make_site: MakeSite, serve: Serve, start: Start, keys: Keys
) -> None:
    site = make_site()
    serve(site, "new")
    start(site)
    deliver_all(site)
    assert state(site, keys) == State.NEW
    for change in ({"address": "10.9.9.9"}, {"login": "other"}, {"port": 2222}):
        kept = {name: getattr(site.row, name) for name in change}
        Container.objects.update(**change)
        assert state(site, keys) == State.NOT_ASKED
        Container.objects.update(**kept)
    assert state(site, keys) == State.NEW


def test_a_worker_that_lost_its_lease_notes_nothing(make_site: MakeSite, keys: Keys) -> None:
    site = make_site()
    asking = taken_keys.Asking.of(site.row)
    asking.offer._taken = portal_key.private_key()
    asking.note(token=site.row.pk)  # no token of any lease
    assert state(site, keys) == State.NOT_ASKED


def test_a_server_that_takes_no_key_any_more_is_no_longer_counted(
    make_site: MakeSite, serve: Serve, keys: Keys, actor: Actor
) -> None:
    site = make_site()
    server = serve(site, "new")
    for expected in (State.NEW, State.NEITHER):
        ask(containers=[site.row], actor=actor)
        while visit.visit(site.row.pk):
            pass
        assert state(site, keys) == expected
        (server._authorized_keys / server.accounts[0]).write_text("")
        Container.objects.update(key_asked=timezone.now() - taken_keys.FRESH)


@pytest.mark.parametrize(
    ("options", "sshd_options"),
    [('command="echo hello"', {}), ('command="false"', {"MaxSessions": "1"})],
)
def test_a_new_line_whose_options_forbid_the_script_keeps_nobody_out(
    make_site: MakeSite,
    serve: Serve,
    start: Start,
    keys: Keys,
    options: str,
    sshd_options: dict[str, str],
) -> None:
    """The new line was pasted with other options than the former one has."""
    site = make_site()
    server = serve(site, **sshd_options)
    install(server, keys, "new", restrictions=options)
    install(server, keys, "former")
    rollout = start(site)
    deliver_all(site)
    assert (only_push(rollout).state, site.secret("prod1")) == ("succeeded", FIRST)
    assert state(site, keys) == State.FORMER


def test_a_new_line_that_forbids_the_script_is_named_where_the_former_one_is_gone(
    make_site: MakeSite, serve: Serve, start: Start, keys: Keys
) -> None:
    site = make_site()
    install(serve(site), keys, "new", restrictions='command="echo hello"')
    push = only_push(start(site))
    deliver_all(site)
    push.refresh_from_db()
    assert (push.state, push.code) == ("failed", "script_not_run")
    assert state(site, keys) == State.NOT_ASKED


def test_a_new_line_on_a_jump_host_that_forbids_forwarding_keeps_nobody_out(
    make_site: MakeSite, serve: Serve, start_openssh: StartOpenSSH, start: Start, keys: Keys
) -> None:
    """The line for containers was pasted on the jump host."""
    site = make_site()
    serve(site, "new")
    server = start_openssh(host=BASTION)
    row = put_behind(start_openssh, keys, site, "former")
    install(server, keys, "new", restrictions="restrict")
    install(server, keys, "former", restrictions="restrict,port-forwarding")
    values = {"address": server.host, "port": server.port, "host_keys": server.host_keys[0].line}
    JumpHost.objects.filter(pk=row.pk).update(**values)
    rollout = start(site)
    deliver_all(site)
    assert only_push(rollout).state == "succeeded"
    row.refresh_from_db()
    assert taken_keys.state_of(row, keys.new_name) == State.FORMER
    assert server.log.read_text().count("Connection from") == 2
