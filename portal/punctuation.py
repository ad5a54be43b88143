"""Punctuation between parts that are translated on their own: French, for one, has a space before `:`."""

from collections.abc import Iterable

from django.utils.translation import gettext as _


def with_colon(label: object) -> str:
    """Return a label with its colon: `Rollouts:`."""
    return _("%(heading)s:") % {"heading": label}


def labelled(label: object, value: object) -> str:
    """Return a value after its label: `Failed: 3`."""
    return _("%(label)s: %(value)s") % {"label": label, "value": value}


def with_semicolons(parts: Iterable[object]) -> str:
    """Return parts that may hold commas in one line: `waits; already holds this version`."""
    first, *others = [str(each) for each in parts] or [""]
    for each in others:
        first = _("%(first)s; %(second)s") % {"first": first, "second": each}
    return first


def some_of(names: Iterable[object], count: int) -> str:
    """Return names in one line, and whether they are some of `count` only: `prod1, prod2 and others`."""
    shown = [str(each) for each in names]
    line = ", ".join(shown)
    return _("%(names)s and others") % {"names": line} if count > len(shown) else line
