"""Filters of the lists of rollouts and pushes, and the forms of a retry."""

from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from credentials.models import TechnicalAccount
from credentials.rollouts.models import Push, Rollout, is_retried_lately
from instances.failures import Code
from instances.menders import Mender, mended_by
from portal.names import has_name
from portal.no_secrets import Form
from portal.presets import Preset, preset

ANY = ("", _("All"))


class AccountFilter(Form):
    """The filter of a list that can be limited to one account."""

    account = forms.ChoiceField(label=_("Account"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: Django's own signature
        super().__init__(*args, **kwargs)
        accounts = TechnicalAccount.objects.values_list("pk", "name")
        field = cast("forms.ChoiceField", self.fields["account"])
        field.choices = [ANY, *((str(pk), name) for pk, name in accounts)]  # read once, asked for twice


def printable(text: str) -> None:
    """Refuse control, bidirectional and other invisible characters."""
    if not text.isprintable():
        raise ValidationError(_("This contains invisible characters. Type it instead of pasting it."))


class TextLine(forms.CharField):
    """One line of visible text."""

    default_validators = [printable]


class RolloutFilter(AccountFilter):
    """Which rollouts to list. What makes no sense is named at its field and left out."""

    reason = forms.ChoiceField(label=_("Reason"), required=False, choices=[ANY, *Rollout.Reason.choices])

    def select(self, rollouts: QuerySet[Rollout]) -> QuerySet[Rollout]:
        """Return those of `rollouts` that fit."""
        self.is_valid()
        if account := self.cleaned_data.get("account"):
            rollouts = rollouts.filter(secret__account=account)
        if reason := self.cleaned_data.get("reason"):
            rollouts = rollouts.filter(reason=reason)
        return rollouts


class PushFilter(Form):
    """Which pushes of one rollout to show."""

    state = forms.ChoiceField(required=False, choices=[ANY, *Push.State.choices])

    def select(self, pushes: QuerySet[Push]) -> QuerySet[Push]:
        """Return those of `pushes` that fit."""
        state = self.cleaned_data.get("state") if self.is_valid() else ""
        return pushes.filter(state=state) if state else pushes


class FailedPushFilter(AccountFilter):
    """Which failed and unknown pushes to show."""

    instance = forms.CharField(
        label=_("Instance"),
        required=False,
        max_length=40,
        widget=forms.TextInput({"placeholder": "prod1, prod*"}),
    )
    container = forms.CharField(
        label=_("Container"),
        required=False,
        max_length=80,
        widget=forms.TextInput({"placeholder": "mkt-2, mkt-*"}),
    )
    mender = forms.ChoiceField(label=_("Who can mend it"), required=False, choices=[ANY, *Mender.choices])
    code = forms.ChoiceField(label=_("What happened"), required=False, choices=[ANY, *Code.choices])
    state = forms.ChoiceField(
        label=_("State"),
        required=False,
        choices=[ANY, *((s.value, s.label) for s in (Push.State.FAILED, Push.State.UNKNOWN))],
    )

    ACCOUNT = "rollout__secret__account"
    NAMES = {"instance": "installation__instance__name", "container": "container__name"}
    """Whole names: a retry of all that was found must not take mkt-20 for mkt-2."""

    def select(self, pushes: QuerySet[Push]) -> QuerySet[Push]:
        """Return those of `pushes` that fit; one that was just retried fits whatever its outcome is now."""
        self.is_valid()
        chosen = {name: value for name, value in self.cleaned_data.items() if value}
        where = Q()
        if account := chosen.pop("account", None):
            where &= Q(**{self.ACCOUNT: account})
        for name, column in self.NAMES.items():
            if name in chosen:
                where &= has_name(column, chosen.pop(name))
        if mender := chosen.pop("mender", None):
            chosen["code__in"] = mended_by(mender)
        found = pushes.filter(where)
        return found.filter(Q(**chosen) | is_retried_lately()) if chosen else found

    def presets(self, *, is_admin: bool) -> list[Preset]:
        """Return the link that narrows the list to what this person can mend."""
        self.is_valid()
        chosen = {name: str(value) for name, value in self.cleaned_data.items() if value}
        mine = Mender.ADMIN if is_admin else Mender.HELPDESK
        return [preset(_("Yours to mend"), {"mender": mine.value}, chosen)]

    @property
    def is_narrowed(self) -> bool:
        """Whether any filter is set."""
        return any(self.data.get(name) for name in self.fields)


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
