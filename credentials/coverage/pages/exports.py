"""The coverage map and the list of drift as files. Of a secret they have versions and fingerprints."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext_lazy

from credentials.coverage.cells import Cell, Version
from credentials.coverage.drift import Drift, drifted, drifting
from credentials.coverage.export import COLUMNS, as_dict
from credentials.coverage.pages.maps import MapForm
from portal.web.exports import Export, Row, register

VALUES = ("client_id", "account_id", "organization_id", "is_jwt")
DRIFT_COLUMNS = (
    *("instance", "container", "account", "observation", "seen_since", "seen_last"),
    *("compared_with", "compared_since", "differs", "holds", "holds_of", "written", "written_of"),
    *(f"{name}_{when}" for name in VALUES for when in ("before", "now")),
)


def _cell_rows(cells: Sequence[Cell]) -> Iterator[Row]:
    return map(as_dict, cells)


def _drift_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    for each in drifted(Q(pk__in=keys)):
        yield {
            "instance": each.installation.instance.name,
            "container": each.installation.container.name,
            "account": each.installation.instance.assignment.account.name,
            "observation": each.seen.pk,
            "seen_since": each.seen.at,
            "seen_last": each.seen.last_seen,
            "compared_with": _baseline(each),
            "compared_since": each.baseline.at,
            "differs": [difference.name for difference in each.differences],
            **_version("holds", each.version),
            **_version("written", each.expected),
            **{f"{name}_before": getattr(each.baseline, name) for name in VALUES},
            **{f"{name}_now": getattr(each.seen, name) for name in VALUES},
        }


def _baseline(each: Drift) -> str:
    if each.is_accepted:
        return "accepted"
    if each.is_reported:
        return "reported"
    return "proven" if each.is_proven else "first_seen"


def _version(column: str, version: Version | None) -> dict[str, object]:
    return {
        column: version.number if version else None,
        f"{column}_of": version.account if version else None,
    }


register(
    Export(
        name="coverage",
        title=gettext_lazy("Coverage"),
        permission="credentials.view_technicalaccount",
        columns=COLUMNS,
        filters=MapForm,
        select=lambda form: form.cells,
        rows=_cell_rows,
    )
)
register(
    Export(
        name="drift",
        title=gettext_lazy("Drift"),
        permission="credentials.view_technicalaccount",
        columns=DRIFT_COLUMNS,
        select=lambda _form: drifting(),
        rows=_drift_rows,
    )
)
