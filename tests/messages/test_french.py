"""The French catalog: complete, compiled, with the same placeholders, and set as French is set."""

import ast
import gettext
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest

from tests.messages.collecting import SOURCES, collect, mo_file, po_file, untranslated
from tests.services.portal import ROOT
from tests.services.programs import require

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")
AS_WRITTEN = re.compile(r"%\(\w+\)[sd]|%[sd%]|\{\w*\}|https?://\S+|<[^>]+>|`[^`]+`|\b\d\d?:\d\d\b")
"""Parts of a text that no typesetter touches."""
NOT_SET = {
    "a typewriter's apostrophe": r"\w'\w",
    "quotation marks other than « »": r"[“”\"]",
    "no no-break space before a mark": r"(?<![\u00a0\u202f?!])[;!?»]|(?<![\u00a0\u202f]):(?=\s|$)",
    "no no-break space after «": r"«(?![\u00a0\u202f])",
}


@pytest.fixture(scope="module")
def catalog() -> polib.POFile:
    return polib.pofile(str(po_file(ROOT)))


def translations(entry: polib.POEntry) -> Iterator[str]:
    yield from entry.msgstr_plural.values() if entry.msgid_plural else [entry.msgstr]


def test_every_message_has_its_translation(catalog: polib.POFile) -> None:
    assert untranslated(catalog) == []


MARKS = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy"}


def test_no_message_is_inside_the_braces_of_a_text() -> None:
    """There gettext's collector does not see it, so that it would stay English."""
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for folder in ("portal", "instances", "credentials")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for text in ast.walk(ast.parse(path.read_text()))
        if isinstance(text, ast.JoinedStr)
        for call in ast.walk(text)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in MARKS
        if call.args and isinstance(call.args[0], ast.Constant)
    ]
    assert found == []


def test_the_catalog_has_the_messages_of_the_code_and_no_others(tmp_path: Path) -> None:
    require("msgmerge")
    for each in (*SOURCES, "locale"):
        shutil.copytree(ROOT / each, tmp_path / each, ignore=shutil.ignore_patterns("__pycache__"))
    collect(tmp_path)
    assert po_file(tmp_path).read_text() == po_file(ROOT).read_text(), "run make messages"


def test_what_the_portal_reads_is_what_the_translators_wrote(catalog: polib.POFile) -> None:
    with mo_file(ROOT).open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for entry in catalog:
        for number, text in enumerate(translations(entry)):
            if entry.msgid_plural:
                found = compiled.ngettext(entry.msgid, entry.msgid_plural, number + 1)
            elif entry.msgctxt:
                found = compiled.pgettext(entry.msgctxt, entry.msgid)
            else:
                found = compiled.gettext(entry.msgid)
            assert found == text, "run make messages"


def test_translations_have_the_placeholders_of_their_message(catalog: polib.POFile) -> None:
    wrong = []
    for entry in catalog:
        allowed = [Counter(PLACEHOLDER.findall(text)) for text in (entry.msgid, entry.msgid_plural) if text]
        wrong += [
            (entry.msgid, text)
            for text in translations(entry)
            if Counter(PLACEHOLDER.findall(text)) not in allowed
        ]
    assert wrong == []


@pytest.mark.parametrize("flaw", NOT_SET)
def test_french_is_set_as_french(catalog: polib.POFile, flaw: str) -> None:
    texts = (text for entry in catalog for text in translations(entry))
    assert [text for text in texts if re.search(NOT_SET[flaw], AS_WRITTEN.sub("X", text))] == []
