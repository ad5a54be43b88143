"""A secret is replaced from end to end, in a browser and by commands; every program is a process of its own.

It is part of `make walks`. The sandbox fleet has Adobe's API, and Campaign servers that ask for tokens with
what their files hold.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from credentials.adobe import ims
from credentials.adobe.console import SCOPES, Credential
from credentials.adobe.http import Route
from portal.plaintext import Secret
from portal.sandbox.container import Container, read_account
from tests.end_to_end.test_browser import PASSWORD, a_person
from tests.services.portal import ROOT, Portal, content
from tests.services.processes import Process
from tests.services.redis_server import RedisServer
from tests.services.wiretap import Wiretap

LIMIT = 120_000  # milliseconds until a rotation has ended
ACCOUNT = "Deliverability"
INSTANCES = ("acme-test", "acme-dev")
CONTAINERS = ("test-1", "test-2", "test-3")
QUICK = {"ROTATION_IDLE": "3", "ROTATION_ASK_INTERVAL": "1", "ROTATION_PAUSE": "0.5"}


@dataclass
class Fleet:
    """The sandbox fleet, running in a process of its own."""

    folder: Path
    facts: dict[str, object]

    def secrets(self) -> set[str]:
        """What the files of the account's containers hold."""
        found = set()
        for name in CONTAINERS:
            held = read_account(Container(self.folder / name, "nl6"), "acme-test").secret
            found.add(held.reveal() if held else "")
        return found

    def at_adobe(self, secret: str) -> int:
        """How many secrets Adobe has of the credential, asked with one of them."""
        workspace = json.loads(Path(str(self.facts["workspace_json"])).read_text())["project"]
        [credential] = workspace["workspace"]["details"]["credentials"]
        client = credential["oauth_server_to_server"]["client_id"]
        found = Credential(
            workspace["org"]["id"], credential["id"], client, str(self.facts["console_url"]), Route()
        )
        url = str(self.facts["ims_url"])
        return len(found.list(ims.token(client, Secret(secret), SCOPES, base_url=url, route=Route())))


@pytest.fixture
def portal(tmp_path: Path, redis_server: RedisServer) -> Portal:
    with redis_server.client() as client:
        client.flushall()
    portal = Portal(tmp_path / "portal", {"BROKER_URL": redis_server.url(), **QUICK})
    portal.home.mkdir()
    portal.prepare()
    return portal


@pytest.fixture
def fleet(tmp_path: Path, portal: Portal) -> Iterator[Fleet]:
    folder, key, ready = tmp_path / "fleet", tmp_path / "key", tmp_path / "ready.json"
    key.write_text(portal.public_key)
    command = [sys.executable, "-m", "portal.sandbox.fleet", str(folder), str(key), str(ready)]
    with Process(command, log=tmp_path / "fleet.log", cwd=ROOT) as process:
        process.wait_for(ready.exists, within=60, what="the fleet is ready")
        facts = json.loads(ready.read_text())
        portal.environment |= {"IMS_BASE_URL": facts["ims_url"], "ADOBE_CONSOLE_URL": facts["console_url"]}
        yield Fleet(folder, facts)


def stock(portal: Portal, fleet: Fleet) -> None:
    """Fill the portal by its commands, and roll the first secret out."""
    head, *rows = Path(str(fleet.facts["inventory_csv"])).read_text().splitlines()
    inventory = portal.home / "inventory.csv"
    inventory.write_text("\n".join([head, *(row for row in rows if row.startswith(INSTANCES))]) + "\n")
    portal.manage("import_inventory", str(inventory))
    keys = {str(each["name"]): str(each["host_key"]) for each in fleet.facts["containers"]}  # type: ignore[attr-defined]
    # Of those without an account too: nobody knows what they hold before they were read.
    for name in (*CONTAINERS, "dev-1", "dev-2"):
        portal.manage("trust_host_key", name, "--fingerprint", keys[name])
    portal.manage("add_account", ACCOUNT, "--from-json", str(fleet.facts["workspace_json"]))
    portal.manage("assign", ACCOUNT, "acme-test")
    portal.manage("rollout", ACCOUNT, "--wait", "90")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_secret_is_replaced_in_the_browser_and_by_commands(
    portal: Portal, fleet: Fleet, browser: Browser, redis_server: RedisServer
) -> None:
    password_file = portal.home / "password"
    password_file.write_text(PASSWORD)
    portal.manage("create_admin", "--name", "alice", "--password-file", str(password_file))
    with portal.web(), portal.worker(), Wiretap(portal.port) as wiretap:
        stock(portal, fleet)
        [first] = fleet.secrets()
        with a_person(browser, wiretap, "alice") as alice:
            page = alice.page
            alice.go("/accounts/")
            page.get_by_role("link", name=ACCOUNT).click()
            page.get_by_role("link", name="Rotate the secret").click()
            page.get_by_label("Waves after the canary").fill("1, 100%")
            alice.press("Start the rotation")
            expect(page.get_by_text("The rotation has started.")).to_be_visible()
            expect(page.get_by_role("heading", name="Done")).to_be_visible(timeout=LIMIT)
            expect(page.get_by_text("Version 1 is deleted at Adobe")).to_be_visible()
            expect(page.locator("#rotation-waves tbody tr")).to_have_count(3)
        [second] = fleet.secrets()
        assert second != first
        assert fleet.at_adobe(second) == 1
        printed = portal.manage(
            "rotate", "start", ACCOUNT, "--waves", "100%", "--wait", "120", "--json", within=200
        )
        told = json.loads(printed)
        assert (told["state"], told["old"], told["new"]) == ("done", 2, 3)
        [third] = fleet.secrets()
        assert len({first, second, third}) == 3
        assert fleet.at_adobe(third) == 1
        listed = json.loads(portal.manage("rotate", "list", "--json"))["rotations"]
        assert [each["state"] for each in listed] == ["done", "done"]
        for secret in (first, second, third):
            assert_nowhere(secret, portal, redis_server, wiretap)


def assert_nowhere(secret: str, portal: Portal, redis: RedisServer, wiretap: Wiretap) -> None:
    """Look for a secret in every file the portal and Redis wrote, and in all that browsers were sent."""
    needle = secret.encode()
    files = [path for home in (portal.home, redis.home) for path in home.rglob("*") if path.is_file()]
    assert [path.name for path in files if needle in content(path)] == []
    assert b"Rotation 1 of Deliverability" in wiretap.sent  # it does see the pages
    assert needle not in wiretap.sent
