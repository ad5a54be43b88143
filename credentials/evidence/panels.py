"""The buttons that make evidence packs, on the pages of accounts and rotations and on the history."""

from django.http import HttpRequest
from django.urls import reverse

from credentials.models import TechnicalAccount
from credentials.rotation.models import Rotation
from portal.audit.pages.forms import HistoryForm
from portal.audit.signing.signing_key import known_fingerprint
from portal.web.panels import Panel, panel
from portal.web.tags import kept_query

TEMPLATE = "evidence/_button.html"
PERMISSION = "audit.export_events"


@panel("account.actions", order=90)
def of_account(account: TechnicalAccount, request: HttpRequest) -> Panel | None:
    """Offer a pack of an account."""
    return _button(request, reverse("evidence_account", args=[account.pk]))


@panel("rotation.actions", order=90)
def of_rotation(rotation: Rotation, request: HttpRequest) -> Panel | None:
    """Offer a pack of a rotation."""
    return _button(request, reverse("evidence_rotation", args=[rotation.pk]))


@panel("history.actions", order=90)
def of_period(_: object, request: HttpRequest) -> Panel | None:
    """Offer a pack of the period that the history shows."""
    url = reverse("evidence_period") + kept_query(request, "before", "after", "readings")
    return _button(request, url, days="chosen" if all(HistoryForm(request.GET).times()) else "missing")


def _button(request: HttpRequest, url: str, *, days: str = "") -> Panel | None:
    """`days`: of a pack of a period, whether its days are chosen yet."""
    if not request.user.has_perm(PERMISSION):
        return None
    return Panel(TEMPLATE, {"evidence_url": url, "signing_key": known_fingerprint(), "evidence_days": days})
