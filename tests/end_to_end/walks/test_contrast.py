"""Home pages and a rollout under way where a person has forced colours, or asks for more contrast."""

import pytest
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from tests.end_to_end.walks.scene import PEOPLE, Scene
from tests.end_to_end.walks.walker import Look, Walker

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.one_engine,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "wish", [{"forced_colors": "active"}, {"contrast": "more"}], ids=["forced", "contrast"]
)
def test_a_person_with_colours_of_their_own_sees_the_same(
    browser: Browser, live_server: LiveServer, scene: Scene, wish: dict[str, str], theme: str
) -> None:
    for name in PEOPLE:
        walker = Walker.arrives(browser, live_server, name, Look("en", theme, 1440), **wish)
        walker.go("/")
        walker.stop(f"home-{next(iter(wish))}")
        if name == "alice":
            walker.go(f"/rollouts/{scene.under_way.pk}/")
            walker.stop(f"rollout-{next(iter(wish))}")
        walker.leaves()
