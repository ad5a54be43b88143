"""Reads settings from the environment, and remembers what was asked for, what was given, and what was wrong.

A value that cannot be understood does not stop the import with a traceback: the default is used, and
`portal.checks` refuses the start with the setting's name. No message repeats a value: it may be a password.
"""

import difflib
import os
import re
from collections.abc import Iterable
from typing import Any

import environ

TRUE = frozenset(environ.Env.BOOLEAN_TRUE_STRINGS)
FALSE = frozenset({"false", "off", "no", "n", "0"})
OUR_PREFIXES = (
    "ADOBE_", "AUDIT_", "CAMPAIGN_", "DIALS_", "FINGERPRINT_", "IMS_", "KEYRING", "METRICS_TOKEN", "PUSHES_",
    "NOTICE_", "PUSH_", "RECONCILE_", "TARGET_NETWORK", "TRUSTED_PROX",
)  # fmt: skip
"""Beginnings that are the portal's alone; PORTAL_ and SESSION_ are other programs' as well."""
COMPOSE = frozenset({"PORTAL_ADDRESS", "PORTAL_CONFIG", "PORTAL_PORT", "PORTAL_TAG"})
"""What docker-compose.yml reads itself."""
NEAR = 0.87  # as difflib counts: one letter too many, too few or in another's place


class Environment(environ.FileAwareEnv):  # type: ignore[misc]  # the library has no types
    """The environment of this process. An empty value counts as none, except that of a list."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        """Every setting that there is."""
        self.given: set[str] = set()
        """Those that have a value here."""
        self.problems: list[str] = []
        """What could not be understood, a sentence for each setting."""

    def get_value(self, var: str, cast: Any = None, default: Any = None, parse_default: bool = False) -> Any:
        """Return a setting's value; the default if there is none, or none that can be understood."""
        self.names.add(var)
        try:
            text = self.ENVIRON[var].strip()
        except KeyError:
            return default
        except (OSError, UnicodeDecodeError) as error:
            self.problems.append(f"{var}_FILE names a file that cannot be read ({type(error).__name__}).")
            return default
        if not text:
            return [] if isinstance(cast, list) or cast is list else default
        self.given.add(var)
        if cast is bool and text.lower() not in TRUE | FALSE:
            self.problems.append(f"{var} is neither True nor False.")
            return default
        try:
            return self.parse_value(text, cast)
        except ValueError:
            self.problems.append(f"{var} is not a number.")
            return default

    def note(self, name: str) -> None:
        """Make a setting known that is read in another way."""
        self.names.add(name)

    def unknown(self, variables: Iterable[str]) -> dict[str, str]:
        """Return those variables that look like a setting and are none, each with the setting it resembles.

        The resemblance is an empty string where a variable only begins like ours.
        """
        ours = self.names | {f"{name}_FILE" for name in self.names}
        found = {}
        for variable in sorted(set(variables) - ours - COMPOSE):
            near = difflib.get_close_matches(variable, sorted(ours), n=1, cutoff=NEAR)
            if near or variable.startswith(OUR_PREFIXES):
                found[variable] = near[0] if near else ""
        return found


env = Environment()


def misspelled() -> dict[str, str]:
    """Return this process's variables that look like a setting and are none: see `Environment.unknown`."""
    return env.unknown(name for name in os.environ if re.fullmatch(r"[A-Z][A-Z0-9_]*", name))
