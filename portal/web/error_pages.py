"""The pages of errors. Django's own read the form for a token against forgery, and so fail on a broken form.

They would do so before anything has bounded it: at an address without a page, or under a wrong host name.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from portal.permissions import NotPermitted


def bad_request(_request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse(render_to_string("400.html"), status=400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    having = exception.roles if isinstance(exception, NotPermitted) else []
    return render(request, "403.html", {"exception": str(exception), "having": having}, status=403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "404.html", status=404)


def wrong_method(request: HttpRequest, allowed: str) -> HttpResponse:
    """Return the page for a method that the address does not take, as where somebody typed it."""
    response = render(request, "405.html", status=405)
    response["Allow"] = allowed
    return response


def server_error(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(render_to_string("500.html"), status=500)
