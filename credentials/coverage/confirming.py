"""Confirming by hand: a person says which version an installation holds, where nothing could prove it."""

from django.db import transaction
from django.utils.translation import gettext as _

from credentials.coverage.holding import covered, with_holding
from credentials.desired import change
from credentials.models import ClientSecret, Why
from credentials.rollouts.models import ConfirmedVersion, ProvenDigest
from credentials.rollouts.starting import one_start_at_a_time
from instances.models import Installation
from portal.audit.trail import Actor, record


class NotConfirmable(Exception):
    """A version that is not confirmed; the text is for the person who asked."""


def obstacle(row: Installation, version: ClientSecret | None) -> str:
    """Return why a version cannot be confirmed on an installation with its holding, or an empty text."""
    if version is None or version.state != ClientSecret.State.USABLE:
        return _("There is no usable version that it should hold.")
    if row.is_open:  # type: ignore[attr-defined]
        return _("A push is under way there: wait until it ends, then look again.")
    if row.held_version:  # type: ignore[attr-defined]
        return _("What it holds is already known: there is nothing to confirm.")
    seen = (row.observed_client_id, row.observed_account_id)
    if not row.observed_digest or seen != (version.client_id, version.account.technical_account_id):
        return _(
            "The file was not seen with the IDs of this account, so it cannot hold a version of this account."
        )
    if ProvenDigest.objects.filter(digest=row.observed_digest).exclude(secret=version).exists():
        return _("The secret in the file is proven to be that of another version.")
    return ""


@transaction.atomic
def confirm(*, installation: Installation, digest: str, reason: str, actor: Actor) -> ClientSecret:
    """Note that an installation holds the version that it is to hold, because a person says so.

    `digest` is that of the file as the person saw it. From then on the version is desired there, and no push
    of it is asked for. `NotConfirmable` says what prevents it; then nothing was changed.
    """
    if not reason.strip():
        raise NotConfirmable(_("Give a reason: it is kept in the history."))
    one_start_at_a_time()
    row = with_holding(covered().filter(pk=installation.pk)).first()
    if row is None:
        raise NotConfirmable(_("No account is in use on this installation: nothing is compared there."))
    version = ClientSecret.objects.select_related("account").filter(pk=row.desired_version).first()
    if row.observed_digest != digest:
        raise NotConfirmable(_("The file has been seen in another state since: look again."))
    prevented = obstacle(row, version)
    if prevented or version is None:
        raise NotConfirmable(prevented)
    ConfirmedVersion.objects.filter(pk=row.pk).delete()
    ConfirmedVersion.objects.create(
        installation=row, secret=version, digest=digest, by=actor.name, reason=reason[:250]
    )
    change({row.pk: (version.pk, None)}, Why.CONFIRMED)
    details: dict[str, object] = {"version": version.version, "fingerprint": version.fingerprint}
    record("installation.confirmed", actor=actor, target=row, details=details | {"reason": reason[:250]})
    return version
