"""Choosing installations on a page: the search among them, the buttons of the choice, and what will run."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext_lazy as _

from credentials.models import TechnicalAccount
from credentials.rollouts.choosing import Choice, Selection
from instances.models import Installation, Instance
from instances.nlserver import Account, review_command
from portal.no_secrets import Form


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
            installed = Installation.objects.not_retired()
            on_container = installed.filter(container__name__icontains=text).values("instance")
            instances = instances.filter(Q(name__icontains=text) | Q(pk__in=on_container))
        if environment := self.cleaned_data.get("environment"):
            instances = instances.filter(environment=environment)
        return instances

    def address(self, page: str = "") -> str:
        """Return the part of an address, from its question mark on, that shows a page of this search."""
        self.is_valid()
        chosen = {name: text for name, text in self.cleaned_data.items() if text}
        return "?" + urlencode({**chosen, **({"page": page} if page else {})})


MOVES = ("find", "turn", "all", "none", "wide", "preview")
"""Buttons that keep a choice and show it again: another search or page, all or none found, all instances, or
what would happen as it is chosen now."""


def pressed(data: QueryDict, usual: str) -> str:
    """Return which button sent a form; `usual` where it does not say."""
    return "turn" if "turn" in data else data.get("action", usual)


def moved_to(request: HttpRequest, search: InstanceSearch) -> str:
    """Return the address part of where such a button leads."""
    if pressed(request.POST, "") == "find":
        return InstanceSearch(request.POST).address()
    return search.address(request.POST.get("turn") or request.GET.get("page", ""))


class InstallationsForm(Form):
    """The chosen installations; `rollouts.choosing` says which ones can be chosen."""

    def __init__(self, data: QueryDict, *, total: int) -> None:
        super().__init__(data)
        self.total = total

    def clean(self) -> dict[str, Any]:
        if not self.total:
            raise ValidationError(_("Choose at least one instance with one container."))
        return {}


@dataclass(frozen=True)
class Command:
    """The command that runs on each chosen container of one instance."""

    choice: Choice
    text: str


def commands(account: TechnicalAccount, selection: Selection) -> list[Command]:
    """Return one command per chosen instance."""
    values = Account(account.organization_id, account.client_id, account.technical_account_id)
    return [
        Command(choice, review_command(choice.instance.name, values)) for choice in selection.chosen_choices
    ]
