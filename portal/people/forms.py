"""Forms about people. Passwords are checked by the validators of the settings and never shown again."""

from typing import TYPE_CHECKING

from django import forms
from django.contrib.auth.forms import AuthenticationForm, UserCreationForm, UsernameField
from django.contrib.auth.models import User
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from portal.no_secrets import Form, RefusesSecrets
from portal.roles import EXPLAINED, ROLES

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
