"""`create_admin`: makes the first person who can manage everything."""

import getpass
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.audit.operator import operator
from portal.command_line import add_json, as_json
from portal.no_secrets import Command as SafeCommand
from portal.no_secrets import refuse_secret
from portal.people.services import active_admins, create_user, sync_roles


class Command(SafeCommand):
    help = gettext_lazy(
        "Create an admin. The password is asked for, or read from a file; it is never an argument."
    )

    group = "People"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", help=_("user name; asked for if missing"))
        parser.add_argument("--password-file", type=Path, help=_("file whose first line is the password"))
        parser.add_argument(
            "--force", action="store_true", help=_("also if there is an active admin already")
        )
        parser.add_argument(
            "--if-none",
            action="store_true",
            help=_("do nothing, successfully, if there is an active admin already"),
        )

        add_json(parser)

    def handle(
        self,
        *args: str,
        name: str | None = None,
        password_file: Path | None = None,
        force: bool = False,
        if_none: bool = False,
        json: bool = False,
        **options: object,
    ) -> None:
        sync_roles()
        if active_admins().exists() and not force:
            if if_none:
                if json:
                    self.stdout.write(as_json({"created": None, "role": "Admin"}))
                return
            raise CommandError(
                _("There is an active admin already. Add people on the page Users, or use --force.")
            )
        name = _checked_name(name) if name else self._asked_name()
        if password_file:
            password = _from_file(password_file)
            _check_password(name, password)
        else:
            password = self._asked_password(name)
        create_user(name=name, password=password, role="Admin", actor=operator())
        said = _("The admin %s can sign in now.") % name
        self.stdout.write(as_json({"created": name, "role": "Admin"}) if json else said)

    def _asked_name(self) -> str:
        _refuse_without_terminal(_("give --name and --password-file"))
        self.stdout.write(_("The portal needs its first admin."))
        return self._until_accepted(lambda: _checked_name(input(_("User name: ")).strip()))

    def _asked_password(self, name: str) -> str:
        _refuse_without_terminal(_("give --password-file"))
        return self._until_accepted(lambda: _typed_password(name))

    def _until_accepted(self, ask: Callable[[], str]) -> str:
        """Ask until the answer is good: a first start must not end because of a weak password."""
        while True:
            try:
                return ask()
            except (EOFError, KeyboardInterrupt):
                raise CommandError(_("Nothing was created.")) from None
            except CommandError as error:
                self.stdout.write(_("%(error)s Once more, please (Ctrl-C ends this).") % {"error": error})


def _refuse_without_terminal(advice: str) -> None:
    if not sys.stdin.isatty():
        raise CommandError(
            _(
                "The portal needs an admin, and nobody can be asked here: %(advice)s, as in "
                "`manage.py create_admin --name NAME --password-file FILE`."
            )
            % {"advice": advice}
        )


def _typed_password(name: str) -> str:
    password = getpass.getpass(_("Password (12 characters or more): "))
    _check_password(name, password)
    if getpass.getpass(_("The same again: ")) != password:
        raise CommandError(_("The two passwords differ."))
    return password


def _checked_name(name: str) -> str:
    try:
        User.username_validator(name)
        refuse_secret(name)  # one that was asked for, not given as an argument
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from None
    if len(name) > 150 or User.objects.filter(username__iexact=name).exists():
        raise CommandError(_("The user name %s is taken or too long.") % name[:150])
    return name


def _from_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError):
        raise CommandError(_("No password can be read from %s.") % path) from None


def _check_password(name: str, password: str) -> None:
    try:
        validate_password(password, User(username=name))
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from None
