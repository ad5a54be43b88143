"""How accounts and rollouts are shown outside of their own pages: words of the history, states, and icons."""

import re

from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from credentials.models import TechnicalAccount
from credentials.rollouts.models import Push, Rollout
from instances.models import label_of
from portal.audit import labels
from portal.web.icons import name_icons
from portal.web.tags import word_states

labels.page_of(
    TechnicalAccount.audit_name,
    "account",
    TechnicalAccount.objects,
    permission="credentials.view_technicalaccount",
)
labels.page_of("push", "push", Push.objects, permission="rollouts.view_rollout")
labels.name_rows("account", TechnicalAccount.objects)
labels.name_values("was", Push.State.choices)
labels.name_values(
    "pack", [("account", _("of an account")), ("rotation", _("of a rotation")), ("period", _("of a period"))]
)
labels.name_values("reason", Rollout.Reason.choices)
labels.name_values("state", TechnicalAccount.State.choices)

_PUSH = re.compile(r"(.+) \(rollout #(\d+)\)")


def push_in_words(name: str) -> str:
    """Return the kept name of a push in the language of the page."""
    found = _PUSH.fullmatch(name)
    if found is None:
        return name
    return gettext("%(place)s (rollout #%(number)s)") % {"place": label_of(found[1]), "number": found[2]}


labels.name_in_words("push", push_in_words)
labels.page_of("rollout", "rollout", Rollout.objects, permission="rollouts.view_rollout")
labels.register(
    details={
        "account": pgettext_lazy("history detail", "account"),
        "attempt": pgettext_lazy("history detail", "attempt"),
        "client_id": pgettext_lazy("history detail", "client ID"),
        "confirmed": pgettext_lazy("history detail", "confirmed"),
        "differs": pgettext_lazy("history detail", "differs"),
        "credential_id": pgettext_lazy("history detail", "ID of the credential at Adobe"),
        "digest": pgettext_lazy("history detail", "digest"),
        "doubt": pgettext_lazy("history detail", "doubt"),
        "fingerprint_entered": pgettext_lazy("history detail", "fingerprint entered"),
        "former_account": pgettext_lazy("history detail", "former account"),
        "gate": pgettext_lazy("history detail", "gate"),
        "given_up": pgettext_lazy("history detail", "given up"),
        "interval": pgettext_lazy("history detail", "interval"),
        "leak": pgettext_lazy("history detail", "old secret has leaked"),
        "measured": pgettext_lazy("history detail", "measured"),
        "minutes": pgettext_lazy("history detail", "minutes"),
        "outcome": pgettext_lazy("history detail", "outcome"),
        "new": pgettext_lazy("history detail", "new"),
        "numeric_organization_id": pgettext_lazy("history detail", "numeric organization ID"),
        "old": pgettext_lazy("history detail", "old"),
        "organization_id": pgettext_lazy("history detail", "organization ID"),
        "pack": pgettext_lazy("history detail", "pack"),
        "policy": pgettext_lazy("history detail", "policy"),
        "proof": pgettext_lazy("history detail", "proof"),
        "proven": pgettext_lazy("history detail", "proven"),
        "push": pgettext_lazy("history detail", "push"),
        "rollout": pgettext_lazy("history detail", "rollout"),
        "rollouts": pgettext_lazy("history detail", "rollouts"),
        "rotation": pgettext_lazy("history detail", "rotation"),
        "rule": pgettext_lazy("history detail", "rule"),
        "secret": pgettext_lazy("history detail", "secret"),
        "starts": pgettext_lazy("history detail", "starts"),
        "state": pgettext_lazy("history detail", "state"),
        "stop": pgettext_lazy("history detail", "stops"),
        "superseded": pgettext_lazy("history detail", "earlier pushes superseded"),
        "technical_account_id": pgettext_lazy("history detail", "technical account ID"),
        "unproven": pgettext_lazy("history detail", "unproven"),
        "until": pgettext_lazy("history detail", "until"),
        "used": pgettext_lazy("history detail", "used"),
        "verdict": pgettext_lazy("history detail", "verdict"),
        "version": pgettext_lazy("history detail", "version"),
        "waves": pgettext_lazy("history detail", "waves"),
        "weekdays": pgettext_lazy("history detail", "weekdays"),
        "zone": pgettext_lazy("history detail", "zone"),
    },
    groups={
        "account": _("Technical accounts"),
        "client_secret": _("Client secrets"),
        "keyring": _("Key ring"),
        "draft": _("Drafts"),
        "rotation": _("Rotations"),
        "maintenance_window": _("Maintenance windows"),
        "rollout": _("Rollouts"),
        "push": _("Pushes"),
        "drift": _("Drift"),
        "fingerprint_key": _("Fingerprint key"),
    },
    labels={
        "account.created": _("Account created"),
        "account.renamed": _("Account renamed"),
        "account.values_entered": _("Account values entered"),
        "account.values_confirmed": _("Account values confirmed"),
        "account.assigned": _("Account assigned"),
        "account.unassigned": _("Account removed from an instance"),
        "account.goal_chosen": _("Goal of an account chosen"),
        "account.activated": _("Account activated"),
        "account.retired": _("Account retired"),
        "client_secret.entered": _("Client secret entered"),
        "client_secret.selected": _("Abandoned client secret in use again"),
        "client_secret.abandoned": _("Client secret abandoned"),
        "client_secret.fingerprint_replaced": _("Fingerprint made with a new key"),
        "client_secret.checked": _("Client secret checked with Adobe"),
        "client_secret.used_unconfirmed": _("Client secret rolled out without Adobe's yes"),
        "client_secret.made_at_adobe": _("Second client secret made by Adobe"),
        "client_secret.deletion_begun": _("Client secret taken out of use, to be deleted at Adobe"),
        "client_secret.deleted": _("Client secret deleted at Adobe, and destroyed here"),
        "account.numbers_entered": _("Adobe's numbers for an account entered"),
        "rotation.started": _("Rotation started"),
        "rotation.paused": _("Rotation paused"),
        "rotation.stopped": _("Rotation stopped by its rule"),
        "rotation.continued": _("Rotation continued"),
        "rotation.gate_passed": _("Gate of a rotation passed early"),
        "rotation.taken_back": _("Rotation taken back"),
        "rotation.turned_round": _("Rotation continued with the new secret after all"),
        "rotation.leak_declared": _("All waits of a rotation skipped: the old secret has leaked"),
        "rotation.deletion_confirmed": _("Deletion of a secret in the console confirmed"),
        "rotation.room_asked": _("Deletion of a second secret at Adobe requested"),
        "rotation.goes_by_hand": _("Rotation continued by hand"),
        "rotation.canary_chosen": _("Canary of a rotation chosen"),
        "rotation.usage_reported": _("Last use of the old secret entered by hand"),
        "rotation.held": _("Rotation held: nobody is responsible for it"),
        "rotation.put_off": _("Wave of a rotation postponed to the next window"),
        "rotation.ended": _("Rotation ended"),
        "account.policy_set": _("Rotation policy of an account set"),
        "account.policy_removed": _("Rotation policy of an account removed"),
        "maintenance_window.created": _("Maintenance window added"),
        "maintenance_window.changed": _("Maintenance window changed"),
        "maintenance_window.removed": _("Maintenance window removed"),
        "rollout.requested": _("Rollout started"),
        "rollout.cancelled": _("Rollout cancelled"),
        "push.retried": _("Push retried"),
        "push.look_requested": _("Look at a failed push requested"),
        "push.succeeded": _("Push succeeded"),
        "push.failed": _("Push failed"),
        "push.unknown": _("Push with unknown outcome"),
        "push.superseded": _("Push superseded"),
        "installation.confirmed": _("Version on an installation confirmed by hand"),
        "installation.reported_by_hand": _("Installation reported by hand"),
        "drift.found": _("File changed on a container"),
        "drift.accepted": _("Changed file accepted"),
        "push.cancelled": _("Push cancelled"),
        "draft.deleted": _("Draft deleted"),
        "keyring.rotated": _("Secrets encrypted with the newest key"),
        "fingerprint_key.replaced": _("Fingerprint key replaced"),
        "portal.proofs_derived": _("Proofs of earlier pushes derived again"),
    },
)
labels.offer("rotation", "rollout", "push", "client_secret")
word_states(
    {
        "queued": _("Queued"),
        "running": _("Running"),
        "succeeded": _("Succeeded"),
        "partly": _("Partly succeeded"),
        "failed": _("Failed"),
        "unknown": _("Unknown"),
        "cancelled": _("Cancelled"),
        "superseded": _("Superseded"),
        "draft": _("Draft"),
        "active": _("Active"),
        "retired": _("Retired"),
        "goal": _("Goal"),
        "done": _("Done"),
        "under_way": _("Under way"),
        "waiting": _("Waiting"),
        "kept": _("Kept"),
        "needs_you": _("Needs you"),
        "usable": _("Usable"),
        "deleting": _("Being deleted"),
        "deleted": _("Deleted"),
        "abandoned": _("Abandoned"),
        "revoked": _("Revoked"),
        "current": _("Current"),
        "previous": _("Previous"),
        "valid": _("Valid"),
        "invalid": _("Invalid"),
        "unreachable": _("Unreachable"),
    }
)
name_icons(
    failed="wrong_secret unknown_client no_longer_allowed",
    unknown="unclear not_asked",
    queued="throttled waiting",
    warning="wrong_scope needs_you",
    succeeded="goal",
    superseded="usable",
    cancelled="abandoned deleted deleting",
    running="under_way",
    key="accounts",
    send="rollouts",
)
