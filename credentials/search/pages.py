"""How pages of the portal itself are found: by title, and by words that people use for what they show."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credentials.help.finding import folded
from credentials.search.kinds import Hit, Typed


@dataclass(frozen=True)
class Destination:
    """One page: the name of its URL, its title, other words for it, and who may open it."""

    name: str
    title: Promise
    words: Promise
    permission: str
    query: str = ""
    """What narrows the page to this, where it is a page that shows more."""

    @property
    def url(self) -> str:
        return reverse(self.name) + self.query


_INVENTORY, _ACCOUNTS = "instances.change_inventory", "credentials.view_technicalaccount"
_INSTANCES, _CONTAINERS, _ROLLOUTS = (
    "instances.view_instance",
    "instances.view_container",
    "rollouts.view_rollout",
)
DESTINATIONS = (
    Destination(
        "accounts", _("Accounts"), _("credentials, fingerprints, secrets, technical accounts"), _ACCOUNTS
    ),
    Destination("coverage", _("Coverage"), _("behind, map, held version, as of a day"), _ACCOUNTS),
    Destination("drift", _("Drift"), _("file changed by hand, changed files"), _ACCOUNTS),
    Destination("instances", _("Instances"), _("fleet, inventory, pipelined, servers"), _INSTANCES),
    Destination(
        "jwt_and_builds", _("JWT and builds"), _("migration, Campaign version, old builds"), _INSTANCES
    ),
    Destination("containers", _("Containers"), _("addresses, hosts, not seen for a week"), _CONTAINERS),
    Destination("readings", _("Readings"), _("looked at, not read, read by the portal"), _CONTAINERS),
    Destination("proposals", _("Proposals"), _("findings, inventory does not match, leftovers"), _CONTAINERS),
    Destination("contacts", _("Contacts"), _("call, on call, phone, who to ask, who to call"), _CONTAINERS),
    Destination("ssh_key", _("Portal's SSH key"), _("authorized_keys, public key"), _CONTAINERS),
    Destination("host_keys", _("Host keys"), _("approve, known_hosts, scan"), "instances.approve_host_key"),
    Destination("jump_hosts", _("Jump hosts"), _("bastion, proxy"), _INVENTORY),
    Destination("inventory_import", _("Import the inventory"), _("CSV, upload"), _INVENTORY),
    Destination("rollouts", _("Rollouts"), _("deliveries, pushes"), _ROLLOUTS),
    Destination(
        "failed_pushes", _("Failed pushes"), _("errors, failures, retries, retry, tickets"), _ROLLOUTS
    ),
    Destination(
        "rotations",
        _("Rotations"),
        _("due, expiry, next rotation, renewal, replace a secret"),
        "rotation.view_rotation",
    ),
    Destination(
        "rotation_windows", _("Maintenance windows"), _("calendar, night, weekend"), "rotation.view_rotation"
    ),
    Destination(
        "history",
        _("History"),
        _("audit, evidence pack, events, exports, log, proof"),
        "audit.view_auditevent",
    ),
    Destination(
        "history",
        _("Exports"),
        _("downloads, evidence packs made, files, lists, who exported"),
        "audit.view_auditevent",
        "?action=exports",
    ),
    Destination(
        "history_verify", _("Verify the history"), _("chain, head, intact, tampering"), "audit.export_events"
    ),
    Destination(
        "history_people", _("Who could act on a day"), _("permissions, roles"), "audit.view_all_events"
    ),
    Destination("users", _("Users"), _("people, permissions, roles"), "auth.change_user"),
    Destination("locks", _("Locked sign-ins"), _("failed sign-ins, locked out"), "auth.change_user"),
    Destination(
        "notices", _("Notices"), _("alerts, chat, mail, notify, reminders, webhook"), "notices.manage_notices"
    ),
    Destination("preferences", _("Preferences"), _("language, time zone"), _ROLLOUTS),
)
"""Those that people open from a menu or a button. A new one is one more entry, which a test asks for."""


def pages(typed: Typed) -> Iterator[Hit]:
    """Find pages with all these words: a title that begins so comes first, then other titles, then others."""
    words = folded(typed.text).split()

    def has_all(text: str) -> bool:
        return bool(words) and all(re.search(rf"(?<!\w){re.escape(word)}", text) for word in words)

    def rank(page: Destination) -> int:
        title = folded(str(page.title))
        if title.startswith(" ".join(words)):
            return 0
        return 1 if has_all(title) else 2

    fitting = [each for each in DESTINATIONS if has_all(folded(f"{each.title} {each.words}"))]
    for each in sorted(fitting, key=rank):
        yield Hit(str(each.title), each.url, str(each.words), permission=each.permission)
