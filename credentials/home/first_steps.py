"""What to do first in an empty portal. A step is done when its purpose is, and not when a page was opened."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, ngettext_lazy

from credentials.models import TechnicalAccount
from credentials.rollouts.models import Attempt
from instances.discovery.models import Reading
from instances.models import Container, Installation
from instances.reaching import host_keys


@dataclass(frozen=True)
class FirstStep:
    """One step of the first run. `state` is done, current or todo, or unproven where nobody can know yet."""

    title: str
    text: str
    action: str
    url: str
    state: str
    so_far: str = ""
    """How much of it is done, where that can be counted."""


def first_steps() -> list[FirstStep]:
    """Return the steps from an empty portal to the first rollout, with how far they are done."""
    targets = _targets()
    total = targets.count()
    approved = total - host_keys.without_approved(targets).count()
    entered = targets.filter(_entered()).count()
    return _numbered(
        (
            FirstStep(
                _("Import the inventory"),
                _("One row of a CSV file is one installation: an instance on a container."),
                _("Import a CSV file"),
                reverse("inventory_import"),
                _done(total > 0),
                ngettext("%d container can be pushed to.", "%d containers can be pushed to.", total) % total
                if total
                else _nothing_on(),
            ),
            FirstStep(
                _("Let the portal in"),
                _("Install the portal's public SSH key on every container, for the login that it uses."),
                _("Show the SSH key"),
                reverse("ssh_key"),
                _done(0 < total == entered) or ("unproven" if total else ""),
                _so_far(
                    ngettext_lazy(
                        "The portal has logged in to %(count)d of %(total)d containers. The first push shows "
                        "the others.",
                        "The portal has logged in to %(count)d of %(total)d containers. The first push shows "
                        "the others.",
                        "count",
                    ),
                    entered,
                    total,
                ),
            ),
            FirstStep(
                _("Approve the host keys"),
                _(
                    "Let the portal scan all containers, then compare the keys they show with their server "
                    "teams."
                ),
                _("Scan and approve"),
                reverse("host_keys"),
                _done(0 < total == approved),
                _so_far(
                    ngettext_lazy(
                        "%(count)d of %(total)d containers has an approved key.",
                        "%(count)d of %(total)d containers have an approved key.",
                        "count",
                    ),
                    approved,
                    total,
                ),
            ),
            FirstStep(
                _("Add a technical account"),
                _("The wizard follows the Adobe Developer Console step by step."),
                _("New account"),
                reverse("account_new"),
                _done(_is_account_used()),
            ),
            FirstStep(
                _("Roll its secret out"),
                _("The wizard ends with the first rollout. You can also start one on the account's page."),
                _("Go to the accounts"),
                reverse("accounts"),
                "",
            ),
        )
    )


def _targets() -> QuerySet[Container]:
    """Return the containers to which something can be pushed."""
    return Container.objects.filter(pk__in=Installation.objects.pushable().values("container"))


def _entered() -> Q:
    """Whether a push got past the login of a container, or it was read."""
    past = Attempt.objects.exclude(stage=Attempt.Stage.CONNECTING).filter(push__container=OuterRef("pk"))
    read = Reading.objects.filter(state=Reading.State.SUCCEEDED, container=OuterRef("pk"))
    return Q(Exists(past)) | Q(Exists(read))


def _is_account_used() -> bool:
    active = TechnicalAccount.objects.filter(state=TechnicalAccount.State.ACTIVE)
    pushable = Installation.objects.pushable()
    return active.filter(assignments__instance__installations__in=pushable).exists()


def _so_far(text: Promise, count: int, total: int) -> str:
    return str(text % {"count": count, "total": total}) if total else ""


def _nothing_on() -> str:
    """Why an inventory that is there is not enough, if it is there."""
    if not Installation.objects.not_retired().exists():
        return ""
    return _("Everything in the inventory is switched off, marked by hand, or hosted by Adobe.")


def _done(is_done: bool) -> str:
    return "done" if is_done else ""


def _numbered(steps: Iterable[FirstStep]) -> list[FirstStep]:
    """Give the first step that can be done now the state current, and those behind it todo."""
    result: list[FirstStep] = []
    for step in steps:
        waits = any(other.state in ("current", "todo") for other in result)
        state = step.state or ("todo" if waits else "current")
        result.append(FirstStep(step.title, step.text, step.action, step.url, state, step.so_far))
    return result
