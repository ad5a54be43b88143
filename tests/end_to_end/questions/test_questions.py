"""Twelve questions that people ask, each answered from the home page with three clicks at most.

In English they are part of `make test`; `make walks` asks them in French, too. Elements are found by where
they lead or by names of the scene, so that every language has the same walk.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override
from playwright.sync_api import Browser, BrowserContext, Page
from pytest_django.live_server_helper import LiveServer

from credentials.models import TechnicalAccount
from credentials.rotation.models import Rotation
from instances.failures import Code
from instances.menders import Mender
from instances.models import Container
from tests.end_to_end.questions.scene import LONG_UNSEEN, NEVER_SEEN, ON_JWT, Scene
from tests.end_to_end.questions.walker import Walker
from tests.end_to_end.test_accessibility import signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_engine]
LANGUAGES = ("en", pytest.param("fr", marks=pytest.mark.slow))
WIDE = {"width": 1440, "height": 900}
Walk = Callable[[str], Walker]


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    """The language of the browser; what the portal says is compared in it."""
    with override(request.param):
        yield str(request.param)


@pytest.fixture(scope="module")
def contexts(browser: Browser) -> Iterator[dict[tuple[str, str], BrowserContext]]:
    """The browser of each person in each language: it keeps what it has loaded."""
    opened: dict[tuple[str, str], BrowserContext] = {}
    yield opened
    for context in opened.values():
        context.close()


@pytest.fixture
def walk(
    browser: Browser,
    live_server: LiveServer,
    language: str,
    contexts: dict[tuple[str, str], BrowserContext],
) -> Iterator[Walk]:
    """Begin at the home page as somebody who has just signed in."""
    pages: list[Page] = []

    def begin(name: str) -> Walker:
        if (name, language) not in contexts:
            first = signed_in(browser, live_server, name, viewport=WIDE, locale=language)
            contexts[name, language] = first.context
        pages.append(contexts[name, language].new_page())
        walker = Walker(pages[-1], live_server.url)
        assert pages[-1].locator("html").get_attribute("lang") == language
        return walker

    yield begin
    for page in pages:
        page.close()


def rows(state: str = "") -> str:
    return f"main table tbody{state}"


def account(name: str) -> TechnicalAccount:
    return TechnicalAccount.objects.get(name=name)


def exactly(moment: object) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}"  # type: ignore[arg-type]  # a moment of the scene


def test_which_version_was_on_mkt_2_on_a_day(walk: Walk, scene: Scene) -> None:
    auditor = walk("astrid")
    auditor.search("mkt-2")
    auditor.follow("mkt-2")
    auditor.type("at", scene.day_before_rotation.isoformat())
    auditor.submit("at")
    auditor.sees("v1", "Triggers", within="#as-of dl")


def test_the_map_says_as_well_which_version_was_there(walk: Walk, scene: Scene) -> None:
    auditor = walk("astrid")
    auditor.open_menu("/coverage/")
    auditor.type("q", "mkt-2")
    auditor.type("at", scene.day_before_rotation.isoformat())
    auditor.submit("at")
    auditor.sees("mkt-2", "v1", within=".cells")


def test_who_rotated_what_last_quarter(walk: Walk, scene: Scene) -> None:
    auditor = walk("astrid")
    auditor.open_menu("/rotations/")
    auditor.follow_to(f"since={scene.last_quarter[0]}")
    auditor.sees("#1 Triggers", "v1 → v2", "alice", within=rows())
    auditor.does_not_see("#2 Analytics")


def test_prove_it_to_an_outsider(walk: Walk, scene: Scene) -> None:
    auditor = walk("astrid")
    auditor.open_menu("/rotations/")
    auditor.follow("#1 Triggers")
    rotation = Rotation.objects.get(number=1)
    pack = auditor.download(reverse("evidence_rotation", args=[rotation.pk]))
    assert pack.suggested_filename == "evidence-rotation-1.zip"
    assert pack.path().read_bytes()[:2] == b"PK"
    auditor.sees("Triggers")


def test_what_is_behind_and_why(walk: Walk, scene: Scene) -> None:
    admin = walk("alice")
    admin.open_menu("/coverage/")
    admin.follow_to("state=needs_you")
    admin.sees("dev-1", "v1", "v2", str(Code.HOST_KEY_CHANGED.label), within=rows())
    admin.sees("mkt-3", str(Code.LOGIN_REFUSED.label), within=rows())
    admin.does_not_see("mkt-1", within=rows())


@pytest.mark.parametrize(
    ("name", "mine", "others"),
    [("henry", Code.BUSY, Code.LOGIN_REFUSED), ("alice", Code.HOST_KEY_CHANGED, Code.HOST_UNREACHABLE)],
)
def test_which_failures_are_mine_to_mend(walk: Walk, name: str, mine: Code, others: Code) -> None:
    person = walk(name)
    person.open_menu("/rollouts/failed/")
    person.sees(str(Mender.SERVER.label), str(others.label), within=rows())
    person.follow_to("mender=")
    person.sees(str(mine.label), within=rows())
    person.does_not_see(str(others.label), within=rows())


def test_is_the_retry_of_an_hour_ago_done(walk: Walk, scene: Scene) -> None:
    helpdesk = walk("henry")
    helpdesk.follow_to("/rollouts/failed/")
    assert scene.retried
    helpdesk.sees("mid-1", "acme-mid", within=f"#push-{scene.retried.pk}")
    helpdesk.page.locator(f"#push-{scene.retried.pk} .status-succeeded").first.wait_for()


def test_what_became_of_a_retry_of_whatever_age(walk: Walk, scene: Scene) -> None:
    helpdesk = walk("henry")
    helpdesk.open_menu("/history/")
    row = helpdesk.page.locator("main tr", has_text=re.compile("acme-mid (on|sur) mid-1"))
    entry = row.get_by_role("link").first
    helpdesk.follow_to(str(entry.get_attribute("href")))
    helpdesk.follow_to("/rollouts/pushes/")
    helpdesk.sees("INC0815")
    helpdesk.page.locator("#facts .status-succeeded").wait_for()


def test_which_hosts_still_hold_a_jwt(walk: Walk) -> None:
    admin = walk("alice")
    admin.open_menu("/containers/")
    admin.follow_to("jwt=yes")
    admin.sees(*ON_JWT, within=rows())
    admin.does_not_see("mkt-1", within=rows())


def test_the_home_page_leads_to_the_hosts_that_hold_a_jwt_too(walk: Walk) -> None:
    admin = walk("alice")
    admin.follow_to("/instances/?need=jwt")
    admin.follow_to("/containers/?jwt=yes")
    admin.sees(*ON_JWT, within=rows())
    admin.does_not_see("mkt-1", within=rows())


def test_when_the_next_rotation_waits_for_me(walk: Walk, scene: Scene) -> None:
    admin = walk("alice")
    admin.open_menu("/rotations/")
    admin.sees("Triggers", exactly(scene.due), within=f"#upcoming-{account('Triggers').pk}")


def test_what_a_person_did(walk: Walk) -> None:
    admin = walk("alice")
    admin.open_menu("/users/")
    admin.follow("henry")
    admin.follow_to("/history/?who=henry")
    admin.sees("push.retried", "acme-mid ", " mid-1", "INC0815", within=rows())
    admin.does_not_see("rotation.started", within=rows())


def test_an_auditor_finds_what_a_person_did(walk: Walk) -> None:
    auditor = walk("astrid")
    auditor.open_menu("/history/")
    auditor.type("who", "henry")
    auditor.submit("who")
    auditor.sees("push.retried", "acme-mid ", " mid-1", "INC0815", within=rows())


def test_which_containers_nobody_has_looked_at_for_a_week(walk: Walk) -> None:
    admin = walk("alice")
    admin.open_menu("/containers/")
    admin.follow_to("seen=old")
    admin.sees(LONG_UNSEEN, NEVER_SEEN, within=rows())
    admin.does_not_see("mkt-1", within=rows())
    assert admin.page.locator(f"{rows()} tr").count() == 2


def test_what_a_rollout_will_do(walk: Walk) -> None:
    admin = walk("alice")
    admin.open_menu("/accounts/")
    admin.follow("Triggers")
    admin.follow_to(f"{account('Triggers').pk}/rollout/")
    admin.sees("6", within="#preview .timeline-head strong")


@pytest.mark.parametrize("clicks", [0, 1])
def test_who_to_call(walk: Walk, clicks: int) -> None:
    helpdesk = walk("henry")
    if clicks:
        helpdesk.follow_to("/contacts/")
    helpdesk.sees("Operations on call", "+33 1 55 55 01 99")
    assert helpdesk.clicks == clicks


def test_a_failed_push_says_who_to_call(walk: Walk) -> None:
    helpdesk = walk("henry")
    helpdesk.open_menu("/rollouts/failed/")
    push = Container.objects.get(name="mkt-3").pushes.get(state="failed")
    helpdesk.follow_to(f"/rollouts/pushes/{push.pk}/")
    helpdesk.sees("Operations on call", "+33 1 55 55 01 99", within="#explanation")
