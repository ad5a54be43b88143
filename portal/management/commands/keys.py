"""`keys`: list the portal's keys, or accept one that was replaced on purpose."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from portal.audit.operator import operator
from portal.command_line import add_json, as_json, wrong_call
from portal.key_changes import accept, replaceable
from portal.keys import holders, known
from portal.keys.gate import gate
from portal.keys.models import KnownKey
from portal.keys.registry import Key, named, registered
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = (
        "list: compare this machine's keys with those that the database knows, by fingerprint, and name the "
        "running processes that lack one; the exit code is 0 only if all of them fit. accept NAME: make the "
        "newest key that this machine holds the portal's own, as docs/keys.md says; the history keeps it."
    )

    summary = "Compare this machine's keys with the database, or accept one that was replaced"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["list", "accept"])
        parser.add_argument(
            "name", nargs="?", choices=[key.name for key in registered()], help="accept: which key"
        )
        add_json(parser)

    def handle(self, *args: str, what: str, name: str | None, json: bool, **options: object) -> None:
        if what == "list":
            self._list(json)
        elif name:
            self._accept(name, json)
        else:
            raise wrong_call(f"Say which key: {', '.join(key.name for key in registered())}")

    def _accept(self, name: str, json: bool) -> None:
        gate.accepted = frozenset([name] if name in replaceable() else [])
        said = accept(named(name), actor=operator())
        self.stdout.write(as_json({"accepted": name, "said": said}) if json else said)

    def _list(self, json: bool) -> None:
        recorded = known.known_keys()
        lines = [_line(key, recorded.get(key.name)) for key in registered()]
        if json:
            self.stdout.write(as_json({"keys": lines}))
        else:
            for line in lines:
                self.stdout.write(
                    f"{line['name']}: {line['state']}, here {line['here'] or '-'}, in the database "
                    f"{line['recorded'] or '-'}, {line['place']}"
                    + (f"; running without it: {', '.join(line['lacking'])}" if line["lacking"] else "")
                )
        if any(not line["state"].startswith("fits") for line in lines):
            raise CommandError("\n".join(known.problems(needed=[key.name for key in registered()])))


def _line(key: Key, row: KnownKey | None) -> dict[str, Any]:  # Any: what JSON holds
    held = key.held()
    if not held:
        state = "missing"
    elif row is None:
        state = "not recorded"
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
        "lacking": holders.lacking(key) if held and key.name != "ssh_key" else [],
    }
