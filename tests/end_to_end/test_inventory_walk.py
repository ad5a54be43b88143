"""An admin in a real browser: an import with errors, the first keys, and a key that changed, past their ends.

Web server, worker and the container's sshd are real. Nothing is pushed.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.services.chromium import no_faults_left
from tests.services.fixtures import StartOpenSSH
from tests.services.openssh_server import OpenSSHServer
from tests.services.portal import Portal

PASSWORD = "correct horse battery staple"
PATIENCE = 60_000  # milliseconds; a busy machine may need them


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    portal = Portal(tmp_path / "portal", {})
    portal.home.mkdir()
    portal.prepare()
    password_file = portal.home / "password"
    password_file.write_text(PASSWORD)
    portal.manage("create_admin", "--name", "alice", "--password-file", str(password_file))
    with portal.web(), portal.worker():
        yield portal


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_admin_is_never_left_alone(
    portal: Portal, browser: Browser, start_openssh: StartOpenSSH, tmp_path: Path
) -> None:
    server = start_openssh()
    with browser.new_context() as context, no_faults_left(context):
        context.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        page = context.new_page()
        sign_in(page, portal)
        import_with_errors(page, portal, server, tmp_path)
        approve_first_keys(page, portal, server)
        server.change_host_keys()
        approve_the_changed_key(page, portal, server)
    events = json.loads(portal.manage("shell", "-v", "0", "-c", EVENTS).splitlines()[-1])
    assert [event["doubt"] for event in events] == ["", "changed"]
    assert events[1]["revoked"] == [events[0]["key"]]


EVENTS = """
import json
from portal.audit.models import AuditEvent
events = AuditEvent.objects.filter(action="host_key.approved", actor_name="alice").order_by("seq")
print(json.dumps([event.details for event in events]))
"""


def press(page: Page, name: str) -> None:
    page.get_by_role("main").get_by_role("button", name=name, exact=True).click()


def sign_in(page: Page, portal: Portal) -> None:
    page.goto(f"{portal.url}/login/")
    page.get_by_label("User name").or_(page.get_by_label("Username")).fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()


def import_with_errors(page: Page, portal: Portal, server: OpenSSHServer, folder: Path) -> None:
    """A file as Excel writes it, with a mistake: said at its row and column, mended on the page, imported."""
    page.get_by_role("link", name="Import a CSV file").click()
    lines = [
        "Instance;Container;IP;Port;Uses Triggers;Role",
        f"prod1; mkt-1 ;{server.host};{server.port}.0;VRAI",
        f"prod1;mkt-2;neolane@{server.host};22",
        ";;;",
    ]
    file = folder / "inventory.csv"
    file.write_bytes("\r\n".join(lines).encode("utf-16"))
    page.locator("input[type=file]").set_input_files(file)
    press(page, "Preview")
    row = page.get_by_role("row").filter(has_text="address")
    expect(row).to_contain_text("Row 3")
    expect(row).to_contain_text("the login before “@” has its own field")
    text = page.get_by_label("The rows")
    assert "mkt-2;neolane@" in text.input_value()  # nothing typed is lost
    text.fill(text.input_value().replace(f"neolane@{server.host};22", "127.0.0.2;1"))
    press(page, "Preview again")
    press(page, "Import 5 changes")
    expect(page.get_by_text("5 changes were imported")).to_be_visible()
    page.goto(f"{portal.url}/")
    step = page.get_by_role("listitem").filter(has_text="Approve the host keys")
    expect(step).to_contain_text("0 of 2 containers have an approved key.")
    expect(page.get_by_role("listitem").filter(has_text="Let the portal in")).to_contain_text("not known yet")
    step.get_by_role("link", name="Scan and approve").click()


def approve_first_keys(page: Page, portal: Portal, server: OpenSSHServer) -> None:
    """All are scanned by the worker; what failed is named; a list with one wrong line, then the right one."""
    press(page, "Scan all")
    expect(page.get_by_text("2 of 2 containers have been asked")).to_be_visible()  # without a reload
    expect(page.get_by_text("Connection refused")).to_be_visible()
    page.get_by_role("link", name="Show all keys that were seen").click()
    box = page.get_by_role("checkbox", name="mkt-1, ssh-ed25519")
    pasted = page.get_by_label("Fingerprints from elsewhere")
    pasted.fill("256 SHA256:" + "A" * 43 + " root@mkt-1 (ED25519)")
    press(page, "Compare with the list")
    expect(page.get_by_text("1 container shows a different key from the one in your list")).to_be_visible()
    expect(box).to_have_count(0)  # not to be ticked
    assert "A" * 43 in pasted.input_value()
    pasted.fill(f"256 {server.host_keys[0].fingerprint} root@mkt-1 (ED25519)")
    press(page, "Compare with the list")
    expect(box).to_be_checked()
    press(page, "Approve the chosen keys")
    expect(page.get_by_text("Compare the fingerprints first, and tick this box.").first).to_be_visible()
    expect(box).to_be_checked()
    page.get_by_label("I compared the chosen fingerprints").check()
    press(page, "Approve the chosen keys")
    expect(page.get_by_text("1 key is approved.")).to_be_visible()
    page.goto(f"{portal.url}/")
    headline = page.get_by_role("link", name="1 container has no approved host key")
    headline.click()
    expect(page.get_by_role("link", name="mkt-2")).to_be_visible()
    expect(page.get_by_role("link", name="mkt-1")).to_have_count(0)


def approve_the_changed_key(page: Page, portal: Portal, server: OpenSSHServer) -> None:
    """Home names it, and only its fingerprint, from elsewhere, approves it."""
    page.goto(f"{portal.url}/containers/")
    page.get_by_role("link", name="mkt-1").click()
    press(page, "Scan now")
    expect(page.get_by_role("heading", name="The host key changed")).to_be_visible()
    page.goto(f"{portal.url}/")
    page.get_by_role("link", name="1 container shows another host key").click()
    page.get_by_role("main").get_by_role("link", name="mkt-1").click()
    page.get_by_role("link", name="Approve by its fingerprint").click()
    new = server.host_keys[0].fingerprint
    expect(page.get_by_text(new)).to_have_count(0)
    field = page.get_by_label("Fingerprint of the new key")
    wrong = "SHA256:" + "A" * 43
    field.fill(wrong)
    press(page, "Approve this key")
    expect(page.get_by_text("This is not the fingerprint of the key").first).to_be_visible()
    expect(field).to_have_value(wrong)
    field.fill(f"  256 {new} root@mkt-1 (ED25519) ")
    press(page, "Approve this key")
    expect(page.get_by_text(f"The key {new} is approved.")).to_be_visible()
    expect(page.get_by_role("heading", name="The host key changed")).to_have_count(0)
    page.goto(f"{portal.url}/")
    expect(page.get_by_role("link", name="1 container shows another host key")).to_have_count(0)
