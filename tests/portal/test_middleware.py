"""What a request costs the interpreter."""

import resource

from django.http import HttpRequest, HttpResponse

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
