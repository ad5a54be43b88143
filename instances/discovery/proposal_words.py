"""What a proposal says to people: what was seen, and what can be done about it."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from instances.discovery.proposals import Kind, Proposal

WHAT: Mapping[str, Promise] = {
    Kind.CREATE: _("config-%(instance)s.xml is on %(container)s, but the inventory has no such instance."),
    Kind.ADD: _(
        "%(instance)s has a file on %(container)s, but the inventory does not list it there. Nothing is "
        "pushed to it."
    ),
    Kind.GONE: _(
        "The inventory lists %(instance)s on %(container)s, but it has no file there. A push there fails."
    ),
    Kind.ORGANIZATION: _("The file of %(instance)s on %(container)s has an empty organization."),
    Kind.MIXED: _("The containers of %(instance)s run different builds: %(builds)s."),
    Kind.BUILD: _("%(container)s ran build %(first)s at the previous reading and runs %(last)s now."),
    Kind.OLD: _("%(container)s runs build %(builds)s."),
    Kind.JWT: _("The file of %(instance)s on %(container)s still holds a JWT credential."),
}
ADVICE: Mapping[str, Promise] = {
    Kind.CREATE: _("Apply creates the instance, on-premise, and adds it to this container."),
    Kind.ADD: _("Apply adds the container to the instance. Nothing is pushed until you start a rollout."),
    Kind.GONE: _(
        "If it was moved or uninstalled, end the installation on the container's page. If not, the container "
        "has lost its configuration."
    ),
    Kind.ORGANIZATION: _(
        "Ask the Campaign team to remove the empty IMSOrgId from this file or to fill it in; then push the "
        "account here, or retry the push that failed."
    ),
    Kind.MIXED: _("All servers of one instance should run the same build: finish the upgrade."),
    Kind.BUILD: _("If your company upgraded it, there is nothing more to do."),
    Kind.OLD: _("It does not support OAuth accounts. Upgrade it to 7.4.1 (build 9383) or later."),
    Kind.JWT: _(
        "Adobe has ended JWT. If the account was not pushed here yet, migrate the credential in the console, "
        "then push the account. If it was, only the JWT remains: delete that credential in the console once "
        "nothing uses it, and ask the Campaign team to take it out of the file. Whether a push does so is "
        "not known."
    ),
}
OF_ADOBE = _(
    "The inventory says that Adobe hosts it, but Adobe installs nothing on your containers. If the instance "
    "is yours, correct it in the inventory first."
)
ALIKE = _(
    "The inventory has %s, which differs only in upper and lower case. nlserver treats these as two "
    "instances: find out which one is meant before you enter a second one."
)


def what(proposal: Proposal) -> str:
    """Return one sentence about what was seen."""
    builds = [str(each) for each in proposal.builds]
    return str(WHAT[proposal.kind]) % {
        "instance": proposal.instance,
        "container": str(proposal.container or ""),
        "builds": ", ".join(builds),
        "first": "".join(builds[:1]),
        "last": "".join(builds[-1:]),
    }


def advice(proposal: Proposal) -> str:
    """Return what to do about it, or what applying it does."""
    if proposal.alike:
        return str(ALIKE) % proposal.alike
    return str(OF_ADOBE if proposal.is_hosted else ADVICE[proposal.kind])
