"""`portal_key`: print the portal's public SSH key; a portal that never had one gets it."""

from argparse import ArgumentParser
from collections.abc import Mapping

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from instances.reaching import portal_key, taken_keys
from instances.reaching.taken_keys import Standing, State
from portal.command_line import add_json, as_json
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = gettext_lazy(
        "Print the line for authorized_keys on the containers, of the newest key; and while the key is "
        "replaced, which servers take it. A portal that never had a key gets one."
    )
    summary = gettext_lazy("Print the portal's public SSH key, and which servers take a new one")

    group = "Inventory"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--plain", action="store_true", help=_("the key alone, without restrict"))
        add_json(parser)

    def handle(self, *args: str, plain: bool, json: bool = False, **options: object) -> None:
        try:
            portal_key.make_if_none()
            found = taken_keys.standing()
        except (OSError, portal_key.KeyNotUsable) as error:
            raise CommandError(_("The portal's SSH key cannot be used: %s") % error) from error
        key = found.newest
        if json:
            self.stdout.write(as_json(_as_json(found)))
            return
        self.stdout.write(key.line if plain else key.authorized_line)
        for line in _in_words(found):  # apart from the line, which scripts take as it is
            self.stderr.write(line, lambda text: text)


def _as_json(found: Standing) -> dict[str, object]:
    newest = found.newest
    return {
        "key": newest.line,
        "authorized_keys": newest.authorized_line,
        "jump_host": newest.jump_host_line,
        "present": found.present.fingerprint,
        "next": found.next and found.next.fingerprint,
        "past": found.past and found.past.fingerprint,
        "containers": _counts(found.containers),
        "jump_hosts": _counts(found.jump_hosts),
        "waiting": [
            {
                "kind": each.kind,
                "name": each.hop.name,
                "state": each.state.value,
                "off": each.is_off,
                "asked": each.asked and each.asked.isoformat(),
            }
            for each in found.waiting
        ],
        "former_may_go": not found.waiting if found.former else None,
    }


def _counts(found: Mapping[State, int]) -> dict[str, int]:
    return {state.value: found.get(state, 0) for state in State}


def _in_words(found: Standing) -> list[str]:
    """Return how far the servers are with a new key, nothing while there is one key."""
    if found.former is None:
        return []
    total, taken = sum(found.containers.values()), found.containers.get(State.NEW, 0)
    lines = [
        _("The new key is %(new)s, the former one %(former)s.")
        % {"new": found.newest.fingerprint, "former": found.former.fingerprint},
        _("Servers are offered both, the new one first."),
        ngettext(
            "%(count)s of %(total)s containers takes the new key.",
            "%(count)s of %(total)s containers take the new key.",
            taken,
        )
        % {"count": taken, "total": total},
    ]
    if found.waiting:
        return [*lines, _("Waiting for: %s") % ", ".join(map(str, found.waiting))]
    command = "manage.py keys accept ssh_key" if found.next else "deploy/new-key --forget ssh_key"
    return [*lines, _("The former key may go: %s") % command]
