"""Notes of attempts: a code with its parameters is stored, and words are made when it is shown.

What a container or server said, redacted, is text and stays text. So do the sentences that former releases
stored: a finished attempt never changes. Codes are never removed from `WORDS`.
"""

from collections.abc import Iterable, Mapping

from django.utils.translation import gettext_lazy as _

Note = str | Mapping[str, str | int]
"""What the database holds: text as it is, or `code` with the parameters that its words need."""

WORDS = {
    "through_jump_host": _("through %(name)s (%(address)s:%(port)s)"),
    "jump_host_showed": _("the jump host showed %(fingerprint)s"),
    "last_push_by": _("the last push there was not made by this portal: %(last)s"),
    "proven_for_other_version": _(
        "the file holds %(account)s v%(version)s (%(fingerprint)s), "
        "as was proven on %(instance)s on %(container)s"
    ),
    "jwt": _("a JWT key is still in the file"),
}


def note(code: str, **parameters: str | int) -> Note:
    """Return what is stored for a note. Raises `KeyError` if its words are missing or lack a parameter."""
    WORDS[code] % parameters
    return {"code": code, **parameters}


def in_words(notes: Iterable[Note]) -> list[str]:
    """Return notes as people read them; the one way to whatever shows or exports them."""
    return [_words(each) for each in notes]


def _words(stored: Note) -> str:
    if isinstance(stored, str):
        return stored
    parameters = {name: value for name, value in stored.items() if name != "code"}
    try:
        return str(WORDS[str(stored["code"])]) % parameters
    except KeyError:  # a newer release wrote it, and this one was put back: nothing of it is hidden
        return ", ".join(str(value) for value in stored.values())
