"""`keyring`: check the key ring against the stored secrets, or move them to the active key."""

import json
import sys
import time
from argparse import ArgumentParser

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from credentials.keys.keyring import KeyringError
from credentials.keys.rekeying import KeyRingState, Rotated, inspect, rotate
from portal.audit.operator import operator
from portal.checks import TAG
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = gettext_lazy(
        "check: say which keys the stored secrets need, and whether all of them decrypt. rotate: "
        "re-encrypt them under the first key of the ring. The exit code is 0 only if every stored secret "
        "can be read."
    )
    group = "Operation"
    summary = gettext_lazy(
        "Check the key ring against the stored secrets, or re-encrypt them under the newest key"
    )
    # A missing key is what this command is for: it must not be stopped by the check that reports it.
    requires_system_checks = [TAG]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["check", "rotate"])
        parser.add_argument("--dry-run", action="store_true", help=_("rotate: only say what would be done"))
        parser.add_argument("--json", action="store_true", help=_("print one JSON object"))

    def handle(self, *args: str, what: str, dry_run: bool, json: bool, **options: object) -> None:
        self.shown = time.monotonic()
        try:
            before = inspect(self._progress)
            rotated = None
            if what == "rotate" and not dry_run:
                self.stderr.write(
                    ngettext(
                        "%s secret to move to the active key.",
                        "%s secrets to move to the active key.",
                        before.to_rotate,
                    )
                    % before.to_rotate,
                    style_func=str,
                )
                rotated = rotate(actor=operator(), progress=self._progress)
            state = inspect(self._progress) if rotated else before
        except KeyringError as error:
            raise CommandError(str(error)) from error
        (self._write_json if json else self._write_text)(state, rotated)
        if state.unreadable or (rotated and (rotated.failed or rotated.skipped)):
            sys.exit(1)

    def _progress(self, done: int, total: int) -> None:
        if time.monotonic() - self.shown >= 1:
            self.shown = time.monotonic()
            self.stderr.write(_("%(done)s of %(total)s") % {"done": done, "total": total}, style_func=str)

    def _write_json(self, state: KeyRingState, rotated: Rotated | None) -> None:
        answer: dict[str, object] = {
            "keys": [
                {"id": key.key_id, "active": key.is_active, "present": key.is_present, "secrets": key.secrets}
                for key in state.keys
            ],
            "to_rotate": state.to_rotate,
            "unreadable": state.unreadable,
        }
        if rotated:
            answer |= {"moved": rotated.moved, "skipped": rotated.skipped, "failed": rotated.failed}
        self.stdout.write(json.dumps(answer))

    def _write_text(self, state: KeyRingState, rotated: Rotated | None) -> None:
        if rotated:
            self.stdout.write(
                ngettext(
                    "%s secret moved to the active key.", "%s secrets moved to the active key.", rotated.moved
                )
                % rotated.moved
            )
        for key in state.keys:
            role = (
                _("active")
                if key.is_active
                else _("decrypts only")
                if key.is_present
                else _("MISSING from the key ring")
            )
            advice = _(", not needed by any stored secret") if not key.secrets and not key.is_active else ""
            self.stdout.write(
                ngettext(
                    "key %(key_id)s: %(role)s, %(secrets)s secret%(advice)s",
                    "key %(key_id)s: %(role)s, %(secrets)s secrets%(advice)s",
                    key.secrets,
                )
                % {"key_id": key.key_id, "role": role, "secrets": key.secrets, "advice": advice}
            )
        for text in state.unreadable:
            self.stdout.write(_("cannot be read: %s") % text)
        if any(not key.secrets and not key.is_active for key in state.keys):
            self.stdout.write(
                _("Keep a key that is not needed for as long as backups that need it are kept.")
            )
