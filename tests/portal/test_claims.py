"""Two workers that claim the same thing at once: only one gets it, on PostgreSQL too.

There, an UPDATE that waited for another looks at its row again, but not at what a subquery had chosen before.
So no claim may choose its row by a subquery; what it asks of other tables, it asks by EXISTS, next to
conditions of the row itself.
"""

import re
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from credentials.rotation.models import Rotation
from instances.models import Container
from portal.notices.delivery import attempt
from portal.notices.models import Message
from tests.factories import make_channel, make_container, make_rotation

pytestmark = pytest.mark.django_db


def a_notice() -> object:
    channel = make_channel(name="Good", way="webhook", address="http://127.0.0.1:9")
    message = Message.objects.create(channel=channel, channel_name="Good", kind="test")
    return attempt(message.pk)


def a_rotation() -> object:
    return Rotation.objects.claim(make_rotation().pk, uuid.uuid4())


def a_container() -> object:
    lease = timedelta(minutes=1)
    return Container.objects.claim(make_container().pk, token=uuid.uuid4(), owner="test", lease=lease)


TAKES = re.compile(r'"(lease_token|holder)" = [^N]')
"""A statement that gives something a holder; NULL would take it away."""
CLAIMS: dict[str, Callable[[], object]] = {
    "a notice": a_notice,
    "a rotation": a_rotation,
    "a container": a_container,
}


@pytest.mark.parametrize("name", CLAIMS)
def test_no_claim_chooses_its_row_by_a_subquery(name: str) -> None:
    with CaptureQueriesContext(connection) as captured:
        assert CLAIMS[name]()
    statements = [each["sql"] for each in captured]
    [claim] = [
        each for each in statements if each.startswith("UPDATE") and TAKES.search(each.split("WHERE")[0])
    ]
    assert "IN (SELECT" not in claim
