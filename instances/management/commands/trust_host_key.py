"""`trust_host_key`: approve a container's host key, if the server shows the very one that is named."""

from argparse import ArgumentParser

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from instances import ssh
from instances.inventory.csv_format import clean_host_key_fingerprint
from instances.inventory.editing import take_back_first
from instances.models import NOT_BY_HAND, Container, HostKey
from instances.reaching import host_keys, jump_hosts
from instances.requirements import obstacle
from portal.audit.operator import operator
from portal.command_line import add_json, as_json, named, wrong_call
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = gettext_lazy(
        "Scan a container and approve its host key, only if the server shows the named fingerprint."
    )

    group = "Inventory"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("container", help=_("name of the container in the inventory"))
        parser.add_argument("--fingerprint", required=True, help=_("SHA256:…, as ssh-keygen -lf prints it"))
        add_json(parser)

    def handle(
        self, *args: str, container: str, fingerprint: str, json: bool = False, **options: object
    ) -> None:
        fingerprint = _fingerprint(fingerprint)
        row = named(Container.objects.all(), container, _("There is no container %s."))
        if row.retired:
            raise wrong_call(take_back_first(row))
        if obstacle(row, [NOT_BY_HAND]):
            raise wrong_call(_("%s is marked by hand: nobody connects to it, so no key is trusted.") % row)
        before = set(host_keys.approved_lines(row))
        key = _trust(row, fingerprint)
        ended = len(before - set(host_keys.approved_lines(row)))
        if json:
            facts = {"container": row.name, "type": key.type, "fingerprint": key.fingerprint}
            self.stdout.write(as_json({**facts, "state": key.state, "no_longer_trusted": ended}))
            return
        self.stdout.write(_("Approved for %(name)s: %(key)s") % {"name": row.name, "key": key})
        if ended:
            self.stdout.write(
                ngettext(
                    "No longer trusted: %s key approved before.",
                    "No longer trusted: %s keys approved before.",
                    ended,
                )
                % ended
            )


def _fingerprint(text: str) -> str:
    try:
        return clean_host_key_fingerprint(text)
    except ValidationError as error:
        raise wrong_call(" ".join(error.messages)) from error


def _trust(container: Container, fingerprint: str) -> HostKey:
    actor = operator()
    try:
        scan = host_keys.scan_container(container=container, actor=actor)
    except ssh.SSHError as error:
        raise CommandError(jump_hosts.failure_in_words(error, container)) from error
    key = next((key for key in scan.keys if key.fingerprint == fingerprint), None)
    if key is None:
        shown = "\n".join(f"  {key}" for key in scan.keys)
        if missing := host_keys.missing_in_words(scan, container):
            shown += f"\n{missing}"
        raise CommandError(
            _("%(container)s does not show that key; nothing was approved. It shows:\n%(shown)s")
            % {"container": container, "shown": shown}
        )
    return host_keys.approve_host_key(key=key, actor=actor, fingerprint=fingerprint)
