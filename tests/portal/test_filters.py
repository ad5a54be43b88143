"""Filters of lists: what makes no sense narrows nothing and is named, on every list that selects rows."""

import re

import pytest
from django.http import QueryDict
from django.test import Client

from instances.models import Container
from instances.pages.filters import ContainerFilters
from tests.factories import finish_all, make_container, make_rollout
from tests.security.secret_shapes import SECRET

pytestmark = pytest.mark.django_db


def shown(query: str) -> set[str]:
    return {each.name for each in ContainerFilters(QueryDict(query)).qs}


@pytest.fixture
def containers(db: None) -> None:
    for name in ("web1", "web2", "app1", "gone1"):
        make_container(name=name)
    Container.objects.filter(name="web2").update(is_enabled=False)
    gone = {"retired": "2026-01-01T00:00Z", "retired_by": "alice", "retired_reason": "Decommissioned"}
    Container.objects.filter(name="gone1").update(**gone)


@pytest.mark.usefixtures("containers")
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", {"web1", "web2", "app1"}),
        ("q=web", {"web1", "web2"}),
        ("q=web&switch=off", {"web2"}),
        ("switch=sideways", {"web1", "web2", "app1"}),
        ("q=web&switch=sideways", {"web1", "web2"}),
        ("show=retired", {"gone1"}),
        ("show=everything", {"web1", "web2", "app1"}),
        ("show=null&switch=null", {"web1", "web2", "app1"}),
        (f"q={SECRET}", {"web1", "web2", "app1"}),
        ("jump_host=7", {"web1", "web2", "app1"}),
    ],
)
def test_a_value_that_makes_no_sense_narrows_nothing(query: str, names: set[str]) -> None:
    assert shown(query) == names


@pytest.mark.usefixtures("containers")
def test_it_says_which_value_makes_no_sense() -> None:
    filters = ContainerFilters(QueryDict(f"switch=sideways&seen=old&q={SECRET}"))
    assert set(filters.errors) == {"switch", "q"}
    assert filters.chosen == {"seen": "old"}
    assert filters.is_narrowed
    assert SECRET not in str(filters.form)
    assert not ContainerFilters(QueryDict("q=&switch=&show=")).is_narrowed


def test_failed_pushes_stand_in_the_order_that_was_asked_for(as_helpdesk: Client) -> None:
    finish_all(make_rollout(containers=["web2", "web1", "web3"]), state="failed", code="timed_out")
    for order, names in (("instance", ["web1", "web2", "web3"]), ("-instance", ["web3", "web2", "web1"])):
        page = as_helpdesk.get(f"/rollouts/failed/?sort={order}").content.decode()
        rows = re.findall(r'<th scope="row">.*?</th>', page, re.DOTALL)
        assert [re.findall(r"web\d", row)[0] for row in rows] == names
