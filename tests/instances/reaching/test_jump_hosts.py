"""Jump hosts in the inventory: their keys, their pages, the containers behind them."""

import subprocess
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client
from pytest_django.fixtures import Settings

from instances.inventory import csv_format
from instances.inventory.importing import ImportRefused, Plan, apply_import
from instances.models import Container, JumpHost
from instances.reaching import host_keys, jump_hosts
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from tests.factories import JUMP_HOST_KEY, finish, make_container, make_jump_host, make_rollout
from tests.services.fixtures import StartOpenSSH
from tests.services.programs import require

pytestmark = pytest.mark.django_db
LIST = "/containers/jump-hosts/"


def values(**changes: str) -> dict[str, str]:
    entered = {"name": "bastion-1", "address": "bastion-1.example.com", "port": "22", "login": "portal"}
    return {**entered, "host_keys": JUMP_HOST_KEY, **changes}


def text(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


# Keys


def test_what_ssh_keyscan_prints_is_taken_as_it_is(start_openssh: StartOpenSSH) -> None:
    server = start_openssh(host_key_types=("ed25519", "ecdsa", "rsa"))
    printed = subprocess.run(
        [require("ssh-keyscan"), "-p", str(server.port), server.host],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"[{server.host}]:{server.port} " in printed
    cleaned = jump_hosts.clean_host_keys(
        printed + "\n# a note\n\n" + server.host_keys[0].line + " root@host\r\n"
    )
    assert sorted(cleaned.splitlines()) == sorted(key.line for key in server.host_keys)


@pytest.mark.parametrize(
    ("entered", "named"),
    [
        ("", "at least one"),
        ("# only a note", "at least one"),
        (f"{JUMP_HOST_KEY}\nbastion-1", "Line 2"),
        ("SHA256:abc", "Line 1"),
        ("ssh-ed25519 %%%", "Line 1"),
        (JUMP_HOST_KEY.replace("ssh-ed25519", "ssh-rsa"), "Line 1"),
        (f"@revoked bastion-1 {JUMP_HOST_KEY}", "Line 1"),
        ("bastion-1 ssh-dss AAAAB3NzaC1kc3M=", "does not accept"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "Line 1"),
    ],
)
def test_what_is_no_key_is_refused_by_its_line(entered: str, named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        jump_hosts.clean_host_keys(entered)


def test_the_database_holds_no_jump_host_without_a_key() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        JumpHost.objects.create(name="bastion-1", address="bastion-1", login="portal", host_keys="")


# Pages


def test_an_admin_adds_edits_and_removes_a_jump_host(as_admin: Client) -> None:
    assert "every container is reached directly" in text(as_admin, LIST)
    scanned = f"# bastion-1:22 SSH-2.0-OpenSSH_9.2\nbastion-1 {JUMP_HOST_KEY} comment\n"
    assert as_admin.post(f"{LIST}add/", values(host_keys=scanned))["Location"] == LIST
    host = JumpHost.objects.get()
    assert host.key_lines == (JUMP_HOST_KEY,)
    assert jump_hosts.keys_of(host)[0].fingerprint in text(as_admin, LIST)
    as_admin.post(f"{LIST}{host.pk}/edit/", values(port="2222"))
    assert JumpHost.objects.get().port == 2222
    assert "Remove this jump host?" in text(as_admin, f"{LIST}{host.pk}/remove/")
    assert as_admin.post(f"{LIST}{host.pk}/remove/")["Location"] == LIST
    assert not JumpHost.objects.exists()
    events = list(AuditEvent.objects.filter(action__startswith="jump_host.").order_by("seq"))
    assert [event.action for event in events] == [
        "jump_host.created",
        "jump_host.changed",
        "jump_host.removed",
    ]
    assert events[0].details["host_keys"] == JUMP_HOST_KEY
    assert events[1].details["changes"] == {"port": [22, 2222]}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a b"),
        ("address", "-oProxyCommand=id"),
        ("address", "https://bastion-1/"),
        ("port", "0"),
        ("login", "root;id"),
        ("host_keys", ""),
        ("host_keys", "ssh-ed25519 AAAA"),
        ("host_keys", "\0"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(as_admin: Client, field: str, value: str) -> None:
    response = as_admin.post(f"{LIST}add/", values(**{field: value}))
    assert response.context["form"].errors[field]
    assert not JumpHost.objects.exists()


def test_one_server_is_one_jump_host(as_admin: Client) -> None:
    make_jump_host()
    response = as_admin.post(f"{LIST}add/", values(name="bastion-2"))
    assert "bastion-1 has this address" in response.content.decode()


def test_a_jump_host_in_use_is_kept_and_leads_to_its_containers(as_admin: Client) -> None:
    host, container = make_jump_host(), make_container()
    make_container(name="direct")
    Container.objects.filter(pk=container.pk).update(jump_host=host)
    assert f"{LIST}{host.pk}/remove/" not in text(as_admin, LIST)
    page = as_admin.post(f"{LIST}{host.pk}/remove/").content.decode()
    assert f"/containers/?jump_host={host.pk}" in page
    assert JumpHost.objects.exists()
    shown = text(as_admin, f"/containers/?jump_host={host.pk}")
    assert "through bastion-1" in shown
    assert "direct.example.com" not in shown


def test_an_admin_puts_a_container_behind_a_jump_host(as_admin: Client, as_helpdesk: Client) -> None:
    host, container = make_jump_host(), make_container()
    entered = {"name": "web1", "address": "web1.example.com", "port": "22", "login": "neolane"}
    entered |= {"become": "none", "install_root": "/usr/local/neolane", "is_enabled": "on"}
    as_admin.post(f"/containers/{container.pk}/edit/", entered | {"jump_host": str(host.pk)})
    container.refresh_from_db()
    assert container.jump_host == host
    assert AuditEvent.objects.get(action="container.changed").details["changes"] == {
        "jump_host": ["", "bastion-1"]
    }
    page = text(as_helpdesk, f"/containers/{container.pk}/")
    assert "portal@bastion-1.example.com:22" in page
    assert LIST not in page
    as_admin.post(f"/containers/{container.pk}/edit/", entered)
    container.refresh_from_db()
    assert container.jump_host is None


def test_the_same_private_address_is_another_server_behind_another_jump_host(as_admin: Client) -> None:
    first, second = make_jump_host(), make_jump_host(name="bastion-2")
    entered = {"address": "10.0.0.5", "port": "22", "login": "neolane", "become": "none"}
    entered |= {"install_root": "/usr/local/neolane"}
    for name, host in (("a", ""), ("b", first.pk), ("c", second.pk), ("d", first.pk), ("e", "")):
        as_admin.post("/containers/add/", {**entered, "name": name, "jump_host": host})
    assert sorted(Container.objects.values_list("name", flat=True)) == ["a", "b", "c"]


def test_the_line_to_install_on_a_jump_host_allows_what_it_is_for(as_helpdesk: Client) -> None:
    assert "restrict,port-forwarding ecdsa-sha2-nistp256" in text(as_helpdesk, "/containers/ssh-key/")


def test_a_failed_push_names_the_jump_host(as_helpdesk: Client) -> None:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code="jump_host_unreachable")
    assert "bastion-1" not in text(as_helpdesk, f"/rollouts/pushes/{push.pk}/")
    Container.objects.update(jump_host=make_jump_host())
    page = text(as_helpdesk, f"/rollouts/pushes/{push.pk}/")
    assert "Jump host not reachable" in page
    assert "<strong>bastion-1</strong> (bastion-1.example.com:22)" in page
    assert "through bastion-1" in text(as_helpdesk, "/rollouts/failed/")


def test_a_scan_through_a_jump_host_that_is_away_names_it(as_admin: Client) -> None:
    host = make_jump_host()
    JumpHost.objects.filter(pk=host.pk).update(address="127.0.0.1", port=1)
    container = make_container()
    Container.objects.filter(pk=container.pk).update(jump_host=host)
    page = as_admin.post(f"/containers/{container.pk}/scan/", follow=True).content.decode()
    assert "Jump host not reachable" in page
    assert "bastion-1 (127.0.0.1:1)" in page


def test_a_scan_through_a_jump_host_without_a_usable_key_says_so(
    as_admin: Client, settings: Settings, tmp_path: Path
) -> None:
    settings.SSH_KEY_PATH = tmp_path / "ssh_key"
    settings.SSH_KEY_PATH.write_text("nonsense")
    container = make_container()
    Container.objects.filter(pk=container.pk).update(jump_host=make_jump_host())
    page = as_admin.post(f"/containers/{container.pk}/scan/", follow=True).content.decode()
    assert "cannot be used" in page


# Import


def run(actor: Actor, *lines: str) -> Plan:
    file = "\n".join(("instance,container,address,jump_host", *lines)).encode()
    return apply_import(parsed=csv_format.parse(file), actor=actor)


def test_an_import_puts_containers_behind_a_jump_host_and_an_empty_cell_leaves_them_there(
    actor: Actor,
) -> None:
    host = make_jump_host()
    run(actor, "prod1,app-1,10.0.0.5,bastion-1", "prod1,app-2,10.0.0.5,")
    behind = Container.objects.get(name="app-1")
    assert (behind.jump_host, Container.objects.get(name="app-2").jump_host) == (host, None)
    assert not run(actor, "prod1,app-1,10.0.0.5,", "prod1,app-2,10.0.0.5,").changes
    other = make_jump_host(name="bastion-2")
    plan = run(actor, "prod1,app-1,10.0.0.5,bastion-2")
    assert [change.differences for change in plan.changes] == [{"jump_host": ["bastion-1", "bastion-2"]}]
    behind.refresh_from_db()
    assert behind.jump_host == other
    assert host_keys.approved_lines(behind) == ()


def test_an_unknown_jump_host_is_an_error_at_its_line_and_nothing_is_stored(actor: Actor) -> None:
    make_jump_host()
    with pytest.raises(ImportRefused) as refused:
        run(actor, "prod1,app-1,10.0.0.5,bastion-1", "prod1,app-2,10.0.0.6,bastion-9")
    assert [(error.row_number, error.column) for error in refused.value.errors] == [(3, "jump_host")]
    assert not Container.objects.exists()


def test_two_rows_cannot_put_one_container_behind_two_jump_hosts(actor: Actor) -> None:
    make_jump_host()
    make_jump_host(name="bastion-2")
    with pytest.raises(ImportRefused) as refused:
        run(actor, "prod1,app-1,10.0.0.5,bastion-1", "prod2,app-1,10.0.0.5,bastion-2")
    assert [error.column for error in refused.value.errors] == ["jump_host"]


def test_two_containers_clash_behind_the_same_jump_host_alone(actor: Actor) -> None:
    make_jump_host()
    with pytest.raises(ImportRefused) as refused:
        run(actor, "prod1,app-1,10.0.0.5,bastion-1", "prod1,app-2,10.0.0.5,bastion-1")
    assert [(error.row_number, error.column) for error in refused.value.errors] == [(3, "address")]
