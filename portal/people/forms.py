"""Forms about people. Passwords are checked by the validators of the settings and never shown again."""

from datetime import date
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, UserCreationForm, UsernameField
from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from portal.day_input import DayInput
from portal.no_secrets import Form, ModelForm, RefusesSecrets
from portal.people.models import Preferences
from portal.roles import EXPLAINED, ROLES
from portal.zones import zones

if TYPE_CHECKING:
    _UserCreationForm = UserCreationForm[User]
else:
    _UserCreationForm = UserCreationForm  # generic in the stubs only


def role_choices() -> list[tuple[str, Promise]]:
    """Return each role with what it may do, for radio cards."""
    return [(role, EXPLAINED[role]) for role in ROLES]


class SignInForm(RefusesSecrets, AuthenticationForm):
    """Django's form, which would try a name of any length."""

    username = UsernameField(max_length=150, widget=forms.TextInput(attrs={"autofocus": True}))


class RoleForm(Form):
    role = forms.ChoiceField(label=_("Role"), choices=role_choices, widget=forms.RadioSelect)


class PersonForm(RefusesSecrets, _UserCreationForm):
    """A new person. Only cleans: the service saves."""

    role = forms.ChoiceField(label=_("Role"), choices=role_choices, widget=forms.RadioSelect)

    field_order = ["username", "role", "password1", "password2"]


def zone_choices() -> list[tuple[str, object]]:
    """Return the server's zone, which is the default, and all others."""
    default = _("Same as the server: %s") % settings.TIME_ZONE
    return [("", default), *((each, each) for each in zones())]


def language_choices() -> list[tuple[str, object]]:
    """Return the browser's choice, which is the default, and all languages of the portal."""
    return [("", _("Same as the browser")), *settings.LANGUAGES]


class PreferencesForm(ModelForm):
    """How a person wants to see pages. Nothing of it changes what is stored, sent or exported."""

    zone = forms.ChoiceField(label=_("Time zone"), required=False, choices=zone_choices)
    language = forms.ChoiceField(label=_("Language"), required=False, choices=language_choices)
    exact_times = forms.TypedChoiceField(
        label=_("Times in lists"),
        coerce=lambda value: value == "True",
        choices=[
            ("False", _("Relative: 5 min ago")),
            ("True", _("Exact: 2026-03-14 15:30:00")),
        ],
        widget=forms.RadioSelect,
    )

    class Meta:
        model = Preferences
        fields = ("zone", "language", "exact_times")

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: Django's own
        super().__init__(*args, **kwargs)
        if len(settings.LANGUAGES) == 1:
            del self.fields["language"]


class DayForm(Form):
    """A day of the history; today, if none is chosen."""

    EARLIEST = date(1970, 1, 2)

    on = forms.DateField(label=_("Day"), required=False, widget=DayInput)

    def clean_on(self) -> date:
        today = timezone.localdate()
        day: date = self.cleaned_data["on"] or today
        if day > today:
            raise forms.ValidationError(_("This day has not come yet."), code="to_come")
        if day < self.EARLIEST:
            raise forms.ValidationError(_("The history does not go back that far."))
        return day
