"""The scene of the walks, with containers and Adobe's stand-in behind it."""

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from portal.plaintext import Secret
from portal.sandbox.ims import StandInIMS
from tests.credentials.rollouts.conftest import MakeSite, _own_key, make_site  # noqa: F401  # fixtures
from tests.credentials.wizard.wizard_walk import CLIENT, SECRET
from tests.end_to_end.walks.clock import database_follows
from tests.end_to_end.walks.scene import Scene, build


@pytest.fixture
def scene(
    roles: None,
    transactional_db: None,
    make_site: MakeSite,  # noqa: F811
    settings: Settings,
) -> Iterator[Scene]:
    settings.TIME_ZONE = "Europe/Paris"
    with StandInIMS() as ims:
        ims.accept(CLIENT, Secret(SECRET))
        settings.IMS_BASE_URL = ims.url
        with database_follows():
            made = build(make_site)
        yield made
