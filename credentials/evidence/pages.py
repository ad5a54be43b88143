"""Downloads of evidence packs. POST, since the making of each is recorded."""

import logging
import tempfile
from uuid import UUID

from django.contrib import messages
from django.http import FileResponse, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from credentials.evidence.scopes import NothingToPack
from credentials.evidence.segment import BrokenHistory
from credentials.evidence.services import (
    TooLarge,
    Wanted,
    account_pack,
    make_pack,
    period_pack,
    rotation_pack,
)
from credentials.models import TechnicalAccount
from credentials.rotation.models import Rotation
from portal.audit.pages.forms import HistoryForm
from portal.audit.signing.heads import NotSealed
from portal.audit.trail import Actor
from portal.keys.known import KeysRefused
from portal.permissions import permission_required
from portal.web.tags import kept_query

logger = logging.getLogger(__name__)
MOST = 50_000
"""Entries of the chain around a pack that is made while a browser waits."""
IN_MEMORY = 4 * 1024 * 1024
"""Bytes of a pack; a larger one is on disk until it is sent."""


@require_POST
@permission_required("audit.export_events", raise_exception=True)
def evidence_account(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Send the pack of an account."""
    account = get_object_or_404(TechnicalAccount, pk=pk)
    return _send(request, account_pack(account)) or redirect("account", pk)


@require_POST
@permission_required("audit.export_events", raise_exception=True)
def evidence_rotation(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Send the pack of a rotation."""
    rotation = get_object_or_404(Rotation.objects.select_related("account", "old", "new"), pk=pk)
    return _send(request, rotation_pack(rotation)) or redirect("rotation", pk)


@require_POST
@permission_required("audit.export_events", raise_exception=True)
def evidence_period(request: HttpRequest) -> HttpResponseBase:
    """Send the pack of the period that the history is filtered to."""
    since, until = HistoryForm(request.GET).times()
    if not since or not until:
        messages.error(request, _("Choose the period first: From and Until, then Filter."))
    elif sent := _send(request, period_pack(since, until)):
        return sent
    response = redirect("history")
    response["Location"] += kept_query(request)
    return response


def _send(request: HttpRequest, wanted: Wanted) -> HttpResponseBase | None:
    """Return the pack as a download; None if there is none, and a message says why."""
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  # the response closes it
    try:
        make_pack(file, wanted, actor=Actor.of(request), most=MOST)
    except (NothingToPack, TooLarge, BrokenHistory, NotSealed, KeysRefused) as error:
        file.close()
        if isinstance(error, KeysRefused | NotSealed):
            logger.warning("No evidence pack was made: %s", error)
        messages.error(request, _why_not(error))
        return None
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=f"{wanted.name}.zip")


def _why_not(error: Exception) -> str:
    if isinstance(error, NothingToPack):
        return _("The history contains nothing about this, so there is no evidence pack.")
    if isinstance(error, TooLarge):
        return _(
            "This pack takes too long for a page. Choose a shorter period, or ask the people who run the "
            "portal to make it with the command evidence."
        )
    if isinstance(error, KeysRefused):
        return _(
            "The portal's signing key is not available. Tell the people who run the portal; its log says "
            "more."
        )
    return _(
        "The history fails verification, so no evidence pack can be made. Verify the history to see where."
    )
