"""What to say where a name or a Client ID is already taken: by which account, and what to do about it."""

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, User
from django.db import models
from django.urls import reverse
from django.utils.html import format_html
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.models import TechnicalAccount
from credentials.services import AccountError
from portal.audit.trail import Actor

State = TechnicalAccount.State
_NAME = {
    State.DRAFT: gettext_lazy(
        "The draft “%(name)s” has this name%(changed)s. Continue with that draft, delete it, or choose "
        "another name."
    ),
    State.ACTIVE: gettext_lazy(
        "The account “%(name)s”, which is in use, has this name. Use that account, or choose another name."
    ),
    State.RETIRED: gettext_lazy(
        "The retired account “%(name)s” has this name and keeps it for the history. Choose another name."
    ),
}
_CLIENT_ID = {
    State.DRAFT: gettext_lazy(
        "The draft “%(name)s” has this Client ID%(changed)s. Continue with that draft, or delete it."
    ),
    State.ACTIVE: gettext_lazy(
        "The account “%(name)s”, which is in use, has this Client ID. Use that account: you can add another "
        "secret to it as a new version. Retire it first only if nothing needs it any more."
    ),
}


class Taken(AccountError):
    """`account` already has the name or the Client ID that somebody entered."""

    def __init__(self, message: str, account: TechnicalAccount) -> None:
        super().__init__(message)
        self.account = account


def name_taken(name: str, actor: Actor) -> Taken | None:
    """Return the error about the account that has this name in any letter case; None if nobody has it."""
    account = _with_draft().filter(name__iexact=name).first()
    return Taken(_NAME[State(account.state)] % _facts(account, actor), account) if account else None


def client_id_taken(client_id: str, actor: Actor) -> Taken | None:
    """Return the error about the draft or active account with this Client ID; None if there is none."""
    account = _with_draft().filter(client_id=client_id).exclude(state=State.RETIRED).first()
    return Taken(_CLIENT_ID[State(account.state)] % _facts(account, actor), account) if account else None


def linked(error: AccountError, user: User | AbstractBaseUser | AnonymousUser) -> str:
    """Return the text of an error for a page, with a link to the other account for those who may see it."""
    if not isinstance(error, Taken) or not isinstance(user, User):
        return str(error)
    if not user.has_perm("credentials.view_technicalaccount"):
        return str(error)
    url = reverse("account", args=[error.account.pk])
    return format_html('{} <a href="{}">{}</a>', str(error), url, _("Open %s") % error.account.name)


def _with_draft() -> models.QuerySet[TechnicalAccount]:
    return TechnicalAccount.objects.select_related("draft")


def _facts(account: TechnicalAccount, actor: Actor) -> dict[str, str]:
    draft = getattr(account, "draft", None)
    if draft is None:
        return {"name": account.name, "changed": ""}
    is_own = actor.user is not None and draft.changed_by_id == actor.user.pk
    who = _("you") if is_own else draft.changed_by_name
    when = f"{localtime(draft.changed):%Y-%m-%d %H:%M}"
    return {
        "name": account.name,
        "changed": _(" (last changed by %(who)s, %(when)s)") % {"who": who, "when": when},
    }
