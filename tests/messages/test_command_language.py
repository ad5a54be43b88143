"""Commands speak the language of the environment; services, workers and what machines read do not."""

import argparse
import ast
import gettext
import inspect
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
from django.core.management import CommandError
from django.utils import translation
from pytest_django.fixtures import Settings

from portal import borrowed_words, command_language
from portal.command_language import language_of, speak
from portal.command_line import did_you_mean
from tests.messages.catalog import write_catalog
from tests.services.portal import ROOT, Portal
from tests.test_commands import refusal, run

FRENCH = {
    "Rollouts": "Déploiements",
    "%(heading)s:": "%(heading)s :",
    "Usage: %(prog)s COMMAND …; %(prog)s help COMMAND says more.": "Usage : %(prog)s COMMANDE …",
    "usage: ": "utilisation : ",
    "options": "options possibles",
    "show this help message and exit": "affiche cette aide et s'arrête",
    "Skip system checks.": "Passe les vérifications.",
    "print one JSON object": "écrit un objet JSON",
    "%(role)s: %(count)s permission\0%(role)s: %(count)s permissions": "%(role)s\0%(role)s",
    "Nothing is locked.": "Rien n'est bloqué.",
    "COUNT": "NOMBRE",
    "Nothing needs a person.": "Rien n'attend personne.",
    "No worker runs: nothing is delivered.": "Aucun worker ne tourne.",
    "expected %s argument\0expected %s arguments": "%s argument attendu\0%s arguments attendus",
    "the following arguments are required: %s": "il manque ces arguments : %s",
    "unrecognized arguments: %s": "arguments inconnus : %s",
    "invalid choice: %(value)r (choose from %(choices)s)": "choisir parmi %(choices)s, et non %(value)r",
    "%(prog)s: error: %(message)s\n": "%(prog)s : erreur : %(message)s\n",
    "argument %(argument_name)s: %(message)s": "argument %(argument_name)s : %(message)s",
    " Did you mean %s?": " Vouliez-vous dire %s ?",
    "There is no technical account %s.": "Aucun compte technique %s.",
}


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "fr"}, "fr"),
        ({"LANG": "fr_CA@euro"}, "fr"),
        ({"LANG": "fr_FR.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "fr_FR.UTF-8"}, "fr"),
        ({"LC_MESSAGES": "fr_FR.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LC_MESSAGES": "en_US.UTF-8", "LC_ALL": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "fr_FR.UTF-8", "LC_ALL": ""}, "fr"),
        ({"LANG": "fr_FR.UTF-8", "LC_TIME": "de_DE.UTF-8"}, "fr"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "fr"}, "fr"),
        ({"LANG": "fr_FR.UTF-8", "LANGUAGE": "en"}, "en"),
        ({"LANG": "fr_FR.UTF-8", "LANGUAGE": ""}, "fr"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "xx:fr_CA:en"}, "fr"),
        ({"LANG": "fr_FR.UTF-8", "LANGUAGE": "en_GB:fr"}, "en"),
        ({"LANG": "fr_FR.UTF-8", "LANGUAGE": "C:fr"}, "en"),
        ({"LANG": "fr_FR.UTF-8", "LANGUAGE": "xx"}, "en"),
        ({"LC_ALL": "C", "LANG": "fr_FR.UTF-8"}, "en"),
        ({"LC_ALL": "POSIX", "LANG": "fr_FR.UTF-8", "LANGUAGE": "fr"}, "en"),
        ({"LC_ALL": "C", "LANGUAGE": "fr"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "C.UTF-8", "LANGUAGE": "fr"}, "fr"),
        ({"LANGUAGE": "fr"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "../../etc"}, "en"),
        ({"LANG": "f" * 1000}, "en"),
        ({"LANG": ":"}, "en"),
    ],
)
def test_the_language_is_that_of_the_environment(environment: dict[str, str], language: str) -> None:
    assert language_of(environment) == language


@pytest.fixture
def french(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A catalog of a few messages, and a shell of somebody who reads French."""
    folder = write_catalog(tmp_path / "locale", "fr", FRENCH)
    settings.LOCALE_PATHS = [folder]
    for name, value in {"LC_ALL": "", "LANG": "fr_FR.UTF-8"}.items():
        monkeypatch.setenv(name, value)
    domain = gettext.textdomain()
    yield folder
    gettext.textdomain(domain)
    translation.deactivate()


@pytest.mark.usefixtures("french")
def test_a_typo_is_answered_in_french_with_what_was_meant(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    speak(os.environ)
    said, status = refusal(capsys, "keys", "lst")
    assert said.startswith("manage.py keys : erreur : argument what : choisir parmi 'list', 'accept', et non")
    assert said.endswith("'lst'. Vouliez-vous dire list ?")
    assert status == 2
    said, _status = refusal(capsys, "status", "--jsn")
    assert said.endswith("arguments inconnus : --jsn. Vouliez-vous dire --json ?")
    assert refusal(capsys, "assign")[0].endswith("il manque ces arguments : account, instance")
    assert refusal(capsys, "accounts", "x") == ("Aucun compte technique x.", 2)


@pytest.mark.usefixtures("french")
def test_english_stays_english_where_argparse_alone_would_choose_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LANGUAGE", "en:fr")
    speak(os.environ)
    assert gettext.textdomain() != command_language.DOMAIN
    assert did_you_mean("lst", ["list"]) == " Did you mean list?"


def test_the_words_of_argparse_are_all_listed() -> None:
    """Those of this Python, apart from what it says to programmers."""
    assert marked(argparse, "_", "ngettext") - TO_PROGRAMMERS <= {
        *marked(borrowed_words, "gettext_noop", "ngettext_lazy")
    }


def marked(module: ModuleType, *names: str) -> set[tuple[str, ...]]:
    """Return the messages in calls of these names: singular and plural, or one text."""
    return {
        tuple(str(each.value) for each in node.args if isinstance(each, ast.Constant))
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    } - {()}


TO_PROGRAMMERS = {
    (".__call__() not defined",),
    ("'required' is an invalid argument for positionals",),
    ("mutually exclusive arguments must be optional",),
    ("%r is not callable",),
    ("cannot merge actions - two groups are named %r",),
    ("invalid option string %(option)r: must start with a character %(prefix_chars)r",),
    ("dest= is required for options like %r",),
    ("invalid conflict_resolution value: %r",),
    ("cannot have multiple subparser arguments",),
    ("conflicting subparser: %s",),
    ("conflicting subparser alias: %s",),
    ("unknown parser %(parser_name)r (choices: %(choices)s)",),
    ('argument "-" with mode %r',),
    ("conflicting option string: %s", "conflicting option strings: %s"),
}


# Real processes


@pytest.fixture
def portal(tmp_path: Path) -> Portal:
    """A portal whose catalog has a few messages, started by somebody who reads French."""
    folder = write_catalog(tmp_path / "locale", "fr", FRENCH)
    lines = ["from portal.settings import *", f"LOCALE_PATHS = [{str(folder)!r}]"]
    (tmp_path / "a_few_messages.py").write_text("\n".join(lines))
    environment = {
        "DJANGO_SETTINGS_MODULE": "a_few_messages",
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        "LC_ALL": "fr_FR.UTF-8",
    }
    return Portal(tmp_path, environment)


def test_help_speaks_the_language_of_the_shell(portal: Portal) -> None:
    listed = portal.manage("help")
    assert listed.startswith("Usage : manage.py COMMANDE …")
    assert "\nDéploiements :\n" in listed
    for call in (("help", "status"), ("status", "--help"), ("scheduler", "-h")):
        text = portal.manage(*call)
        assert text.startswith("utilisation : manage.py ")
        for said in ("options possibles :", "affiche cette aide et", "un objet JSON", "les vérifications."):
            assert said in text.replace("options possibles:", "options possibles :"), call


@pytest.mark.slow
def test_what_a_command_prints_is_french_and_its_json_and_services_are_not(portal: Portal) -> None:
    portal.prepare()
    assert "Admin: " in portal.manage("sync_roles")
    assert portal.manage("unlock") == "Rien n'est bloqué.\n"
    assert portal.manage("status", fails=True) == "Aucun worker ne tourne.\n\nRien n'attend personne.\n"
    french = portal.manage("status", "--json", fails=True), portal.manage("keys", "list", "--json")
    portal.environment["LC_ALL"] = "C"
    assert french == (portal.manage("status", "--json", fails=True), portal.manage("keys", "list", "--json"))
    assert portal.manage("unlock") == "Nothing is locked.\n"


@pytest.mark.slow
@pytest.mark.parametrize("module", ["portal.celery", "portal.wsgi"])
def test_workers_and_web_servers_keep_the_default_language(portal: Portal, module: str) -> None:
    portal.manage("migrate", "--verbosity", "0")
    program = f"""
import django, {module}
django.setup()
from django.utils.translation import gettext
print(gettext("Nothing is locked."))
"""
    assert portal._run("-c", program, within=60) == "Nothing is locked.\n"


@pytest.mark.usefixtures("french")
def test_threads_of_a_command_keep_the_default_language() -> None:
    speak(os.environ)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(translation.gettext, "Nothing is locked.").result() == "Nothing is locked."
    assert translation.gettext("Nothing is locked.") == "Rien n'est bloqué."


@pytest.mark.usefixtures("french")
def test_what_is_for_machines_is_english_in_a_french_shell(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    speak(os.environ)
    with pytest.raises(CommandError) as caught:
        run("accounts", "x", "--json")
    assert str(caught.value) == "There is no technical account x."
    assert refusal(capsys, "accounts", "x") == ("Aucun compte technique x.", 2)
