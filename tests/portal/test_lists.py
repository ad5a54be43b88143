"""Order and size of a list: in the address, on the page and in the file, whatever somebody types there."""

import re

import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client

from portal.web.lists import SIZES, Orders, size_of
from tests.factories import make_installation

ORDERS = Orders({"name": ["name"], "state": ["-is_active", "name"]}, usual="state")


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", ["-is_active", "name"]),
        ("sort=name", ["name"]),
        ("sort=-name", ["-name"]),
        ("sort=-state", ["is_active", "-name"]),
        ("sort=password", ["-is_active", "name"]),
        ("sort=--name", ["-is_active", "name"]),
        ("sort=name&sort=-name", ["-name"]),
    ],
)
def test_the_address_names_the_order(query: str, fields: list[str]) -> None:
    assert list(ORDERS.of(QueryDict(query)).fields) == fields


@pytest.mark.parametrize("text", ["", "0", "-25", "26", "1000000000", "25.0", "²5", "x" * 500])
def test_no_other_sizes_can_be_asked_for(text: str) -> None:
    query = QueryDict(mutable=True)
    query["size"] = text
    assert size_of(query, 50) == 50


def names_on(client: Client, path: str) -> list[str]:
    return re.findall(r'<th scope="row">\s*<a [^>]*>([^<]*)</a>', client.get(path).content.decode())


@pytest.mark.django_db
def test_a_list_is_ordered_as_its_heading_says(as_admin: Client) -> None:
    for number in range(30):
        make_installation(instance=f"prod{number:02}", container=f"web{29 - number:02}")
    assert names_on(as_admin, "/instances/")[:2] == ["prod00", "prod01"]
    page = as_admin.get("/instances/?sort=-name&q=prod&size=50")
    content = page.content.decode()
    assert names_on(as_admin, "/instances/?sort=-name&q=prod&size=50") == [
        f"prod{each:02}" for each in range(29, -1, -1)
    ]
    assert 'aria-sort="descending"' in content
    assert 'href="?q=prod&amp;size=50&amp;sort=name"' in content  # the other way round, from the first page
    assert '<input type="hidden" name="sort" value="-name">' in content  # the filters keep it


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "columns"),
    [
        ("/instances/", ["name", "environment", "role", "deployment"]),
        ("/instances/?show=retired", ["retired"]),
        ("/containers/", ["name", "address", "login"]),
        ("/accounts/", ["name", "state"]),
        ("/rollouts/", ["number", "reason"]),
        ("/rollouts/failed/", ["instance", "state", "rollout"]),
        ("/users/", ["name", "state", "last_sign_in"]),
    ],
)
def test_every_heading_that_offers_an_order_gives_it(
    as_admin: Client, admin: User, path: str, columns: list[str]
) -> None:
    make_installation()
    for column in columns:
        for sign in ("", "-"):
            query = f"{'&' if '?' in path else '?'}sort={sign}{column}"
            assert as_admin.get(f"{path}{query}").status_code == 200


@pytest.mark.django_db
def test_a_file_has_the_order_of_its_list(as_admin: Client) -> None:
    for name in ("prod1", "prod2", "prod3"):
        make_installation(instance=name, container=f"on-{name}")
    answer = as_admin.post("/exports/instances/?sort=-name")
    lines = b"".join(answer.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
    assert [line.split(",")[0].strip('"') for line in lines[1:]] == ["prod3", "prod2", "prod1"]


@pytest.mark.django_db
def test_a_short_list_offers_no_sizes_and_a_long_one_all(as_admin: Client) -> None:
    make_installation()
    assert "size=" not in as_admin.get("/instances/").content.decode()
    for number in range(26):
        make_installation(instance=f"prod{number:02}", container=f"web{number:02}")
    content = as_admin.get("/instances/?size=50").content.decode()
    assert {int(each) for each in re.findall(r'href="\?size=(\d+)"', content)} == {*SIZES} - {50}


@pytest.mark.django_db
def test_a_ready_filter_keeps_order_and_size(as_auditor: Client) -> None:
    make_installation()
    page = as_auditor.get("/containers/?sort=-name&size=100").content.decode()
    links = re.findall(r'class="presets".*?</nav>', page, re.DOTALL)[0]
    assert re.findall(r'href="([^"]*)"', links)
    assert all("&amp;sort=-name&amp;size=100" in link for link in re.findall(r'href="([^"]*)"', links))
