"""The help inside the portal: topics by role and language, ids, links, tables, pictures, and nothing raw."""

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext

from credentials.help import rendering, topics
from credentials.help.finding import found
from credentials.help.pictures import PICTURES, Picture
from credentials.help.rendering import page_of, rendered
from credentials.help.topics import TOPICS, file_of
from credentials.rotation.models import Rotation
from instances.failures import Code
from tests.factories import finish, make_rollout, make_rotation
from tests.test_roles import PAGES, client_of

HEAD = "# Title\n\nAbout it.\n\n"
LANGUAGES = ("en", "fr")
PICTURE = re.compile(r"!\[([^\]]*)\]\(\.\./pictures/([\w-]+)\.(\w+)\.png\)")


def body(text: str) -> str:
    return rendered(HEAD + text, "start", "en").body


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_is_there_with_title_summary_and_ids_of_its_own(topic: str, language: str) -> None:
    page = page_of(topic, language)
    assert page.language == language
    assert page.title
    assert page.summary.endswith(".")
    ids = re.findall(r'\bid="([^"]+)"', page.body)
    assert len(ids) == len(set(ids)) == len(page.sections)
    assert "<h1" not in page.body


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_id_of_a_code_is_the_code(language: str) -> None:
    ids = {each.id for each in page_of("codes", language).sections}
    assert set(Code) <= ids
    assert {"rotation-idle", "notice-timed_out", "adobe-wrong_secret", "history-changed"} <= ids


def entries(language: str) -> dict[str, str]:
    """Return the text below each code on the page of codes."""
    text = file_of("codes", language).read_text()
    return dict(re.findall(r"^### (.+)\n((?:(?!#).*\n?)*)", text, re.MULTILINE))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_is_explained(language: str) -> None:
    said = {
        code: re.sub(r"\*\*.*?\*\*|^\* .*$", "", text, flags=re.MULTILINE)
        for code, text in entries(language).items()
    }
    assert [code for code, text in said.items() if not re.search(r"\w{4}", text)] == []


def test_what_is_said_of_a_code_agrees() -> None:
    for code, text in entries("en").items():
        if "nobody has to." in text and "by itself: no" in text:
            assert code in ("newer_push", "no_report", "no_longer_wanted"), code  # really nothing to do
        if re.search(r"It is tried again|once more by itself", text):
            assert "by itself: yes" in text, code
    found = entries("en")
    for code in ("rotation not_startable", "rotation still_used"):
        assert "Who can mend it: an admin." in found[code]


def test_no_code_speaks_of_what_only_another_page_shows() -> None:
    found = {code: text for code, text in entries("en").items() if not code.startswith("rotation ")}
    assert [
        code for code, text in found.items() if re.search(r"\b(below|here)\b(?! the install)", text)
    ] == []
    assert "Where a text says “here” or “below”, it means that page." in file_of("codes", "en").read_text()


def test_raw_html_stays_text() -> None:
    shown = body("<script>alert(1)</script>\n\nA <b>bold</b> [link](javascript:alert(1)).\n")
    assert "<script" not in shown
    assert "<b>" not in shown
    assert "javascript:" not in re.sub(r">[^<]*<", "", shown)


def test_links_lead_to_pages_of_the_help_and_what_is_outside_stays_as_words() -> None:
    shown = body("[codes](codes.md#busy) [own](#here) [guide](../../keys.md) [Adobe](https://adobe.com/)\n")
    assert '<a href="/help/codes/#busy">codes</a>' in shown
    assert '<a href="#here">own</a>' in shown
    assert "<span>guide</span>" in shown
    assert '<a href="https://adobe.com/">Adobe</a>' in shown


def test_tables_scroll_in_frames_with_names_of_their_own() -> None:
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n\n"
    shown = body(f"## Words\n\n{table}{table}")
    assert shown.count('class="table-scroll"') == 2
    assert re.findall(r'aria-label="([^"]+)"', shown) == ["Words", "Words (2)"]
    assert '<th scope="col">a</th>' in shown


def test_a_picture_that_is_not_there_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "PICTURES_FOLDER", tmp_path)
    text = "Before.\n\n![What it shows](../pictures/home-admin.en.png)\n\nAfter.\n"
    assert body(text) == "<p>Before.</p>\n<p>After.</p>\n"
    (tmp_path / "home-admin.en.png").touch()
    assert re.search(r'<figure><img src="/static/help/home-admin\.en\.png" alt="What it shows"', body(text))


def test_a_picture_that_was_not_collected_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "PICTURES_FOLDER", tmp_path)
    monkeypatch.setattr(rendering, "staticfiles_storage", ManifestStaticFilesStorage(location=tmp_path))
    (tmp_path / "home-admin.en.png").touch()
    assert body("![What it shows](../pictures/home-admin.en.png)\n") == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_picture_is_known_and_used_once_in_each_language(language: str) -> None:
    used = [
        (name, of_language, bool(alternative))
        for topic in TOPICS
        for alternative, name, of_language in PICTURE.findall(file_of(topic, language).read_text())
    ]
    assert sorted(used) == sorted((each.name, language, True) for each in PICTURES)
    assert {each.page for each in PICTURES} <= set(PAGES)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_every_picture_is_there_in_each_language(picture: Picture, language: str) -> None:
    drawn = picture.file(language).read_bytes()  # `make pictures` writes it
    assert drawn.startswith(b"\x89PNG")
    assert int.from_bytes(drawn[16:20], "big") == picture.width
    assert len(drawn) <= 120 * 1024


@pytest.mark.django_db
@pytest.mark.parametrize("person", ["admin", "helpdesk", "auditor"])
def test_the_own_role_comes_first(person: str, request: pytest.FixtureRequest) -> None:
    content = client_of(request.getfixturevalue(person)).get("/help/").content.decode()
    assert re.findall(r'<a href="/help/(\w+)/">', content)[:2] == [person, "start"]
    assert set(re.findall(r'<a href="/help/(\w+)/">', content)) == set(TOPICS)


@pytest.mark.django_db
@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_shown_in_the_language_of_the_reader(admin: User, topic: str) -> None:
    for language in LANGUAGES:
        with translation.override(language):
            content = client_of(admin).get(f"/help/{topic}/").content.decode()
        assert page_of(topic, translation.get_language()).title in content.replace("&#x27;", "'")
        assert "not there in your language" not in content


@pytest.mark.django_db
def test_without_a_translation_a_topic_is_in_english_and_says_so(
    admin: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("credentials.help.views.active_language", lambda: "de")
    content = client_of(admin).get("/help/glossary/").content.decode()
    assert "not there in your language" in content
    assert '<article class="card guide-body"' in content
    assert page_of("glossary", "de").language == topics.ENGLISH


@pytest.mark.django_db
def test_an_unknown_topic_is_not_found(admin: User) -> None:
    assert client_of(admin).get("/help/nothing/").status_code == 404


@pytest.mark.django_db
def test_a_failed_push_leads_to_its_code(helpdesk: User) -> None:
    push = make_rollout().pushes.get()
    finish(push, state="failed", code="connection_refused")
    client = client_of(helpdesk)
    for page in (reverse("push", args=[push.pk]), reverse("failed_pushes"), reverse("home")):
        assert 'href="/help/codes/#connection_refused"' in client.get(page).content.decode(), page


@pytest.mark.django_db
def test_a_rotation_leads_to_what_it_waits_for(admin: User) -> None:
    rotation = make_rotation()
    Rotation.objects.filter(pk=rotation.pk).update(wait="idle")
    content = client_of(admin).get(reverse("rotation", args=[rotation.pk])).content.decode()
    assert 'href="/help/codes/#rotation-idle"' in content


def test_a_code_is_found_by_its_name_and_by_its_words() -> None:
    [(title, address, page, is_exact)] = [each for each in found("timed_out") if each[3]]
    assert (title, address, page) == (
        "No answer in time (timed_out)",
        "/help/codes/#timed_out",
        "Failure codes",
    )
    assert is_exact
    assert ("Glossary", "/help/glossary/") in [each[:2] for each in found("gloss")]
    assert "/help/admin/#rotate-a-secret" in [each[1] for each in found("rotate a secret")]


@pytest.mark.django_db
def test_the_search_page_finds_a_code(auditor: User) -> None:
    content = client_of(auditor).get("/search/", {"q": "connection refused"}).content.decode()
    assert 'href="/help/codes/#connection_refused"' in content


@pytest.mark.django_db
def test_strangers_are_asked_to_sign_in(client: Client) -> None:
    assert client.get("/help/codes/").status_code == 302


@pytest.mark.parametrize("language", ["en", "fr"])
def test_no_help_names_a_button_by_words_that_a_script_replaces(language: str) -> None:
    """Such a button says how many are chosen: its words without a script are seen by nobody."""
    templates = "".join(path.read_text() for path in Path("templates").rglob("*.html"))
    buttons = re.findall(r"<button[^<>]*data-count=(?:(?!</button>).)*</button>", templates, re.DOTALL)
    with translation.override(language):
        labels = [
            gettext(label) for each in buttons for label in re.findall(r'<span>{% translate "([^"]+)', each)
        ]
    assert labels
    texts = "".join(path.read_text() for path in Path("docs/help", language).glob("*.md"))
    assert [label for label in labels if f"**{label}**" in texts] == []


@pytest.mark.parametrize(("language", "row"), [("en", "| failed | "), ("fr", "| échoué | ")])
def test_the_glossary_says_that_a_push_may_fail_after_the_write(language: str, row: str) -> None:
    [meaning] = [
        line for line in Path("docs/help", language, "glossary.md").read_text().splitlines() if row in line
    ]
    assert {"en": "a step after the write failed", "fr": "une étape après l\u2019écriture"}[
        language
    ] in meaning
