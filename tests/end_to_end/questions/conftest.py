"""One scene for all questions: no walk changes what another one looks at, so it is built once."""

from collections.abc import Iterator

import pytest
from django.test import TransactionTestCase
from pytest_django.plugin import DjangoDbBlocker

from tests.end_to_end.questions.scene import Scene, build


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Scene]:
    """A portal with a past; the tables are emptied after the last question."""

    class OneScene(TransactionTestCase):
        """What pytest-django puts around each test, here around a module."""

    with django_db_blocker.unblock():
        OneScene.setUpClass()
        case = OneScene(methodName="__init__")
        case._pre_setup()  # type: ignore[attr-defined]  # private, as pytest-django calls it
        yield build()
        case._post_teardown()  # type: ignore[attr-defined]  # likewise
        OneScene.tearDownClass()
        OneScene.doClassCleanups()


@pytest.fixture
def _django_db_helper(scene: Scene) -> None:
    """Take the place of pytest-django's fixture, which would empty all tables after each question."""
