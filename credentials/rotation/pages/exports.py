"""The lists of rotations and of maintenance windows as files."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from django.utils.translation import gettext_lazy

from credentials.rotation.models import Rotation
from credentials.rotation.openings import Environment
from credentials.rotation.pages.filters import RotationFilters
from credentials.rotation.pages.views import listed
from credentials.rotation.window_words import lines
from portal.web.exports import Export, Row, in_order, register, values

VALUES = ("state", "wait", "hold", "way", "is_leak", "policy", "message")
COLUMNS = (
    *("rotation", "account", "old_version", "old_fingerprint", "new_version", "new_fingerprint"),
    *(*VALUES, "started", "started_by", "acts_for", "ended"),
)
WINDOW = ("weekdays", "starts", "minutes", "zone")


def _rows(keys: Sequence[UUID]) -> Iterator[Row]:
    rows = Rotation.objects.select_related("account", "old", "new").defer(
        "old__ciphertext", "new__ciphertext"
    )
    for rotation in in_order(rows, keys):
        yield {
            "rotation": rotation.number,
            "account": rotation.account.name,
            "old_version": rotation.old.version,
            "old_fingerprint": rotation.old.fingerprint,
            "new_version": rotation.new and rotation.new.version,
            "new_fingerprint": rotation.new and rotation.new.fingerprint,
            **values(rotation, VALUES),
            "started": rotation.requested,
            "started_by": rotation.requested_by_name,
            "acts_for": rotation.acts_for_name,
            "ended": rotation.ended,
        }


def _window_rows(environments: Sequence[str]) -> Iterator[Row]:
    """Yield a row for each window, and one for each environment that has none and so is always open."""
    for line in lines(environments):
        known = {"environment": line.environment, "open_now": line.is_open}
        for window in line.rows:
            yield {**known, **values(window, WINDOW)}
        if not line.rows:
            yield {**known, **dict.fromkeys(WINDOW)}


register(
    Export(
        name="rotations",
        title=gettext_lazy("Rotations"),
        permission="rotation.view_rotation",
        columns=COLUMNS,
        filters=lambda query: RotationFilters(query, listed()),
        rows=_rows,
    )
)
register(
    Export(
        name="maintenance_windows",
        title=gettext_lazy("Maintenance windows"),
        permission="rotation.view_rotation",
        columns=("environment", *WINDOW, "open_now"),
        select=lambda _form: Environment.values,
        rows=_window_rows,
    )
)
