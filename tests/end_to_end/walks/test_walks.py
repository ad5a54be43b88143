"""Each role walks through its main tasks: in both languages, both themes, wide and narrow.

One look at each role is part of `make test`; `make walks` takes all of them. WALK_PICTURES=folder draws each
stop.
"""

import pytest
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from tests.end_to_end.walks.people import WALKS
from tests.end_to_end.walks.scene import Scene
from tests.end_to_end.walks.walker import Look, Walker
from tests.services.chromium import no_faults_left

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_engine, pytest.mark.timeout(600)]
USUAL = {
    "alice": Look("fr", "dark", 390),
    "henry": Look("en", "light", 1440),
    "astrid": Look("fr", "light", 1440),
}
WALKS_AND_LOOKS = [
    pytest.param(name, look, id=f"{name}-{look}", marks=() if look == USUAL[name] else pytest.mark.slow)
    for name in WALKS
    for look in (
        Look(language, theme, width)
        for language in ("en", "fr")
        for theme in ("light", "dark")
        for width in (1440, 390)
    )
]


@pytest.mark.parametrize(("name", "look"), WALKS_AND_LOOKS)
def test_a_person_walks_through_their_main_tasks(
    browser: Browser, live_server: LiveServer, scene: Scene, name: str, look: Look
) -> None:
    walker = Walker.arrives(browser, live_server, name, look)
    with no_faults_left(walker.page.context):
        WALKS[name](walker, scene)
    assert walker.stops > 5
    walker.leaves()
