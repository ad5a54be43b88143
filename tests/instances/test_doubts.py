"""The database is asked where something may not fit: it names too many containers rather than too few."""

from random import Random

import pytest
from django.db import connection

from instances.discovery import proposals as module
from instances.discovery.proposals import proposals
from instances.models import Container, Installation
from tests.benchmarks.filling import fill
from tests.benchmarks.scale import Scale
from tests.benchmarks.work import counted

pytestmark = [pytest.mark.django_db, pytest.mark.database, pytest.mark.usefixtures("roles")]


def test_a_fleet_has_the_same_proposals_whether_all_of_it_is_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(Scale(installations=120, attempts=200, events=20), Random(5))
    Installation.objects.filter(instance__name__endswith="1").update(observed_jwt=True, observed_build=9300)
    found = proposals()
    every = set(Container.objects.values_list("pk", flat=True))
    monkeypatch.setattr(module, "doubtful_containers", lambda *_asked: every)
    assert found == proposals()
    assert len({each.kind for each in found}) > 2


def test_a_fleet_that_fits_is_not_fetched() -> None:
    fill(Scale(installations=120, attempts=200, events=20), Random(5))
    Installation.objects.update(observed_jwt=False, observed_build=9394)
    proposed = {each.container.pk for each in proposals() if each.container}
    with counted(connection) as work:
        assert {each.container.pk for each in proposals() if each.container} == proposed
    entered = Installation.objects.filter(container__in=proposed).count()
    assert work.rows < 120 + entered
    assert len(proposed) < Container.objects.count() / 2
