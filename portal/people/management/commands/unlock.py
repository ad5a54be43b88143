"""`unlock`: lifts the lock after wrong passwords, also where no admin can sign in."""

import json as json_module
from argparse import ArgumentParser
from difflib import get_close_matches

from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from portal.audit.operator import operator
from portal.no_secrets import Command as SafeCommand
from portal.people.signing_in.locks import Lock, current_locks, lift, lift_name


class Command(SafeCommand):
    help = gettext_lazy(
        "Lift the lock of a person after wrong passwords. Without a name: list the locks that there are."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", help=_("user name of the person who is locked out"))
        parser.add_argument(
            "--address", help=_("lift the lock of an address, from which too many names failed")
        )
        parser.add_argument("--json", action="store_true", help=_("print one JSON object"))

    def handle(
        self,
        *args: str,
        name: str | None = None,
        address: str | None = None,
        json: bool = False,
        **options: object,
    ) -> None:
        lifted = None
        if name is not None or address is not None:
            lifted = self._lifted(name, address)
        remaining = current_locks()
        if json:
            answer = {"lifted": lifted, "locks": [_as_dict(each) for each in remaining]}
            self.stdout.write(json_module.dumps(answer))
            return
        if lifted is not None:
            self.stdout.write(_("Lifted. %s can try again now.") % (name or address))
        for each in remaining:
            self.stdout.write(_line(each))
        if lifted is None and not remaining:
            self.stdout.write(_("Nothing is locked."))

    def _lifted(self, name: str | None, address: str | None) -> int:
        count = lift_name(name, actor=operator()) if name is not None else 0
        if address is not None:
            count += lift(f"address:{address}", actor=operator())
        if count:
            return count
        if name is not None and not User.objects.filter(username=name).exists():
            names = User.objects.values_list("username", flat=True)
            near = get_close_matches(name, names, n=1, cutoff=0.6)
            raise CommandError(
                (_("There is no user %s.") % name) + (_(" Did you mean %s?") % near[0] if near else "")
            )
        raise CommandError(
            _("There is no lock of %s. Without a name, all locks are listed.") % (name or address)
        )


def _subject(lock: Lock) -> str:
    if lock.user:
        return lock.user.username
    return _("address %s") % lock.address if lock.address else _("names that do not exist")


def _line(lock: Lock) -> str:
    places = [*lock.shown, *([_("a known browser")] if lock.known_browsers else [])]
    origin = _(" from %s") % ", ".join(places) if places else ""
    text = ngettext(
        "Locked: %(subject)s%(origin)s, %(tries)s try, until %(until)s UTC",
        "Locked: %(subject)s%(origin)s, %(tries)s tries, until %(until)s UTC",
        lock.tries,
    )
    return text % {
        "subject": _subject(lock),
        "origin": origin,
        "tries": lock.tries,
        "until": f"{lock.until:%Y-%m-%d %H:%M:%S}",
    }


def _as_dict(lock: Lock) -> dict[str, object]:
    return {
        "user": lock.user.username if lock.user else None,
        "address": lock.address or None,
        "addresses": lock.addresses,
        "known_browsers": lock.known_browsers,
        "since": lock.since.isoformat(),
        "until": lock.until.isoformat(),
        "tries": lock.tries,
    }
