"""Links from pages below this room to what the help says about what they show."""

from django.http import HttpRequest

from portal.web.panels import Panel, panel


@panel("code.explained", order=10)
def about_code(code: str, _request: HttpRequest) -> Panel | None:
    """Lead to a code of the help, if there is one at all."""
    return Panel("help/_about_code.html", {"code": code}) if code else None


@panel("roles.explained", order=10)
def about_roles(_subject: None, _request: HttpRequest) -> Panel:
    """Lead to what each role does now."""
    return Panel("help/_about_roles.html")
