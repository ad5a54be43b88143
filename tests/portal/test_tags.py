"""Tags, words and fields that every page has many of: quick, and no different for it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django import forms
from django.template import Context, Engine, engines
from django.template.backends.django import DjangoTemplates
from django.utils.safestring import mark_safe
from pytest_django.fixtures import Settings

from credentials.rollouts.models import Push
from instances.failures import Code
from portal.web.split_bar import ORDER, Part, widths

UNSAFE = "<b>&"


def engine() -> Engine:
    backend = engines["django"]
    assert isinstance(backend, DjangoTemplates)
    return backend.engine


def drawn(source: str, **values: object) -> str:
    return engine().from_string(source).render(Context(values))


def test_a_state_is_escaped_whoever_asked_for_it_before() -> None:
    for _ in range(2):
        assert UNSAFE in drawn('{% status "partial" word %}', word=mark_safe(UNSAFE))
        assert UNSAFE not in drawn('{% status "partial" word %}', word=UNSAFE)
        assert UNSAFE not in drawn("{% status word %}", word=UNSAFE)


def test_a_moment_is_local_with_utc_in_its_title(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    at = datetime(2026, 7, 1, 22, 30, 5, tzinfo=UTC)
    shown = drawn("{% moment at %}", at=at)
    assert 'datetime="2026-07-01T22:30:05+00:00" title="2026-07-01T22:30:05Z"' in shown
    assert ">2026-07-02 00:30:05<" in shown
    assert drawn("{% moment at %}|{% moment at never %}", at=None, never=UNSAFE) == "—|&lt;b&gt;&amp;"


def test_what_is_drawn_once_can_be_shown_twice_and_is_escaped_once() -> None:
    assert drawn("{% once as part %}{{ x }}!{% endonce %}{{ part }}{{ part }}", x="&") == "&amp;!&amp;!"


@pytest.mark.parametrize("code", [*Code, "", "of_an_older_portal"])
def test_a_choice_has_the_word_that_django_would_give_it(code: str) -> None:
    words = dict(Code.choices)
    assert Push(code=code).get_code_display() == str(words.get(code, code))


def test_a_select_escapes_its_options_and_marks_the_chosen_one() -> None:
    class Form(forms.Form):
        field = forms.ChoiceField(choices=[("", "Any"), ('"1"', UNSAFE), ("2", "Two")])

    shown = str(Form({"field": '"1"'})["field"])
    assert '<option value="&quot;1&quot;" selected>&lt;b&gt;&amp;</option>' in shown
    assert '<option value="2">Two</option>' in shown
    assert shown.count("selected") == 1


PARTS: list[Part] = [
    ("queued", "1 queued", 1),
    ("failed", f"2 {UNSAFE}", 2),
    ("succeeded", "10 succeeded", 10),
]


def test_a_split_bar_says_in_words_what_it_draws_in_one_order() -> None:
    shown = drawn("{% split_bar parts %}", parts=PARTS)
    assert UNSAFE not in shown
    names = re.findall(r'class="split-(succeeded|failed|queued)"', shown)
    assert names == ["succeeded", "failed", "queued"] * 2, "first the bar, then its words"
    assert re.findall(r"</svg>(\d+ \w+)", shown) == ["10 succeeded", "1 queued"]
    assert "style=" not in shown
    assert "none" in drawn("{% split_bar parts %}", parts=[])


def test_the_numbers_of_a_split_bar_can_lead_somewhere() -> None:
    shown = drawn('{% split_bar parts "?state=" %}', parts=PARTS)
    assert '<li id="tally-queued" class="split-queued">' in shown
    assert '<a href="?state=queued">1 queued</a>' in shown
    assert "<a " not in drawn("{% split_bar parts %}", parts=PARTS)


@pytest.mark.parametrize("counts", [[1], [1, 1, 1], [9_999, 1], [1, 100_000, 1, 1], [1] * len(ORDER), [3, 7]])
def test_the_parts_of_a_split_bar_fill_it_and_the_smallest_can_be_seen(counts: list[int]) -> None:
    found = widths(counts)
    assert sum(found) == 1000
    assert min(found) >= 15
    assert found.index(max(found)) == counts.index(max(counts))


def test_every_state_of_a_push_has_its_place_and_its_pattern_in_a_split_bar() -> None:
    assert set(ORDER) == set(Push.State.values)
    style = Path("static/portal.css").read_text()
    assert [state for state in ORDER if f".split-{state}" not in style] == []
