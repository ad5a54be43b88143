"""The kinds of notices: every room registers those that it knows of, with their words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from portal.punctuation import labelled

TEST = "test"


@dataclass(frozen=True)
class Told:
    """One thing that happened. `subject` is a name, `details` hold codes and counts, `link` is a path."""

    subject: str = ""
    details: Mapping[str, object] = field(default_factory=dict)
    link: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class Batch:
    """What one message tells: how many things of one kind happened, and the first of them.

    `tally` counts, over all of them, the values of those details that the kind wants counted.
    """

    count: int
    first: Sequence[Told]
    tally: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def only(self) -> Told | None:
        """The one thing that happened; None if there were more."""
        return self.first[0] if self.count == 1 and self.first else None

    @property
    def names(self) -> str:
        """The first subjects, and how many more there are."""
        return self.named()

    def named(self, label: Callable[[str], str] = str) -> str:
        """Return the first subjects, each with its label, and how many more there are."""
        names = ", ".join(label(each.subject) for each in self.first if each.subject)
        more = self.count - len(self.first)
        if more <= 0:
            return names
        others = ngettext("and %d more", "and %d more", more) % more
        return f"{names} {others}"

    def counted(self, detail: str, words: Mapping[str, object] | None = None) -> str:
        """Return how often each value of a detail occurs, most frequent first: `Timed out: 9, refused: 3`."""
        counts = sorted(self.tally.get(detail, {}).items(), key=lambda each: (-each[1], each[0]))
        return ", ".join(labelled((words or {}).get(value, value), count) for value, count in counts)


@dataclass(frozen=True)
class Words:
    """What a message says: one line as its subject, and further lines.

    `link` is the path of the page to look at, where it is not that of the one thing that happened.
    """

    subject: str
    lines: Sequence[str] = ()
    link: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of notice.

    `words` is called when a message is sent or shown, with what was stored. What happens within `quiet`
    seconds of the last one becomes part of the same message, but none waits longer than `longest` seconds.
    `counted` names the details whose values are counted over all that one message tells.
    """

    code: str
    label: Promise
    words: Callable[[Batch], Words]
    quiet: float = 20
    longest: float = 600
    counted: tuple[str, ...] = ()


_kinds: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Add a kind of notice. Its code is `noun.verb_past`, and stays as it is for ever."""
    _kinds[kind.code] = kind


def kinds() -> list[Kind]:
    """Return the kinds that somebody can choose, in the order of their codes."""
    return [each for code, each in sorted(_kinds.items()) if code != TEST]


def kind_of(code: str) -> Kind:
    """Return a kind; for one that no room registers any more, one that says what is stored."""
    return _kinds.get(code) or Kind(code, _("Something happened"), lambda batch: _plain(code, batch))


def is_registered(code: str) -> bool:
    """Whether some room registered this kind."""
    return code in _kinds


def _plain(code: str, batch: Batch) -> Words:
    return Words(labelled(code, batch.count), [batch.names] if batch.names else [])


register(
    Kind(
        TEST,
        _("Test message"),
        lambda _batch: Words(
            gettext("Test message of the Campaign credential portal"),
            [gettext("If you can read this, this channel works. Nothing happened.")],
        ),
    )
)
