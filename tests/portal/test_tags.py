"""Tags, words and fields that every page has many of: quick, and no different for it."""

from datetime import UTC, datetime

import pytest
from django import forms
from django.template import Context, Engine, engines
from django.template.backends.django import DjangoTemplates
from django.utils.safestring import mark_safe
from pytest_django.fixtures import Settings

from credentials.rollouts.models import Push
from instances.failures import Code

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
