"""The translators' catalog: collected from the code, and compiled for the portal.

Both need GNU gettext. The compiled file is committed: who installs the portal has no gettext.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import polib

LANGUAGE = "fr"
SOURCES = ("portal", "instances", "credentials", "templates")
_HEADERS_OF_A_RUN = re.compile(
    r'^"(POT-Creation-Date|Report-Msgid-Bugs-To|PO-Revision-Date|X-Generator): .*\n', re.MULTILINE
)


def po_file(root: Path) -> Path:
    """Return what translators write."""
    return root / "locale" / LANGUAGE / "LC_MESSAGES" / "django.po"


def mo_file(root: Path) -> Path:
    """Return what the portal reads."""
    return po_file(root).with_suffix(".mo")


def collect(root: Path) -> None:
    """Bring the catalog of a checkout up to date: new messages come in untranslated, old ones go."""
    po_file(root).parent.mkdir(parents=True, exist_ok=True)
    words = ["makemessages", "--locale", LANGUAGE, "--no-obsolete", "--add-location", "file", "--no-wrap"]
    ignored = [
        part for each in root.iterdir() if each.name not in SOURCES for part in ("--ignore", each.name)
    ]
    subprocess.run(
        [sys.executable, "-m", "django", *words, *ignored],
        cwd=root,
        env={**os.environ, "LC_ALL": "C.UTF-8", "DJANGO_SETTINGS_MODULE": ""},
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=120,
    )
    path = po_file(root)
    path.write_text(_HEADERS_OF_A_RUN.sub("", path.read_text()))


def compile_messages(root: Path) -> None:
    """Write what the portal reads; placeholders that differ are refused by msgfmt."""
    words = ["msgfmt", "--check-format", "--output-file", str(mo_file(root)), str(po_file(root))]
    subprocess.run(words, check=True, timeout=60)


def untranslated(catalog: polib.POFile) -> list[str]:
    """Return the messages without a translation, and those that msgmerge only guessed."""
    return [each.msgid for each in catalog if not each.translated() or each.fuzzy]
