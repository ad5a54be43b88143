"""Accounts and instances as people name them at the command line; the error is that of a wrong call."""

from collections.abc import Collection

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.models import TechnicalAccount
from instances.models import Instance
from portal.command_line import did_you_mean, named, wrong_call

State = TechnicalAccount.State
_INSTEAD = {
    State.DRAFT: gettext_lazy("%s is still a draft: finish it in the wizard, or delete it there."),
    State.RETIRED: gettext_lazy("%s is retired: nothing uses it any more."),
}


def active_account(name: str) -> TechnicalAccount:
    """Return the active account with this name."""
    account = named(TechnicalAccount.objects.all(), name, _("There is no technical account %s."))
    if account.state != State.ACTIVE:
        raise wrong_call(str(_INSTEAD[State(account.state)]) % account)
    return account


def instances_named(names: Collection[str]) -> list[Instance]:
    """Return the instances with these names: every one, or an error about those that are not there."""
    found = list(Instance.objects.filter(name__in=names))
    missing = sorted(set(names) - {each.name for each in found})
    if missing:
        known = list(Instance.objects.values_list("name", flat=True))
        suggestions = did_you_mean(missing[0], known)
        raise wrong_call(
            _("Not in the inventory: %(names)s.%(suggestions)s")
            % {"names": ", ".join(missing), "suggestions": suggestions}
        )
    return found
