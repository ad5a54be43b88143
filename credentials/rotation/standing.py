"""How a policy is: when it is due, and what keeps it from starting a rotation by itself; codes and words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Why(models.TextChoices):
    """What keeps a policy that is due from starting a rotation."""

    NOBODY = "nobody", _("nobody is responsible for it")
    TRIED = "tried", _("it has already started one for this secret")
    NO_NUMBERS = "no_numbers", _("the numbers for Adobe's API are missing")
    MIGRATION = "migration", _("a migration from JWT may be open")
    REFUSED = "refused", _("the start was refused")


WHY: Mapping[str, Promise] = {
    Why.NOBODY: _(
        "Its policy does nothing by itself: the person who set it is no longer allowed to rotate secrets. "
        "Another admin must set it again."
    ),
    Why.TRIED: _(
        "Its policy has already started a rotation of this secret, which was taken back. It does not start "
        "another: start one yourself, or set the policy again."
    ),
    Why.NO_NUMBERS: _(
        "Its policy cannot run by itself: the account no longer has numbers for Adobe's API. Enter them, or "
        "choose another policy."
    ),
    Why.MIGRATION: _(
        "Adobe does not rotate secrets while a migration from JWT is open. Set the policy again, and confirm "
        "there that the JWT credential is gone."
    ),
    Why.REFUSED: _("Its policy could not start a rotation. Start one on the page of the account."),
}


@dataclass(frozen=True)
class Standing:
    """How a policy is now. `why` is a code of `Why`, if it starts nothing by itself."""

    due: datetime
    is_due: bool
    why: str = ""

    @property
    def reason(self) -> Promise | str:
        return WHY[self.why] if self.why else ""
