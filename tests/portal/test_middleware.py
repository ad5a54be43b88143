"""What a request costs the interpreter, and what it gets where it is of the wrong kind."""

import resource

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client

from portal.web.middleware import room_for_calls

CALLS = 1000
DEPTHS = range(300)


def _leaf() -> None:
    """Needs more than its caller, so that at some depth it finds no place where its caller still did."""


_leaf.__code__ = _leaf.__code__.replace(co_stacksize=200)


def _page_faults(depth: int) -> int:
    """Return how often many calls at this depth needed memory from the system."""
    if depth:
        return _page_faults(depth - 1)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(CALLS):
        _leaf()
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


def test_at_no_depth_do_calls_take_and_return_memory() -> None:
    worst = []

    def view(_request: HttpRequest) -> HttpResponse:
        worst.append(max(_page_faults(depth) for depth in DEPTHS))
        return HttpResponse()

    room_for_calls(view)(HttpRequest())
    assert worst[0] < CALLS / 2


@pytest.mark.django_db
def test_an_address_for_buttons_says_so_to_a_browser_and_is_short_for_programs(as_auditor: Client) -> None:
    as_browser = {"Accept": "text/html,*/*;q=0.8"}
    answer = as_auditor.get("/history/export/", headers=as_browser)
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    assert "This address takes only what a button of a page sends." in answer.text
    assert 'href="/">Back to the home page</a>' in answer.text
    for headers in ({}, {"Accept": "application/json"}, {**as_browser, "HX-Request": "true"}):
        answer = as_auditor.get("/history/export/", headers=headers)
        assert (answer.status_code, answer["Allow"], answer.content) == (405, "POST", b"")
