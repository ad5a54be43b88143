"""A preview on a page: its counts, each with the page that mends it and the first by name."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credentials.models import ClientSecret
from credentials.rollouts import preview_words
from credentials.rollouts.outlook import HOST_KEY_UNEXPECTED, NO_HOST_KEY, OF_JUMP_HOST, WAY
from credentials.rollouts.preview import Fate, Group, Preview, Row, preview_each
from instances.failures import Code
from portal.punctuation import with_semicolons

SHOWN = 20
INLINE = 1_000
"""With more installations the page comes first, and its preview after it: ten thousand take some seconds."""
SIGNS = {
    Fate.REFUSED: ("failed", "tone-danger"),
    Fate.LEFT_OUT: ("cancelled", ""),
    Fate.FAILS: ("failed", "tone-danger"),
    Fate.LIKELY_FAILS: ("warning", "tone-warning"),
    Fate.WAITS: ("waiting", "tone-info"),
    Fate.PUSHED: ("send", "tone-ok"),
}
"""The icon and the tone of what happens."""
_JUMP_HOSTS = ("jump_hosts", "", _("Look at the jump hosts"))
_READINGS = ("readings", "", _("Read containers again"))
_MENDS: dict[str, tuple[str, str, Promise]] = {
    **dict.fromkeys(WAY, _READINGS),
    **dict.fromkeys(OF_JUMP_HOST, _JUMP_HOSTS),
    NO_HOST_KEY: ("containers", "host_key=needed", _("Approve host keys")),
    HOST_KEY_UNEXPECTED: ("containers", "host_key=unexpected", _("Compare host keys")),
    Code.HOST_KEY_CHANGED: ("containers", "host_key=changed", _("Compare host keys")),
    Code.SSH_KEY_UNUSABLE: ("ssh_key", "", _("Look at the portal's SSH key")),
    Code.BUILD_TOO_OLD: ("instances", "need=old", _("See what needs an upgrade")),
    Code.INSTANCE_NOT_FOUND: ("proposals", "kind=gone", _("See which files are gone")),
    "retired": ("instances", "show=retired", _("See what is retired")),
    "instance_retired": ("instances", "show=retired", _("See what is retired")),
    "container_retired": ("containers", "show=retired", _("See what is retired")),
    "container_by_hand": ("containers", "switch=by_hand", _("See what is set by hand")),
    "container_off": ("containers", "switch=off", _("See what is switched off")),
    "hosted": ("instances", "deployment=hosted", _("See what Adobe hosts")),
    "not_assigned": ("instances", "", _("See which account an instance uses")),
    "version_not_usable": ("accounts", "", _("See the accounts")),
    "account_not_active": ("accounts", "", _("See the accounts")),
}

_DECIDED_THERE = (NO_HOST_KEY, HOST_KEY_UNEXPECTED, Code.HOST_KEY_CHANGED)
"""What is decided on the page of the container, where it is only one."""


@dataclass(frozen=True)
class ShownRow:
    """One installation, and what there is to say of it where it is shown."""

    row: Row
    text: str

    @property
    def is_good(self) -> bool:
        return self.row.fate in (Fate.PUSHED, Fate.WAITS)


@dataclass(frozen=True)
class Line:
    """One group: its count, what mends it, and the first of it by name."""

    group: Group
    text: str
    advice: str
    icon: str
    tone: str
    url: str
    """Of the page that mends it; empty where nothing has to be mended."""
    action: "str | Promise"
    shown: list[ShownRow]

    @property
    def more(self) -> int:
        return self.group.count - len(self.shown)


@dataclass(frozen=True)
class AlsoLine:
    """What else happens where something is pushed, and the first of those installations by name."""

    text: str
    count: int
    shown: list[ShownRow]

    @property
    def more(self) -> int:
        return self.count - len(self.shown)


@dataclass(frozen=True)
class ShownPreview:
    """A preview as `rollouts/_preview.html` shows it."""

    preview: Preview
    lines: list[Line]
    also: list[AlsoLine]
    does: str
    how_long: str
    judged_by: str


def is_inline(request: HttpRequest, count: int) -> bool:
    """Whether a page has its preview in it: of a few installations, or where its address asks for it."""
    return count <= INLINE or "preview" in request.GET


def is_asked_for_alone(request: HttpRequest) -> bool:
    """Whether htmx asks for the preview of a page."""
    return "preview" in request.GET and request.headers.get("HX-Request") == "true"


def alone(request: HttpRequest, preview: ShownPreview | None, *, is_changing: bool = False) -> HttpResponse:
    """Return the preview that htmx asked for."""
    context = {"preview": preview, "is_changing": is_changing}
    return render(request, "rollouts/_preview.html", context)


def shown(preview: Preview) -> ShownPreview:
    """Return a preview in words, with its links."""
    return ShownPreview(
        preview=preview,
        lines=[_line(group, preview.total) for group in preview.groups],
        also=[
            AlsoLine(preview_words.also_of(each, rows), len(rows), _shown(rows))
            for each, rows in preview.also
        ],
        does=preview_words.does(preview),
        how_long=preview_words.how_long(preview),
        judged_by=preview_words.judged_by(preview),
    )


def said_of(versions: Mapping[uuid.UUID, ClientSecret]) -> dict[uuid.UUID, ShownRow]:
    """Return what would become of a push of its version at each of these installations."""
    return {pk: ShownRow(row, _alone(row)) for pk, row in preview_each(versions).items()}


def _alone(row: Row) -> str:
    """Return what happens at an installation that no group says it of."""
    if row.fate == Fate.PUSHED and not row.also:
        return gettext("no known obstacle")
    return preview_words.in_words(row)


def _line(group: Group, total: int) -> Line:
    url, action = _mend(group)
    icon, tone = SIGNS[group.fate]
    return Line(
        group=group,
        text=preview_words.headline(group, total),
        advice=preview_words.advice(group),
        icon=icon,
        tone=tone,
        url=url,
        action=action,
        shown=_shown(group.rows),
    )


def _shown(rows: Sequence[Row]) -> list[ShownRow]:
    return [ShownRow(row, with_semicolons(preview_words.further(row))) for row in rows[:SHOWN]]


def _mend(group: Group) -> tuple[str, "str | Promise"]:
    """Return the address of the page that mends it, with its filters, and what the link to it says."""
    if not group.why or group.fate == Fate.WAITS:
        return "", ""
    containers = {row.container_id for row in group.rows}
    if group.why == Code.OTHER_PORTAL:
        return reverse("container", args=[group.rows[0].container_id]), _("Decide on the container's page")
    if group.why in _DECIDED_THERE and len(containers) == 1:
        return reverse("container", args=[*containers]) + "#host-keys", _MENDS[group.why][2]
    name, query, action = _MENDS.get(
        group.why, ("failed_pushes", f"code={group.why}", _("See failed pushes"))
    )
    return reverse(name) + (f"?{query}" if query else ""), action
