"""Which role may do what. Data; `sync_roles` brings Django's groups in step with it."""

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

VIEW: Final = {
    "instances.view_instance",
    "instances.view_container",
    "credentials.view_technicalaccount",
    "rollouts.view_rollout",
    "rotation.view_rotation",
}

ROLES: Final[dict[str, set[str]]] = {
    "Admin": VIEW
    | {
        "instances.change_inventory",
        "instances.approve_host_key",
        "discovery.read_container",
        "credentials.manage_account",
        "credentials.enter_secret",
        "rollouts.start_rollout",
        "rollouts.retry_push",
        "rotation.manage_rotation",
        "audit.view_auditevent",
        "audit.view_all_events",
        "audit.export_events",
        "auth.change_user",
        "notices.manage_notices",
    },
    "Helpdesk": VIEW | {"discovery.read_container", "rollouts.retry_push", "audit.view_auditevent"},
    "Auditor": VIEW | {"audit.view_auditevent", "audit.view_all_events", "audit.export_events"},
}

LABELS: Final[dict[str, Promise]] = {"Admin": _("Admin"), "Helpdesk": _("Helpdesk"), "Auditor": _("Auditor")}
EXPLAINED: Final[dict[str, Promise]] = {
    "Admin": _("Inventory, accounts, secrets, rollouts, rotations, host keys, users"),
    "Helpdesk": _("Sees everything but secrets; retries failed and unknown pushes"),
    "Auditor": _("Sees everything but secrets; reads, exports and verifies the whole history"),
}


def role_label(name: str) -> str:
    """Return what people read for a role, or for a group that is none: its name."""
    return str(LABELS.get(name, name))
