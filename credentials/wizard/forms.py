"""Forms of the wizard. A client secret leaves them as a `Secret`, and never goes back into a page."""

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from credentials import values
from credentials.adobe.console_json import ConsoleValues
from credentials.adobe.guide import PRODUCTS
from credentials.console_form import RAW, ConsoleFileForm
from credentials.entry import IDS, Judged, judge, judge_console
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.pages.forms import TextLine
from credentials.values import CLIENT_ID, CLIENT_SECRET, LABELS
from credentials.wizard.steps import Step
from portal.no_secrets import Form
from portal.punctuation import labelled

OTHER = "other"
format_html_lazy = lazy(format_html, str)


class NewAccountForm(Form):
    """The way in, and the account's name."""

    way = forms.ChoiceField(
        label=_("What do you want to do?"), choices=TechnicalAccount.Way.choices, widget=forms.RadioSelect
    )
    name = TextLine(
        label=_("Name of the account"),
        max_length=80,
        help_text=_("A name your team will recognize, such as “Triggers production”. Visible to everyone."),
    )


class NotesForm(Form):
    """What a person notes at a step of the console: the fields that the step names."""

    project = TextLine(label=_("Name of the project"), max_length=120, required=False)
    product = forms.ChoiceField(
        label=_("What does Campaign need the account for?"),
        required=False,
        choices=[
            (each.name, format_html_lazy("{}<small>{}</small>", each.label, each.api)) for each in PRODUCTS
        ],
        widget=forms.RadioSelect,
    )
    other_product = TextLine(
        label=_("If it is something else, which product?"), max_length=80, required=False
    )
    product_profile = TextLine(label=_("Name of the product profile"), max_length=120, required=False)

    def __init__(self, data: QueryDict | None = None, *, step: Step, account: TechnicalAccount) -> None:
        super().__init__(data, initial=_noted(account))
        wanted = {"name", *step.notes, *(["other_product"] if "product" in step.notes else [])}
        for name in set(self.fields) - wanted:
            del self.fields[name]

    @property
    def notes(self) -> dict[str, str]:
        """The account's fields to keep."""
        found: dict[str, str] = dict(self.cleaned_data)
        other = found.pop("other_product", "")
        if found.get("product") == OTHER and other:
            found["product"] = other
        return found


def _noted(account: TechnicalAccount) -> dict[str, str]:
    known = {product.name for product in PRODUCTS}
    other = account.product if account.product not in {*known, ""} else ""
    return {
        "project": account.project,
        "product": OTHER if other else account.product,
        "other_product": other,
        "product_profile": account.product_profile,
    }


class CredentialForm(NotesForm):
    """The account's name, and what can be noted of the credential."""

    name = TextLine(
        label=_("Name of the account"),
        max_length=80,
        help_text=_("A name your team will recognize, such as “Triggers production”. Visible to everyone."),
    )
    field_order = ("name", "project", "product", "other_product", "product_profile")

    def __init__(self, data: QueryDict | None = None, *, step: Step, account: TechnicalAccount) -> None:
        super().__init__(data, step=step, account=account)
        self.initial["name"] = account.name

    @property
    def notes(self) -> dict[str, str]:
        """The account's fields to keep; its name is changed apart."""
        return {name: text for name, text in super().notes.items() if name != "name"}


class VersionForm(Form):
    """Before a migration: the person knows which servers are too old."""

    confirm = forms.BooleanField(
        label=_(
            "All servers that will use the account run 7.4.1 (build 9383) or later. I know that those "
            "listed as too old are left out until they are upgraded."
        ),
        error_messages={
            "required": _("Confirm this before you continue: older servers do not have the command.")
        },
    )


class ValuesForm(Form):
    """The four values, typed, in the order in which the console shows them."""

    use_required_attribute = False
    for_secrets = frozenset(LABELS)  # a secret in another field than its own gets better advice from `judge`
    # Plain fields: blanks and control characters are for credentials.values to judge.
    client_id = forms.Field(label=_("Client ID"), widget=forms.TextInput(RAW))
    client_secret = forms.Field(label=_("Client secret"), widget=forms.PasswordInput(RAW))
    technical_account_id = forms.Field(label=_("Technical account ID"), widget=forms.TextInput(RAW))
    organization_id = forms.Field(label=_("Organization ID"), widget=forms.TextInput(RAW))

    judged: Judged

    def __init__(
        self, data: QueryDict | None = None, *, account: TechnicalAccount, stored: ClientSecret | None
    ) -> None:
        super().__init__(data, initial={name: getattr(account, name) for name in IDS})
        self.stored = stored
        self.fields[CLIENT_SECRET].required = stored is None

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        raw = {name: self.data.get(name, "") for name in LABELS}
        keeps = self.stored is not None and raw[CLIENT_ID].strip() == self.stored.client_id
        self.judged = judge(raw, keeps_secret=keeps)
        self.errors.clear()
        for name, problem in self.judged.problems.items():
            self.add_error(name, str(problem))
        if self.stored and not keeps and not raw[CLIENT_SECRET].strip() and CLIENT_ID not in self.errors:
            self.add_error(CLIENT_ID, self._another(self.stored))
        self.data = {name: "" if name in self.judged.hidden else text for name, text in raw.items()}
        return {}

    def _another(self, stored: ClientSecret) -> str:
        """Say at the Client ID why the client secret is missed, which may be empty otherwise."""
        text = _(
            "The stored client secret belongs to another Client ID (%(former)s): put that one back, or enter "
            "the client secret of this one."
        )
        return str(text) % {"former": stored.client_id}


class ValuesFileForm(ConsoleFileForm):
    """A console file that fills a draft."""

    use_client_id = forms.Field(
        label=_("Client ID to use"),
        required=False,
        widget=forms.TextInput(RAW),
        help_text=_(
            "The file describes several credentials: enter the Client ID of the right one, and choose the "
            "file again."
        ),
    )

    replace = forms.BooleanField(
        label=_("Use the credential in this file instead of the one entered before"), required=False
    )

    judged: Judged
    is_another = False
    """Whether the file is of another credential than the one entered before."""

    def __init__(self, *args: Any, account: TechnicalAccount, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account = account

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        wanted = str(cleaned.get("use_client_id") or "").strip()[: values.MAX_LENGTH]
        found = self.read_file(cleaned, client_id=wanted)
        shown = self.client_ids and values.shape_of(wanted) == CLIENT_ID
        self.data = {"use_client_id": wanted if shown else ""}
        if found:
            self._refuse_another(found, is_meant=bool(cleaned.get("replace")))
            self.judged = judge_console(found, account=self.account)
            for name, problem in self.judged.problems.items():
                self.add_error(None, labelled(LABELS[name], problem))
        return {}

    def _refuse_another(self, found: ConsoleValues, *, is_meant: bool) -> None:
        """Refuse a file of another credential than the one entered before, unless the person means it."""
        former = self.account.client_id
        if not former or found.client_id == former or is_meant:
            return
        self.is_another = True
        is_plain = values.shape_of(found.client_id) == CLIENT_ID  # never show what may be a secret
        text = _(
            "This file belongs to a different credential: its Client ID is %(new)s, but %(former)s was "
            "entered before. Nothing was changed. To use the credential in the file, tick this box and "
            "choose the file again."
        )
        new = found.client_id if is_plain else _("a different one")
        self.add_error("replace", str(text) % {"new": new, "former": former})


class NewFromFileForm(ValuesFileForm):
    """A console file that begins a draft. Its name may wait, and comes back if the file is refused."""

    name = TextLine(
        label=_("Name of the account"),
        max_length=80,
        required=False,
        help_text=_(
            "A name your team will recognize. If you leave it empty, the project name in the file is used, "
            "if it has one."
        ),
    )
    is_migration = forms.BooleanField(
        label=_("It replaces a retired Service Account (JWT) credential (migration)"), required=False
    )
    field_order = ("file", "text", "use_client_id", "name", "is_migration")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, account=TechnicalAccount(), auto_id="json_%s", **kwargs)
        self.fields["file"].label = _("Choose the file")
        self.fields["text"].label = _("or paste its contents")

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        typed = {name: self.data.get(name, "") for name in ("name", "is_migration")}
        way = "migration" if self.cleaned_data.get("is_migration") else "new"
        found = {"name": self.cleaned_data.get("name", ""), "way": way}
        super().clean()
        self.data = {**self.data, **typed}
        return found
