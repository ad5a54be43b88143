"""How accounts and rollouts are shown outside of their own pages: words of the history, states, and icons."""

from django.utils.translation import gettext_lazy as _

from portal.audit import labels
from portal.web.icons import name_icons
from portal.web.tags import word_states

labels.register(
    groups={
        "account": _("Technical accounts"),
        "client_secret": _("Client secrets"),
        "keyring": _("Key ring"),
        "draft": _("Drafts"),
        "rollout": _("Rollouts"),
        "push": _("Pushes"),
        "drift": _("Drift"),
        "fingerprint_key": _("Fingerprint key"),
    },
    labels={
        "account.created": _("Account created"),
        "account.values_entered": _("Account values entered"),
        "account.values_confirmed": _("Account values confirmed"),
        "account.assigned": _("Account assigned"),
        "account.unassigned": _("Account taken away from an instance"),
        "account.goal_chosen": _("Goal of an account chosen"),
        "account.activated": _("Account activated"),
        "account.retired": _("Account retired"),
        "client_secret.entered": _("Client secret entered"),
        "client_secret.selected": _("Abandoned client secret in use again"),
        "client_secret.abandoned": _("Client secret abandoned"),
        "client_secret.fingerprint_replaced": _("Fingerprint made with a new key"),
        "client_secret.checked": _("Client secret checked with Adobe"),
        "client_secret.used_unconfirmed": _("Client secret rolled out without Adobe's yes"),
        "rollout.requested": _("Rollout started"),
        "rollout.cancelled": _("Rollout cancelled"),
        "push.retried": _("Push retried"),
        "push.look_requested": _("Look at a failed push asked for"),
        "push.succeeded": _("Push succeeded"),
        "push.failed": _("Push failed"),
        "push.unknown": _("Push with unknown outcome"),
        "push.superseded": _("Push superseded"),
        "installation.confirmed": _("Version on an installation confirmed by hand"),
        "drift.found": _("File changed on a container"),
        "drift.accepted": _("Changed file accepted"),
        "push.cancelled": _("Push cancelled"),
        "draft.deleted": _("Draft deleted"),
        "keyring.rotated": _("Secrets encrypted under the newest key"),
        "fingerprint_key.replaced": _("Fingerprint key replaced"),
        "portal.proofs_derived": _("Proofs of earlier pushes derived anew"),
    },
)
word_states(
    {
        "queued": _("Queued"),
        "running": _("Running"),
        "succeeded": _("Succeeded"),
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
    unknown="unclear",
    queued="throttled waiting",
    warning="wrong_scope needs_you",
    succeeded="goal",
    superseded="usable",
    cancelled="abandoned deleted deleting",
    running="under_way",
    key="accounts",
    send="rollouts",
)
