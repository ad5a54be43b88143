"""Card, table, callout and the page without rows: what they draw, and that nobody draws them by hand."""

import re

import pytest
from django.conf import settings
from django.template import Context, Template
from django.utils.safestring import mark_safe

UNSAFE = "<i>&"
SAFE = "&lt;i&gt;&amp;"


def drawn(source: str, **context: object) -> str:
    return Template(source).render(Context({"unsafe": UNSAFE, **context}))


def test_a_card_has_its_heading_and_the_sentence_about_it() -> None:
    page = drawn('{% card unsafe about=unsafe kind="form" id="here" %}{{ unsafe }}{% endcard %}')
    head = f'<div class="card-header"><h2>{SAFE}</h2><p>{SAFE}</p></div>'
    assert page == f'<section class="card form" id="here">{head}{SAFE}</section>'


def test_a_card_without_a_heading_has_no_header() -> None:
    assert drawn("{% card %}<b>x</b>{% endcard %}") == '<section class="card"><b>x</b></section>'


def test_markup_stays_markup_in_a_heading() -> None:
    page = drawn("{% card_header heading %}<a>x</a>{% endcard_header %}", heading=mark_safe("<b>x</b>"))
    assert page == '<div class="card-header"><h2><b>x</b></h2><a>x</a></div>'


@pytest.mark.parametrize(("option", "classes"), [("", "table table-cards"), (" as_cards=False", "table")])
def test_a_table_can_be_scrolled_by_keyboard_and_has_a_name(option: str, classes: str) -> None:
    page = drawn(f'{{% table unsafe{option} id="rows" %}}<tr></tr>{{% endtable %}}')
    region = f'<div class="table-scroll" id="rows" tabindex="0" role="region" aria-label="{SAFE}">'
    assert page == f'{region}<table class="{classes}"><tr></tr></table></div>'


@pytest.mark.parametrize(
    ("kind", "classes"),
    [
        ("info", "callout"),
        ("warning", "callout callout-warning"),
        ("wrong_secret", "callout callout-danger"),
        ("succeeded", "callout callout-success"),
        ("<new>", "callout"),
    ],
)
def test_a_callout_has_the_tone_of_what_it_tells(kind: str, classes: str) -> None:
    page = drawn('{% callout kind role=role aria_live="polite" %}x{% endcallout %}', kind=kind, role="")
    assert page.startswith(f'<div class="{classes}" aria-live="polite"><svg')
    assert page.endswith('<div class="callout-body">x</div></div>')
    assert "<new>" not in page


def test_a_blank_slate_says_why_and_what_to_do() -> None:
    page = drawn("{% blank_slate unsafe hint=unsafe %}<a>Go</a>{% endblank_slate %}")
    assert page.endswith(f'</svg><p>{SAFE}</p><p class="muted">{SAFE}</p><a>Go</a></div>')


def test_no_template_draws_by_hand_what_a_shell_draws() -> None:
    """Messages stay: htmx finds them by this markup, and it may hold no blank."""
    raw = re.compile(r'class="(table-scroll|card-header|callout-body|empty)"|<section class="card">')
    folder = settings.BASE_DIR / "templates"
    found = [path for path in folder.rglob("*.html") if raw.search(path.read_text())]
    assert [str(path.relative_to(folder)) for path in found] == ["_messages.html"]
