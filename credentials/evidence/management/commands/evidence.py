"""`evidence`: an evidence pack of an account, a rotation or a period, or the key that signs packs."""

import hashlib
import os
import secrets
from argparse import ArgumentParser
from datetime import date, datetime, time
from pathlib import Path

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from credentials.evidence.packing import Packed, allowed_signers
from credentials.evidence.scopes import NothingToPack
from credentials.evidence.segment import BrokenHistory
from credentials.evidence.services import Wanted, account_pack, make_pack, period_pack, rotation_pack
from credentials.models import TechnicalAccount
from credentials.rotation.models import Rotation
from portal.audit.operator import operator
from portal.audit.signing.heads import NotSealed, signers
from portal.audit.signing.signing_key import NAME, accept_key, signing_key
from portal.command_line import add_json, as_json, named, wrong_call
from portal.keys.gate import gate
from portal.no_secrets import Command as SafeCommand


class Command(SafeCommand):
    help = gettext_lazy(
        "Make an evidence pack for an auditor outside: a signed archive with everything that the portal "
        "knows of an account, a rotation or a period, and a program that verifies it. With --key, print the "
        "key that an auditor needs from you to verify packs."
    )
    group = "History"
    summary = gettext_lazy("Make an evidence pack of an account, a rotation or a period")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", metavar="NAME", help=_("the account that it is about"))
        parser.add_argument("--rotation", type=int, metavar="N", help=_("the number of the rotation"))
        parser.add_argument(
            "--from", dest="since", metavar="DAY", help=_("the first day, such as 2026-07-01")
        )
        parser.add_argument("--until", metavar="DAY", help=_("the last day, such as 2026-09-30"))
        parser.add_argument("--output", metavar="FILE", help=_("the archive to write; none is overwritten"))
        parser.add_argument(
            "--key", action="store_true", help=_("print the key that signs packs, and no pack")
        )
        parser.add_argument(
            "--accept-key",
            action="store_true",
            help=_("make the signing key that is in its file now the portal's own; the history keeps it"),
        )
        add_json(parser)

    def handle(
        self,
        *args: str,
        account: str | None = None,
        rotation: int | None = None,
        since: str | None = None,
        until: str | None = None,
        output: str | None = None,
        key: bool = False,
        accept_key: bool = False,
        json: bool = False,
        **options: object,
    ) -> None:
        if [account, rotation, since or until, key or None, accept_key or None].count(None) != 4:
            raise wrong_call(
                _("Give one of --account, --rotation, --from with --until, --key, --accept-key.")
            )
        if key or accept_key:
            self._show_key(accept=accept_key, json=json)
            return
        if not output:
            raise wrong_call(_("Say with --output which file to write."))
        target = Path(output)
        packed = _write(target, _wanted(account, rotation, since, until))
        self._tell(target, packed, json=json)

    def _show_key(self, *, accept: bool, json: bool) -> None:
        if accept:
            gate.accepted = frozenset([NAME])
        held = accept_key(actor=operator()) if accept else signing_key()
        known = signers()
        if json:
            facts = {
                "key": held.fingerprint,
                "allowed_signers": allowed_signers(),
                "signed_heads": [
                    {"key": each.fingerprint, "heads": each.heads, "first": each.first, "last": each.last}
                    for each in known
                ],
            }
            self.stdout.write(as_json(facts))
            return
        self.stdout.write(_("Fingerprint: %s") % held.fingerprint)
        self.stdout.write(_("For allowed_signers: %s") % allowed_signers())
        for each in known:
            text = ngettext(
                "%(key)s signed %(count)s head, %(first)s to %(last)s",
                "%(key)s signed %(count)s heads, %(first)s to %(last)s",
                each.heads,
            )
            signed = {"key": each.fingerprint, "count": each.heads, "first": each.first, "last": each.last}
            self.stdout.write(text % signed)

    def _tell(self, target: Path, packed: Packed, *, json: bool) -> None:
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if json:
            facts = {
                "file": str(target),
                "sha256": digest,
                "kind": packed.scope.kind,
                "entries": packed.shown,
                "digests": packed.digests,
                "event": packed.made.seq,
                "key": packed.key,
            }
            self.stdout.write(as_json(facts))
            return
        self.stdout.write(
            _("%(file)s. Entries: %(shown)s; as digests alone: %(digests)s. Recorded as entry %(seq)s.")
            % {"file": target, "shown": packed.shown, "digests": packed.digests, "seq": packed.made.seq}
        )
        self.stdout.write(f"SHA-256: {digest}")
        self.stdout.write(
            _("To verify: python3 -I verify.py %(name)s --key %(key)s")
            % {"name": target.name, "key": packed.key}
        )


def _wanted(account: str | None, rotation: int | None, since: str | None, until: str | None) -> Wanted:
    if account is not None:
        return account_pack(
            named(TechnicalAccount.objects.all(), account, _("There is no technical account %s."))
        )
    if rotation is not None:
        found = Rotation.objects.select_related("account", "old", "new").filter(number=rotation).first()
        if found is None:
            raise wrong_call(_("There is no rotation %s.") % rotation)
        return rotation_pack(found)
    if not since or not until:
        raise wrong_call(_("A period needs both --from and --until."))
    first, last = _day(since), _day(until)
    if first > last:
        raise wrong_call(_("--from is later than --until."))
    return period_pack(_at(first, time.min), _at(last, time.max))


def _day(text: str) -> date:
    try:
        found = parse_date(text)
    except ValueError:
        found = None
    if found is None:
        raise wrong_call(_("%s: write a day, such as 2026-07-01.") % text)
    return found


def _at(day: date, moment: time) -> datetime:
    return timezone.make_aware(datetime.combine(day, moment))


def _write(target: Path, wanted: Wanted) -> Packed:
    """Write the pack next to its place, for this user alone, and put it there once it is complete."""
    if target.exists():
        raise wrong_call(_("%s is there already; nothing is overwritten.") % target)
    if not target.parent.is_dir():
        raise wrong_call(_("%s is not a folder.") % target.parent)
    draft = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
            packed = make_pack(file, wanted, actor=operator(), folder=target.parent)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, target)  # refuses what somebody else put there meanwhile
    except NothingToPack:
        raise CommandError(
            _("The history contains nothing about this, so there is no evidence pack.")
        ) from None
    except (BrokenHistory, NotSealed) as error:
        raise CommandError(
            _("No pack was made: the history does not verify. %s Run verify_audit.") % error
        ) from None
    finally:
        draft.unlink(missing_ok=True)
    return packed
