"""Moments that people type: in the portal's time zone, where an hour may be missing or come twice."""

import re
from datetime import UTC, date, datetime, time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.html import format_html
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from portal.no_secrets import Form
from portal.web.tags import moment as shown

LONGEST = 40
LAST_SECOND = time(23, 59, 59)
FRENCH_DAY = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?!\d)")
FIRST_YEAR = 1971
"""Nothing older was seen, and arithmetic with offsets is safe from there on."""


def parse_moment(text: str, *, now: datetime | None = None) -> datetime:
    """Return the moment that somebody typed; `ValidationError` says what is wrong with it.

    A day alone is its end, and today alone is now; a time alone is today's. A second is its end as well:
    pages say moments in whole seconds, and what happened in one is asked for by it. Without an offset it is
    local time. One that the clock skipped, or that came twice, is refused: the person adds the offset. So is
    one that has not come yet.
    """
    now = now or timezone.now()
    text = _as_iso(text.strip(), timezone.localdate(now))
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
    return moment if moment.microsecond else min(moment.replace(microsecond=999_999), now)


def _as_iso(text: str, today: date) -> str:
    """Write a time alone, and a day as it is written in French, as ISO 8601 has it.

    `3/4/2026` is read in French alone: in English it is one day or another.
    """
    if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text):
        return f"{today} {text.zfill(5) if len(text) < 6 else text.zfill(8)}"
    if (get_language() or "").startswith("fr") and (found := FRENCH_DAY.match(text)):
        day, month, year = found.groups()
        return f"{year}-{month:0>2}-{day:0>2}{text[found.end() :].replace(' à ', ' ')}"
    return text


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
    """The moment that somebody asks about, in the zone that its label names."""

    at = forms.CharField(
        label=gettext_lazy("As of"),
        required=False,
        max_length=LONGEST,
        widget=forms.TextInput(
            attrs={"class": "moment-input", "placeholder": "2026-03-14 15:30", "autocomplete": "off"}
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: Django's own signature
        super().__init__(*args, **kwargs)
        self.fields["at"].label = f"{self.fields['at'].label} ({timezone.get_current_timezone_name()})"

    def clean_at(self) -> datetime | None:
        text = self.cleaned_data["at"]
        return parse_moment(text) if text.strip() else None

    @property
    def meant(self) -> str:
        """Which moment is meant by a day alone; empty if a time was typed, or nothing that makes sense."""
        moment = self.cleaned_data.get("at") if self.is_bound and hasattr(self, "cleaned_data") else None
        day = parse_date(_as_iso(str(self["at"].value()).strip(), timezone.localdate())) if moment else None
        if moment is None or day is None:
            return ""
        text = _("A day without a time means its end: {moment} ({zone}).")
        if (
            day == timezone.localdate(moment)
            and timezone.localtime(moment).time().replace(microsecond=0) != LAST_SECOND
        ):
            text = _("Today without a time means now: {moment} ({zone}).")
        return format_html(text, moment=shown(moment), zone=timezone.get_current_timezone_name())


def asked_as_of() -> dict[str, object]:
    """Return what a page needs that has the form, but leaves the answer to a timeline."""
    return {"as_of": AsOf(), "zone": timezone.get_current_timezone_name()}
