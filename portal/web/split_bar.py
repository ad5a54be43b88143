"""A bar divided by state, with its numbers in words below: SVG, so that no inline style is needed.

Each state has a pattern of its own besides its colour, made of a rectangle and a dashed line; `portal.css`
draws them. The same pattern is next to the words, which say all that the bar shows: for a screen reader the
bar is not there.
"""

from collections.abc import Iterable

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

ORDER = ("succeeded", "failed", "unknown", "running", "queued", "cancelled", "superseded")
"""From left to right: first what is known to be good, last what nobody waits for."""
WHOLE = 1000
LEAST = 15
"""One of ten thousand can still be seen."""

Part = tuple[str, str, int]
"""State, its count in words and its count."""

_SWATCH = mark_safe(
    '<svg class="split-swatch" aria-hidden="true" focusable="false"><rect width="100%" height="100%" />'
    '<line x1="0" x2="100%" y1="50%" y2="50%" /></svg>'
)


def split_bar(parts: Iterable[Part], link: str = "") -> SafeString:
    """Draw how many there are in each state. With `link`, each number leads to it, with its state added."""
    shown = sorted((part for part in parts if part[2]), key=_place)
    if not shown:
        return format_html('<div class="split-bar"><span class="muted">{}</span></div>', _("none"))
    words = format_html_join("", "{}", ((_word(part, link),) for part in shown))
    return format_html(
        '<div class="split-bar">{}<ul class="split-words">{}</ul></div>',
        _drawing([(state, count) for state, _word, count in shown]),
        words,
    )


def _place(part: Part) -> int:
    return ORDER.index(part[0]) if part[0] in ORDER else len(ORDER)


def _word(part: Part, link: str) -> SafeString:
    state, text, _count = part
    if not link:
        return format_html('<li class="split-{}">{}{}</li>', state, _SWATCH, text)
    line = '<li id="tally-{0}" class="split-{0}">{1}<a href="{2}{0}">{3}</a></li>'
    return format_html(line, state, _SWATCH, link, text)


def _drawing(counts: list[tuple[str, int]]) -> SafeString:
    pieces, at = [], 0
    for (state, _count), width in zip(counts, widths([count for _state, count in counts]), strict=True):
        end = at + width
        pieces.append((state, at / 10, width / 10, at / 10, end / 10))
        at = end
    drawn = format_html_join(
        "",
        '<g class="split-{}"><rect x="{}%" width="{}%" height="100%" />'
        '<line x1="{}%" x2="{}%" y1="50%" y2="50%" /></g>',
        ((state, *map(str, places)) for state, *places in pieces),
    )
    return format_html('<svg class="split-drawing" aria-hidden="true" focusable="false">{}</svg>', drawn)


def widths(counts: list[int]) -> list[int]:
    """Return the width of each part, in thousandths; the widest gives what the narrowest need."""
    total = sum(counts)
    found = [max(LEAST, count * WHOLE // total) for count in counts]
    found[found.index(max(found))] += WHOLE - sum(found)
    return found
