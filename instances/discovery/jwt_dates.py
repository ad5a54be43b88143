"""Adobe's dates of the end of JWT credentials, and what each of them means on the day it is read."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

DAYS_OF_MONTH = 30.44


@dataclass(frozen=True)
class JWTDate:
    """One date of the end of JWT credentials. Adobe has moved them more than once, hence data.

    `short` is for a chart. `ahead` and `passed` say what it means for an instance that still holds a JWT.
    """

    on: date
    short: Promise
    what: Promise
    ahead: Promise
    passed: Promise

    def means(self, today: date) -> str:
        """Return what the date means on a day, in a sentence."""
        days = (self.on - today).days
        if days == 0:
            return gettext("Today. %s") % self.passed
        if days > 0:
            return gettext("%(when)s. %(what)s") % {"when": _in(days), "what": self.ahead}
        return gettext("%(when)s. %(what)s") % {"when": _ago(-days), "what": self.passed}


def _in(days: int) -> str:
    months = round(days / DAYS_OF_MONTH)
    if months:
        return ngettext("In %d month", "In %d months", months) % months
    return ngettext("In %d day", "In %d days", days) % days


def _ago(days: int) -> str:
    months = round(days / DAYS_OF_MONTH)
    if months:
        return ngettext("Passed %d month ago", "Passed %d months ago", months) % months
    return ngettext("Passed %d day ago", "Passed %d days ago", days) % days


JWT_DATES: Final = (
    JWTDate(
        date(2024, 6, 3),
        _("No new JWT"),
        _("No new JWT credentials."),
        _("Until then, JWT credentials can still be created."),
        _("JWT credentials can no longer be created: one that is lost cannot be replaced."),
    ),
    JWTDate(
        date(2025, 1, 27),
        _("First end"),
        _("First announced end of JWT credentials, then postponed."),
        _("It was announced as the end of JWT."),
        _("It was postponed and no longer applies."),
    ),
    JWTDate(
        date(2025, 6, 30),
        _("No renewal"),
        _("JWT credentials deprecated: their certificates can no longer be renewed."),
        _("Until then, a certificate can still be renewed."),
        _("A JWT works only as long as its certificate lasts."),
    ),
    JWTDate(
        date(2026, 3, 1),
        _("End of JWT"),
        _(
            "Adobe converts the remaining credentials on that day, or earlier if their certificate expires "
            "first. Whatever still relies on JWT stops working."
        ),
        _("Migrate every instance that still holds a JWT before that day."),
        _("An instance that still holds a JWT is most likely cut off already: migrate it now."),
    ),
)
