"""The filters of the history."""

from datetime import datetime, time

from django import forms
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from portal.audit.models import AuditEvent
from portal.audit.words import GROUPS

LARGEST = 2**63 - 1


class HistoryForm(forms.Form):
    """Which events to show. Every field is optional; a field that makes no sense is named and left out."""

    since = forms.DateField(
        label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    until = forms.DateField(
        label=_("Until"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    who = forms.CharField(label=_("Who"), required=False, max_length=150)
    action = forms.ChoiceField(
        label=_("About"), required=False, choices=lambda: [("", _("Everything")), *GROUPS.items()]
    )
    object = forms.CharField(label=_("Object"), required=False, max_length=250)
    text = forms.CharField(label=_("Text"), required=False, max_length=100)

    def chosen(self) -> dict[str, str]:
        """Return the filters that are set and make sense, as plain text for the record."""
        self.is_valid()
        return {name: str(value) for name, value in self.cleaned_data.items() if value not in (None, "")}

    def select(self, events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        """Return those of `events` that fit the filters."""
        self.is_valid()
        data = self.cleaned_data
        if data.get("since"):
            events = events.filter(at__gte=_midnight(data["since"], time.min))
        if data.get("until"):
            events = events.filter(at__lte=_midnight(data["until"], time.max))
        if data.get("who"):
            events = events.filter(actor_name__icontains=data["who"])
        if data.get("action"):
            events = events.filter(action__startswith=f"{data['action']}.")
        if data.get("object"):
            named = Q(target_name__icontains=data["object"]) | Q(target_id=data["object"])
            events = events.filter(named)
        return _containing(events, data["text"]) if data.get("text") else events


def _midnight(day: datetime, at: time) -> datetime:
    return timezone.make_aware(datetime.combine(day, at))


def _containing(events: QuerySet[AuditEvent], text: str) -> QuerySet[AuditEvent]:
    words = Q(details_text__icontains=text) | Q(action__icontains=text) | Q(target_name__icontains=text)
    return events.alias(details_text=Cast("details", TextField())).filter(
        words | Q(actor_name__icontains=text) | Q(ip=text[:45])
    )


class PositionForm(forms.Form):
    """Where in the list: before or after which event."""

    before = forms.IntegerField(required=False, min_value=1, max_value=LARGEST)
    after = forms.IntegerField(required=False, min_value=0, max_value=LARGEST)


def visible_to(user: User | AnonymousUser, events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
    """Return all events, or a person's own where they may not see everybody's."""
    return events if user.has_perm("audit.view_all_events") else events.filter(actor=user.pk)
