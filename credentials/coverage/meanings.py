"""Which version it was that an observation saw, where timelines say what was in a file."""

from collections.abc import Collection, Mapping, Sequence

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credentials.coverage.past import versions_seen
from instances.discovery.models import Observation
from instances.discovery.timeline import meaning

VERSION = _("Secret version")


@meaning
def version_of_each(rows: Collection[Observation]) -> Mapping[int, Sequence[tuple[Promise, str]]]:
    """Return the version of each observation of an encrypted secret; three statements."""
    seen = [row for row in rows if row.digest]
    found = versions_seen(seen, timezone.now())
    return {
        row.pk: [
            (
                VERSION,
                gettext("%(version)s of %(account)s") % {"version": version, "account": version.account}
                if (version := found.get(row.pk))
                else gettext("not known"),
            )
        ]
        for row in seen
    }
