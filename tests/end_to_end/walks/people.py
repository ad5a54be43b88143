"""The main tasks of each role, page after page. Each walk stops where a person would look."""

from collections.abc import Callable

from playwright.sync_api import expect

from credentials.rollouts.models import Push
from instances.models import Container, Instance
from tests.credentials.wizard.wizard_walk import console_json
from tests.end_to_end.walks.scene import TRIGGERS, Scene
from tests.end_to_end.walks.walker import Walker

CSV = (
    "instance,container,address,port,environment,role\n"
    "acme_mkt,app-mkt-5,app-mkt-5.example.com,22,production,MKT\n"
    "acme_mid,app-mid-1,app-mid-1.example.com,2222,production,MID\n"
)
BROKEN_CSV = CSV.replace("app-mkt-5.example.com", "neolane@app-mkt-5.example.com")


def admin(walker: Walker, scene: Scene) -> None:
    """An account from its file to a rollout, what is under way, the fleet, the inventory, who is told."""
    walker.go("/")
    walker.expect("What needs you now")
    walker.stop("home")
    _from_the_file_to_the_rollout(walker, scene)
    _what_is_under_way(walker, scene)
    _the_fleet(walker)
    _the_inventory(walker)
    _who_is_told(walker)


def _from_the_file_to_the_rollout(walker: Walker, scene: Scene) -> None:
    page = walker.page
    walker.go("/accounts/new/")
    walker.stop("wizard-new")
    page.locator("textarea[name=text]").fill(console_json())
    page.locator("input[name=name]").first.fill("Experience Platform")
    walker.press("Read the file and continue")
    page.wait_for_url("**/instances/")
    walker.expect("Adobe accepts the values.")
    page.locator("tbody tr", has_text="acme_dev").locator("input[name=instance]").check()
    walker.stop("wizard-instances")
    walker.press("Done, continue")
    page.wait_for_url("**/review/")
    walker.expect("What will happen")
    walker.stop("wizard-review")
    walker.press("Start the rollout")
    expect(page.locator("#rollout-live .table")).to_contain_text("dev-1")
    scene.deliver()
    expect(page.locator("#rollout-live[hx-trigger]")).to_have_count(0)
    expect(page.locator("#rollout-live tbody")).to_contain_text(walker.look.said("Succeeded"))
    walker.stop("wizard-rollout")


def _what_is_under_way(walker: Walker, scene: Scene) -> None:
    page = walker.page
    walker.go(f"/rollouts/{scene.under_way.pk}/")
    walker.expect("Cancel queued pushes")
    walker.stop("rollout")
    walker.go(f"/rotations/{scene.rotation.pk}/")
    walker.expect("The canary has not used the new secret")
    walker.stop("rotation")
    page.locator("#rotation-verbs a").first.click()
    page.wait_for_url(f"**/rotations/{scene.rotation.pk}/*/")
    walker.stop("rotation-verb")
    walker.go(f"/accounts/{scene.accounts[TRIGGERS].pk}/")
    walker.stop("account")


def _the_fleet(walker: Walker) -> None:
    page = walker.page
    walker.go("/coverage/")
    walker.stop("coverage")
    walker.go("/instances/")
    page.get_by_role("main").get_by_role("link", name="acme_mkt", exact=True).click()
    walker.stop("instance")
    walker.go("/containers/")
    walker.stop("containers")
    page.get_by_role("main").get_by_role("link", name="app-rt-1", exact=True).click()
    walker.stop("container")


def _the_inventory(walker: Walker) -> None:
    page = walker.page
    walker.go("/instances/import/")
    walker.stop("import")
    for name, text in (("import-errors", BROKEN_CSV), ("import-preview", CSV)):
        walker.go("/instances/import/")
        content = {"name": "inventory.csv", "mimeType": "text/csv", "buffer": text.encode()}
        page.locator("input[type=file]").set_input_files(content)  # type: ignore[arg-type]
        walker.press("Preview")
        page.wait_for_url("**/instances/import/*-*/")
        walker.stop(name)
    walker.go("/contacts/")
    walker.stop("contacts")
    walker.go("/contacts/development/")
    page.locator("input[name=who]").fill("Web team")
    page.locator("[name=reach]").fill("web-team@example.com")
    walker.stop("contact")
    walker.press("Save")
    expect(page.get_by_role("main")).to_contain_text("Web team")


def _who_is_told(walker: Walker) -> None:
    page = walker.page
    walker.go("/notices/")
    walker.stop("notices")
    walker.follow("Add channel")
    page.locator("input[name=name]").fill("Night shift")
    page.locator("input[name=way][value=mail]").check()
    walker.stop("channel")
    page.locator("main form button.primary").first.click()
    expect(page.locator("main [role=alert]").first).to_be_visible()  # no address yet
    walker.stop("channel-rejected")
    page.locator("input[name=address]").fill("night-shift@example.com")
    page.locator("main form button.primary").first.click()
    expect(page.get_by_role("main")).to_contain_text("Night shift")


def helpdesk(walker: Walker, scene: Scene) -> None:
    """From the queue to a failed push, its explanation, the retry and its result; the search."""
    page = walker.page
    push = scene.fail_for_real()
    walker.go("/")
    page.locator("main details summary").first.click()
    walker.stop("home")
    page.locator(f"#cause-failed-{push.code} a").first.click()
    page.wait_for_url("**/rollouts/failed/**")
    walker.stop("failed")
    page.locator("main tbody a", has_text=WITHOUT).first.click()
    page.wait_for_url(f"**/pushes/{push.pk}/")
    walker.expect("What to do:")
    walker.stop("push")
    page.locator("input[name=message]").fill("INC0040431: the disk is writable again")
    walker.press("Retry now")
    expect(page.locator("#facts")).to_contain_text(walker.look.said("Queued"))
    scene.mend()
    scene.deliver()
    expect(page.locator("#facts")).to_contain_text(walker.look.said("Succeeded"))
    assert Push.objects.get(pk=push.pk).state == Push.State.SUCCEEDED
    walker.stop("push-mended")
    walker.go("/rollouts/failed/")
    page.locator("main tbody input[type=checkbox]").first.check()
    walker.stop("failed-chosen")
    walker.go(f"/rollouts/pushes/{scene.refused.pk}/")
    walker.stop("push-refused")
    _search(walker)
    walker.go("/help/helpdesk/")
    walker.stop("help")


WITHOUT = "acme_dev"


def _search(walker: Walker) -> None:
    walker.go("/search/")
    walker.page.locator("#id_q").fill("mkt")
    walker.page.keyboard.press("Enter")
    walker.page.wait_for_url("**/search/?q=mkt*")
    walker.stop("search")
    found = Container.objects.get(name="app-mkt-1")
    walker.page.get_by_role("main").get_by_role("link", name=found.name, exact=True).first.click()
    walker.page.wait_for_url(f"**/containers/{found.pk}/")
    walker.stop("container")


def auditor(walker: Walker, scene: Scene) -> None:
    """From the chart to the history, one entry, its verification, an evidence pack and an export."""
    page = walker.page
    walker.go("/")
    page.locator("main details summary").first.click()
    walker.stop("home")
    walker.go("/history/")
    walker.follow("This quarter")
    walker.stop("history")
    with page.expect_download() as made:
        walker.press("Evidence pack")
    assert made.value.suggested_filename.endswith(".zip")
    with page.expect_download() as made:
        walker.press("Export as CSV")
    assert made.value.suggested_filename.endswith(".csv")
    page.locator("main tbody th a").first.click()
    page.wait_for_url("**/history/*/")
    walker.stop("event")
    walker.go("/history/verify/")
    walker.press("Verify now")
    walker.expect("Intact")
    walker.stop("verification")
    walker.go(f"/accounts/{scene.accounts[TRIGGERS].pk}/?show=history")
    walker.stop("account-history")
    walker.go(f"/rotations/{scene.rotation.pk}/")
    walker.stop("rotation")
    walker.go(f"/instances/{Instance.objects.get(name='acme_mkt').pk}/timeline/")
    walker.stop("timeline")


WALKS: dict[str, Callable[[Walker, Scene], None]] = {"alice": admin, "henry": helpdesk, "astrid": auditor}
