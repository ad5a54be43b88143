"""The lease on a container while the database is away; lost leases are tried in test_reconciler.py."""

import time

import pytest
from django.db import OperationalError

from instances.models import Container, ContainerQuerySet
from instances.visits.lease import Lease
from tests.credentials.rollouts.conftest import MakeSite, take

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def lease(make_site: MakeSite) -> Lease:
    lease = Lease(make_site().row.pk, owner="here")
    assert take(lease)
    return lease


def fail(*_: object, **__: object) -> bool:
    raise OperationalError


def test_a_database_that_is_away_for_moments_disturbs_no_delivery(
    lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires = Container.objects.get().lease_expires
    lease.renewed = renewed = time.monotonic() - 30
    with monkeypatch.context() as away:
        away.setattr(ContainerQuerySet, "renew", fail)
        lease.tick()
    assert lease.renewed == renewed
    lease.tick()
    assert lease.renewed > renewed
    later = Container.objects.get().lease_expires
    assert expires
    assert later
    assert later > expires


def test_a_lease_that_cannot_be_renewed_for_half_of_its_time_ends_the_delivery(
    lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease.renewed = time.monotonic() - 61
    monkeypatch.setattr(ContainerQuerySet, "renew", fail)
    with pytest.raises(OperationalError):
        lease.tick()
