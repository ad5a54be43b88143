"""The page of all commands: what each one says of itself, by the groups of `manage.py help`."""

import re
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator

from django.core.management.base import BaseCommand
from django.core.management.commands.migrate import Command as Migrate
from django.utils import translation
from django.utils.translation import gettext

from portal.command_line import GROUPS, _in_a_line, _our_commands

COLON = {"en": ":", "fr": " :"}
TITLE = {"en": "Commands", "fr": "Commandes"}
SUMMARY = {
    "en": "Every command of the portal's command line, for the people who run it: what it does, and its "
    "options.",
    "fr": "Toutes les commandes du portail en ligne de commande, pour l'équipe d'exploitation : ce que fait "
    "chacune, et ses options.",
}
ABOUT = {
    "en": "They are called as `manage.py COMMAND`, and obey the same rules as the pages. Every command "
    "has `--json`, which prints one object for machines. In a terminal they speak "
    "the language of the environment (`LANG`). [Exit statuses and the objects of "
    "`--json`](../../commands.md) are described in docs/commands.md.",
    "fr": "On les appelle par `manage.py COMMANDE` ; elles obéissent aux mêmes règles que les pages. "
    "Chacune connaît `--json`, qui affiche un objet pour les machines. Dans le terminal, elles parlent "
    "la langue de l'environnement (`LANG`). [Les codes de sortie et les objets de "
    "`--json`](../../commands.md) sont décrits, en anglais, dans docs/commands.md.",
}
_COMMON = {each.dest for each in BaseCommand().create_parser("manage.py", "any")._actions} | {"json"}
_QUOTED = re.compile(r"(?<![\w`-])(--[a-z][a-z-]*(?: [A-Z_]+)?|[A-Z]+(?:_[A-Z…]+)+)(?![\w`])")


def page(language: str) -> str:
    """Return the page."""
    with translation.override(language):
        return "\n\n".join(_blocks(language)) + "\n"


def _blocks(language: str) -> Iterator[str]:
    yield f"# {TITLE[language]}"
    yield SUMMARY[language]
    yield ABOUT[language]
    for group in GROUPS:
        yield f"## {gettext(group)}"
        for name, command in sorted(_our_commands().items()):
            if getattr(command, "group", "") == group:
                yield from _entry(name, command, language)


def _entry(name: str, command: BaseCommand, language: str) -> Iterator[str]:
    parser = command.create_parser("manage.py", name)
    yield f"### {name}"
    if not isinstance(command, Migrate):
        yield "```\n" + usage(name, parser) + "\n```"
    text, line = str(command.help), str(_in_a_line(command))
    summary = "" if line in text or isinstance(command, Migrate) else line
    text = line if isinstance(command, Migrate) else text
    yield " ".join(_said(each) for each in (_sentence(summary), _sentence(text)) if each)
    if options := [] if isinstance(command, Migrate) else list(_options(parser, language)):
        yield "\n".join(options)


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def usage(name: str, parser: ArgumentParser) -> str:
    """Return how a command is called, without the options that every command has."""
    parts = [f"manage.py {name}"]
    for action in parser._actions:
        if action.dest in _COMMON:
            continue
        value = action.metavar or (
            "|".join(map(str, action.choices)) if action.choices else action.dest.upper()
        )
        if not action.option_strings:
            parts.append(str(value) if action.nargs not in ("?", "*") else f"[{value}]")
        else:
            taken = "" if action.nargs == 0 else f" {value}"
            parts.append(f"[{action.option_strings[0]}{taken}]")
    return " ".join(parts)


def _options(parser: ArgumentParser, language: str) -> Iterator[str]:
    for action in parser._actions:
        if action.dest in _COMMON or not action.help:
            continue
        if isinstance(action, _SubParsersAction):
            raise TypeError("Commands of the portal have no subcommands of argparse's.")
        shown = action.option_strings[0] if action.option_strings else str(action.metavar or action.dest)
        yield f"* `{shown}`{COLON[language]} {_said(action.help.replace('%%', '%'))}"


def _said(text: str) -> str:
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if place % 2 else _QUOTED.sub(r"`\1`", part).replace("<", "\\<")
        for place, part in enumerate(parts)
    )
