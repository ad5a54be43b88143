"""Moments that people type: in the portal's time zone, where an hour may be missing or come twice."""

from datetime import UTC, datetime, time

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.no_secrets import Form

LONGEST = 40
LAST_SECOND = time(23, 59, 59)
FIRST_YEAR = 1971
"""Nothing older was seen, and arithmetic with offsets is safe from there on."""


def parse_moment(text: str, *, now: datetime | None = None) -> datetime:
    """Return the moment that somebody typed; `ValidationError` says what is wrong with it.

    A day alone is its end, and today alone is now. Without an offset it is local time. One that the clock
    skipped, or that came twice, is refused: the person adds the offset. So is one that has not come yet.
    """
    text, now = text.strip(), now or timezone.now()
    try:
        day = parse_date(text)
        found = datetime.combine(day, LAST_SECOND) if day else parse_datetime(text)
    except ValueError:
        raise ValidationError(_("There is no such day or time.")) from None
    if found is None or not FIRST_YEAR <= found.year <= 9998:
        raise ValidationError(_("Write a day, or a day and a time, such as 2026-03-14 15:30."))
    if day == timezone.localdate(now):
        return now
    moment = found if found.tzinfo else _in_local_time(found)
    if moment > now:
        raise ValidationError(_("This moment is in the future."))
    return moment


def _in_local_time(naive: datetime) -> datetime:
    zone = timezone.get_current_timezone()
    early, late = naive.replace(tzinfo=zone, fold=0), naive.replace(tzinfo=zone, fold=1)
    if early.utcoffset() == late.utcoffset():
        return early
    if early.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != naive:
        raise ValidationError(
            _("There was no such time here: the clock was set forward past it. Write a time before or after.")
        )
    one, other = (each.isoformat(" ", "minutes") for each in (early, late))
    raise ValidationError(
        _("This time occurred twice because the clock was set back. Write which one: %(one)s or %(other)s.")
        % {"one": one, "other": other}
    )


class AsOf(Form):
    """The moment that somebody asks about."""

    at = forms.CharField(
        label=gettext_lazy("As of"),
        required=False,
        max_length=LONGEST,
        widget=forms.TextInput(
            attrs={"class": "moment-input", "placeholder": "2026-03-14 15:30", "autocomplete": "off"}
        ),
    )

    def clean_at(self) -> datetime | None:
        text = self.cleaned_data["at"]
        return parse_moment(text) if text.strip() else None


def asked_as_of() -> dict[str, object]:
    """Return what a page needs that has the form, but leaves the answer to a timeline."""
    return {"as_of": AsOf(), "zone": timezone.get_current_timezone_name()}
