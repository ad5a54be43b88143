"""Makes HTML of a topic's Markdown: raw HTML stays text, and nothing is loaded from elsewhere.

A page is rendered once in a process: files do not change under a running portal.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from django.contrib.staticfiles.storage import staticfiles_storage
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from credentials.help.pictures import PICTURES_FOLDER, STATIC_PREFIX
from credentials.help.topics import ENGLISH, TOPICS, file_of

_PAGE = re.compile(r"(\w+)\.md(#.*)?")
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


@dataclass(frozen=True)
class Section:
    """A heading: where it is on the page, what it says, and how deep it is, from 2."""

    id: str
    title: str
    level: int


@dataclass(frozen=True)
class Page:
    """A topic in one language."""

    topic: str
    language: str
    title: str
    summary: str
    """Its first paragraph."""
    body: SafeString
    """What follows."""
    sections: tuple[Section, ...]

    @property
    def chapters(self) -> list[Section]:
        return [each for each in self.sections if each.level == 2]


def page_of(topic: str, language: str) -> Page:
    """Return a topic in a language, or in English where there is no such file; `Page.language` says which."""
    language = language.partition("-")[0]
    return _page(topic, language if file_of(topic, language).is_file() else ENGLISH)


@cache
def _page(topic: str, language: str) -> Page:
    return rendered(file_of(topic, language).read_text(encoding="utf-8"), topic, language)


def rendered(text: str, topic: str, language: str) -> Page:
    """Render a file: it begins with its title and one paragraph that says what it is about."""
    tokens = _MARKDOWN.parse(text)
    title, summary = tokens[1].content, _text(tokens[4])
    body = list(_fitted(tokens[6:]))
    sections = tuple(_sections(body))
    # raw HTML is off, and addresses are those of `_lead`
    html = mark_safe(_MARKDOWN.renderer.render(body, _MARKDOWN.options, {}))  # noqa: S308
    return Page(topic, language, title, summary, html, sections)


def slug(heading: str) -> str:
    """Return the id of a heading: the anchor that forges make of it, so that links work in both places."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _text(inline: Token) -> str:
    """Return what a paragraph or heading says, without its marks."""
    return "".join(
        " " if each.type == "softbreak" else each.content
        for each in inline.children or ()
        if each.type != "image"
    )


def _fitted(tokens: Sequence[Token]) -> Iterator[Token]:
    """Yield the tokens with ids, the portal's addresses and frames for tables; without missing pictures."""
    heading, tables = "", 0
    shown = list(_with_pictures(tokens))
    for place, token in enumerate(shown):
        if token.type == "heading_open":
            heading, tables = _text(shown[place + 1]), 0
            token.attrSet("id", slug(heading))
        elif token.type == "inline":
            token.children = list(_lead(token.children or []))
        elif token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type == "table_open":
            tables += 1
            token.attrSet("class", "table")
            yield _frame(heading if tables == 1 else f"{heading} ({tables})")
        yield token
        if token.type == "table_close":
            yield Token("frame_close", "div", -1, block=True)


def _with_pictures(tokens: Sequence[Token]) -> Iterator[Token]:
    """Make figures of paragraphs that hold a picture alone; leave those out whose picture is not there."""
    left_out = 0
    for place, token in enumerate(tokens):
        if left_out:
            left_out -= 1
            continue
        if token.type == "paragraph_open" and (picture := _only_picture(tokens[place + 1])):
            if not _address(picture):
                left_out = 2  # what is in the paragraph, and its end
                continue
            token.tag = tokens[place + 2].tag = "figure"
        yield token


def _frame(label: str) -> Token:
    attributes: dict[str, str | int | float] = {
        "class": "table-scroll",
        "tabindex": "0",
        "role": "region",
        "aria-label": label,
    }
    return Token("frame_open", "div", 1, attrs=attributes, block=True)


def _only_picture(inline: Token) -> Token | None:
    children = inline.children or []
    return children[0] if len(children) == 1 and children[0].type == "image" else None


def _address(picture: Token) -> str:
    """Return where a picture is served, or nothing if it was not made or not collected yet."""
    name = PurePosixPath(str(picture.attrGet("src"))).name
    if not (PICTURES_FOLDER / name).is_file():
        return ""
    try:
        return staticfiles_storage.url(f"{STATIC_PREFIX}/{name}")
    except ValueError:
        return ""


def _lead(children: Sequence[Token]) -> Iterator[Token]:
    """Let links lead to pages of the portal. What is not in the help stays as words."""
    is_link = True
    for token in children:
        if token.type == "image":
            if not (address := _address(token)):
                continue
            token.attrSet("src", address)
            token.attrSet("loading", "lazy")
        elif token.type == "link_open":
            target = _target(str(token.attrGet("href")))
            is_link = bool(target)
            token.attrs = {"href": target} if is_link else {}
        if token.type in {"link_open", "link_close"} and not is_link:
            token.tag = "span"
        yield token


def _target(href: str) -> str:
    if href.startswith(("#", "https://")):
        return href
    found = _PAGE.fullmatch(href)
    if found and found[1] in TOPICS:
        return reverse("help_topic", args=[found[1]]) + (found[2] or "")
    return ""


def _sections(tokens: Sequence[Token]) -> Iterator[Section]:
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            title = _text(tokens[place + 1])
            yield Section(
                str(token.attrGet("id")), _with_label(title, tokens[place + 3 :]), int(token.tag[1:])
            )


def _with_label(title: str, following: Sequence[Token]) -> str:
    """Return a heading; with the bold label that the text below it begins with, if it is a code."""
    if len(following) < 2 or following[0].type != "paragraph_open":
        return title
    children = [each for each in following[1].children or () if each.content or each.type != "text"]
    if len(children) > 1 and children[0].type == "strong_open" and slug(title) == title.replace(" ", "-"):
        return f"{children[1].content.rstrip('.')} ({title})"
    return title
