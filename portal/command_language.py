"""The language of a command: that of the environment, as other programs of the machine choose it."""

import gettext
from collections.abc import Mapping

from django.conf import settings
from django.utils import translation
from django.utils.translation import get_supported_language_variant, to_language

LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The first one that is not empty counts."""
PREFERRED = "LANGUAGE"
"""Languages in order, such as `fr_CA:fr`. They go before the locale, unless that is C."""
NONE = ("", "C", "POSIX")
"""Locales in which programs speak as they were written, whatever else is preferred."""
DOMAIN = "django"
"""The catalog that has the words of all processes, of commands as well."""


def language_of(environment: Mapping[str, str]) -> str:
    """Return the portal's language that fits these variables best: the default one, if none fits."""
    locale = next(filter(None, map(environment.get, LOCALE)), "")
    if locale in NONE:
        return settings.LANGUAGE_CODE
    for name in (environment.get(PREFERRED) or locale).split(":"):
        bare = name.partition(".")[0].partition("@")[0]
        if bare in NONE:
            break
        try:
            return get_supported_language_variant(to_language(bare))
        except (LookupError, ValueError):  # not one of ours; no language at all
            continue
    return settings.LANGUAGE_CODE


def speak(environment: Mapping[str, str]) -> None:
    """Let this thread speak the language of these variables, and argparse with it.

    Threads that it starts, and processes, keep the default language: what they write must not depend on the
    shell of the person who started them.
    """
    language = language_of(environment)
    if language == settings.LANGUAGE_CODE:
        return
    translation.activate(language)
    for path in settings.LOCALE_PATHS:
        # argparse asks the standard library, which reads the same variables and knows no other catalog
        if gettext.find(DOMAIN, str(path), [translation.to_locale(language)]):
            gettext.bindtextdomain(DOMAIN, str(path))
            gettext.textdomain(DOMAIN)
            break
