"""Forms of the wizard. A client secret leaves them as a `Secret`, and never goes back into a page."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from credentials import values
from credentials.adobe.console_json import MAX_BYTES, ConsoleJSONError, ConsoleValues, read
from credentials.entry import IDS, Judged, judge, judge_console, new_secret
from credentials.keys.keyring import fingerprints
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.forms import Line
from credentials.rollouts.models import Rollout
from credentials.values import CLIENT_ID, CLIENT_SECRET, LABELS
from credentials.wizard.prose import PRODUCTS
from credentials.wizard.steps import Step
from instances.models import Installation, Instance
from portal.no_secrets import Form
from portal.plaintext import Secret

OTHER = "other"
format_html_lazy = lazy(format_html, str)
_RAW = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}


class NewAccountForm(Form):
    """The way in, and the account's name."""

    way = forms.ChoiceField(
        label=_("What do you want to do?"), choices=TechnicalAccount.Way.choices, widget=forms.RadioSelect
    )
    name = Line(
        label=_("Name of the account"),
        max_length=80,
        help_text=_(
            "How people here shall call it, for example “Triggers production”. It can be seen by everybody."
        ),
    )


class NotesForm(Form):
    """What a person notes at a step of the console: the fields that the step names."""

    project = Line(label=_("Name of the project"), max_length=120, required=False)
    product = forms.ChoiceField(
        label=_("What does Campaign need the account for?"),
        required=False,
        choices=[
            (each.name, format_html_lazy("{}<small>{}</small>", each.label, each.api)) for each in PRODUCTS
        ],
        widget=forms.RadioSelect,
    )
    other_product = Line(label=_("If it is something else: which product?"), max_length=80, required=False)
    product_profile = Line(label=_("Name of the product profile"), max_length=120, required=False)

    def __init__(self, data: QueryDict | None = None, *, step: Step, account: TechnicalAccount) -> None:
        super().__init__(data, initial=_noted(account))
        wanted = {*step.notes, *(["other_product"] if "product" in step.notes else [])}
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


class VersionForm(Form):
    """Before a migration: the person knows which servers are too old."""

    confirm = forms.BooleanField(
        label=_(
            "All servers that shall use the account run 7.4.1 (build 9383) or later. I know that those "
            "listed as too old are left out until they are upgraded."
        ),
        error_messages={
            "required": _("Confirm this before you go on: older servers do not know the command.")
        },
    )


class ValuesForm(Form):
    """The four values, typed, in the order in which the console shows them."""

    use_required_attribute = False
    for_secrets = frozenset(LABELS)  # a secret in another field than its own gets better advice from `judge`
    # Plain fields: blanks and control characters are for credentials.values to judge.
    client_id = forms.Field(label=_("Client ID"), widget=forms.TextInput(_RAW))
    client_secret = forms.Field(label=_("Client secret"), widget=forms.PasswordInput(_RAW))
    technical_account_id = forms.Field(label=_("Technical account ID"), widget=forms.TextInput(_RAW))
    organization_id = forms.Field(label=_("Organization ID"), widget=forms.TextInput(_RAW))

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
        self.data = {name: "" if name in self.judged.hidden else text for name, text in raw.items()}
        return {}


class ConsoleFileForm(Form):
    """A JSON file of the console, pasted or uploaded. It is never shown again: it holds secrets."""

    text = forms.Field(label=_("Paste the JSON"), required=False, widget=forms.Textarea({**_RAW, "rows": 5}))
    file = forms.FileField(label=_("or choose the file"), required=False, allow_empty_file=True)

    client_ids: tuple[str, ...] = ()
    for_secrets = frozenset({"text"})

    @sensitive_variables()
    def read_file(self, cleaned: dict[str, Any], *, client_id: str = "") -> ConsoleValues | None:
        """Return what the file says; None after adding an error at the field that was used."""
        upload, text = cleaned.get("file"), cleaned.get("text") or ""
        try:
            return read(upload.read(MAX_BYTES + 1) if upload else text, client_id=client_id)
        except ConsoleJSONError as error:
            self.client_ids = error.client_ids
            self.add_error("file" if upload else "text", str(error))
        return None


class ValuesFileForm(ConsoleFileForm):
    """A console file that fills a draft."""

    use_client_id = forms.Field(
        label=_("Client ID to use"),
        required=False,
        widget=forms.TextInput(_RAW),
        help_text=_(
            "The file describes several credentials: enter the Client ID of the right one, and choose the "
            "file again."
        ),
    )

    judged: Judged

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
            self.judged = judge_console(found, account=self.account)
            for name, problem in self.judged.problems.items():
                self.add_error(None, f"{LABELS[name]}: {problem}")
        return {}


class NewSecretForm(ConsoleFileForm):
    """Another secret of an account in use: typed, or from a console file of the same credential."""

    client_secret = forms.Field(label=_("Client secret"), required=False, widget=forms.PasswordInput(_RAW))
    accept = forms.BooleanField(
        label=_("I compared it with the console: use it all the same"), required=False
    )

    secret: Secret
    doubt: str = ""

    def __init__(self, *args: Any, account: TechnicalAccount, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account = account

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        typed = str(cleaned.get("client_secret") or "")
        uses_file = not typed and bool(cleaned.get("file") or cleaned.get("text"))
        secret = self._from_file(cleaned) if uses_file else Secret(typed)
        self.data = {}
        if secret and not self.errors:
            self._judge(secret, accepted=bool(cleaned.get("accept")))
        return {}

    @sensitive_variables()
    def _from_file(self, cleaned: dict[str, Any]) -> Secret | None:
        found = self.read_file(cleaned, client_id=self.account.client_id)
        if found is None:
            return None
        differing = [LABELS[name] for name in IDS if getattr(found, name) != getattr(self.account, name)]
        if differing:
            self.add_error(None, _("The file has another %s than this account.") % differing[0])
        secret = new_secret(found, account=self.account)
        if secret is None:
            self.add_error(
                None, _("The file does not say which secret is the new one. Enter that secret below.")
            )
        return secret

    @sensitive_variables()
    def _judge(self, secret: Secret, *, accepted: bool) -> None:
        checked = values.check(CLIENT_SECRET, secret.reveal())
        if checked.problem:
            self.add_error(CLIENT_SECRET, str(checked.problem))
            return
        self.secret = Secret(checked.value)
        self.doubt = self._known() or " ".join(str(caution.message) for caution in checked.cautions)
        if self.doubt and not accepted:
            self.add_error(
                "accept", _("Confirm, and enter the secret again: it is never shown, so it is not kept here.")
            )

    def _known(self) -> str:
        names = fingerprints(self.secret, self.account.client_id)
        known = (
            self.account.secrets.filter(fingerprint__in=names)
            .exclude(state=ClientSecret.State.CURRENT)
            .first()
        )
        return (
            _(
                "This is the secret of version %s, which was in use before. Confirm to make that version "
                "current again, or enter the new secret."
            )
            % known.version
            if known
            else ""
        )


class InstanceSearch(Form):
    """Which instances to choose from. What makes no sense is left out."""

    q = forms.CharField(label=_("Instance or container"), required=False, max_length=80)
    environment = forms.ChoiceField(
        label=_("Environment"), required=False, choices=[("", _("Any")), *Instance.Environment.choices]
    )

    def select(self, instances: QuerySet[Instance]) -> QuerySet[Instance]:
        """Return those of `instances` that fit."""
        self.is_valid()
        if text := self.cleaned_data.get("q"):
            on_container = Installation.objects.filter(container__name__icontains=text).values("instance")
            instances = instances.filter(Q(name__icontains=text) | Q(pk__in=on_container))
        if environment := self.cleaned_data.get("environment"):
            instances = instances.filter(environment=environment)
        return instances

    def address(self, page: str = "") -> str:
        """Return the part of an address, from its question mark on, that shows a page of this search."""
        self.is_valid()
        chosen = {name: text for name, text in self.cleaned_data.items() if text}
        return "?" + urlencode({**chosen, **({"page": page} if page else {})})


MOVES = ("find", "turn", "all", "none", "wide")
"""Buttons that keep a choice and show it again: another search or page, all or none found, all instances."""


def pressed(data: QueryDict, usual: str) -> str:
    """Return which button sent a form; `usual` where it does not say."""
    return "turn" if "turn" in data else data.get("action", usual)


def moved_to(request: HttpRequest, search: InstanceSearch) -> str:
    """Return the address part of where such a button leads."""
    if pressed(request.POST, "") == "find":
        return InstanceSearch(request.POST).address()
    return search.address(request.POST.get("turn") or request.GET.get("page", ""))


class InstallationsForm(Form):
    """The chosen installations; what can be chosen is for `choices` to say."""

    def __init__(self, data: QueryDict, *, total: int) -> None:
        super().__init__(data)
        self.total = total

    def clean(self) -> dict[str, Any]:
        if not self.total:
            raise ValidationError(_("Choose at least one instance with one container."))
        return {}


class ReviewForm(Form):
    """The last word before a rollout."""

    message = Line(
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
        ],
        widget=forms.RadioSelect,
        initial=Rollout.Reason.ROTATION,
    )
    despite_refusal = forms.BooleanField(
        label=_("I know that Adobe refuses this secret: Campaign cannot sign in with it"), required=False
    )
    field_order = ["reason", "message"]
