"""What people do with technical accounts: enter their values and secrets, assign and retire them."""

import uuid
from collections.abc import Iterable

from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from credentials.keys import vault
from credentials.keys.keyring import fingerprints
from credentials.models import Assignment, ClientSecret, TechnicalAccount
from instances.models import NOT_RETIRED, Instance
from instances.requirements import all_met
from portal.audit.trail import Actor, Entry, record, record_all
from portal.plaintext import Secret


class AccountError(Exception):
    """A person's verb on an account that the rules refuse; the text is for that person."""


@sensitive_variables()
@transaction.atomic
def add_secret(*, account: TechnicalAccount, plaintext: Secret, actor: Actor) -> tuple[ClientSecret, bool]:
    """Make a secret the account's current version: a new one, encrypted at once, or one it already has.

    Returns the version and whether it is new. A version is a plaintext, one to one: the current secret
    entered again changes nothing, an older one is made current again. The former current version becomes the
    previous one.
    """
    account = TechnicalAccount.objects.select_for_update().get(pk=account.pk)
    names = fingerprints(plaintext, account.client_id)
    current = account.current_secret
    if current and current.fingerprint in names and current.client_id == account.client_id:
        return current, False
    same = account.secrets.filter(fingerprint__in=names, client_id=account.client_id)
    known = same.order_by("-version").first()
    account.secrets.filter(state=ClientSecret.State.CURRENT).update(state=ClientSecret.State.PREVIOUS)
    if known:
        known.state = ClientSecret.State.CURRENT
        known.save(update_fields=["state"])
        details: dict[str, object] = {"version": known.version, "fingerprint": known.fingerprint}
        record("client_secret.selected", actor=actor, target=account, details=details)
        return known, False
    latest: int = account.secrets.aggregate(latest=Max("version"))["latest"] or 0
    version = ClientSecret(
        account=account,
        version=latest + 1,
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


def _accounts_of(instances: list[Instance]) -> dict[uuid.UUID, TechnicalAccount]:
    found = Assignment.objects.filter(instance__in=instances).select_related("account")
    return {assignment.instance_id: assignment.account for assignment in found}


@transaction.atomic
def activate(*, account: TechnicalAccount, actor: Actor) -> None:
    """Turn a complete draft into an active account."""
    if account.state == TechnicalAccount.State.ACTIVE:
        return
    if account.state == TechnicalAccount.State.RETIRED or account.current_secret is None:
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
    using = assignments_in_use(account)
    if using.exists():
        names = ", ".join(str(assignment.instance) for assignment in using[:5])
        raise AccountError(_("Still used by %s. Assign another account to them first.") % names)
    account.state = TechnicalAccount.State.RETIRED
    account.save(update_fields=["state"])
    account.secrets.exclude(state=ClientSecret.State.REVOKED).update(state=ClientSecret.State.REVOKED)
    record("account.retired", actor=actor, target=account)
