"""What a verification of the chain finds: codes and parameters are stored, words are made on showing them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

NOTED_HEAD_MISSING = "noted_head_missing"
PROBLEMS: dict[str, Promise] = {
    "before_beginning": _("comes before the beginning of the chain"),
    "changed": _("was changed after it was recorded"),
    "not_continued": _("does not continue the event before it"),
    "missing": _("events %(first)s to %(last)s are missing"),
    "key_not_held": _("events up to %(last)s cannot be verified: AUDIT_KEY lacks the key %(key)s"),
    "sealed_event_changed": _("event %(first)s, sealed by event %(by)s: changed again since then"),
    "sealed_events_changed": _(
        "events %(first)s to %(last)s, sealed by event %(by)s: changed again since then"
    ),
    "head_removed": _("the end of the chain was removed"),
    "head_changed": _("the end of the chain was changed by hand"),
    "after_end": ngettext_lazy(
        "%(count)s event comes after the end of the chain",
        "%(count)s events come after the end of the chain",
        "count",
    ),
    "newest_missing": _("the newest events, up to %(last)s, are missing or changed"),
    NOTED_HEAD_MISSING: _("the noted head %(head)s is not in the chain"),
    "kept_head_missing": _(
        "the head %(head)s, kept outside the database on %(at)s, is not in the chain: newer events were "
        "removed, or an older database was restored"
    ),
    "kept_head_unreadable": _(
        "the file of the kept head, %(path)s, cannot be used: it cannot be read (%(error)s)"
    ),
    "kept_head_nonsense": _("the file of the kept head, %(path)s, cannot be used: it holds something else"),
    "kept_head_foreign": _(
        "the file of the kept head, %(path)s, cannot be used: it was not sealed with this audit key"
    ),
    "name_taken_out": _("a name was removed from it, and no event says that it was erased"),
    "erasure_changed": _("names that this event erased are back, or more of them are missing than it erased"),
}
"""Every code that was ever stored, with its words. The former releases stored the words themselves."""

Params = Mapping[str, str | int]


def in_words(code: str, params: Params) -> str:
    """Return the words of a problem in the language of whoever reads; the code itself, if it is unknown."""
    try:
        return str(PROBLEMS[code] % params)
    except (KeyError, TypeError, ValueError):  # of a newer release, or changed by hand
        return code


@dataclass(frozen=True)
class Problem:
    """What is wrong: a code and its parameters."""

    code: str
    params: Params = field(default_factory=dict)

    def __str__(self) -> str:
        return in_words(self.code, self.params)

    def stored(self) -> dict[str, object]:
        """Return what an event keeps of it."""
        return {"code": self.code, "params": dict(self.params)}


@dataclass(frozen=True)
class Finding:
    """One place where the chain is broken, or where it does not fit what was noted outside of it."""

    seq: int
    code: str
    params: Params = field(default_factory=dict)
    last: int | None = None
    """The last event that the problem is about, if that is another one."""

    @property
    def problem(self) -> str:
        """The problem in words."""
        return in_words(self.code, self.params)

    def stored(self) -> dict[str, object]:
        """Return what an event keeps of it."""
        return {"event": self.seq, "code": self.code, "params": dict(self.params)}

    def shown(self) -> dict[str, object]:
        """Return what pages and commands show of it."""
        return {"event": self.seq, "problem": self.problem}


def shown(stored: Any) -> list[dict[str, object]]:  # Any: what an event of any release, or a forger, stored
    """Return stored findings in words. Those of former releases have their words with them."""
    return [
        {
            "event": each.get("event"),
            "problem": each.get("problem") or in_words(str(each.get("code")), each.get("params") or {}),
        }
        for each in (stored if isinstance(stored, list) else [])
        if isinstance(each, dict)
    ]


@dataclass(frozen=True)
class SealedBreak:
    """A break that somebody looked at and sealed as it was. It is shown for ever, and is no new finding."""

    seq: int
    at: datetime
    who: str
    reason: str
    first: int
    last: int
    digest: str
    problems: int
    findings: list[dict[str, object]]
    """In words."""

    @property
    def span(self) -> str:
        return f"event {self.first}" if self.first == self.last else f"events {self.first} to {self.last}"


@dataclass
class Verification:
    """What a verification of the whole chain saw."""

    events: int = 0
    head: str = ""
    last_at: datetime | None = None
    findings: list[Finding] = field(default_factory=list)
    sealed_breaks: list[SealedBreak] = field(default_factory=list)
    kept_head: str = ""
    """The head kept outside the database, with which the chain was compared."""
    expected_head: str = ""
    has_expected_head: bool = False

    @property
    def is_intact(self) -> bool:
        """Whether nothing was found, except breaks that are sealed."""
        return not self.findings

    @property
    def in_chain(self) -> list[Finding]:
        """The findings about the chain: all but a noted head that is missing."""
        return [each for each in self.findings if each.code != NOTED_HEAD_MISSING]

    @property
    def intact_since(self) -> int | None:
        """The event that sealed the last break."""
        return max((each.seq for each in self.sealed_breaks), default=None)
