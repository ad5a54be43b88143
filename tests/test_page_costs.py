"""What a page costs does not depend on how much there is: few rows and many take the same queries.

The times are measured by `tests.benchmarks.pages`.
"""

from collections.abc import Sequence
from random import Random

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from credentials.rollouts.models import Attempt, ProvenWrite
from instances.models import Installation
from portal.audit.chain.verification import verify
from tests.benchmarks.filling import fill
from tests.benchmarks.rows import refresh_statistics
from tests.benchmarks.scale import Scale
from tests.benchmarks.visits import KINDS, VISITS, Visit
from tests.test_roles import PAGES

pytestmark = [pytest.mark.django_db, pytest.mark.database]  # every page, on both engines

FEW = Scale(installations=60, attempts=300, events=200)
MANY = Scale(installations=240, attempts=1_200, events=600)
PARTS = 4
"""Side by side: the last test of a run is waited for."""


def seed(scale: Scale) -> None:
    fill(scale, Random(1))


def number_of_queries(visit: Visit) -> int:
    client = Client(headers=dict(visit.headers))
    if visit.who:
        client.force_login(User.objects.get(username=visit.who))
    if visit.name.startswith("history"):
        client.get(visit.url())  # which is recorded the first time only
    with CaptureQueriesContext(connection) as captured:
        assert client.get(visit.url()).status_code in (200, 302)
    return len(captured)


def costs(scale: Scale, visits: Sequence[Visit]) -> dict[str, int]:
    with transaction.atomic():
        seed(scale)
        refresh_statistics()
        found = {visit.title: number_of_queries(visit) for visit in visits}
        transaction.set_rollback(True)
    return found


def test_every_page_that_can_be_opened_is_measured() -> None:
    opened = {name for name, page in PAGES.items() if page.get is not None}
    assert opened == {visit.name for visit in VISITS} == set(KINDS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.usefixtures("roles")
def test_no_page_takes_more_queries_for_more_rows(part: int) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("counted on PostgreSQL")
    visits = VISITS[part::PARTS]
    few, many = costs(FEW, visits), costs(MANY, visits)
    assert few == many


@pytest.mark.usefixtures("roles")
def test_a_seeded_portal_holds_what_was_asked_for_and_its_chain_verifies() -> None:
    seed(FEW)
    assert (Installation.objects.count(), Attempt.objects.count()) == (FEW.installations, FEW.attempts)
    proven = ProvenWrite.objects.proven().count()
    assert FEW.installations * 0.8 < proven < FEW.installations  # somebody changed a file here and there
    result = verify()
    assert (result.is_intact, result.events) == (True, FEW.events)
