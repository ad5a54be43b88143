"""What the portal's commands share: how they name what is wrong, print tables and JSON, and end.

Exit statuses: 0 if all is well, 1 if something needs a person, 2 if the call was wrong (an argument, or a
name or file that is not there), 3 if the portal's keys or settings refuse the start, 130 after Ctrl-C, 141 if
nobody reads the output any more.
"""

import difflib
import gettext as standard
import json
import os
import re
import stat
import sys
import textwrap
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NoReturn, TextIO, TypeVar

from django.apps import apps
from django.conf import settings
from django.core.management import ManagementUtility, get_commands, load_command_class
from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from django.db import DatabaseError, InterfaceError, models
from django.utils.functional import Promise
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from portal.borrowed_words import INVALID_CHOICE, UNRECOGNIZED, gettext_noop
from portal.command_language import speak
from portal.exit_status import INTERRUPTED, NOBODY_READS, REFUSED, WRONG_CALL
from portal.plaintext import cut_out
from portal.processes.database import connect_directly
from portal.punctuation import labelled, with_colon

STDIN = "-"
WAITING = {"migrate", "start", "sync_roles"}
"""Commands that run when a machine starts: they wait twenty seconds for a database that is still starting."""
OURS = ("portal", "instances", "credentials")
SERVICES = {"collectstatic", "migrate", "scheduler", "start", "sync_roles"}
"""Commands that run without a person: their output is a log, in the default language."""
GROUPS = (
    gettext_noop("Accounts and secrets"),
    gettext_noop("Inventory"),
    gettext_noop("Rollouts"),
    gettext_noop("History"),
    gettext_noop("People"),
    gettext_noop("Operation"),
)
_INTERRUPTED = gettext_noop("Interrupted.")
_HELP = {"-h", "--help"}
M = TypeVar("M", bound=models.Model)


def wrong_call(text: str) -> CommandError:
    """Return the error for a call that names something wrong; nothing was done."""
    return CommandError(text, returncode=WRONG_CALL)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the names most like `name`, or nothing. It begins with a blank."""
    by_folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=3)
    return _(" Did you mean %s?") % _(" or ").join(by_folded[each] for each in close) if close else ""


def named(rows: "models.QuerySet[M]", name: str, otherwise: str) -> M:
    """Return the row with this name, or raise `otherwise`, with the name for `%s`, and similar names."""
    found = rows.filter(name=name).first()
    if found is None:
        raise wrong_call(otherwise % name + did_you_mean(name, rows.values_list("name", flat=True)))
    return found


@sensitive_variables()
def read_input(name: str, *, most: int, tell: Callable[[str], object] | None = None) -> bytes:
    """Return a file, or standard input for `-`: at most `most` bytes. Raises the error of a wrong call.

    With `tell` the file holds a secret: it is told if others on this machine can read it.
    """
    if name == STDIN:
        return sys.stdin.buffer.read(most)
    try:
        with Path(name).open("rb") as file:
            is_open_to_others = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
            if tell and is_open_to_others:
                tell(_("Others on this machine can read %s: remove it, or chmod 600.") % name)
            return file.read(most)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        why = getattr(error, "strerror", None) or _("cannot be read")
        raise wrong_call(labelled(name, f"{why}.")) from None


def insist_on_phrase(say: OutputWrapper, phrase: str, otherwise: str) -> None:
    """Have a phrase typed before what cannot be undone; `CommandError` with the text `otherwise` if not."""
    say.write(_('This cannot be undone. Type "%s" to go on:') % phrase)
    say.flush()
    try:
        answer = input()
    except EOFError:
        answer = ""
    if answer.strip() != phrase:
        raise CommandError(otherwise)


def add_json(parser: ArgumentParser) -> None:
    """Add the option that every command has."""
    parser.add_argument("--json", action="store_true", help=_("print one JSON object"))


def as_json(answer: Mapping[str, object]) -> str:
    """Return an answer for machines: one line, moments in ISO 8601 with their offset."""
    return json.dumps(answer, ensure_ascii=False, default=_moment)


def _moment(value: object) -> str:
    if isinstance(value, datetime):
        return moment(value)
    raise TypeError(type(value).__name__)


def moment(value: datetime | None) -> str:
    """Return a moment as commands print it: ISO 8601 to the second, with the portal's time zone."""
    return localtime(value).isoformat(timespec="seconds") if value else "-"


def table(headings: "Sequence[str | Promise]", rows: Iterable[Sequence[object]]) -> str:
    """Return aligned columns without trailing blanks; numbers stand at the right."""
    cells = [tuple(map(str, headings)), *(tuple(map(str, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    are_numbers = [all(cell.isdigit() for cell in column[1:]) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, are_numbers, strict=True)
        ).rstrip()
        for row in cells
    )


def suggesting(parser: ArgumentParser, error: Callable[[str], NoReturn]) -> Callable[[str], NoReturn]:
    """Return what a parser calls on an error: `error` with suggestions, without what looks like a secret."""

    def say(message: str) -> NoReturn:
        suggestion = _suggestion(parser, message)
        error(cut_out(message) + (f".{suggestion}" if suggestion else ""))

    return say


def _suggestion(parser: ArgumentParser, message: str) -> str:
    if found := _searched(INVALID_CHOICE, message):
        return did_you_mean(found["value"], re.findall(r"'([^']*)'", found["choices"]))
    if found := _searched(UNRECOGNIZED, message):
        options = [each for action in parser._actions for each in action.option_strings]  # noqa: SLF001
        return did_you_mean(found[1].split()[0].partition("=")[0], options)
    return ""


def _searched(words: str, message: str) -> re.Match[str] | None:
    """Find words of argparse, which may be translated, in a message."""
    pattern = re.escape(standard.gettext(words)).replace("%s", "(.*)")
    pattern = pattern.replace(r"%\(value\)r", "'(?P<value>.*)'").replace(r"%\(choices\)s", "(?P<choices>.*)")
    return re.search(pattern, message, re.DOTALL)


@contextmanager
def plain_errors(*, traceback: bool) -> Iterator[None]:
    """Turn what may go wrong outside the portal into one line: database, files, network."""
    try:
        yield
    except (DatabaseError, InterfaceError) as error:
        if traceback:
            raise
        raise CommandError(_about_database(error)) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        if traceback:
            raise
        reason = f"{error.strerror or type(error).__name__}."
        raise CommandError(labelled(error.filename, reason) if error.filename else reason) from error


def _about_database(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "no such table" in first or ("relation" in first and "does not exist" in first):
        return _("The database has no tables, or not all of this release: run manage.py migrate.")
    return _("The database cannot be used: %s") % first


@contextmanager
def ending_in_order() -> Iterator[None]:
    """End with a status and no traceback when a person presses Ctrl-C, or nobody reads the output."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
        raise SystemExit(NOBODY_READS) from None
    except KeyboardInterrupt:
        with suppress(OSError):
            sys.stderr.write(f"\n{_(_INTERRUPTED) if apps.ready else _INTERRUPTED}\n")
        raise SystemExit(INTERRUPTED) from None


def _discard(stream: TextIO) -> None:
    """Let the interpreter's last flush go nowhere, instead of failing once more."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Commands(ManagementUtility):
    """Django's `manage.py`, whose help lists the portal's own commands first, in the reader's language."""

    def fetch_command(self, subcommand: str) -> BaseCommand:
        """Return the command; one of ours that a person runs speaks the language of the environment."""
        found = super().fetch_command(subcommand)
        is_service = subcommand in SERVICES and self.argv[1:2] == [subcommand]
        if get_commands()[subcommand].startswith(OURS) and (not is_service or _HELP & {*self.argv[2:]}):
            speak(os.environ)
        return found

    def main_help_text(self, commands_only: bool = False) -> str:
        """Return the list of commands; `commands_only` gives bare names, one a line."""
        if apps.ready:
            speak(os.environ)
        ours = _our_commands()
        djangos = sorted(get_commands().keys() - ours.keys())
        if commands_only:
            return "\n".join([*sorted(ours), *djangos])
        if self.settings_exception is not None:
            return super().main_help_text()
        parts = [_("Usage: %(prog)s COMMAND …; %(prog)s help COMMAND says more.") % {"prog": self.prog_name}]
        parts += [_group(name, ours) for name in GROUPS]
        parts.append(_("Django's own:") + "\n" + _wrapped(djangos))
        return "\n\n".join(parts)


def _our_commands() -> dict[str, BaseCommand]:
    return {
        name: load_command_class(app, name) for name, app in get_commands().items() if app.startswith(OURS)
    }


def _group(group: str, commands: Mapping[str, BaseCommand]) -> str:
    members = {name: each for name, each in sorted(commands.items()) if getattr(each, "group", "") == group}
    width = max(map(len, members), default=0)
    lines = [f"  {name:<{width}}  {_in_a_line(each)}" for name, each in members.items()]
    return "\n".join([with_colon(_(group)), *lines])


def _in_a_line(command: BaseCommand) -> str:
    summary = str(getattr(command, "summary", ""))
    return summary or re.split(r"(?<=[.:;])\s", str(command.help), maxsplit=1)[0].rstrip(".:; \u00a0\u202f")


def _wrapped(names: Sequence[str]) -> str:
    return textwrap.fill(", ".join(names), 100, initial_indent="  ", subsequent_indent="  ")


def main(arguments: Sequence[str]) -> None:
    """Run `manage.py` with these arguments, its own name first."""
    try:
        settings.INSTALLED_APPS  # noqa: B018  # reads the settings
    except Exception as error:
        if "--traceback" in arguments:
            raise
        sys.stderr.write(f"The settings cannot be read: {type(error).__name__}: {cut_out(str(error))}\n")
        raise SystemExit(REFUSED) from None
    if not WAITING & set(arguments[1:2]):
        connect_directly()
    with ending_in_order():
        Commands(list(arguments)).execute()
