"""Generated pages of the help are what the code says today; the others have the labels of the portal."""

import re
from dataclasses import replace

import pytest

from credentials.help.rendering import rendered
from credentials.help.topics import TOPICS, file_of
from credentials.rollouts.services import _OBSTACLES as OBSTACLES
from instances.failures import EXPLANATIONS, Code
from instances.menders import MENDERS
from portal.command_line import _our_commands
from portal.notices.codes import Code as NoticeCode
from tests.help_pages import codes, environment
from tests.help_pages.labels import is_of_the_portal, labels_of, with_labels
from tests.help_pages.typography import APOSTROPHE, NO_BREAK, french
from tests.help_pages.writing import BY_HAND, LANGUAGES, MAKERS, generated, revised
from tests.services.portal import ROOT

MAKE = "run make pages"


def text_of(topic: str, language: str) -> str:
    return file_of(topic, language).read_text(encoding="utf-8")


def test_every_topic_is_written_by_people_or_generated() -> None:
    assert {*MAKERS, *BY_HAND} == set(TOPICS)
    assert set(MAKERS) == {each.name for each in TOPICS.values() if each.is_generated}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("topic", MAKERS)
def test_a_generated_page_is_what_the_code_says(topic: str, language: str) -> None:
    assert text_of(topic, language) == generated(topic, language), MAKE


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("topic", BY_HAND)
def test_a_page_of_people_has_the_labels_and_the_typography_of_its_language(
    topic: str, language: str
) -> None:
    assert text_of(topic, language) == revised(topic, language), MAKE


@pytest.mark.parametrize("topic", BY_HAND)
def test_every_label_is_one_of_the_portal(topic: str) -> None:
    labels = [label for part in labels_of(text_of(topic, "en")) for label in part]
    assert [label for label in labels if not is_of_the_portal(label)] == []


def test_a_label_that_no_page_has_is_found() -> None:
    assert is_of_the_portal("Retry now")
    assert not is_of_the_portal("Retry it now")


def test_a_translation_with_other_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="Other labels"):
        with_labels("# Un\n\n**Accueil**\n", "# One\n\n**Home** and **Users**\n", "fr")


def test_labels_are_put_in_as_the_pages_show_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.help_pages.labels.gettext", {"Home": "Accueil", "Users": "Users"}.get)
    found = with_labels("# Un\n\n**Maison**, **Gens**\n", "# One\n\n**Home**, **Users**\n", "fr")
    assert found == "# Un\n\n**Accueil**, **Gens**\n"


@pytest.mark.parametrize("topic", TOPICS)
def test_both_languages_have_the_same_headings_steps_and_pictures(topic: str) -> None:
    for form in (r"^#+ ", r"^\d+\. ", r"^\* ", r"^\|", r"^!\["):
        english, in_french = (re.findall(form, text_of(topic, each), re.MULTILINE) for each in LANGUAGES)
        assert english == in_french, form


@pytest.mark.parametrize("topic", [name for name, each in TOPICS.items() if each.is_generated])
def test_ids_of_generated_entries_are_the_same_in_both_languages(topic: str) -> None:
    english, in_french = (
        [each.id for each in rendered(text_of(topic, language), topic, language).sections if each.level == 3]
        for language in LANGUAGES
    )
    assert english == in_french
    assert english


def test_every_code_has_its_group_and_somebody_who_can_mend_it() -> None:
    listed = [code for _english, _french, group in codes.GROUPS for code in group]
    assert sorted(listed) == sorted(Code)
    assert all(MENDERS[code] for code in Code)
    assert set(codes.NOTICES) == set(NoticeCode)
    assert {each.page for each in OBSTACLES.values()} <= set(codes.PAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_of_codes_has_cause_remedy_and_who_mends_it(language: str) -> None:
    page = text_of("codes", language)
    for code in Code:
        entry = page.partition(f"### {code}\n")[2].partition("\n#")[0]
        assert re.match(r"\n\*\*\S.+\.\*\* \S", entry), code
        assert len(re.findall(r"^\* \S", entry, re.MULTILINE)) == 3, code


def test_a_changed_remedy_changes_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    known = EXPLANATIONS[Code.BUSY]
    monkeypatch.setitem(EXPLANATIONS, Code.BUSY, replace(known, next_step=known.cause))
    assert generated("codes", "en") != text_of("codes", "en")


def test_every_documented_setting_is_on_the_page() -> None:
    example = (ROOT / ".env.example").read_text()
    names = re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", example, re.MULTILINE)
    assert len(names) > 50
    on_page = re.findall(r"^### (.*)$", text_of("settings", "en"), re.MULTILINE)
    assert [name for heading in on_page for name in heading.split(", ")] == names


def test_every_setting_says_what_it_is_for() -> None:
    assert [
        block.names for _title, blocks in environment.chapters() for block in blocks if not block.text
    ] == []


def test_a_default_that_is_counted_out_in_the_code_is_shown_as_a_number() -> None:
    assert environment.defaults()["READ_INTERVAL"] == 86400
    assert environment.defaults()["PUSH_RETRY_DELAYS"] == [15, 60, 300, 900]


def test_every_command_is_on_the_page() -> None:
    page = text_of("commands", "en")
    assert sorted(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == sorted(_our_commands())


def test_french_typography() -> None:
    text = "Voir : l'état « réussi » ? `a : b` ; [d'un](x : y)"
    expected = "Voir_: l^état «_réussi_»_? `a : b`_; [d^un](x : y)".replace("_", NO_BREAK).replace(
        "^", APOSTROPHE
    )
    assert french(text) == expected
    assert french(expected) == expected


@pytest.mark.parametrize("topic", TOPICS)
def test_no_sign_begins_a_line_in_french(topic: str) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "`", text_of(topic, "fr"), flags=re.DOTALL)
    assert re.findall(r".{0,20} [:;!?»].{0,9}|« .{0,9}", text) == []
