"""Verbs on versions of a secret, beyond rolling them out: enter another one, choose the goal."""

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_variables

from credentials.desired import set_goal
from credentials.models import ClientSecret, TechnicalAccount, Why
from credentials.rollouts.models import (
    ConfirmedVersion,
    ProvenDigest,
    ProvenWrite,
    Push,
    ReportedVersion,
    Rollout,
    is_as_seen,
)
from credentials.services import AccountError, NoPlace, abandon, add_secret
from instances.models import Installation
from portal.audit.trail import Actor, record
from portal.plaintext import Secret

SHOWN = 5
"""Installations that an error names."""


@sensitive_variables()
@transaction.atomic
def enter(
    *, account: TechnicalAccount, plaintext: Secret, actor: Actor, is_rotation: bool = False
) -> tuple[ClientSecret, bool]:
    """Store a secret of an account in use, as `add_secret` does, and make room for it.

    Where two versions are usable already, one that nothing needs is abandoned: it is not the goal, and no
    installation holds or desires it. `AccountError` says where both are needed. While a rotation of the
    account is open, nobody else enters one.
    """
    account = TechnicalAccount.objects.select_for_update().get(pk=account.pk)
    if account.is_rotating and not is_rotation:
        raise AccountError(_("A rotation of this account is open: enter the new secret there."))
    try:
        with transaction.atomic():
            return add_secret(account=account, plaintext=plaintext, actor=actor)
    except NoPlace:
        _make_room(account, actor)
        return add_secret(account=account, plaintext=plaintext, actor=actor)


def _make_room(account: TechnicalAccount, actor: Actor) -> None:
    usable = account.secrets.filter(state=ClientSecret.State.USABLE).order_by("version")
    for version in usable:
        if version.pk != account.goal_id and not needing(version).exists():
            abandon(version=version, actor=actor)
            return
    raise AccountError(_needed(usable))


def needing(version: ClientSecret) -> QuerySet[Installation]:
    """Return the installations in use that hold or desire a version, or have an open push of it.

    Whether that is proven there, proven of the same secret elsewhere, or confirmed or reported by a person.
    """
    mine = {"installation": OuterRef("pk")}
    holds = ProvenWrite.objects.as_seen().filter(secret=version, **mine)
    reported = ReportedVersion.objects.filter(
        is_as_seen(installation="installation__"), secret=version, **mine
    )
    confirmed = ConfirmedVersion.objects.as_seen().filter(secret=version, **mine)
    elsewhere = ProvenDigest.objects.filter(secret=version).exclude(digest="").values("digest")
    seen = Q(observed_client_id=version.client_id, observed_digest__in=elsewhere)
    opened = Push.objects.open().filter(rollout__secret=version, **mine)
    desires = Q(desired__version=version, instance__assignment__account=version.account_id)
    return Installation.objects.not_retired().filter(
        desires | seen | Exists(holds) | Exists(confirmed) | Exists(reported) | Exists(opened)
    )


def usual_reason(version: ClientSecret) -> Rollout.Reason:
    """Return why a version is rolled out, as far as the account's past tells."""
    former = Rollout.objects.filter(secret__account=version.account)
    if former.filter(secret__version__gt=version.version).exists():
        return Rollout.Reason.ROLL_BACK
    if version.rollouts.exists():
        return Rollout.Reason.REPAIR
    return Rollout.Reason.ROTATION if former.exists() else Rollout.Reason.NEW


def _needed(versions: QuerySet[ClientSecret]) -> str:
    """Say why no version can go, for the person who enters a third one."""
    sentences = [
        _("Adobe allows two secrets at a time, and both are in use. Roll one of them out everywhere first.")
    ]
    for version in versions:
        rows = needing(version).select_related("instance", "container").order_by("pk")
        names = ", ".join(each.label for each in rows[:SHOWN])
        count = rows.count()
        text = ngettext(
            "Version %(version)s: %(count)s installation (%(names)s).",
            "Version %(version)s: %(count)s installations (%(names)s …).",
            count,
        )
        if count:
            sentences.append(text % {"version": version.version, "count": count, "names": names})
        elif version.pk == version.account.goal_id:
            sentences.append(_("Version %s is the goal.") % version.version)
    return " ".join(sentences)


@transaction.atomic
def make_goal(*, version: ClientSecret, actor: Actor, message: str = "") -> bool:
    """Make a usable version the goal of its account; nothing is pushed. False if it is the goal already.

    `AccountError` for a version that can no longer be used.
    """
    account = TechnicalAccount.objects.select_for_update().get(pk=version.account_id)
    fresh = ClientSecret.objects.get(pk=version.pk)
    if fresh.state != ClientSecret.State.USABLE or account.state != TechnicalAccount.State.ACTIVE:
        raise AccountError(
            _("Version %s can no longer be used, so it was not made the goal.") % fresh.version
        )
    if account.is_rotating:
        raise AccountError(_("A rotation of this account is open: it decides what the goal is."))
    former = account.goal.version if account.goal else None
    if not set_goal(account=account, version=fresh, why=Why.CHOSEN, actor=actor, message=message):
        return False
    details: dict[str, object] = {"version": fresh.version, "former": former, "message": message}
    record("account.goal_chosen", actor=actor, target=account, details=details)
    return True
