"""How a rotation goes from wave to wave, and when it stops by itself: two rules that a person types.

Pure: no models, no time.

    Waves: "environment", "role", or sizes such as "1, 10%, 100%"; the last size repeats until nobody is left.
    Stop: "2" (at most two), "10 %" (of those that were begun), "0" (the first failure stops).
"""

import math
import re
from dataclasses import dataclass
from typing import Self

from django.utils.translation import gettext as _

BY_ENVIRONMENT, BY_ROLE = "environment", "role"
SPOKEN = {"environnement": BY_ENVIRONMENT, "rôle": BY_ROLE}
"""What a person may type as well, in the languages of the portal."""
MOST_SIZES = 12
_SIZE = re.compile(r"([0-9]{1,6}) ?(%?)")
_NUMBER = re.compile(r"([0-9]{1,6}) ?(%?)")


class RuleError(ValueError):
    """A rule that cannot be followed; the text is for the person who typed it."""


@dataclass(frozen=True)
class Share:
    """A number of installations, or a percentage of them."""

    number: int
    is_percent: bool

    def of(self, total: int) -> int:
        """Return how many of `total` that is, rounded up: a share of some is at least one."""
        return math.ceil(total * self.number / 100) if self.is_percent else self.number

    def __str__(self) -> str:
        return f"{self.number}%" if self.is_percent else str(self.number)


@dataclass(frozen=True)
class WaveRule:
    """Which installations go together. `sizes` is empty where they go by environment or by role."""

    by: str
    sizes: tuple[Share, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rule; `RuleError` says what is wrong with it."""
        plain = " ".join(text.split()).lower()
        by = SPOKEN.get(plain, plain)
        if by in (BY_ENVIRONMENT, BY_ROLE):
            return cls(by)
        parts = [part.strip() for part in re.split(r"[,;>]", plain)]
        if not plain or len(parts) > MOST_SIZES:
            raise RuleError(
                _("Enter environment, role, or up to %d sizes such as 1, 10%%, 100%%.") % MOST_SIZES
            )
        return cls("", tuple(map(_size, parts)))

    def size(self, position: int, total: int) -> int:
        """Return how many of `total` installations go in one wave, counted from 0; at least one."""
        return max(1, self.sizes[min(position, len(self.sizes) - 1)].of(total))

    def label(self, position: int) -> str:
        """Return what the rule says of a wave of a size."""
        return str(self.sizes[min(position, len(self.sizes) - 1)])

    def __str__(self) -> str:
        return self.by or ", ".join(map(str, self.sizes))


def _size(text: str) -> Share:
    found = _SIZE.fullmatch(text)
    if not found:
        raise RuleError(_("“%s” is not a size: enter a number, or a percentage such as 10%%.") % text[:20])
    number, is_percent = int(found[1]), bool(found[2])
    if number == 0:
        raise RuleError(_("With waves of 0, the rotation would never end: enter 1 or more."))
    if is_percent and number > 100:
        raise RuleError(_("A wave cannot be larger than 100%."))
    return Share(number, is_percent)


@dataclass(frozen=True)
class StopRule:
    """How many installations may fail before nothing more is started."""

    most: Share

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rule; `RuleError` says what is wrong with it."""
        found = _NUMBER.fullmatch(text.strip())
        if not found:
            raise RuleError(_("Enter the number of failures that are allowed, such as 0 or 2, or 10%."))
        most = Share(int(found[1]), bool(found[2]))
        if most.is_percent and most.number >= 100:
            raise RuleError(_("With 100% nothing would ever stop it: enter less."))
        return cls(most)

    def is_broken(self, *, failed: int, begun: int) -> bool:
        """Whether these are too many failures, measured by those that were begun.

        A percentage is of those begun, rounded down: 10 % of five allows none.
        """
        allowed = begun * self.most.number // 100 if self.most.is_percent else self.most.number
        return failed > allowed

    def __str__(self) -> str:
        return str(self.most)


def waves_in_words(stored: str) -> str:
    """Return a stored rule of waves as people read it; any other text as it is."""
    try:
        rule = WaveRule.parse(stored)
    except RuleError:
        return stored
    if rule.by:
        return _("by environment") if rule.by == BY_ENVIRONMENT else _("by role")
    return _("of these sizes, the last one again until nobody is left: %(sizes)s") % {"sizes": rule}


def stop_in_words(stored: str) -> str:
    """Return a stored rule of stopping as people read it; any other text as it is."""
    try:
        share = StopRule.parse(stored).most
    except RuleError:
        return stored
    if not share.number:
        return _("at the first failure")
    return _("at more failures than %(most)s") % {"most": share}
