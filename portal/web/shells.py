"""What most pages are made of, as block tags: card, table, callout, and the page without rows.

    {% card _("Waves") about=_("One after the other") %}…{% endcard %}

Headings and texts are escaped unless they are markup already; what is between the tags is the template's.
How a page is composed of them: docs/pages.md.
"""

from collections.abc import Mapping

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from portal.web.icons import drawn

Text = object
"""A text, also a lazy one, or markup."""
NOTHING = SafeString("")


TONES = {
    "info": ("info", "running", "queued", "under_way"),
    "success": ("success", "succeeded", "valid"),
    "warning": ("warning", "cancelled", "needs_you", "wrong_scope", "throttled", "unreachable", "unclear"),
    "danger": ("danger", "failed", "wrong_secret", "unknown_client", "no_longer_allowed"),
    "unknown": ("unknown",),
}
"""The colour of a callout, by what it tells of: a kind of callout, a state, or Adobe's answer."""
_TONE_OF = {word: tone for tone, words in TONES.items() for word in words}


def card(
    content: SafeString, heading: Text = "", about: Text = "", *, kind: str = "", **attributes: str
) -> SafeString:
    """Draw a section of a page: its heading, one sentence about it, and what it holds.

    `kind` is a further class, as `form`, `prose` or `stack`.
    """
    header = card_header(NOTHING, heading, about) if heading else NOTHING
    return _element("section", f"card {kind}".rstrip(), header + content, attributes)


def card_header(content: SafeString, heading: Text = "", about: Text = "") -> SafeString:
    """Draw the head of a card that has more than a heading: a state, a link or a button at its end."""
    title = format_html("<h2>{}</h2>", heading) if heading else NOTHING
    sentence = format_html("<p>{}</p>", about) if about else NOTHING
    return _element("div", "card-header", title + content + sentence)


def table(content: SafeString, name: Text, *, as_cards: bool = True, **attributes: str) -> SafeString:
    """Draw a table around its head and rows; one that is too wide is scrolled, also by keyboard.

    `name` is for those who do not see it. `as_cards`: on a narrow screen each row is a card of its own, whose
    cells say their column in `data-label`.
    """
    inner = _element("table", "table table-cards" if as_cards else "table", content)
    region = {"tabindex": "0", "role": "region", "aria-label": name}
    return _element("div", "table-scroll", inner, attributes | region)


def callout(content: SafeString, kind: str = "info", *, icon: str = "", **attributes: str) -> SafeString:
    """Draw what must not be overlooked, in the tone of its kind or of the state that it tells of.

    `icon` is the kind's, if none is named. Attributes that are empty are left out; one that
    is True has no value.
    """
    tone = _TONE_OF.get(kind, "info")
    classes = "callout" if tone == "info" else f"callout callout-{tone}"
    body = _element("div", "callout-body", content)
    return _element("div", classes, drawn(icon or kind) + body, attributes)


def blank_slate(content: SafeString, text: Text, *, icon: str = "archive", hint: Text = "") -> SafeString:
    """Draw what is shown instead of rows: why there are none, a hint, and the way on between the tags."""
    more = format_html('<p class="muted">{}</p>', hint) if hint else NOTHING
    return _element("div", "empty", drawn(icon) + format_html("<p>{}</p>", text) + more + content)


def _element(
    name: str, classes: str, content: SafeString, attributes: Mapping[str, Text] | None = None
) -> SafeString:
    given = [(key.replace("_", "-"), value) for key, value in (attributes or {}).items() if value]
    extra = format_html_join("", " {}{}", [(key, _value(value)) for key, value in given])
    # Joined, not formatted: a page's tables are long, and every part is markup by now.
    return mark_safe(f'<{name} class="{classes}"{extra}>{content}</{name}>')  # noqa: S308


def _value(value: Text) -> SafeString:
    return NOTHING if value is True else format_html('="{}"', value)
