"""What people are told of drift."""

from collections.abc import Iterable

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from credentials.coverage.drift import WORDS, Drift
from instances.models import label_of
from portal.notices.kinds import Batch, Kind, Told, Words, register
from portal.notices.notes import note_all

FOUND = "drift.found"


def note_drift(drifts: Iterable[Drift]) -> None:
    """Have people told of changed files, in the caller's transaction."""
    link = reverse("drift")
    told = [
        Told(str(each.installation), {"differs": [one.name for one in each.differences]}, link)
        for each in drifts
    ]
    note_all(FOUND, told)


def _found(batch: Batch) -> Words:
    if not (only := batch.only):
        return Words(
            ngettext("Files changed on %d installation", "Files changed on %d installations", batch.count)
            % batch.count,
            [batch.named(label_of)],
            reverse("drift"),
        )
    differs = only.details.get("differs")
    names = differs if isinstance(differs, list) else []
    what = ", ".join(str(WORDS.get(name, name)) for name in names)
    return Words(
        _("File changed on a container: %s") % label_of(only.subject), [_("It differs in: %s") % what]
    )


register(Kind(FOUND, gettext_lazy("File changed on a container"), _found, quiet=30))
