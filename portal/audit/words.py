"""Plain words for what audit events say."""

import json
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from portal.audit.models import AuditEvent

GROUPS: dict[str, Promise] = {
    "account": _("Technical accounts"),
    "client_secret": _("Client secrets"),
    "keyring": _("Key ring"),
    "draft": _("Drafts"),
    "rollout": _("Rollouts"),
    "push": _("Pushes"),
    "instance": _("Instances"),
    "container": _("Containers"),
    "installation": _("Installations"),
    "inventory": _("Inventory"),
    "host_key": _("Host keys"),
    "user": _("Users"),
    "sign_in": _("Sign-in"),
    "history": _("Reading of the history"),
    "access": _("Refused access"),
}

LABELS: dict[str, Promise] = {
    "account.assigned": _("Account assigned"),
    "account.activated": _("Account activated"),
    "account.retired": _("Account retired"),
    "client_secret.entered": _("Client secret entered"),
    "client_secret.checked": _("Client secret checked with Adobe"),
    "rollout.requested": _("Rollout started"),
    "rollout.cancelled": _("Rollout cancelled"),
    "push.retried": _("Push retried"),
    "push.succeeded": _("Push succeeded"),
    "push.failed": _("Push failed"),
    "push.unknown": _("Push with unknown outcome"),
    "push.superseded": _("Push superseded"),
    "host_key.offered": _("Host key offered"),
    "host_key.approved": _("Host key approved"),
    "host_key.revoked": _("Host key revoked"),
    "inventory.imported": _("Inventory imported"),
    "user.created": _("User created"),
    "user.role_changed": _("Role changed"),
    "user.deactivated": _("User deactivated"),
    "user.reactivated": _("User reactivated"),
    "user.password_changed": _("Own password changed"),
    "user.password_reset": _("Password set by an admin"),
    "sign_in.succeeded": _("Signed in"),
    "sign_in.ended": _("Signed out"),
    "sign_in.failed": _("Sign-in failed"),
    "sign_in.locked": _("Sign-in locked"),
    "history.read": _("History read"),
    "history.exported": _("History exported"),
    "history.verified": _("History verified"),
    "access.refused": _("Access refused"),
}


EMPTY: tuple[object, ...] = (None, "", [], {})


@dataclass(frozen=True)
class Line:
    """An event with plain words for what it says."""

    event: AuditEvent
    label: Promise | str
    facts: list[tuple[str, str]]


def line_of(event: AuditEvent) -> Line:
    """Return an event with its words."""
    facts = [
        (key.replace("_", " "), _plain(value)) for key, value in event.details.items() if value not in EMPTY
    ]
    return Line(event, label(event.action), facts)


def label(action: str) -> Promise | str:
    """Return plain words for an action; for one without an entry, its own words."""
    return LABELS.get(action) or action.replace(".", " ").replace("_", " ").capitalize()


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
