"""How the inventory is shown outside of its own pages: words of the history, states, and icons."""

from collections.abc import Mapping, Sequence

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from instances.discovery.models import Dismissal
from instances.models import Contact, Container, Installation, Instance, label_of
from portal.audit import labels
from portal.audit.labels import Meaning, tells
from portal.audit.models import AuditEvent
from portal.web.icons import name_icons
from portal.web.tags import word_states

labels.page_of("instance", "instance", Instance.objects)
labels.page_of("container", "container", Container.objects)
labels.page_of("installation", "installation", Installation.objects)

labels.name_rows("instance", Instance.objects)
labels.name_rows("container", Container.objects)
labels.name_in_words("installation", label_of)
labels.say_values(label_of, "installation", "installations", "retired", "left_behind")
labels.name_values("environment", [*Instance.Environment.choices, *Contact.Team.choices])
labels.name_values("deployment", Instance.Deployment.choices)
labels.register(
    details={
        "address": pgettext_lazy("history detail", "address"),
        "become": pgettext_lazy("history detail", "become"),
        "containers": pgettext_lazy("history detail", "containers"),
        "deployment": pgettext_lazy("history detail", "deployment"),
        "environment": pgettext_lazy("history detail", "environment"),
        "expectation_was_given_by": pgettext_lazy("history detail", "expectation was given by"),
        "expected_by": pgettext_lazy("history detail", "expected by"),
        "fingerprint": pgettext_lazy("history detail", "fingerprint"),
        "host": pgettext_lazy("history detail", "host"),
        "host_key": pgettext_lazy("history detail", "host key"),
        "host_keys": pgettext_lazy("history detail", "host keys"),
        "install_root": pgettext_lazy("history detail", "install root"),
        "installation": pgettext_lazy("history detail", "installation"),
        "installations": pgettext_lazy("history detail", "installations"),
        "instance": pgettext_lazy("history detail", "instance"),
        "is_by_hand": pgettext_lazy("history detail", "is by hand"),
        "is_enabled": pgettext_lazy("history detail", "is enabled"),
        "jump_host": pgettext_lazy("history detail", "jump host"),
        "login": pgettext_lazy("history detail", "login"),
        "no_longer_expected": pgettext_lazy("history detail", "no longer expected"),
        "observation": pgettext_lazy("history detail", "observation"),
        "port": pgettext_lazy("history detail", "port"),
        "proposal": pgettext_lazy("history detail", "proposal"),
        "reading": pgettext_lazy("history detail", "reading"),
        "readings": pgettext_lazy("history detail", "readings"),
        "retired": pgettext_lazy("history detail", "retired"),
        "retired_because": pgettext_lazy("history detail", "retired because"),
        "revoked": pgettext_lazy("history detail", "revoked"),
        "unchanged": pgettext_lazy("history detail", "unchanged"),
        "uses_triggers": pgettext_lazy("history detail", "uses Adobe Triggers"),
    },
    groups={
        "instance": _("Instances"),
        "container": _("Containers"),
        "installation": _("Installations"),
        "inventory": _("Inventory"),
        "proposal": _("Proposals"),
        "host_key": _("Host keys"),
        "jump_host": _("Jump hosts"),
    },
    labels={
        "host_key.scanned": _("Host keys scanned"),
        "host_key.scan_requested": _("Scan of all host keys requested"),
        "host_key.scan_stopped": _("Scan of all host keys stopped"),
        "host_key.offered": _("Host key offered"),
        "host_key.approved": _("Host key approved"),
        "host_key.revoked": _("Host key revoked"),
        "instance.created": _("Instance added"),
        "instance.changed": _("Instance changed"),
        "instance.retired": _("Instance retired"),
        "instance.taken_back": _("Instance taken back into use"),
        "container.created": _("Container added"),
        "container.changed": _("Container changed"),
        "container.retired": _("Container retired"),
        "container.taken_back": _("Container taken back into use"),
        "container.reading_asked": _("Reading of containers requested"),
        "installation.taken_over": _("Installation taken over from another portal"),
        "contact.created": _("Contact entered"),
        "contact.changed": _("Contact changed"),
        "contact.removed": _("Contact removed"),
        "jump_host.created": _("Jump host added"),
        "jump_host.changed": _("Jump host changed"),
        "jump_host.removed": _("Jump host removed"),
        "installation.added": _("Installation added"),
        "installation.removed": _("Installation removed"),
        "installation.retired": _("Installation retired"),
        "installation.taken_back": _("Installation taken back into use"),
        "proposal.applied": _("Proposal of a reading applied"),
        "proposal.left": _("Proposal of a reading left as it is"),
        "proposal.taken_up": _("Proposal of a reading taken up again"),
        "inventory.imported": _("Inventory imported"),
        "inventory.changed": _("Inventory changed by an import"),
    },
)


@tells("container")
@tells("installation")
@tells("instance")
def proposals(events: Sequence[AuditEvent]) -> Mapping[int, Meaning]:
    """Say in words what was proposed, where an event is about a proposal."""
    words = dict(Dismissal.Kind.choices)
    codes = {event.seq: event.details.get("proposal") for event in events}
    return {
        seq: Meaning(facts={"proposal": str(words[code])})
        for seq, code in codes.items()
        if isinstance(code, str) and code in words
    }


word_states(
    {
        "offered": _("Not approved"),
        "approved": _("Approved"),
        "changed": _("Changed"),
        "unexpected": _("Not the expected key"),
        "on": _("On"),
        "off": _("Off"),
        "by_hand": _("By hand"),
        "not_scanned": _("Not scanned"),
    }
)
name_icons(server="containers", layers="instances")
