"""Refuses passwords that are easy to guess: sequences, repetition, known ones, own words with a year.

There are no rules of composition: they make people write `Campaign2026!`.
"""

import re

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, User
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

FEWEST_GUESSES = 9  # as a power of ten
LONGEST_JUDGED = 72  # zxcvbn takes no more; the rest can only help
OWN_LETTERS = 6
"""Letters and digits that must be left without words of the portal, its host and the person, and dates."""
PRODUCT = (
    "adobe campaign classic neolane nlserver portal credential credentials technical account accounts "
    "admin administrator helpdesk auditor support password passwort kennwort secret login welcome willkommen "
    "server spring summer autumn winter fruehling sommer herbst january february march april may june july "
    "august september october november december januar februar maerz mai juni juli oktober dezember "
    "monday tuesday wednesday thursday friday saturday sunday"
)
_LEET = str.maketrans("@4310$5!7", "aaeiossit")
_DATE = re.compile(r"(?:19|20)\d\d")


class NotEasilyGuessed:
    """A validator for AUTH_PASSWORD_VALIDATORS."""

    def validate(self, password: str, user: AbstractBaseUser | None = None) -> None:
        """Raise `ValidationError`, which says why and what to do instead."""
        reason = _reason(password, user)
        if reason:
            raise ValidationError(f"{reason} {self.get_help_text()}", code="password_easily_guessed")

    def get_help_text(self) -> str:
        return _(
            "Use a password from a password manager, or four or more words that have nothing to do with "
            "each other or with your work."
        )


def _reason(password: str, user: AbstractBaseUser | None) -> str:
    from zxcvbn import zxcvbn  # 10 MB of word lists, needed only where a password is set

    words = [*portal_words(), *_words_of(user)]
    if len(_own_letters(password, words)) < OWN_LETTERS:
        return _("This is little more than words from the portal or from your name, a date or a sequence.")
    found = zxcvbn(password[:LONGEST_JUDGED], user_inputs=words)
    if found["guesses_log10"] >= FEWEST_GUESSES:
        return ""
    patterns = {each["pattern"] for each in found["sequence"]}
    if "repeat" in patterns:
        return _("This repeats itself, which is easy to guess.")
    if patterns & {"sequence", "spatial"}:
        return _("This follows a sequence or a row of keys, which is easy to guess.")
    return _("This is close to words and passwords that people try first when they guess.")


def _own_letters(password: str, words: list[str]) -> str:
    """Return the letters and digits that are neither known words nor a date; equal ones in a row once."""
    text = password[: 2 * LONGEST_JUDGED].casefold()
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, " ") if len(word) > 2 else text
        plain = text.translate(_LEET)
        while len(word) > 3 and (at := plain.find(word)) >= 0:  # also written as c4mp4ign
            text = f"{text[:at]} {text[at + len(word) :]}"
            plain = text.translate(_LEET)
    text = _DATE.sub(" ", text)
    return "".join(
        each
        for before, each in zip(" " + text, text, strict=False)
        if each.isalnum() and abs(ord(each) - ord(before)) > 1
    )


def portal_words() -> tuple[str, ...]:
    """Return what a stranger tries first here: the product, and the words of the portal's own address."""
    hosts = " ".join([*settings.ALLOWED_HOSTS, *settings.CSRF_TRUSTED_ORIGINS])
    return tuple(dict.fromkeys([*PRODUCT.split(), *_words(hosts)]))


def _words_of(user: AbstractBaseUser | None) -> list[str]:
    if not isinstance(user, User):
        return []
    return _words(f"{user.username} {user.first_name} {user.last_name} {user.email}")


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\W_\d]+", text.casefold()) if len(word) > 2]
