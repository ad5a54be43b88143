"""`keys`: list the portal's keys, or accept one that was replaced on purpose."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.audit.operator import operator
from portal.command_line import add_json, as_json, wrong_call
from portal.key_changes import accept, replaceable
from portal.keys import holders, known
from portal.keys.gate import gate
from portal.keys.models import KnownKey
from portal.keys.registry import Key, named, registered
from portal.no_secrets import Command as SafeCommand

NOT_MADE, NOT_USED = "not made yet", "not used yet"
FINE = ("fits", NOT_MADE, NOT_USED)
"""How the states begin that need nobody."""
STATES = {
    "missing": gettext_lazy("missing"),
    "not recorded": gettext_lazy("not recorded"),
    "another key": gettext_lazy("another key"),
    "fits": gettext_lazy("fits"),
    "fits, newest key not in use": gettext_lazy("fits, newest key not in use"),
    NOT_MADE: gettext_lazy("not made yet"),
    NOT_USED: gettext_lazy("not used yet"),
}


class Command(SafeCommand):
    help = gettext_lazy(
        "list: compare this machine's keys with those that the database knows, by fingerprint, and name the "
        "running processes that lack one; the exit code is 0 only if all of them fit. accept NAME: make the "
        "newest key that this machine holds the portal's own, as docs/keys.md says; the history keeps it."
    )

    summary = gettext_lazy("Compare this machine's keys with the database, or accept one that was replaced")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["list", "accept"])
        parser.add_argument(
            "name", nargs="?", choices=[key.name for key in registered()], help=_("accept: which key")
        )
        parser.add_argument(
            "--reason",
            default="",
            help=_("accept: why to move on although somebody needs the former key; the history keeps it"),
        )
        add_json(parser)

    def handle(
        self, *args: str, what: str, name: str | None, reason: str, json: bool, **options: object
    ) -> None:
        if what == "list":
            self._list(json)
        elif name:
            self._accept(name, reason.strip(), json)
        else:
            raise wrong_call(_("Say which key: %s") % ", ".join(key.name for key in registered()))

    def _accept(self, name: str, reason: str, json: bool) -> None:
        gate.accepted = frozenset([name] if name in replaceable() else [])
        said = accept(named(name), actor=operator(), reason=reason)
        self.stdout.write(as_json({"accepted": name, "said": said}) if json else said)

    def _list(self, json: bool) -> None:
        recorded = known.known_keys()
        lines = [_line(key, recorded.get(key.name)) for key in registered()]
        if json:
            self.stdout.write(as_json({"keys": lines}))
        else:
            for line in lines:
                self.stdout.write(
                    (
                        _("%(name)s: %(state)s, here %(here)s, in the database %(recorded)s, %(place)s")
                        % {
                            "name": line["name"],
                            "state": STATES[line["state"]],
                            "here": line["here"] or "-",
                            "recorded": line["recorded"] or "-",
                            "place": line["place"],
                        }
                    )
                    + (
                        _("; running without it: %(names)s") % {"names": ", ".join(line["lacking"])}
                        if line["lacking"]
                        else ""
                    )
                )
        if any(not line["state"].startswith(FINE) for line in lines):
            needed = [key.name for key in registered() if not key.is_made_late or key.name in recorded]
            raise CommandError("\n".join(known.problems(needed=needed)))


def _line(key: Key, row: KnownKey | None) -> dict[str, Any]:  # Any: what JSON holds
    held = key.held()
    if not held:
        state = NOT_MADE if key.is_made_late and row is None else "missing"
    elif row is None:
        state = NOT_USED if key.is_made_late and not key.evidence() else "not recorded"
    else:
        state = "another key" if row.fingerprint not in held else "fits"
        if held[0] != row.fingerprint and row.fingerprint in held:
            state = "fits, newest key not in use"
    return {
        "name": key.name,
        "state": state,
        "here": ", ".join(held),
        "recorded": row.fingerprint if row else "",
        "since": row.since.isoformat() if row else "",
        "place": key.place,
        "lacking": holders.lacking(key) if held else [],
    }
