"""The forms of an account in use."""

from django import forms
from django.utils.translation import gettext_lazy as _

from portal.no_secrets import Form


class GoalForm(Form):
    """Why another version becomes the goal."""

    message = forms.CharField(
        label=_("Reason"), required=False, max_length=250, help_text=_("Kept in the history.")
    )
