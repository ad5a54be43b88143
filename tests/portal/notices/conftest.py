"""A kind of notice for tests, and a mail server that is set up."""

import pytest

from tests.portal.notices.telling import register_kind


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    register_kind(monkeypatch)
