"""The forms of maintenance windows and of policies."""

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy

from credentials.models import TechnicalAccount
from credentials.rollouts.pages.forms import TextLine
from credentials.rotation.models import MaintenanceWindow, Policy, PolicyKind, Weekday
from credentials.rotation.pages.forms import StopField, wave_rule_of
from credentials.rotation.policies import refusal
from credentials.rotation.services import USUAL_STOP, USUAL_WAVES
from credentials.rotation.windows import LONGEST
from portal.no_secrets import Form, ModelForm
from portal.zones import zones


class WindowForm(ModelForm):
    """When rotations may push to an environment. Only cleans: the service saves."""

    weekdays = forms.MultipleChoiceField(
        label=gettext_lazy("Begins on"),
        choices=Weekday.choices,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Choose a day: without one this window never opens.")},
    )
    starts = forms.TimeField(
        label=gettext_lazy("At"),
        input_formats=["%H:%M"],
        widget=forms.TimeInput({"type": "time"}, format="%H:%M"),
        help_text=gettext_lazy(
            "Local time in the time zone below. If the clock skips this time when it is set forward, the "
            "window opens at the next moment that exists. If the time occurs twice, it opens the first time."
        ),
    )
    minutes = forms.IntegerField(
        label=gettext_lazy("Length in minutes"),
        min_value=1,
        max_value=LONGEST,
        help_text=gettext_lazy("At most 1440, which is a day. It may continue past midnight."),
    )
    zone = forms.ChoiceField(
        label=gettext_lazy("Time zone"), choices=lambda: [(each, each) for each in zones()]
    )

    class Meta:
        model = MaintenanceWindow
        fields = ("environment", "weekdays", "starts", "minutes", "zone")

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: Django's own
        super().__init__(*args, **kwargs)
        if not self.initial.get("zone"):
            self.initial["zone"] = settings.TIME_ZONE


EXPLAINED = {
    PolicyKind.REMIND: gettext_lazy(
        "Remind: people are told on the day it is due, and again each week. Nothing is started."
    ),
    PolicyKind.OPEN: gettext_lazy(
        "Open a rotation: the second secret is made and tried on the canary. Then a person is notified, who "
        "continues with the waves."
    ),
    PolicyKind.RUN: gettext_lazy(
        "Run by itself: the rotation goes to its end, past every gate that the portal itself sees open. At "
        "the first gate that is not, it waits and notifies a person."
    ),
}


class PolicyForm(Form):
    """How often a secret is replaced, and what the portal does then."""

    interval = forms.IntegerField(
        label=gettext_lazy("Replace the secret every"),
        min_value=Policy.SHORTEST,
        max_value=Policy.LONGEST,
        initial=90,
        help_text=gettext_lazy(
            "Days, 7 to 730, counted from when the secret was entered or its rotation ended."
        ),
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("When it is due"),
        choices=[(kind.value, text) for kind, text in EXPLAINED.items()],
        initial=PolicyKind.REMIND,
        widget=forms.RadioSelect,
    )
    wave_rule = TextLine(
        label=gettext_lazy("Waves"),
        max_length=100,
        initial=USUAL_WAVES,
        validators=[wave_rule_of],
        help_text=gettext_lazy(
            "environment, role, or sizes such as 1, 10%, 100%, as when you start a rotation."
        ),
    )
    stop_rule = StopField(
        label=gettext_lazy("Stop if more fail than"),
        max_length=10,
        initial=USUAL_STOP,
        help_text=gettext_lazy(
            "A number, or a percentage of the installations begun. With 0, the first failure stops the "
            "rotation."
        ),
    )
    is_migration_closed = forms.BooleanField(
        label=gettext_lazy("The JWT credential was deleted in the console"), required=False
    )
    message = TextLine(
        label=gettext_lazy("Message for the history"),
        max_length=250,
        required=False,
        help_text=gettext_lazy(
            "Each rotation that the policy starts gets this message, for example a ticket number."
        ),
    )

    def __init__(
        self, *args: Any, account: TechnicalAccount, policy: Policy | None, **kwargs: Any
    ) -> None:  # Any: Django's own
        super().__init__(*args, **kwargs)
        self.account = account
        if account.way != TechnicalAccount.Way.MIGRATION:
            del self.fields["is_migration_closed"]
        if policy:
            self.initial = {name: getattr(policy, name) for name in self.fields} | dict(self.initial)

    @property
    def is_migrating(self) -> bool:
        return "is_migration_closed" in self.fields

    def clean_kind(self) -> str:
        """Refuse a policy that this account cannot have, at its field."""
        kind: str = self.cleaned_data["kind"]
        if text := refusal(self.account, kind):
            raise forms.ValidationError(text)
        return kind

    def clean(self) -> dict[str, Any]:  # Any: Django's own signature
        cleaned = super().clean() or {}
        acts = cleaned.get("kind") not in (None, PolicyKind.REMIND)
        if self.is_migrating and acts and not cleaned.get("is_migration_closed"):
            text = gettext_lazy("Nothing is rotated before that: confirm it, or let the portal remind you.")
            self.add_error("is_migration_closed", text)
        return cleaned
