"""The link from a cause to what the help says about its code, on pages below this room."""

from django.http import HttpRequest

from portal.web.panels import Panel, panel


@panel("code.explained", order=10)
def about_code(code: str, _request: HttpRequest) -> Panel | None:
    """Lead to a code of the help, if there is one at all."""
    return Panel("help/_about_code.html", {"code": code}) if code else None
