"""What people do with technical accounts: enter their values and secrets, assign and retire them."""

import uuid
from collections.abc import Iterable

from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_variables

from credentials.desired import desire_nothing, set_goal
from credentials.keys import vault
from credentials.keys.keyring import fingerprints
from credentials.models import Assignment, ClientSecret, TechnicalAccount, Why
from instances.models import NOT_RETIRED, Instance
from instances.requirements import all_met
from portal.audit.trail import Actor, Entry, record, record_all
from portal.plaintext import Secret


class AccountError(Exception):
    """A person's verb on an account that the rules refuse; the text is for that person."""


class NoPlace(AccountError):
    """Two versions of a secret are usable already, as many as Adobe allows."""


@sensitive_variables()
@transaction.atomic
def add_secret(*, account: TechnicalAccount, plaintext: Secret, actor: Actor) -> tuple[ClientSecret, bool]:
    """Store a secret of an account: a new version, encrypted at once, or one that it already has.

    Returns the version and whether it is new. A version is a plaintext, one to one. Nothing else changes: no
    container, no goal, until the version is rolled out. `AccountError` for a secret that was deleted at
    Adobe, and where two versions are usable already.
    """
    account = TechnicalAccount.objects.select_for_update().get(pk=account.pk)
    names = fingerprints(plaintext, account.client_id)
    same = account.secrets.filter(fingerprint__in=names, client_id=account.client_id)
    known = same.order_by("-version").first()
    if known:
        return _known(known, actor), False
    latest: int = account.secrets.aggregate(latest=Max("version"))["latest"] or 0
    version = ClientSecret(
        account=account,
        version=latest + 1,
        slot=_free_slot(account),
        client_id=account.client_id,
        fingerprint=names[0],
        entered_by=actor.user,
        entered_by_name=actor.name,
    )
    version.ciphertext = vault.seal_version(version, plaintext)
    version.save(force_insert=True)
    record(
        "client_secret.entered",
        actor=actor,
        target=account,
        details={"version": version.version, "fingerprint": version.fingerprint},
    )
    return version, True


def _known(version: ClientSecret, actor: Actor) -> ClientSecret:
    """Return a version whose plaintext was entered again, usable; `AccountError` if it cannot be."""
    if version.state in (ClientSecret.State.DELETING, ClientSecret.State.DELETED):
        raise AccountError(
            _("This is the secret of version %s, which was deleted at Adobe. Enter one that exists.")
            % version.version
        )
    if version.state == ClientSecret.State.ABANDONED:
        version.state, version.slot = ClientSecret.State.USABLE, _free_slot(version.account)
        version.save(update_fields=["state", "slot"])
        details: dict[str, object] = {"version": version.version, "fingerprint": version.fingerprint}
        record("client_secret.selected", actor=actor, target=version.account, details=details)
    return version


def _free_slot(account: TechnicalAccount) -> int:
    """Return a free place for another version. A draft keeps no version that it does not use."""
    if account.state == TechnicalAccount.State.DRAFT:
        _abandon(account.secrets.filter(slot__isnull=False))
    taken = set(account.secrets.exclude(slot=None).values_list("slot", flat=True))
    free = sorted(set(ClientSecret.SLOTS) - taken)
    if not free:
        raise NoPlace(
            _(
                "Two versions of this secret are in use, as many as Adobe allows. Take one of them out of "
                "use first."
            )
        )
    return free[0]


def _abandon(versions: QuerySet[ClientSecret]) -> None:
    versions.update(state=ClientSecret.State.ABANDONED, slot=None)


@transaction.atomic
def abandon(*, version: ClientSecret, actor: Actor) -> None:
    """Give up a usable version that nothing needs. It can be entered again."""
    _abandon(ClientSecret.objects.filter(pk=version.pk, state=ClientSecret.State.USABLE))
    details: dict[str, object] = {"version": version.version, "fingerprint": version.fingerprint}
    record("client_secret.abandoned", actor=actor, target=version.account, details=details)


@transaction.atomic
def record_ims_verdict(*, version: ClientSecret, verdict: str, actor: Actor) -> None:
    """Keep what Adobe IMS said about a version."""
    version.ims_verdict, version.ims_checked = verdict, timezone.now()
    version.save(update_fields=["ims_verdict", "ims_checked"])
    record(
        "client_secret.checked",
        actor=actor,
        target=version.account,
        details={"version": version.version, "fingerprint": version.fingerprint, "verdict": verdict},
    )


@transaction.atomic
def assign(*, account: TechnicalAccount, instances: Iterable[Instance], actor: Actor) -> None:
    """Make instances use an account; `AccountError` where one is retired or Adobe sets the account itself."""
    wanted = list({instance.pk: instance for instance in instances}.values())
    for instance in wanted:
        if instance.retired:
            raise AccountError(_("%s is retired in the inventory.") % instance)
        if not instance.is_pushable:
            raise AccountError(
                _("%s is hosted by Adobe, which sets its technical account itself.") % instance
            )
    former = _accounts_of(wanted)
    changed = [instance for instance in wanted if former.get(instance.pk) != account]
    Assignment.objects.bulk_create(
        [Assignment(instance=instance, account=account, assigned_by=actor.name) for instance in changed],
        update_conflicts=True,
        unique_fields=["instance"],
        update_fields=["account", "assigned", "assigned_by"],
    )
    if former:
        of_others = Q(installation__instance__in=changed) & ~Q(version__account=account)
        desire_nothing(of_others, Why.ASSIGNED)
    names = {pk: former_account.name for pk, former_account in former.items()}
    record_all(
        [
            Entry(
                "account.assigned",
                account,
                {"instance": instance.name, "former_account": names.get(instance.pk, "")},
            )
            for instance in changed
        ],
        actor=actor,
    )


@transaction.atomic
def unassign(*, instances: Iterable[Instance], actor: Actor, message: str) -> int:
    """Let instances use no account any more; return how many did. What their containers hold stays there.

    Open pushes to them end before anything is sent. `AccountError` without a reason.
    """
    if not message.strip():
        raise AccountError(_("Give a reason: it is kept in the history."))
    using = Assignment.objects.filter(instance__in=list(instances)).select_for_update(of=("self",))
    found = list(using.select_related("account", "instance").order_by("pk"))
    Assignment.objects.filter(pk__in=[each.pk for each in found]).delete()
    here = Q(installation__instance__in=[each.instance_id for each in found])
    desire_nothing(here, Why.UNASSIGNED)
    record_all(
        [
            Entry("account.unassigned", each.account, {"instance": each.instance.name, "message": message})
            for each in found
        ],
        actor=actor,
    )
    return len(found)


def _accounts_of(instances: list[Instance]) -> dict[uuid.UUID, TechnicalAccount]:
    found = Assignment.objects.filter(instance__in=instances).select_related("account")
    return {assignment.instance_id: assignment.account for assignment in found}


@transaction.atomic
def activate(*, account: TechnicalAccount, actor: Actor) -> None:
    """Turn a complete draft into an active account."""
    if account.state == TechnicalAccount.State.ACTIVE:
        return
    if account.state == TechnicalAccount.State.RETIRED or account.newest_version is None:
        raise AccountError(_("Only a draft with its four values can become active."))
    account.state = TechnicalAccount.State.ACTIVE
    account.save(update_fields=["state"])
    record("account.activated", actor=actor, target=account)


def assignments_in_use(account: TechnicalAccount) -> QuerySet[Assignment]:
    """Return which instances use an account, those that are retired left out."""
    return account.assignments.filter(all_met([NOT_RETIRED.of("instance")]))


@transaction.atomic
def retire(*, account: TechnicalAccount, actor: Actor) -> None:
    """Take an account out of use; its history stays. `AccountError` while instances still use it.

    Retired instances do not count.
    """
    if TechnicalAccount.objects.filter(pk=account.pk, is_rotating=True).exists():
        raise AccountError(
            _("A rotation of this account is open. Wait until it ends, or take it back first.")
        )
    using = assignments_in_use(account)
    if using.exists():
        names = ", ".join(str(assignment.instance) for assignment in using[:5])
        text = ngettext(
            "Still used by %s. Assign another account to it first.",
            "Still used by %s. Assign another account to them first.",
            using.count(),
        )
        raise AccountError(text % names)
    account.state = TechnicalAccount.State.RETIRED
    account.save(update_fields=["state"])
    set_goal(account=account, version=None, why=Why.VERSION_ENDED, actor=actor)
    desire_nothing(Q(version__account=account), Why.VERSION_ENDED)
    _abandon(account.secrets.filter(state=ClientSecret.State.USABLE))
    record("account.retired", actor=actor, target=account)
