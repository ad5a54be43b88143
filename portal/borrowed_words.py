"""Words of argparse and Django that the help and the errors of our commands have, for the portal's catalog.

argparse looks its words up itself, see `portal.command_language`. Django does not: `in_words` does.
"""

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext_lazy


def gettext_noop(message: str) -> str:
    """Mark a message. Django's function of that name reads the settings, which may be what is wrong."""
    return message


UNRECOGNIZED = gettext_noop("unrecognized arguments: %s")
INVALID_CHOICE = gettext_noop("invalid choice: %(value)r (choose from %(choices)s)")
ARGPARSE = (
    UNRECOGNIZED,
    INVALID_CHOICE,
    gettext_noop("usage: "),
    gettext_noop("%(heading)s:"),
    gettext_noop("positional arguments"),
    gettext_noop("options"),
    gettext_noop("show this help message and exit"),
    gettext_noop("%(prog)s: error: %(message)s\n"),
    gettext_noop("argument %(argument_name)s: %(message)s"),
    gettext_noop("ambiguous option: %(option)s could match %(matches)s"),
    gettext_noop("can't open '%(filename)s': %(error)s"),
    gettext_noop("expected one argument"),
    gettext_noop("expected at most one argument"),
    gettext_noop("expected at least one argument"),
    gettext_noop("invalid %(type)s value: %(value)r"),
    gettext_noop("the following arguments are required: %s"),
    gettext_noop("one of the arguments %s is required"),
    gettext_noop("not allowed with argument %s"),
    gettext_noop("unexpected option string: %s"),
    gettext_noop("ignored explicit argument %r"),
)
"""What argparse says to people, of every Python that the portal runs on. Not: errors in calls of argparse."""
ARGPARSE_COUNTED = (ngettext_lazy("expected %s argument", "expected %s arguments"),)
DJANGO = (
    gettext_noop("Show program's version number and exit."),
    gettext_noop(
        "Verbosity level; 0=minimal output, 1=normal output, 2=verbose output, 3=very verbose output"
    ),
    gettext_noop(
        'The Python path to a settings module, e.g. "myproject.settings.main". If this isn\'t provided, the '
        "DJANGO_SETTINGS_MODULE environment variable will be used."
    ),
    gettext_noop('A directory to add to the Python path, e.g. "/home/djangoprojects/myproject".'),
    gettext_noop("Display a full stack trace on CommandError exceptions."),
    gettext_noop("Don't colorize the command output."),
    gettext_noop("Force colorization of the command output."),
    gettext_noop("Skip system checks."),
    # of `migrate`
    gettext_noop("Updates database schema. Manages both apps with migrations and those without."),
    gettext_noop("App label of an application to synchronize the state."),
    gettext_noop(
        'Database state will be brought to the state after that migration. Use the name "zero" to unapply '
        "all migrations."
    ),
    gettext_noop("Tells Django to NOT prompt the user for input of any kind."),
    gettext_noop('Nominates a database to synchronize. Defaults to the "default" database.'),
    gettext_noop("Mark migrations as run without actually running them."),
    gettext_noop(
        "Detect if tables already exist and fake-apply initial migrations if so. Make sure that the current "
        "database schema matches your initial migration before using this flag. Django will only check for "
        "an existing table name."
    ),
    gettext_noop("Shows a list of the migration actions that will be performed."),
    gettext_noop("Creates tables for apps without migrations."),
    gettext_noop(
        "Exits with a non-zero status if unapplied migrations exist and does not actually apply migrations."
    ),
    gettext_noop("Delete nonexistent migrations from the django_migrations table."),
)
"""The help of options that Django adds, and of its `migrate`."""


def in_words(text: "str | Promise | None") -> str | None:
    """Return a text of a parser in the language of its reader: one of Django's, or one that is marked."""
    if text is None:
        return None
    plain = str(text)
    return gettext(plain) if plain in DJANGO else plain
