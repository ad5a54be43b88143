"""Three people in a real browser: an admin walks the wizard and rotates, helpdesk retries, an auditor reads.

Each is followed past the end of what they do: a retry that fails again, a rotation that half fails.

The secret that the admin enters is a canary. It may be in the containers' encrypted attribute, and nowhere
else: not in the database, the queue, logs, pages, exports, nor in the arguments of any process but nlserver.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from portal.sandbox.container import Container, read_account
from tests.services.argv_sampler import ArgvSampler
from tests.services.chromium import no_faults_left
from tests.services.portal import ROOT, Portal, content
from tests.services.processes import Process
from tests.services.redis_server import RedisServer
from tests.services.wiretap import Wiretap

PASSWORD = "correct horse battery staple"
INLINE_LIMIT = 60_000  # milliseconds until every installation has its outcome


@dataclass
class Fleet:
    """The sandbox fleet, running in a process of its own."""

    folder: Path
    inventory_csv: str
    console_json: str
    console_json_next: str
    ims_url: str
    expected: list[tuple[str, str, str, str]]

    @property
    def canary(self) -> str:
        return str(json.loads(Path(self.console_json).read_text())["CLIENT_SECRETS"][0])

    @property
    def next_canary(self) -> str:
        return str(json.loads(Path(self.console_json_next).read_text())["CLIENT_SECRETS"][0])

    def container(self, name: str) -> Container:
        major = "nl7" if (self.folder / name / "root/usr/local/neolane/nl7").exists() else "nl6"
        return Container(self.folder / name, major)


@pytest.fixture
def portal(tmp_path: Path, redis_server: RedisServer) -> Portal:
    with redis_server.client() as client:
        client.flushall()
    portal = Portal(tmp_path / "portal", {"BROKER_URL": redis_server.url()})
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
        wanted = ("inventory_csv", "console_json", "console_json_next", "ims_url", "expected")
        fleet = Fleet(folder, **{name: facts[name] for name in wanted})
        portal.environment["IMS_BASE_URL"] = fleet.ims_url
        yield fleet


@dataclass
class Person:
    """One person with a browser of their own."""

    page: Page
    url: str

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)

    def sign_in(self, name: str) -> None:
        self.go("/login/")
        self.page.get_by_label("User name").or_(self.page.get_by_label("Username")).fill(name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("link", name="Home")).to_be_visible()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()


@contextmanager
def a_person(browser: Browser, wiretap: Wiretap, name: str) -> Iterator[Person]:
    """Sign somebody in, in a browser without a past; no page may have a fault."""
    with browser.new_context() as context, no_faults_left(context):
        context.set_default_timeout(30_000)
        person = Person(context.new_page(), f"http://127.0.0.1:{wiretap.port}")
        person.sign_in(name)
        yield person


@pytest.mark.timeout(600)
def test_three_people_do_their_work_and_no_secret_leaks(
    portal: Portal, fleet: Fleet, browser: Browser, redis_server: RedisServer
) -> None:
    password_file = portal.home / "password"
    password_file.write_text(PASSWORD)
    portal.manage("create_admin", "--name", "alice", "--password-file", str(password_file))
    with (
        portal.web(),
        portal.worker(),
        Wiretap(portal.port) as wiretap,
        ArgvSampler(fleet.canary) as sampler,
    ):
        with a_person(browser, wiretap, "alice") as alice:
            add_people(alice)
            import_inventory(alice, fleet)
            walk_wizard(alice, fleet)
            watch_rollout(alice, fleet)
        with a_person(browser, wiretap, "henry") as henry:
            retry_in_vain(henry)
            retry_what_was_mended(henry, fleet)
        with a_person(browser, wiretap, "astrid") as astrid:
            read_history(astrid)
        assert_nowhere(fleet.canary, portal, redis_server, wiretap)
        assert_truth(fleet)
        fleet.container("mkt-1").set_faults("exit_0_without_writing")
        with a_person(browser, wiretap, "alice") as alice:
            rotate_by_half(alice, fleet)
            with a_person(browser, wiretap, "henry") as henry:
                bring_a_rotation_to_its_end(henry, fleet)
            expect_the_rotation_at_its_end(alice)
        assert_nowhere(fleet.next_canary, portal, redis_server, wiretap)
    assert sampler.sightings, "nlserver itself was never seen with the secret, so the sampler proves nothing"
    assert all(any(word.endswith("/nlserver") for word in each.argv[:4]) for each in sampler.sightings)


def add_people(admin: Person) -> None:
    for name, role in (("henry", "Helpdesk"), ("astrid", "Auditor")):
        admin.go("/users/new/")
        admin.page.locator("input[name=username]").fill(name)
        admin.page.locator(f"input[name=role][value={role}]").check()
        admin.page.locator("input[name=password1]").fill(PASSWORD)
        admin.page.locator("input[name=password2]").fill(PASSWORD)
        admin.press("Add the user")
        admin.page.wait_for_url(lambda url: "/users/new/" not in url)


def import_inventory(admin: Person, fleet: Fleet) -> None:
    admin.go("/instances/import/")
    admin.page.locator("input[type=file]").set_input_files(fleet.inventory_csv)
    admin.page.locator("main button.primary").click()
    expect(admin.page.get_by_text("acme-prod").first).to_be_visible()
    admin.page.locator("main button.primary").click()
    admin.go("/containers/")
    expect(admin.page.get_by_role("link", name="mkt-1")).to_be_visible()


def walk_wizard(admin: Person, fleet: Fleet) -> None:
    page = admin.page
    admin.go("/accounts/new/")
    page.locator("input[name=way][value=new]").check()
    page.locator("form", has_text="I still have to create").get_by_label("Name of the account").fill(
        "Triggers"
    )
    admin.press("Begin step by step")
    for step in ("signin", "project", "api", "authentication", "profile", "save"):
        page.wait_for_url(f"**/{step}/")
        if step == "api":
            page.locator("input[name=product][value=triggers]").check()
        admin.press("Done, continue")
    values = json.loads(Path(fleet.console_json).read_text())
    page.locator("input[name=client_id]").fill(values["CLIENT_ID"])
    page.locator("input[name=client_secret]").fill(f"  {fleet.canary}\t")  # as people paste
    page.locator("input[name=technical_account_id]").fill(values["TECHNICAL_ACCOUNT_EMAIL"])
    page.locator("input[name=organization_id]").fill(values["ORG_ID"])
    admin.press("Save values and continue")
    expect(page.get_by_text("email", exact=False).first).to_be_visible()
    page.locator("input[name=technical_account_id]").fill(values["TECHNICAL_ACCOUNT_ID"])
    page.locator("input[name=client_secret]").fill(fleet.canary)
    admin.press("Save values and continue")
    page.wait_for_url("**/instances/")  # Adobe was asked meanwhile, and said yes
    expect(page.get_by_text("Adobe accepts the values.")).to_be_visible()
    page.locator("thead input[type=checkbox]").check()
    continue_to(admin, "/review/")
    expect(page.get_by_text("-setimsoauth:").first).to_be_visible()
    admin.press("Start the rollout")
    expect(page.get_by_role("heading", name="Rollout 1 of Triggers")).to_be_visible()


def continue_to(admin: Person, ending: str) -> None:
    admin.page.locator("main button.primary").click()
    admin.page.wait_for_url(f"**{ending}")


def watch_rollout(admin: Person, fleet: Fleet) -> None:
    """The page itself brings every outcome, without being loaded again."""
    total = len(fleet.expected)
    expect(admin.page.get_by_text(f"{total} of {total} installations have an outcome")).to_be_visible(
        timeout=INLINE_LIMIT
    )
    succeeded = sum(state == "succeeded" for _, _, state, _ in fleet.expected)
    expect(admin.page.get_by_text(f"{succeeded} Succeeded")).to_be_visible()
    expect(admin.page.get_by_text("Campaign build too old")).to_be_visible()


def choose_and_retry(helpdesk: Person, container: str, message: str) -> Locator:
    """Retry one push on the page of failed pushes, and return its row, which stays where it is."""
    row = helpdesk.page.get_by_role("row").filter(has=helpdesk.page.get_by_text(container, exact=True))
    button = helpdesk.page.locator("main .form-bar button")
    expect(button).to_be_disabled()  # nothing is chosen
    row.get_by_role("checkbox").check()
    expect(button).to_have_text("Retry 1 push")
    helpdesk.page.locator("input[name=message]").fill(message)
    button.click()
    expect(helpdesk.page.get_by_text("The retry of 1 push was requested.")).to_be_visible()
    return row


def retry_in_vain(helpdesk: Person) -> None:
    """Nothing was mended: the person is told so where they stand, without loading the page again."""
    page = helpdesk.page
    helpdesk.go("/rollouts/failed/")
    waiting = page.locator("nav .count").first.inner_text()
    row = choose_and_retry(helpdesk, "mid-3", "Ticket 4710: perhaps it works now")
    expect(row).to_contain_text("Retrying")
    expect(page.locator("nav .count").first).to_have_text(waiting)  # it must not look mended
    page.evaluate("window.same = true")
    expect(row).to_contain_text("Failed again", timeout=INLINE_LIMIT)
    expect(row).to_contain_text("What to do:")
    expect(row.get_by_role("checkbox")).to_be_enabled()
    expect(page.get_by_role("status").filter(has_text="Your retry has ended")).to_contain_text(
        "1 failed again"
    )
    assert page.evaluate("window.same")


def retry_what_was_mended(helpdesk: Person, fleet: Fleet) -> None:
    fleet.container("mid-3").set_faults()
    helpdesk.go("/rollouts/failed/")
    row = choose_and_retry(helpdesk, "mid-3", "Ticket 4711: disk was full")
    expect(row).to_contain_text("The retry succeeded", timeout=INLINE_LIMIT)
    assert held_by(fleet, "mid-3", "acme-mid") == fleet.canary
    helpdesk.page.get_by_role("row").filter(has_text="mid-3").get_by_role("link").first.click()
    expect(helpdesk.page.get_by_text("Retried by people")).to_be_visible()


def held_by(fleet: Fleet, container: str, instance: str) -> str:
    held = read_account(fleet.container(container), instance).secret
    return held.reveal() if held else ""


def rotate_by_half(admin: Person, fleet: Fleet) -> None:
    """Roll a second secret out while one container does not write: the page says what is left to do."""
    page = admin.page
    admin.go("/accounts/")
    page.get_by_role("link", name="Triggers").click()
    page.get_by_role("link", name="New secret version").first.click()
    page.locator("input[type=file]").set_input_files(fleet.console_json_next)
    page.locator("main form button.primary").last.click()
    page.wait_for_url("**/rollout/")
    admin.press("Start the rollout")
    expect(page.get_by_role("heading", name="Rollout 2 of Triggers")).to_be_visible()
    total = len(fleet.expected)
    expect(page.get_by_text(f"{total} of {total} installations have an outcome")).to_be_visible(
        timeout=INLINE_LIMIT
    )
    expect(page.get_by_role("row").filter(has_text="mkt-1")).to_contain_text("Failed")


def bring_a_rotation_to_its_end(helpdesk: Person, fleet: Fleet) -> None:
    page = helpdesk.page
    helpdesk.go("/rollouts/")
    page.get_by_role("link", name="#2").first.click()
    page.get_by_role("link", name="What failed, and what to do").click()
    assert held_by(fleet, "mkt-1", "acme-prod") == fleet.canary  # still the old one
    fleet.container("mkt-1").set_faults()
    row = choose_and_retry(helpdesk, "mkt-1", "Ticket 4712: mended")
    expect(row).to_contain_text("The retry succeeded", timeout=INLINE_LIMIT)
    assert held_by(fleet, "mkt-1", "acme-prod") == fleet.next_canary


def expect_the_rotation_at_its_end(admin: Person) -> None:
    """What helpdesk mended counts for the rollout as well; what nobody mended is still named."""
    page = admin.page
    page.reload()
    expect(page.get_by_role("row").filter(has_text="mkt-1")).to_contain_text("Succeeded")
    admin.go("/")
    expect(page.get_by_text("pushes failed and have not been fixed")).to_be_visible()


def read_history(auditor: Person) -> None:
    page = auditor.page
    auditor.go("/history/")
    expect(page.get_by_role("row").filter(has_text="henry").filter(has_text="4711")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("main").get_by_text("Export as CSV").click()
    assert b"push.retried" in Path(download.value.path()).read_bytes()
    page.get_by_role("link", name="Verify").click()
    page.locator("main form button").click()
    expect(page.get_by_text("intact").first).to_be_visible()
    auditor.go("/accounts/")
    page.get_by_role("link", name="Triggers").click()
    page.get_by_role("link", name="Rotation history").click()
    expect(page.get_by_text("mid-3").first).to_be_attached()


def assert_nowhere(canary: str, portal: Portal, redis: RedisServer, wiretap: Wiretap) -> None:
    """Look for the secret in every file the portal and Redis wrote, and in all that browsers were sent."""
    needle = canary.encode()
    files = [path for home in (portal.home, redis.home) for path in home.rglob("*") if path.is_file()]
    assert [path.name for path in files if needle in content(path)] == []
    assert {"portal.sqlite3", "worker.log", "web.log"} <= {path.name for path in files}
    assert b"Rollout 1 of Triggers" in wiretap.sent  # it does see the pages
    assert b"push.retried" in wiretap.sent  # and the export
    assert needle not in wiretap.sent


def assert_truth(fleet: Fleet) -> None:
    """Every file that was pushed to holds the secret, and only encrypted."""
    for instance, name, state, _ in fleet.expected:
        container = fleet.container(name)
        if state == "succeeded" or name == "mid-3":
            held = read_account(container, instance)
            assert held.secret
            assert held.secret.reveal() == fleet.canary
        in_clear = [path for path in container.folder.rglob("*") if _holds(path, fleet.canary)]
        assert in_clear == []


def _holds(path: Path, canary: str) -> bool:
    return path.is_file() and canary.encode() in content(path)
