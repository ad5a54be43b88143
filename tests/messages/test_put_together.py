"""Texts that are put together: parts agree with each other, and the marks between them are translated.

The French of these tests has a few messages. What a worker stored is told in the language of the person who
reads it; what the history, JSON and exports hold is the same in every language.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.template import engines
from django.urls import reverse
from django.utils import translation
from pytest_django.fixtures import Settings

from credentials.adobe.console import Problem
from credentials.adobe.ims import TokenVerdict
from credentials.rollouts.models import Push
from credentials.rollouts.progress import Progress
from credentials.rollouts.states import counted
from credentials.rotation import waits
from credentials.rotation.gates import InTheWay, Missing
from credentials.rotation.waits import Wait
from credentials.rotation.window_words import in_words
from credentials.search.kinds import search
from credentials.search.providers import KINDS
from instances.models import label_of
from portal.audit.detail_words import WORDS, word_for
from portal.audit.models import AuditEvent
from portal.audit.trail import PORTAL, record
from portal.notices.kinds import Batch, Told
from portal.punctuation import labelled, with_colon, with_semicolons
from portal.roles import ROLES, role_label
from tests.factories import make_installation, make_window
from tests.messages.catalog import write_catalog
from tests.services.portal import ROOT

SPACE = "\N{NO-BREAK SPACE}"
FRENCH = {
    "%(label)s: %(value)s": f"%(label)s{SPACE}: %(value)s",
    "%(heading)s:": f"%(heading)s{SPACE}:",
    "%(names)s and others": "%(names)s et autres",
    "%(first)s; %(second)s": f"%(first)s{SPACE}; %(second)s",
    "%(instance)s on %(container)s": "%(instance)s sur %(container)s",
    "%(count)s succeeded\0%(count)s succeeded": "%(count)s réussi\0%(count)s réussis",
    "%(count)s failed\0%(count)s failed": "%(count)s échoué\0%(count)s échoués",
    "Adobe refused to manage the secrets of this credential: %(problem)s.": "Adobe a refusé (%(problem)s).",
    "The credential may not manage its secrets": "identifiant sans droits",
    "Too many checks": "trop de contrôles",
    "Adobe asks for a pause": "Adobe demande une pause",
    "Adobe was asked, but gave no usable answer: %(problem)s.": "Pas de réponse (%(problem)s).",
    "Admin": "Administrateur",
    "history detail\x04reason": "motif",
    "Production": "Production (fr)",
}


@pytest.fixture
def french(tmp_path: Path, settings: Settings) -> Iterator[None]:
    """What a person reads who chose French; outside of it the portal speaks English, as a worker does."""
    settings.LOCALE_PATHS = [write_catalog(tmp_path / "locale", "fr", FRENCH)]
    with translation.override("fr"):
        yield


# Marks


@pytest.mark.usefixtures("french")
def test_marks_between_parts_are_those_of_the_language() -> None:
    assert labelled("Production", 3) == f"Production{SPACE}: 3"
    assert with_colon("État") == f"État{SPACE}:"
    assert with_semicolons(["a", "b", "c"]) == f"a{SPACE}; b{SPACE}; c"
    with translation.override("en"):
        assert (labelled("a", 3), with_semicolons(iter("ab")), with_semicolons([])) == ("a: 3", "a; b", "")


@pytest.mark.usefixtures("french")
def test_templates_set_them_alike_and_escape_what_they_join() -> None:
    template = engines["django"].from_string("{{ one|labelled:two }} {{ one|colon }}")
    assert template.render({"one": "<b>", "two": "&"}) == f"&lt;b&gt;{SPACE}: &amp; &lt;b&gt;{SPACE}:"


MARK_AFTER_A_PART = re.compile(r"(?:\}\}|%\})(?:</[a-z]+>)?[:;!?](?=[\s<{]|$)")
WRITTEN_FOR_MACHINES = re.compile(r"(?:address|seq) \}\}:\{\{")


def test_no_template_sets_a_mark_after_a_part_itself() -> None:
    wrong = [
        f"{path.name}: {line.strip()}"
        for path in sorted((ROOT / "templates").rglob("*.html"))
        for line in without_blocks(path.read_text()).splitlines()
        if MARK_AFTER_A_PART.search(WRITTEN_FOR_MACHINES.sub("", line))
    ]
    assert wrong == []


def without_blocks(text: str) -> str:
    """Leave out messages, whose marks are translated with them, tags in attributes, and what is no text."""
    text = re.sub(r"\{% blocktranslate.*?\{% endblocktranslate %\}", "", text, flags=re.DOTALL)
    return re.sub(r"\}\?\{\{ \w+ \}\}|%\}\?\{", "", text)


IN_ENGLISH = {
    "portal/audit/append_only/triggers.py",
    "portal/audit/chain/kept_head.py",
    "portal/checks.py",
    "portal/command_line.py",
    "portal/health/metrics.py",
    "portal/health/readiness.py",
    "portal/management/commands/backup.py",
    "portal/people/services.py",
    "portal/webserver/__main__.py",
    "credentials/evidence/verify.py",
    "credentials/rotation/services.py",
    "instances/checks.py",
    "instances/nlserver/silence.py",
    "instances/reaching/portal_key.py",
    "instances/ssh/greeting.py",
    "instances/ssh/keys.py",
}
"""Logs, checks of a start, SQL, shell, names in the history, and a program outside of the portal."""


def marks_in_code(tree: ast.Module) -> Iterator[int]:
    """Yield the lines with `{…}: {…}` in a text; `__str__`, for what is stored, may have it."""
    stored = {
        id(node)
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef) and each.name == "__str__"
        for node in ast.walk(each)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr) or id(node) in stored:
            continue
        for before, mark, after in zip(node.values, node.values[1:], node.values[2:], strict=False):
            are_parts = isinstance(before, ast.FormattedValue) and isinstance(after, ast.FormattedValue)
            if are_parts and isinstance(mark, ast.Constant) and re.fullmatch(r"[:;] ", str(mark.value)):
                yield node.lineno


def test_no_code_sets_a_mark_between_parts_itself() -> None:
    found = {
        f"{name}:{line}"
        for room in ("portal", "instances", "credentials")
        for path in sorted((ROOT / room).rglob("*.py"))
        if (name := str(path.relative_to(ROOT))) not in IN_ENGLISH and "sandbox" not in name
        for line in marks_in_code(ast.parse(path.read_text()))
    }
    assert found == set()


# Counts


@pytest.mark.usefixtures("french")
def test_a_state_agrees_with_its_count() -> None:
    progress = Progress({Push.State.SUCCEEDED: 2, Push.State.FAILED: 1})
    assert [text for _state, text, _count in progress.tally] == ["2 réussis", "1 échoué"]
    with translation.override("en"):
        assert [counted(state, 2) for state in Push.State] == [f"2 {state.value}" for state in Push.State]


@pytest.mark.parametrize("wait", [*Wait])
def test_every_wait_says_one_as_well_as_many_and_none(wait: Wait) -> None:
    one, many = (waits.cause(wait, {"count": count, "total": 5, "ended": count}) for count in (1, 2))
    assert waits.cause(wait, {}) == many.replace("2", "—", 1).replace("of 5", "of —") or one == many
    assert not re.search(r"\b1 (?:\w+ )?(?:installations|secrets|containers)\b", one)


# Codes that a worker stored


@pytest.mark.usefixtures("french")
def test_what_a_rotation_waits_for_is_told_in_the_language_of_the_reader() -> None:
    refused = waits.cause(Wait.ADOBE_REFUSED, {"problem": Problem.FORBIDDEN.value})
    assert refused == "Adobe a refusé (identifiant sans droits)."
    for asks, said in (("ims", "trop de contrôles"), ("console", "Adobe demande une pause")):
        params: dict[str, object] = {"problem": TokenVerdict.THROTTLED.value, "asks": asks}
        assert waits.cause(Wait.ADOBE_LATER, params) == f"Pas de réponse ({said})."
    for wait in (Wait.CANARY_UNUSED, Wait.CANARY_FAILED, Wait.OPENED):
        assert "prod1 sur web1" in waits.cause(wait, {"installation": "prod1 on web1", "state": "failed"})
    names: dict[str, object] = {"names": ["a on b", "c on d"], "count": 3}
    assert "a sur b, c sur d et autres" in waits.cause(Wait.SPARE_NEEDED, names)
    assert "Production (fr)" in waits.cause(Wait.WINDOW, {"environment": "production", "until": None})


@pytest.mark.usefixtures("french")
def test_texts_that_older_releases_stored_are_shown_as_they_are() -> None:
    """Not in the reader's language, which nobody knew then."""
    for wait, params in (
        (Wait.ADOBE_REFUSED, {"problem": "Answer not understood"}),
        (Wait.ADOBE_LATER, {"problem": "An error at Adobe", "asks": "ims"}),
        (Wait.SECRET_REFUSED, {"answer": "Wrong client secret"}),
        (Wait.CANARY_FAILED, {"state": "Failed", "installation": "gone"}),
        (Wait.SPARE_NEEDED, {"names": "a on b, c on d …", "count": 3}),
        (Wait.WINDOW, {"environment": "Stage", "until": "2026-12-01T10:00:00+00:00"}),
    ):
        said = waits.cause(wait, {**params})
        assert all(str(value) in said for key, value in params.items() if key not in ("asks", "until")), said


def test_a_moment_that_is_missing_makes_no_sentence_wrong() -> None:
    for wait in (Wait.UNKNOWN_SECRET, Wait.ORPHAN, Wait.WINDOW):
        said = waits.cause(wait, dict.fromkeys(waits.MOMENTS, None))
        assert "at never" not in said, said
    assert "created: not known; last used: never" in waits.cause(
        Wait.UNKNOWN_SECRET, {"created": None, "used": None}
    )


def test_every_reason_of_a_gate_can_be_said_and_names_the_setting(settings: Settings) -> None:
    settings.ROTATION_READ_WITHIN = 7200
    pk = uuid4()
    said = {each: InTheWay(pk, "prod1", "web1", pk, each).label for each in Missing}
    assert "not for 2 h" in said[Missing.NOT_READ]
    assert not any("%" in text for text in said.values())


# Names


@pytest.mark.django_db
@pytest.mark.usefixtures("french")
def test_the_name_of_an_installation_is_translated_and_what_is_stored_of_it_is_not() -> None:
    row = make_installation(instance="prod1", container="mkt-2")
    assert (row.label, str(row)) == ("prod1 sur mkt-2", "prod1 on mkt-2")
    assert label_of(str(row)) == row.label
    assert label_of("web1") == "web1"
    assert label_of("a rotation on hold, and more") == "a rotation on hold, and more"
    record("installation.added", actor=PORTAL, target=row)
    assert AuditEvent.objects.latest("seq").target_name == "prod1 on mkt-2"
    batch = Batch(3, [Told(str(row))])
    assert (batch.names, batch.named(label_of)) == (
        "prod1 on mkt-2 and 2 more",
        "prod1 sur mkt-2 and 2 more",
    )


@pytest.mark.django_db
@pytest.mark.usefixtures("french")
@pytest.mark.parametrize("reads", ["en", "fr"])
@pytest.mark.parametrize("typed", ["prod1 on mkt-2", "prod1 sur mkt-2", "PROD1 SUR mkt"])
def test_the_search_finds_an_installation_by_its_name_in_every_language(reads: str, typed: str) -> None:
    row = make_installation(instance="prod1", container="mkt-2")
    with translation.override(reads):
        found = search(KINDS, typed)
    hits = [hit for _kind, hit in found.exact] + [hit for each in found.found for hit in each.hits]
    assert [hit.url for hit in hits] == [reverse("installation", args=[row.pk])]


@pytest.mark.usefixtures("french")
def test_a_role_is_shown_in_words_and_a_group_that_is_none_by_its_name() -> None:
    assert [role_label(name) for name in ("Admin", "Operators", "")] == ["Administrateur", "Operators", ""]
    with translation.override("en"):
        assert [role_label(name) for name in ROLES] == [*ROLES]


# The history


def test_every_detail_that_was_ever_stored_has_a_word() -> None:
    codes = json.loads((ROOT / "tests" / "upgrade" / "files" / "codes.json").read_text())
    assert set(codes["audit_auditevent.details"]) <= set(WORDS)


@pytest.mark.usefixtures("french")
def test_details_are_called_by_their_words_and_unknown_ones_by_their_keys() -> None:
    assert word_for("reason") == "motif"
    assert word_for("something_new") == "something new"


# Days


@pytest.mark.django_db
def test_weekdays_are_shortened_as_the_language_does() -> None:
    row = make_window(days=["mon", "wed"])
    for language, days in (("en", "Mon, Wed"), ("fr", "lun, mer"), ("de", "Mo, Mi")):
        with translation.override(language):
            assert in_words(row).startswith(days)
    row.weekdays = ["mon", "tue", "wed", "thu", "fri"]
    with translation.override("fr"):
        assert in_words(row).startswith("lun\N{EN DASH}ven")
