"""The map in numbers says the same as the map one by one."""

from collections import Counter
from random import Random

import pytest

from credentials.coverage.cells import OTHERS, Wanted, cells_now
from credentials.coverage.states import Cover, Need
from credentials.coverage.tallies import cells_on, instances_of, tallied, tallies
from credentials.models import TechnicalAccount
from tests.benchmarks.filling import fill
from tests.benchmarks.scale import Scale

pytestmark = [pytest.mark.django_db, pytest.mark.database]

ALL = Wanted()


def numbers(found: object) -> Counter[object]:
    counted: Counter[object] = Counter()
    for each in found:  # type: ignore[attr-defined]
        counted[each.environment, each.account, each.held, each.how, each.cover, each.need] += each.count
    return counted


@pytest.mark.usefixtures("roles")
def test_numbers_and_pages_agree_with_the_cells_whatever_is_wanted() -> None:
    fill(Scale(installations=60, attempts=300, events=20), Random(3))
    account = TechnicalAccount.objects.earliest("name")
    narrowed = [Wanted(account=account.pk), Wanted(text="1"), Wanted(environment="production", role="MKT")]
    states = [Wanted(state=state) for state in (*Cover.values, *Need.values, OTHERS)]
    found = []
    for wanted in (ALL, *narrowed, *states, *(Wanted(version=number) for number in (1, 2, 3, 4))):
        cells, counted = cells_now(wanted), tallies(wanted)
        assert numbers(counted) == numbers(tallied(cells)), wanted
        assert list(instances_of(wanted, counted)) == list(dict.fromkeys(cell.instance_id for cell in cells))
        some = [cell.instance_id for cell in cells][:5]
        assert cells_on(some, wanted, counted) == [cell for cell in cells if cell.instance_id in some]
        found.append(len(cells))
    assert found[0] == sum(each.count for each in tallies(ALL)) > 0
    assert len(set(found)) > 5  # the filters did narrow something


@pytest.mark.usefixtures("roles")
def test_a_count_fetches_a_row_for_each_sort_of_installation_only() -> None:
    fill(Scale(installations=60, attempts=300, events=20), Random(3))
    assert len(tallies(ALL)) < sum(each.count for each in tallies(ALL))
