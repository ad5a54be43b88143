"""What a page on paper says of itself: portal, address, filters, zone, date and person."""

import pytest
from django.test import Client

from tests.factories import make_account, make_installation

pytestmark = pytest.mark.django_db


def printed(client: Client, address: str) -> str:
    content = client.get(address).content.decode()
    head = content.partition('<dl class="printed">')[2].partition("</dl>")[0]
    return " ".join(head.replace("<dd>", " ").replace("</dd>", " ").split())


def test_a_page_names_portal_person_zone_and_filters(as_admin: Client) -> None:
    make_installation()
    head = printed(as_admin, "/instances/?environment=production&q=pro&show=retired")
    assert "testserver/instances/" in head
    assert "by alice; times are those of UTC" in head
    assert "Search = pro · Environment = Production · Show = Retired" in head


@pytest.mark.parametrize("path", ["/rollouts/", "/coverage/"])
def test_a_row_that_a_list_is_narrowed_to_is_named(as_admin: Client, path: str) -> None:
    account = make_account().account
    assert "Account = Triggers" in printed(as_admin, f"{path}?account={account.pk}")


def test_a_tick_is_said_as_yes(as_auditor: Client) -> None:
    assert "Show who read the history = yes" in printed(as_auditor, "/history/?readings=on")


def test_a_list_that_is_not_narrowed_names_no_filters(as_admin: Client) -> None:
    make_installation()
    assert "Filters" not in printed(as_admin, "/instances/")


def test_a_value_that_may_be_a_secret_is_not_printed(as_admin: Client) -> None:
    assert "p8e-" not in printed(as_admin, "/instances/?q=p8e-0123456789abcdefghijklmnop")


def test_a_stranger_prints_no_head(client: Client) -> None:
    assert printed(client, "/login/") == ""
