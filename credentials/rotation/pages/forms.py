"""The forms of rotations."""

from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.pages.forms import TextLine, printable
from credentials.rotation import moving
from credentials.rotation.models import Rotation
from credentials.rotation.plans import RuleError, StopRule, WaveRule
from credentials.rotation.services import (
    USUAL_STOP,
    USUAL_WAVES,
    gate_of,
    number_problems,
    spares,
    usual_way,
)
from credentials.rotation.verbs import Verb
from credentials.secret_form import NewSecretForm
from instances import by_names
from instances.models import Installation
from portal.no_secrets import Form

NUMBERS = ("numeric_organization_id", "credential_id")


MOST_LISTED = 50
"""Longer lists are not offered: the name is typed."""
MOST_TYPED = 250


class InstallationField(forms.ModelChoiceField):  # type: ignore[type-arg]  # not generic when it runs
    """An installation of an account: chosen from a list, or typed where the list would be long."""

    def offer(self, rows: "QuerySet[Installation]") -> None:
        """Take these installations, by the list or by their names; one statement."""
        self.queryset = rows
        if len(rows.values_list("pk")[: MOST_LISTED + 1]) > MOST_LISTED:
            self.widget = forms.TextInput({"maxlength": MOST_TYPED})
            self.widget.is_required = self.required
            typed = _("Type both names, such as prod1 on mkt-2.")
            empty = "" if self.required else _("If you type nothing, the portal proposes one.")
            self.help_text = " ".join(filter(None, (str(self.help_text), typed, empty)))

    def label_from_instance(self, obj: Installation) -> str:
        return f"{obj.label} ({obj.instance.get_environment_display()})"

    def prepare_value(self, value: Any) -> Any:  # Any: Django's own
        """Return the id for a list; where names are typed, both names."""
        if isinstance(self.widget, forms.Select) or not isinstance(value, UUID):
            return super().prepare_value(value)
        found = self._offered.filter(pk=value).first()
        return found.label if found else ""

    def to_python(self, value: Any) -> Any:  # Any: Django's own
        """Return the installation with this id, or where names are typed, with these two in full."""
        try:
            return super().to_python(value)
        except ValidationError:
            if isinstance(self.widget, forms.Select):
                raise
            printable(str(value))
            return self._named(str(value)[: MOST_TYPED + 1])

    @property
    def _offered(self) -> "QuerySet[Installation]":
        return Installation.objects.none() if self.queryset is None else self.queryset

    def _named(self, text: str) -> Installation:
        typed = by_names.pairs(text)
        found = list(self._offered.filter(by_names.exactly(typed))[:2])
        if len(found) == 1:
            return found[0]
        if found:
            names = {"one": found[0].label, "other": found[1].label}
            raise ValidationError(_("That may be %(one)s or %(other)s: type both names in full.") % names)
        near = self._offered.filter(by_names.fits(typed)).first()
        if near:
            raise ValidationError(_("No name is exactly that. Did you mean %(name)s?") % {"name": near.label})
        raise ValidationError(
            _(
                "The portal reaches no installation of this account with that name. Type both names, "
                "such as prod1 on mkt-2."
            )
        )


def _installations(account: TechnicalAccount) -> "QuerySet[Installation]":
    """Return those that can be the canary: the portal reaches them."""
    rows = moving.installations(account).exclude(pk__in=moving.by_hand(account).values("pk"))
    rows = rows.select_related("instance", "container")
    return rows.order_by("instance__name", "container__name")


def wave_rule_of(text: str) -> None:
    """Validate a wave rule that a person typed."""
    _refuse(WaveRule.parse, text)


def _stop_rule(text: str) -> None:
    _refuse(StopRule.parse, text)


def _refuse(parse: Any, text: str) -> None:  # Any: a rule's own `parse`
    try:
        parse(text)
    except RuleError as error:
        raise ValidationError(str(error)) from None


class StopField(TextLine):
    """The stop rule."""

    default_validators = [*TextLine.default_validators, _stop_rule]


class StartForm(Form):
    """A new rotation."""

    numeric_organization_id = TextLine(
        label=gettext_lazy("Organization number"), required=False, max_length=32
    )
    credential_id = TextLine(label=gettext_lazy("Credential number"), required=False, max_length=32)
    way = forms.ChoiceField(
        label=gettext_lazy("Who adds and deletes secrets at Adobe"),
        choices=Rotation.Way.choices,
        widget=forms.RadioSelect,
    )
    version = forms.ModelChoiceField(
        label=gettext_lazy("Second secret"),
        queryset=ClientSecret.objects.none(),
        required=False,
        empty_label=gettext_lazy("A new one"),
    )
    canary = InstallationField(
        label=gettext_lazy("Canary"),
        queryset=Installation.objects.none(),
        required=False,
        empty_label=gettext_lazy("The portal proposes one"),
        help_text=gettext_lazy("The one installation that gets the new secret before all others."),
    )
    wave_rule = TextLine(
        label=gettext_lazy("Waves after the canary"),
        max_length=100,
        initial=USUAL_WAVES,
        validators=[wave_rule_of],
        help_text=gettext_lazy(
            "environment: development, then stage, then production. role: one role after the other. Or sizes "
            "such as 1, 10%, 100%; the last one repeats until none is left."
        ),
    )
    stop_rule = StopField(
        label=gettext_lazy("Stop if more fail than"),
        max_length=10,
        initial=USUAL_STOP,
        help_text=gettext_lazy(
            "A number, or a percentage of the installations begun. With 0, the first failure stops the "
            "rotation. Failed, unknown and not proven all count."
        ),
    )
    is_leak = forms.BooleanField(
        label=gettext_lazy("The secret has leaked: skip all waiting"),
        required=False,
        help_text=gettext_lazy(
            "After the canary everything is pushed at once, maintenance windows are ignored, and the old "
            "secret is deleted as soon as every installation is verified. Anyone else who uses it is cut off."
        ),
    )
    is_migration_closed = forms.BooleanField(
        label=gettext_lazy("The JWT credential was deleted in the console"), required=False
    )
    message = TextLine(
        label=gettext_lazy("Message for the history"),
        max_length=250,
        required=False,
        help_text=gettext_lazy("For example a ticket number."),
    )

    def __init__(self, *args: Any, account: TechnicalAccount, **kwargs: Any) -> None:  # Any: Django's own
        super().__init__(*args, **kwargs)
        self.account = account
        self.fields["canary"].offer(_installations(account))  # type: ignore[attr-defined]
        spare = spares(account)
        self.fields["version"].queryset = spare  # type: ignore[attr-defined]
        if not spare.exists():
            del self.fields["version"]
        if account.way != TechnicalAccount.Way.MIGRATION:
            del self.fields["is_migration_closed"]
        self.initial = {name: getattr(account, name) for name in NUMBERS} | dict(self.initial)
        self.initial.setdefault("way", usual_way(account))

    def clean(self) -> dict[str, Any]:  # Any: Django's own
        """Say at their fields which numbers are missing or wrong."""
        typed = super().clean() or {}
        numbers = [typed.get(name, "") for name in NUMBERS]
        is_for_api = typed.get("way") == Rotation.Way.API
        for name, problem in number_problems(*numbers, is_for_api=is_for_api).items():
            if name not in self.errors:
                self.add_error(name, problem)
        return typed

    @property
    def has_spare(self) -> bool:
        return "version" in self.fields


class VerbForm(Form):
    """What a verb wants to be told."""

    message = TextLine(
        label=gettext_lazy("Why"),
        max_length=250,
        help_text=gettext_lazy("It is kept in the history."),
    )
    reason = TextLine(
        label=gettext_lazy("Why this gate is passed early"),
        max_length=250,
        help_text=gettext_lazy("It is kept in the history, with your name."),
    )
    note = TextLine(
        label=gettext_lazy("What you saw or did"),
        max_length=250,
        help_text=gettext_lazy("It is kept in the history, with your name."),
    )
    stop_rule = StopField(label=gettext_lazy("Stop if more fail than"), max_length=10)
    canary = InstallationField(label=gettext_lazy("Canary"), queryset=Installation.objects.none())
    used = forms.DateTimeField(
        label=gettext_lazy("Last used"),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text=gettext_lazy(
            "In your time zone, as the console shows it. Leave empty if it was never used."
        ),
    )

    def __init__(
        self, *args: Any, verb: Verb, rotation: Rotation, **kwargs: Any
    ) -> None:  # Any: Django's own
        super().__init__(*args, **kwargs)
        self.rotation = rotation
        for name in set(self.fields) - set(verb.fields):
            del self.fields[name]
        if "canary" in self.fields:
            self.fields["canary"].offer(_installations(rotation.account))  # type: ignore[attr-defined]
            self.initial["canary"] = rotation.canary_id
        self.initial.setdefault("stop_rule", rotation.stop_rule)

    def values(self, verb: Verb) -> dict[str, Any]:  # Any: what the verb takes
        """Return the keywords of the verb; the gate is the one that the page showed."""
        values = dict(self.cleaned_data)
        if "gate" in verb.fields:
            values["gate"] = str(self.data.get("gate") or gate_of(self.rotation) or "")
            values["shown"] = self.data.getlist("shown")  # type: ignore[attr-defined]  # a QueryDict
        return values


def secret_form(rotation: Rotation, *args: Any) -> NewSecretForm:  # Any: Django's own
    """Return the form that takes a secret."""
    return NewSecretForm(*args, account=rotation.account)
