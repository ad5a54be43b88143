"""The pages of the inventory, for admin, helpdesk and auditor."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Push, Rollout
from instances import ssh
from instances.discovery.models import Reading
from instances.inventory import pending
from instances.models import (
    Container,
    ExpectedHostKey,
    HostKey,
    Installation,
    Instance,
    JumpHost,
    PendingUpload,
)
from instances.urls import urlpatterns
from portal.audit.models import AuditEvent
from portal.private_files import key_file
from portal.short_lived import remove_expired
from tests.credentials.wizard.test_wizard_canary import everything_stored
from tests.credentials.wizard.wizard_walk import SECRET, console_json
from tests.factories import JUMP_HOST_KEY, make_jump_host
from tests.instances.ssh.ssh_peers import lets_through, peer, web_server
from tests.services.fixtures import StartOpenSSH

pytestmark = pytest.mark.django_db
FILE = "instance,container,address\nprod1,app-1,app-1.example.com\n"
NASTY = ["'\"<script>x</script>", "x" * 100_000, "-1", "9" * 5000, "é\u202e", "%00", "1e999", "[]"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Settings) -> Path:
    """A folder of this test's own for uploads and the SSH key."""
    settings.PORTAL_HOME = tmp_path
    settings.SSH_KEY_PATH = tmp_path / "ssh_key"
    settings.STATIC_ROOT.mkdir(exist_ok=True)  # WhiteNoise warns of a missing one, and warnings are errors
    return tmp_path


def installed(*, instance: str = "prod1", container: str = "app-1", build: int | None = None) -> Installation:
    return Installation.objects.create(
        instance=Instance.objects.get_or_create(name=instance)[0],
        container=Container.objects.create(name=container, address=f"{container}.example.com"),
        observed_build=build,
    )


def offered(container: Container) -> HostKey:
    return HostKey.objects.create(
        container=container, type="ssh-ed25519", base64="AAAA", fingerprint="SHA256:" + "A" * 43
    )


def push_to(installation: Installation) -> None:
    account = TechnicalAccount.objects.create(name="analytics", client_id="c1")
    secret = ClientSecret.objects.create(account=account, version=1, client_id="c1", ciphertext="x", slot=1)
    rollout = Rollout.objects.create(number=1, fence=1, secret=secret, reason=Rollout.Reason.NEW)
    Push.objects.create(rollout=rollout, installation=installation, container=installation.container)


def text(client: Client, address: str, **parameters: str) -> str:
    response = client.get(address, parameters)
    assert response.status_code == 200
    return response.content.decode()


# Roles


def addresses() -> dict[str, tuple[str, str, set[str]]]:
    """Every page of the inventory: its address, its method, and who may use it."""
    installation = installed()
    key = offered(installation.container)
    jump_host = make_jump_host().pk
    reading = Reading.objects.create(
        container=installation.container, asked_by="henry", finished=timezone.now()
    )
    instance, container = installation.instance_id, installation.container_id
    everybody, admin = {"admin", "helpdesk", "auditor"}, {"admin"}
    return {
        "instances": ("/instances/", "get", everybody),
        "instance": (f"/instances/{instance}/", "get", everybody),
        "instance_add": ("/instances/add/", "get", admin),
        "instance_edit": (f"/instances/{instance}/edit/", "get", admin),
        "installation_add": (f"/instances/{instance}/installations/add/", "get", admin),
        "installation_take_over": (f"/installations/{installation.pk}/take-over/", "post", admin),
        "installation_remove": (f"/installations/{installation.pk}/remove/", "get", admin),
        "instance_retire": (f"/instances/{instance}/retire/", "get", admin),
        "instance_take_back": (f"/instances/{instance}/take-back/", "get", admin),
        "container_retire": (f"/containers/{container}/retire/", "get", admin),
        "container_take_back": (f"/containers/{container}/take-back/", "get", admin),
        "installation_retire": (f"/installations/{installation.pk}/retire/", "get", admin),
        "installation_take_back": (f"/installations/{installation.pk}/take-back/", "get", admin),
        "inventory_import": ("/instances/import/", "get", admin),
        "inventory_template": ("/instances/import/template.csv", "get", admin),
        "inventory_preview": (f"/instances/import/{uuid.uuid4()}/", "get", admin),
        "containers": ("/containers/", "get", everybody),
        "container": (f"/containers/{container}/", "get", everybody),
        "container_add": ("/containers/add/", "get", admin),
        "container_edit": (f"/containers/{container}/edit/", "get", admin),
        "container_switch": (f"/containers/{container}/switch/", "post", admin),
        "container_scan": (f"/containers/{container}/scan/", "post", admin),
        "container_read": (f"/containers/{container}/read/", "post", {"admin", "helpdesk"}),
        "container_timeline": (f"/containers/{container}/timeline/", "get", everybody),
        "instance_timeline": (f"/instances/{instance}/timeline/", "get", everybody),
        "installation": (f"/installations/{installation.pk}/", "get", everybody),
        "jwt_and_builds": ("/instances/jwt-and-builds/", "get", everybody),
        "proposals": ("/containers/proposals/", "get", everybody),
        "proposal_decide": ("/containers/proposals/decide/", "post", admin),
        "reading": (f"/containers/readings/{reading.pk}/", "get", everybody),
        "readings": ("/containers/readings/", "get", everybody),
        "readings_ask": ("/containers/readings/ask/", "post", {"admin", "helpdesk"}),
        "host_keys": ("/containers/host-keys/", "get", admin),
        "host_key_scan": ("/containers/host-keys/scan/", "get", admin),
        "host_key_scan_stop": ("/containers/host-keys/scan/stop/", "post", admin),
        "host_key_approve": (f"/containers/host-keys/{key.pk}/approve/", "get", admin),
        "host_key_revoke": (f"/containers/host-keys/{key.pk}/revoke/", "post", admin),
        "contacts": ("/contacts/", "get", everybody),
        "contact_edit": ("/contacts/production/", "get", admin),
        "jump_hosts": ("/containers/jump-hosts/", "get", admin),
        "jump_host_add": ("/containers/jump-hosts/add/", "get", admin),
        "jump_host_edit": (f"/containers/jump-hosts/{jump_host}/edit/", "get", admin),
        "jump_host_remove": (f"/containers/jump-hosts/{jump_host}/remove/", "get", admin),
        "ssh_key": ("/containers/ssh-key/", "get", everybody),
    }


def test_every_page_is_open_to_its_roles_and_to_nobody_else(
    as_admin: Client, as_helpdesk: Client, as_auditor: Client, settings: Settings
) -> None:
    settings.ALLOW_LOOPBACK_TARGETS = False
    Container.objects.create(name="own", address="127.0.0.1")
    table = addresses()
    assert set(table) == {pattern.name for pattern in urlpatterns}
    Container.objects.exclude(name="own").update(address="127.0.0.2")  # refused before any connection
    for name, (address, method, allowed) in table.items():
        for role, client in {"admin": as_admin, "helpdesk": as_helpdesk, "auditor": as_auditor}.items():
            status = getattr(client, method)(address).status_code
            assert (status in (200, 302)) if role in allowed else (status == 403), (name, role, status)
        assert Client().get(address).status_code in (302, 405), name


def test_what_changes_something_does_not_answer_to_get(as_admin: Client) -> None:
    for address, method, _allowed in addresses().values():
        if method == "post":
            assert as_admin.get(address).status_code == 405


def test_helpdesk_sees_no_buttons_that_it_may_not_press(as_helpdesk: Client) -> None:
    container = installed().container
    offered(container)
    page = text(as_helpdesk, f"/containers/{container.pk}/")
    assert "SHA256:" in page
    for word in ("Approve<", "Scan now", "Switch off", "Edit"):
        assert word not in page


def test_helpdesk_cannot_change_anything_by_posting(as_helpdesk: Client) -> None:
    installation = installed()
    as_helpdesk.post(f"/installations/{installation.pk}/remove/")
    as_helpdesk.post(f"/containers/{installation.container_id}/edit/", {"name": "x"})
    assert Installation.objects.filter(container__name="app-1").exists()


# Lists


def test_empty_lists_say_what_to_do_first(as_admin: Client, as_auditor: Client) -> None:
    for address in ("/instances/", "/containers/"):
        assert "/instances/import/" in text(as_admin, address)
        assert "/instances/import/" not in text(as_auditor, address)


@pytest.mark.parametrize("address", ["/instances/", "/containers/"])
def test_a_list_takes_as_many_queries_for_thirty_rows_as_for_one(as_auditor: Client, address: str) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            as_auditor.get(address)
        return len(queries)

    installed(instance="first", container="first")
    before = count()
    for number in range(30):
        offered(installed(instance=f"inst{number}", container=f"app-{number}").container)
    assert count() == before


@pytest.mark.parametrize("kind", ["instance", "container"])
def test_a_detail_page_takes_a_constant_number_of_queries(as_auditor: Client, kind: str) -> None:
    installation = installed()
    address = f"/{kind}s/{getattr(installation, f'{kind}_id')}/"

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            as_auditor.get(address)
        return len(queries)

    before = count()
    for number in range(20):
        other = installed(instance=f"other{number}", container=f"app-1{number}")
        Installation.objects.create(instance=installation.instance, container=other.container)
        Installation.objects.create(instance=other.instance, container=installation.container)
    assert count() == before


def test_a_list_shows_so_many_rows_and_leads_to_the_rest(as_auditor: Client) -> None:
    Instance.objects.bulk_create(Instance(name=f"inst{number:03}") for number in range(120))
    assert "inst024" in text(as_auditor, "/instances/")
    assert "inst025" not in text(as_auditor, "/instances/")
    assert "inst119" in text(as_auditor, "/instances/", page="5")


def test_instances_are_filtered(as_auditor: Client) -> None:
    Instance.objects.create(name="mkt_stage", environment="stage")
    Instance.objects.create(name="rt_prod", role="RT")
    assert "rt_prod" not in text(as_auditor, "/instances/", environment="stage")
    assert "mkt_stage" not in text(as_auditor, "/instances/", role="RT")
    assert "rt_prod" not in text(as_auditor, "/instances/", q="MKT")


def test_containers_are_filtered(as_auditor: Client) -> None:
    offered(installed(container="known").container)
    Container.objects.create(name="silent", address="silent.example.com", is_enabled=False)
    assert "silent" not in text(as_auditor, "/containers/", host_key="offered")
    assert "known" not in text(as_auditor, "/containers/", host_key="none")
    assert "known" not in text(as_auditor, "/containers/", switch="off")
    assert "known" not in text(as_auditor, "/containers/", q="silent.ex")


def test_a_filter_that_fits_nothing_says_so(as_auditor: Client) -> None:
    installed()
    for address in ("/instances/", "/containers/"):
        assert "matches these filters" in text(as_auditor, address, q="nothing like it")


@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize(
    "parameter", ["q", "page", "environment", "deployment", "role", "host_key", "switch", "show"]
)
def test_garbage_in_an_address_is_no_server_error(as_auditor: Client, parameter: str, nasty: str) -> None:
    for address in ("/instances/", "/containers/"):
        text(as_auditor, address, **{parameter: nasty})


# Instances


def test_a_hosted_instance_is_marked_as_never_pushed_to(as_auditor: Client) -> None:
    hosted = Instance.objects.create(name="cloud1", deployment="hosted")
    assert "never pushed to" in text(as_auditor, "/instances/")
    assert "never pushed to" in text(as_auditor, f"/instances/{hosted.pk}/")


def test_mixed_and_old_builds_are_warned_about(as_auditor: Client) -> None:
    old = installed(container="app-1", build=9352)
    installed(container="app-2", build=9391)
    page = text(as_auditor, f"/instances/{old.instance_id}/")
    assert "Mixed builds" in page
    assert "9352, 9391" in page
    assert "Needs an upgrade to 7.4.1" in page


def test_one_recent_build_on_all_containers_is_not_warned_about(as_auditor: Client) -> None:
    installation = installed(container="app-1", build=9391)
    installed(container="app-2", build=9391)
    page = text(as_auditor, f"/instances/{installation.instance_id}/")
    assert "Mixed builds" not in page
    assert "Needs an upgrade" not in page


def test_a_jwt_that_is_still_there_is_warned_about(as_auditor: Client) -> None:
    installation = installed()
    Installation.objects.update(observed_jwt=True)
    assert "JWT key still present" in text(as_auditor, f"/instances/{installation.instance_id}/")


def test_an_admin_adds_an_instance_and_is_led_to_it(as_admin: Client) -> None:
    values = {"name": "prod1", "environment": "stage", "deployment": "hybrid", "role": "MID"}
    response = as_admin.post("/instances/add/", values)
    instance = Instance.objects.get()
    assert response["Location"] == f"/instances/{instance.pk}/"
    assert (instance.environment, instance.uses_triggers) == ("stage", False)
    assert AuditEvent.objects.get(action="instance.created").actor_name == "alice"


@pytest.mark.parametrize("name", ["default", "../etc", "a b", "x" * 41, "", "é", "\0", "a;b", "-x"])
def test_a_bad_instance_name_is_refused_and_the_form_keeps_the_rest(as_admin: Client, name: str) -> None:
    values = {"name": name, "environment": "stage", "deployment": "hybrid", "role": "MID"}
    response = as_admin.post("/instances/add/", values)
    assert response.status_code == 200
    assert response.context["form"].errors["name"]
    assert '<option value="hybrid" selected>' in response.content.decode()
    assert not Instance.objects.exists()


def test_an_edit_that_is_refused_keeps_the_old_name_in_the_heading(as_admin: Client) -> None:
    instance = Instance.objects.create(name="prod1")
    response = as_admin.post(f"/instances/{instance.pk}/edit/", {"name": "default"})
    assert "Edit prod1" in response.content.decode()


def test_an_admin_adds_a_container_to_an_instance_by_name(as_admin: Client) -> None:
    instance = Instance.objects.create(name="prod1")
    Container.objects.create(name="app-1", address="app-1.example.com")
    address = f"/instances/{instance.pk}/installations/add/"
    assert "app-1" in text(as_admin, address)
    assert "no container with this name" in as_admin.post(address, {"container": "app-9"}).content.decode()
    assert as_admin.post(address, {"container": "app-1"}).status_code == 302
    assert instance.installations.count() == 1
    assert "already" in as_admin.post(address, {"container": "app-1"}).content.decode()


def test_an_installation_without_pushes_is_removed_after_a_question(as_admin: Client) -> None:
    installation = installed()
    address = f"/installations/{installation.pk}/remove/"
    assert "Nothing changes on the server" in text(as_admin, address)
    assert as_admin.post(address)["Location"] == f"/instances/{installation.instance_id}/"
    assert not Installation.objects.exists()


def test_an_installation_with_pushes_is_kept_and_the_way_out_is_named(as_admin: Client) -> None:
    installation = installed()
    push_to(installation)
    page = as_admin.post(f"/installations/{installation.pk}/remove/").content.decode()
    assert "history" in page
    assert f"/containers/{installation.container_id}/" in page
    assert Installation.objects.exists()


# Containers and host keys


def container_values(**changes: str) -> dict[str, str]:
    values = {"name": "app-1", "address": "app-1.example.com", "port": "22", "login": "neolane"}
    return {**values, "become": "none", "install_root": "/usr/local/neolane", "is_enabled": "on", **changes}


def test_an_admin_adds_and_edits_a_container(as_admin: Client) -> None:
    as_admin.post("/containers/add/", container_values())
    container = Container.objects.get()
    as_admin.post(f"/containers/{container.pk}/edit/", container_values(port="2222"))
    container.refresh_from_db()
    assert (container.port, container.is_enabled) == (2222, True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "-oProxyCommand=touch /tmp/x"),
        ("address", "https://app-1.example.com/"),
        ("address", "root@app-1"),
        ("address", "app-1:22"),
        ("address", "app\0"),
        ("port", "0"),
        ("port", "65536"),
        ("port", "9" * 400),
        ("login", "-l root"),
        ("login", "a b"),
        ("install_root", "relative/path"),
        ("install_root", "/usr/local/$(id)"),
        ("become", "magic"),
        ("name", "a\nb"),
        ("name", "x" * 81),
    ],
)
def test_a_bad_value_is_named_at_its_field(as_admin: Client, field: str, value: str) -> None:
    response = as_admin.post("/containers/add/", container_values(**{field: value}))
    assert response.status_code == 200
    assert field in response.context["form"].errors
    assert not Container.objects.exists()


def test_loopback_is_refused_as_an_address_in_production(as_admin: Client, settings: Settings) -> None:
    settings.ALLOW_LOOPBACK_TARGETS = False
    response = as_admin.post("/containers/add/", container_values(address="127.0.0.1"))
    assert "address" in response.context["form"].errors


def test_an_address_of_another_container_is_refused_by_that_containers_name(as_admin: Client) -> None:
    as_admin.post("/containers/add/", container_values())
    response = as_admin.post("/containers/add/", container_values(name="app-2"))
    assert "app-1" in str(response.context["form"].errors["address"])


def test_a_container_is_switched_off_and_on(as_admin: Client) -> None:
    container = installed().container
    address = f"/containers/{container.pk}/"
    as_admin.post(f"{address}switch/", {"to": "off"})
    assert "switched off" in text(as_admin, address)
    as_admin.post(f"{address}switch/", {"to": "on"})
    container.refresh_from_db()
    assert container.is_enabled


def test_a_container_that_a_worker_holds_says_so(as_auditor: Client) -> None:
    container = installed().container
    Container.objects.claim(
        container.pk, token=uuid.uuid4(), owner="worker-7:123", lease=timedelta(seconds=60)
    )
    assert "worker-7:123" in text(as_auditor, f"/containers/{container.pk}/")
    Container.objects.update(lease_expires=timezone.now() - timedelta(seconds=1))
    assert "worker-7:123" not in text(as_auditor, f"/containers/{container.pk}/")


def test_an_admin_scans_compares_and_approves(as_admin: Client, start_openssh: StartOpenSSH) -> None:
    server = start_openssh()
    container = Container.objects.create(name="app-1", address=server.host, port=server.port)
    as_admin.post(f"/containers/{container.pk}/scan/")
    page = text(as_admin, f"/containers/{container.pk}/")
    assert server.host_keys[0].fingerprint in page
    key = container.host_keys.get()
    as_admin.post(f"/containers/host-keys/{key.pk}/approve/")
    key.refresh_from_db()
    assert key.state == HostKey.State.OFFERED
    as_admin.post(f"/containers/host-keys/{key.pk}/approve/", {"compared": "on"})
    key.refresh_from_db()
    assert (key.state, key.approved_by) == (HostKey.State.APPROVED, "alice")
    as_admin.post(f"/containers/host-keys/{key.pk}/revoke/")
    key.refresh_from_db()
    assert key.state == HostKey.State.REVOKED


def test_a_changed_key_is_shown_as_a_danger(as_admin: Client, start_openssh: StartOpenSSH) -> None:
    server = start_openssh()
    container = Container.objects.create(name="app-1", address=server.host, port=server.port)
    address = f"/containers/{container.pk}/"
    as_admin.post(f"{address}scan/")
    as_admin.post(f"/containers/host-keys/{container.host_keys.get().pk}/approve/", {"compared": "on"})
    server.change_host_keys()
    as_admin.post(f"{address}scan/")
    assert "The host key changed" in text(as_admin, address)
    assert "Changed" in text(as_admin, "/containers/")


def changed_key() -> HostKey:
    container = Container.objects.create(name="app-1", address="app-1.example.com")
    for name, state in (("B", "approved"), ("A", "offered")):
        HostKey.objects.create(
            container=container,
            type="ssh-ed25519",
            base64="AAAA",
            fingerprint="SHA256:" + name * 42 + "A",
            state=state,
        )
    ExpectedHostKey.objects.create(
        container=container, fingerprint="SHA256:" + "B" * 42 + "A", given_by="alice"
    )
    return container.host_keys.get(state="offered")


def test_a_changed_key_is_approved_only_by_the_fingerprint_that_somebody_enters(as_admin: Client) -> None:
    key = changed_key()
    address = f"/containers/host-keys/{key.pk}/approve/"
    assert f'href="{address}"' in text(as_admin, f"/containers/{key.container_id}/")
    page = text(as_admin, address)
    assert "B" * 42 in page
    assert key.fingerprint not in page  # it has to come from elsewhere
    for typed, said in (
        ({"compared": "on"}, "required"),
        (
            {"fingerprint": "SHA256:" + "C" * 42 + "A"},
            "not the fingerprint of the key",
        ),
        (
            {"fingerprint": "SHA256:" + "B" * 42 + "A"},
            "not the fingerprint of the key",
        ),
        ({"fingerprint": "MD5:00:11:22:33"}, "MD5"),
    ):
        page = as_admin.post(address, typed).content.decode()
        assert said in page
        assert typed.get("fingerprint", "") in page  # nothing typed is lost
        key.refresh_from_db()
        assert key.state == HostKey.State.OFFERED
    assert ExpectedHostKey.objects.exists()
    as_admin.post(address, {"fingerprint": f" {key.fingerprint[7:]}= "})
    key.refresh_from_db()
    assert (key.state, key.approved_by) == (HostKey.State.APPROVED, "alice")
    assert not ExpectedHostKey.objects.exists()
    assert as_admin.get(address)["Location"] == f"/containers/{key.container_id}/"


def test_the_keys_of_a_jump_host_change_only_with_their_fingerprints(as_admin: Client) -> None:
    host = JumpHost.objects.create(name="bastion-1", address="b", login="portal", host_keys=JUMP_HOST_KEY)
    new = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP//////////////////////////////////////////"
    address = f"/containers/jump-hosts/{host.pk}/edit/"
    values = {"name": "bastion-1", "address": "b", "port": "22", "login": "portal"}
    for lines in (new, f"{JUMP_HOST_KEY}\n{new}"):  # instead of the old one, and beside it
        for typed in ("", ssh.PublicHostKey.parse(JUMP_HOST_KEY).fingerprint):
            page = as_admin.post(address, values | {"host_keys": lines, "fingerprints": typed})
            assert "do not include the fingerprint of a new key" in page.content.decode()
            host.refresh_from_db()
            assert host.host_keys == JUMP_HOST_KEY
    typed = "256 " + ssh.PublicHostKey.parse(new).fingerprint + " root@b (ED25519)"
    as_admin.post(address, values | {"host_keys": f"b {new}", "fingerprints": typed})
    host.refresh_from_db()
    assert host.host_keys == new
    as_admin.post(address, values | {"host_keys": new, "login": "other"})  # nothing new, nothing asked
    host.refresh_from_db()
    assert host.login == "other"


def test_a_key_that_is_not_the_expected_one_is_shown_as_a_danger(as_auditor: Client) -> None:
    container = Container.objects.create(name="app01", address="app01.example.com")
    page = as_auditor.get(f"/containers/{container.pk}/").content.decode()
    assert "nothing can be pushed here" in page
    ExpectedHostKey.objects.create(container=container, fingerprint="SHA256:expected", given_by="alice")
    page = as_auditor.get(f"/containers/{container.pk}/").content.decode()
    assert "nothing can be pushed here" not in page
    HostKey.objects.create(
        container=container, type="ssh-ed25519", base64="AAAA", fingerprint="SHA256:other", state="offered"
    )
    assert "Not the expected key" in as_auditor.get(f"/containers/{container.pk}/").content.decode()


def test_a_scan_that_is_cut_off_says_what_was_seen_and_what_is_missing(
    as_admin: Client, start_openssh: StartOpenSSH
) -> None:
    sshd = start_openssh(host_key_types=("ed25519", "rsa"))
    with peer(lets_through(sshd.port, 1)) as port:
        container = Container.objects.create(name="app-1", address="127.0.0.1", port=port)
        ExpectedHostKey.objects.create(
            container=container, fingerprint=sshd.host_keys[1].fingerprint, given_by="alice"
        )
        page = as_admin.post(f"/containers/{container.pk}/scan/", follow=True).content.decode()
    assert container.host_keys.get().fingerprint == sshd.host_keys[0].fingerprint
    assert "The server showed ssh-ed25519" in page
    assert "other key types (RSA)" in page
    assert "before the values were sent" not in page
    assert "Do not approve another one before a scan is complete" in page
    assert "did not show the expected key" not in page
    assert AuditEvent.objects.get(action="host_key.scanned").details["not_asked"] == ["RSA"]


def test_a_scan_of_something_else_says_what_it_is(as_admin: Client) -> None:
    with peer(web_server) as port:
        container = Container.objects.create(name="app-1", address="127.0.0.1", port=port)
        page = as_admin.post(f"/containers/{container.pk}/scan/", follow=True).content.decode()
    assert "Not an SSH server" in page
    assert "It looks like a web server (HTTP)." in page


def test_the_ssh_key_page_says_why_the_key_cannot_be_used(as_helpdesk: Client, home: Path) -> None:
    (home / "ssh_key").write_text("PuTTY-User-Key-File-3: ssh-ed25519")
    assert "it is in the format of PuTTY" in text(as_helpdesk, "/containers/ssh-key/")


def test_a_scan_that_fails_says_why_in_plain_words(as_admin: Client, settings: Settings) -> None:
    settings.ALLOW_LOOPBACK_TARGETS = False
    container = Container.objects.create(name="app-1", address="127.0.0.1")
    response = as_admin.post(f"/containers/{container.pk}/scan/", follow=True)
    assert "Address not allowed" in response.content.decode()


def test_a_key_that_does_not_exist_is_not_found(as_admin: Client) -> None:
    for pk in ("0", "999", "9" * 30):
        assert as_admin.post(f"/containers/host-keys/{pk}/approve/", {"compared": "on"}).status_code == 404


def test_the_ssh_key_page_shows_what_to_install(as_helpdesk: Client, home: Path) -> None:
    key_file(home / "ssh_key", ssh.generate_private_key)
    page = text(as_helpdesk, "/containers/ssh-key/")
    assert "restrict ecdsa-sha2-nistp256 " in page
    assert "campaign ALL=(neolane) NOPASSWD: /bin/sh" in page
    assert "PRIVATE" not in page


def test_looking_at_the_ssh_key_page_makes_no_key(as_admin: Client, home: Path) -> None:
    assert "portal_key" in text(as_admin, "/containers/ssh-key/")
    assert not (home / "ssh_key").exists()


def test_a_broken_ssh_key_is_explained_instead_of_an_error(as_admin: Client, home: Path) -> None:
    (home / "ssh_key").write_text("nonsense")
    assert "cannot be used" in text(as_admin, "/containers/ssh-key/")


# Import


def test_an_upload_is_previewed_then_confirmed_and_then_gone(as_admin: Client, home: Path) -> None:
    upload = SimpleUploadedFile("inventory.csv", FILE.encode())
    preview = as_admin.post("/instances/import/", {"file": upload})["Location"]
    response = as_admin.get(preview)
    assert response.context["plan"].created == 3
    assert not Instance.objects.exists()
    digest = response.context["plan"].digest
    assert as_admin.post(preview, {"confirmed": digest})["Location"] == "/instances/"
    assert Installation.objects.count() == 1
    assert not PendingUpload.objects.exists()
    assert as_admin.get(preview)["Location"] == "/instances/import/"


def test_pasted_rows_with_an_error_come_back_to_be_corrected(as_admin: Client) -> None:
    preview = as_admin.post("/instances/import/", {"text": "instance,container,address\nprod1,app-1,a b c\n"})
    page = text(as_admin, preview["Location"])
    assert "Row 2" in page
    assert "prod1,app-1,a b c" in page
    as_admin.post(preview["Location"], {"confirmed": ""})
    assert not Instance.objects.exists()


def test_more_errors_than_anybody_reads_are_counted_instead_of_listed(as_admin: Client) -> None:
    Container.objects.bulk_create(Container(name=f"old-{n}", address=f"h{n}.example.com") for n in range(250))
    rows = "".join(f"prod1,app-{n},h{n}.example.com\n" for n in range(250))
    preview = as_admin.post("/instances/import/", {"text": "instance,container,address\n" + rows})["Location"]
    page = text(as_admin, preview)
    assert "Row 201" in page
    assert "Row 202" not in page
    assert "50 more errors are not listed" in page


def test_whoever_may_not_approve_host_keys_cannot_import_any(as_admin: Client, admin: User) -> None:
    admin.groups.clear()
    admin.user_permissions.add(Permission.objects.get(codename="change_inventory"))
    admin.user_permissions.add(Permission.objects.get(codename="view_instance"))
    rows = FILE.replace("address\n", "address,host_key\n").replace("com\n", "com,SHA256:" + "A" * 43 + "\n")
    preview = as_admin.post("/instances/import/", {"text": rows})["Location"]
    assert "not allowed to approve host keys" in as_admin.post(preview).content.decode()
    assert not Instance.objects.exists()


def test_another_persons_upload_cannot_be_seen(as_admin: Client, as_helpdesk: Client, home: Path) -> None:
    upload = pending.keep(FILE.encode(), user_id=0)
    assert as_admin.get(f"/instances/import/{upload}/")["Location"] == "/instances/import/"


def test_a_preview_that_is_out_of_date_is_shown_again_instead_of_imported(as_admin: Client) -> None:
    preview = as_admin.post("/instances/import/", {"text": FILE})["Location"]
    digest = as_admin.get(preview).context["plan"].digest
    Instance.objects.create(name="prod1")
    response = as_admin.post(preview, {"confirmed": digest})
    assert "changed since the preview" in response.content.decode()
    assert not Container.objects.exists()


def test_a_long_preview_is_paginated(as_admin: Client) -> None:
    rows = "".join(f"prod1,app-{n},h{n}.example.com\n" for n in range(60))
    preview = as_admin.post("/instances/import/", {"text": "instance,container,address\n" + rows})["Location"]
    assert "app-59" not in text(as_admin, preview)
    assert "app-59" in text(as_admin, preview, page="3")


@pytest.mark.parametrize("values", [{}, {"text": "  \n "}, {"text": FILE, "file": "both"}])
def test_neither_or_both_of_file_and_paste_are_refused(as_admin: Client, values: dict[str, str]) -> None:
    form = {**values}
    if form.pop("file", ""):
        response = as_admin.post(
            "/instances/import/", {**form, "file": SimpleUploadedFile("i.csv", FILE.encode())}
        )
        assert "prod1,app-1" in response.content.decode()
    else:
        response = as_admin.post("/instances/import/", form)
    assert "Either choose a file or paste the rows." in response.content.decode()


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0",
        b"\xff\xfe" + FILE.encode("utf-16-le")[:-1],
        "instance,container,address\nprodé,a,b\n".encode("latin-1"),
        b"instance,container\n",
        b"instance,container,address,address\nprod1,a,b,c\n",
        b"x" * 2_000_000,
        b'instance,container,address\n"prod1,app',
        b"instance,container,address\n=cmd|'/c calc'!A1,app-1,app-1.example.com\n",
    ],
)
def test_a_hostile_file_gets_errors_and_stores_nothing(as_admin: Client, data: bytes) -> None:
    response = as_admin.post("/instances/import/", {"file": SimpleUploadedFile("i.csv", data)}, follow=True)
    assert response.status_code == 200
    assert response.context["plan"].errors if "plan" in response.context else response.context["form"].errors
    assert not Instance.objects.exists()


def test_a_file_beyond_the_limit_is_refused_in_words(as_admin: Client, settings: Settings) -> None:
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1000
    upload = SimpleUploadedFile("i.csv", b"x" * 2000)
    assert "larger than 20 MB" in as_admin.post("/instances/import/", {"file": upload}).content.decode()


def test_pasted_megabytes_are_refused_at_their_field_and_kept(as_admin: Client) -> None:
    text = "instance,container,address\n" + "x" * 2_000_000
    response = as_admin.post("/instances/import/", {"text": text})
    assert response.status_code == 200
    assert response.context["form"].errors["text"]
    assert text in response.content.decode()


def test_the_template_can_be_imported_as_it_is(as_admin: Client) -> None:
    template = as_admin.get("/instances/import/template.csv").content
    preview = as_admin.post("/instances/import/", {"file": SimpleUploadedFile("i.csv", template)})["Location"]
    assert as_admin.get(preview).context["plan"].errors == []


def test_an_upload_goes_after_an_hour_by_itself() -> None:
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False) as clock:
        upload = pending.keep(FILE.encode(), user_id=1)
        clock.shift(timedelta(minutes=59))
        remove_expired()
        assert pending.read(upload, user_id=1) == FILE.encode()
        clock.shift(timedelta(minutes=1))
        assert PendingUpload.objects.exists()
        remove_expired()  # as the workers and the scheduler do
        assert not PendingUpload.objects.exists()


def test_an_upload_of_an_hour_is_not_read_even_if_nothing_has_removed_it() -> None:
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False) as clock:
        upload = pending.keep(FILE.encode(), user_id=1)
        clock.shift(timedelta(hours=1))
        assert pending.read(upload, user_id=1) is None
        assert not PendingUpload.objects.exists()


UNFIT = {
    "a file of the console": (console_json(), "belongs to a technical account"),
    "with a byte order mark": ("\ufeff\n " + console_json(), "belongs to a technical account"),
    "a list": ('[{"a": 1}]', "belongs to a technical account"),
    "a secret in a row": (FILE + f"prod2,app-2,{SECRET}\n", "Line 3 contains what looks like"),
    "a secret in a column nobody reads": (
        FILE + f"prod2,app-2,h.example.com,,,{SECRET}\n",
        "Line 3 contains",
    ),
    "a secret as a column": (f"instance,container,{SECRET}\na,b,c\n", "Line 1 contains what looks like"),
    "a command": (FILE + "nlserver config -setimsoauth:a/b/c/d\n", "Line 3 contains what looks like"),
}


@pytest.mark.parametrize("name", UNFIT)
@pytest.mark.parametrize("way", ["file", "text"])
def test_a_file_with_a_secret_is_refused_before_it_is_kept(as_admin: Client, name: str, way: str) -> None:
    content, reason = UNFIT[name]
    upload = SimpleUploadedFile("i.csv", content.encode()) if way == "file" else content
    response = as_admin.post("/instances/import/", {way: upload})
    assert response.status_code == 200
    assert reason in str(response.context["form"].errors[way])
    assert SECRET not in response.content.decode()
    assert not PendingUpload.objects.exists()
    assert SECRET not in everything_stored()


def test_pasted_rows_with_a_secret_come_back_without_it(as_admin: Client) -> None:
    rows = FILE + f"prod2,app-2,{SECRET}\n"
    page = as_admin.post("/instances/import/", {"text": rows}).content.decode()
    assert "prod2,app-2,***" in page
