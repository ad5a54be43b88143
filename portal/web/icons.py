"""Small drawings of 16 by 16 units, in the colour of the text next to them."""

# ruff: noqa: E501  # a drawing is one piece

from functools import lru_cache

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

_DRAWINGS = {
    "succeeded valid success verified finished current done": (
        '<circle cx="8" cy="8" r="6.5" /><path d="m5 8.2 2.1 2.1L11 6.2" />'
    ),
    "failed invalid danger error": (
        '<path d="M5.4 1.5h5.2l3.9 3.9v5.2l-3.9 3.9H5.4l-3.9-3.9V5.4z" /><path d="m5.8 5.8 4.4 4.4m0-4.4-4.4 4.4" />'
    ),
    "unknown": (
        '<path d="M8 1 15 8l-7 7-7-7z" /><path d="M6.5 6.6a1.5 1.5 0 1 1 2.2 1.3c-.5.3-.7.6-.7 1M8 11.1v.01" />'
    ),
    "queued": '<circle cx="8" cy="8" r="6.5" /><path d="M8 4.5V8l2.4 1.6" />',
    "running": '<path d="M8 1.5A6.5 6.5 0 1 1 1.5 8" />',
    "cancelled revoked off": '<circle cx="8" cy="8" r="6.5" /><path d="m3.5 3.5 9 9" />',
    "superseded kept": '<path d="m3.5 8.5 4.5-4 4.5 4m-9 4 4.5-4 4.5 4" />',
    "partly": (
        '<circle cx="8" cy="8" r="6.5" /><path d="M8 1.5v13A6.5 6.5 0 0 0 8 1.5z" fill="currentColor" />'
    ),
    "draft edit": '<path d="m2.5 13.5.7-3.2 7.5-7.5 2.5 2.5-7.5 7.5zM9 4.5 11.5 7" />',
    "active on": '<circle cx="8" cy="8" r="6.5" /><circle cx="8" cy="8" r="2.4" fill="currentColor" />',
    "retired archive": '<path d="M2 2.5h12v3H2zM3 5.5v8h10v-8M6.3 8.5h3.4" />',
    "approved": (
        '<path d="M8 1.5 13.5 3.5v4c0 3.4-2.3 5.8-5.5 7-3.2-1.2-5.5-3.6-5.5-7v-4zm-2.4 6.4 1.8 1.8 3.2-3.4" />'
    ),
    "offered": (
        '<path d="M8 1.5 13.5 3.5v4c0 3.4-2.3 5.8-5.5 7-3.2-1.2-5.5-3.6-5.5-7v-4zM6.6 6.4a1.4 1.4 0 1 1 2 1.2c-.4.2-.6.5-.6.9M8 10.8v.01" />'
    ),
    "changed unexpected": (
        '<path d="M8 1.5 13.5 3.5v4c0 3.4-2.3 5.8-5.5 7-3.2-1.2-5.5-3.6-5.5-7v-4zM8 4.8v3.6M8 10.8v.01" />'
    ),
    "warning partial drifted": '<path d="M8 1.8 15 14H1zM8 6.2v3.6M8 11.9v.01" />',
    "unreachable": (
        '<path d="m9.8 3.6.8-.8a2.6 2.6 0 0 1 3.6 3.6l-1.6 1.7M6.2 12.4l-.8.8a2.6 2.6 0 0 1-3.6-3.6l1.6-1.7M5 2v1.5M2 5h1.5M11 14v-1.5M14 11h-1.5" />'
    ),
    "by_hand": '<path d="M4.5 14V8.2L3 6.4M4.5 8V3.2a1 1 0 0 1 2 0V7m0-4.6a1 1 0 0 1 2 0V7m0-3.4a1 1 0 0 1 2 0V7.6m0-2a1 1 0 0 1 2 0V10c0 2.4-1 4-1 4z" />',
    "info": '<circle cx="8" cy="8" r="6.5" /><path d="M8 7.3v4M8 4.8v.01" />',
    "key": '<circle cx="5" cy="11" r="3.2" /><path d="m7.3 8.7 6.2-6.2M10.5 5.5l2.4 2.4" />',
    "server": ('<path d="M2 2.5h12v4.6H2zM2 8.9h12v4.6H2zM4.6 4.8v.01M4.6 11.2v.01M7 4.8h4.4M7 11.2h4.4" />'),
    "layers": '<path d="M8 1.8 14 5 8 8.2 2 5zM2 8l6 3.2L14 8M2 11l6 3.2 6-3.2" />',
    "send": '<path d="M14.5 1.5 1.5 6.8l5.1 2.6 2.6 5.1zm0 0L6.6 9.4" />',
    "history": '<path d="M2.3 9.3A5.9 5.9 0 1 0 3.4 4M2.6 1.8v2.9h2.9M8 4.8V8l2.3 1.5" />',
    "user users": '<circle cx="8" cy="5" r="3" /><path d="M2.2 14.2c.6-3 2.9-4.5 5.8-4.5s5.2 1.5 5.8 4.5" />',
    "retry": '<path d="M13.7 9.3A5.9 5.9 0 1 1 12.6 4M13.4 1.8v2.9h-2.9" />',
    "add": '<path d="M8 3v10M3 8h10" />',
    "upload": '<path d="M8 10.5v-8M4.8 5.5 8 2.3l3.2 3.2M2.5 10v3.5h11V10" />',
    "download": '<path d="M8 2.3v8M4.8 7.3 8 10.5l3.2-3.2M2.5 10v3.5h11V10" />',
    "search": '<circle cx="7" cy="7" r="4.7" /><path d="m10.5 10.5 3.7 3.7" />',
    "external": '<path d="M9.5 2.5h4v4M13.3 2.7 7.5 8.5M11.5 9.5v4h-9v-9h4" />',
    "menu": '<path d="M2 4h12M2 8h12M2 12h12" />',
    "sort-ascending": '<path d="M4.5 9.5 8 6l3.5 3.5" />',
    "sort-descending": '<path d="m4.5 6.5 3.5 3.5 3.5-3.5" />',
    "sort-none": '<path d="m5 6.2 3-3 3 3M5 9.8l3 3 3-3" />',
    "down": '<path d="m4 6.2 4 4 4-4" />',
    "next": '<path d="m6.2 4 4 4-4 4" />',
}
"""By the names that use a drawing, separated by blanks."""

ICONS = {name: drawing for names, drawing in _DRAWINGS.items() for name in names.split()}


def name_icons(**names: str) -> None:
    """Let words of an app be drawn: `name_icons(key="accounts")` draws a key for it; blanks separate several."""
    for drawing, words in names.items():
        ICONS.update(dict.fromkeys(words.split(), ICONS[drawing]))


DOT = '<circle cx="8" cy="8" r="2.5" fill="currentColor" />'
"""For a name without a drawing."""


@lru_cache(maxsize=512)
def drawn(name: str, further: str = "") -> SafeString:
    """Draw an icon. Decorative: the word next to it carries the meaning."""
    classes = " ".join(filter(None, ["icon", further, "icon-spin" if name == "running" else ""]))
    return format_html(
        '<svg class="{}" viewBox="0 0 16 16" aria-hidden="true" focusable="false">{}</svg>',
        classes,
        mark_safe(ICONS.get(name, DOT)),  # noqa: S308  # the portal's own drawings
    )
