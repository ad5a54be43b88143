"""The filters of the history."""

import re
from datetime import date, datetime, time

from django import forms
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from portal.audit.chain.kept_head import Head
from portal.audit.labels import EXPORTED, EXPORTS, GROUPS, HISTORY, name_filters
from portal.audit.models import GROUP, AuditEvent
from portal.day_input import DayInput
from portal.names import STAR, has_name
from portal.no_secrets import Form

LARGEST = 2**63 - 1


def _names() -> forms.TextInput:
    return forms.TextInput({"aria-describedby": "name-help"})


class HistoryForm(Form):
    """Which events to show. Every field is optional; a field that makes no sense is named and left out."""

    since = forms.DateField(label=_("From"), required=False, widget=DayInput)
    until = forms.DateField(label=_("Until"), required=False, widget=DayInput)
    who = forms.CharField(label=_("Who"), required=False, max_length=150, widget=_names())
    action = forms.ChoiceField(
        label=_("About"),
        required=False,
        choices=lambda: [("", _("Everything")), (EXPORTED, _("Exports")), *GROUPS.items()],
    )
    object = forms.CharField(label=_("Object"), required=False, max_length=250, widget=_names())
    text = forms.CharField(label=_("Text"), required=False, max_length=100)
    readings = forms.BooleanField(label=_("Show who read the history"), required=False)

    def chosen(self) -> dict[str, str]:
        """Return the filters that are set and make sense, as plain text for the record."""
        self.is_valid()
        return {
            name: str(value) for name, value in self.cleaned_data.items() if value not in (None, "", False)
        }

    def times(self) -> tuple[datetime | None, datetime | None]:
        """Return the beginning of the first day and the end of the last one, as far as they are chosen."""
        self.is_valid()
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        return since and _midnight(since, time.min), until and _midnight(until, time.max)

    @property
    def is_search(self) -> bool:
        """Whether a filter is set that no index answers."""
        return not {"who", "object", "text"}.isdisjoint(self.chosen())

    @property
    def hides_readings(self) -> bool:
        """Whether the page leaves out who read the history; an export never does."""
        return not self.cleaned_data.get("readings") and self.cleaned_data.get("action") != "history"

    def select(self, events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        """Return those of `events` that fit the filters."""
        since, until = self.times()
        data = self.cleaned_data
        if since:
            events = events.filter(at__gte=since)
        if until:
            events = events.filter(at__lte=until)
        if data.get("who"):
            events = events.filter(has_name("actor_name", data["who"]))
        if data.get("action") == EXPORTED:
            events = events.filter(action__in=EXPORTS)
        elif data.get("action"):
            events = events.alias(group=GROUP).filter(group=f"{data['action']}.")
        if data.get("object"):
            events = events.filter(_about(data["object"]))
        return _containing(events, data["text"]) if data.get("text") else events


name_filters(HISTORY, HistoryForm)


def _midnight(day: date, at: time) -> datetime:
    return timezone.make_aware(datetime.combine(day, at))


def _about(typed: str) -> Q:
    """Return the condition that an event's object is this one, or that its name is made of this one's.

    Names are made like `#12 Triggers`, `prod1 on mkt-2`, `prod1 on mkt-2 (rollout #12)`. A star at the end
    asks for names that begin so.
    """
    name = typed.strip()
    beginning = "(^|^#[0-9]+ | on |[(]rollout )"
    end = "( on | [(]|[)]|$)"
    if name.startswith("#"):
        end = "( |[)]|$)"
    if name.endswith(STAR):
        end = ""
    return Q(target_name__iregex=beginning + re.escape(name.rstrip(STAR)) + end) | Q(target_id=name)


def _containing(events: QuerySet[AuditEvent], text: str) -> QuerySet[AuditEvent]:
    words = Q(details_text__icontains=text) | Q(action__icontains=text) | Q(target_name__icontains=text)
    return events.alias(details_text=Cast("details", TextField())).filter(
        words | Q(actor_name__icontains=text) | Q(ip=text[:45])
    )


class PositionForm(Form):
    """Where in the list: before or after which event."""

    before = forms.IntegerField(required=False, min_value=1, max_value=LARGEST)
    after = forms.IntegerField(required=False, min_value=0, max_value=LARGEST)


class EarlierHeadForm(Form):
    """A head of the history that somebody noted elsewhere."""

    head = forms.CharField(
        label=_("Earlier head"),
        required=False,
        max_length=200,
        help_text=_(
            "Paste a head that you noted earlier to see whether the history still contains it: "
            "a number, a colon and 64 hexadecimal digits."
        ),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def clean_head(self) -> str:
        """Return the head in the form in which a verification compares it."""
        try:
            return str(_noted(self.cleaned_data["head"])) if self.cleaned_data["head"] else ""
        except ValueError as error:
            raise forms.ValidationError(
                _("This is not a head: paste the number, the colon and all 64 digits.")
            ) from error


def _noted(typed: str) -> Head:
    """Return a head that somebody may have noted; `ValueError` for what no portal ever showed."""
    head = Head.parse(typed)
    if head.seq == 0 and not head.is_in_chain:  # entries begin with 1
        raise ValueError
    return head


class ExplanationForm(Form):
    """Why a noted head is not in the history."""

    head = forms.CharField(max_length=200, widget=forms.HiddenInput)
    reason = forms.CharField(
        label=_("Explanation"),
        max_length=250,
        help_text=_("Such as: mistyped, the head ends in 4f. It stays in the history under your name."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def clean_head(self) -> Head:
        """Return the head that the page showed."""
        try:
            return Head.parse(self.cleaned_data["head"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


def visible_to(user: User | AnonymousUser, events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
    """Return all events, or a person's own where they may not see everybody's."""
    return events if user.has_perm("audit.view_all_events") else events.filter(actor=user.pk)
