"""The forms of rollouts and of a retry."""

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from credentials.rollouts.models import Push, Rollout
from portal.no_secrets import Form


def printable(text: str) -> None:
    """Refuse control, bidirectional and other invisible characters."""
    if not text.isprintable():
        raise ValidationError(_("This contains invisible characters. Type it instead of pasting it."))


class TextLine(forms.CharField):
    """One line of visible text."""

    default_validators = [printable]


class RetryForm(Form):
    """The optional reason of a retry, kept with every attempt that follows from it."""

    message = TextLine(
        label=_("Message"),
        required=False,
        max_length=250,
        help_text=_("Why you are retrying, or a ticket number. It is kept in the history."),
    )


class SelectionForm(RetryForm):
    """Pushes chosen on the list."""

    push = forms.ModelMultipleChoiceField(
        queryset=Push.objects.all(), error_messages={"required": _("Choose at least one push.")}
    )


class UnprovenForm(SelectionForm):
    """Unproven successes of the past, chosen to be pushed again."""

    push = forms.ModelMultipleChoiceField(
        queryset=Push.objects.unproven(), error_messages={"required": _("Choose at least one push.")}
    )


class ReviewForm(Form):
    """The confirmation before a rollout."""

    message = TextLine(
        label=_("Message for the history"),
        max_length=250,
        required=False,
        help_text=_("For example a ticket number."),
    )


class RolloutForm(ReviewForm):
    """A rollout of an account in use."""

    reason = forms.ChoiceField(
        label=_("Reason"),
        choices=[
            (Rollout.Reason.ROTATION, _("Rotation: a new secret replaces the old one")),
            (Rollout.Reason.REPAIR, _("Repair: containers lost the account, or instances are new")),
            (Rollout.Reason.ROLL_BACK, _("Roll back: the newer secret causes problems")),
        ],
        widget=forms.RadioSelect,
        initial=Rollout.Reason.ROTATION,
    )
    despite_refusal = forms.BooleanField(
        label=_("I know that Adobe refuses this secret: Campaign cannot sign in with it"), required=False
    )
    field_order = ["reason", "message"]
