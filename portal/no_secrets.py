"""The one rule for all entrances: what looks like a client secret is not stored in clear.

Forms and commands name the field that has it and never show it again. Below them is a net for whatever comes
another way: no statement writes such a text into the database, and no session keeps one.
"""

import re
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, SystemCheckError
from django.core.signing import JSONSerializer
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

from portal.borrowed_words import in_words
from portal.command_line import plain_errors, suggesting
from portal.exit_status import REFUSED as SETTINGS_REFUSED
from portal.exit_status import WRONG_CALL
from portal.plaintext import SHORTEST, cut_out, has_secret, may_hold_secret
from portal.punctuation import labelled

REFUSED = _("This contains what looks like a client secret, and everyone can read this: it was not stored.")
SECRET_IN_ADDRESS = _(
    "What looks like a client secret was taken out of the address. It was not stored here, but this browser,"
    " or a proxy on the way, may still remember the address: count the secret as seen by others, and replace"
    " it if it is real."
)
UNREADABLE = {"django_session"}
"""Tables whose text is encoded before it gets here; `SessionSerializer` looks at it earlier."""
_WRITE = re.compile(r'\s*(?:(?:INSERT|REPLACE)(?:\s+OR\s+\w+)?\s+INTO|UPDATE)\s+"?(\w+)', re.IGNORECASE)
_CIPHERTEXT = re.compile(r"v1\.[0-9a-f]{8}\.[A-Za-z0-9_-]+=*")


class SecretInClear(Exception):
    """A client secret was about to be stored where everyone can read it. This is a defect of an entrance."""


def refuse_secret(text: str) -> None:
    """Validate a text that everyone can read."""
    if may_hold_secret(text):
        raise ValidationError(REFUSED, code="secret")


if TYPE_CHECKING:
    _BaseForm = forms.BaseForm
    _ModelForm = forms.ModelForm[Any]
else:
    _BaseForm = object
    _ModelForm = forms.ModelForm


class RefusesSecrets(_BaseForm):
    """Makes a form refuse what looks like a client secret, in whichever field, and never show it again."""

    for_secrets: frozenset[str] = frozenset()
    """Fields that take secrets, or judge them with better advice. Password fields need no entry."""

    def full_clean(self) -> None:
        self._refused = self._take_out() if self.is_bound else set()
        super().full_clean()

    def _clean_fields(self) -> None:
        """Put the refusal in place of what a field says about the text that was taken out of it."""
        super()._clean_fields()  # type: ignore[misc]  # the stubs leave it out
        for name in self._refused:
            self.errors.pop(name, None)
            self.add_error(name, ValidationError(REFUSED, code="secret"))

    def _take_out(self) -> set[str]:
        found = {name for name in self._open_fields() if any(map(may_hold_secret, self._posted(name)))}
        if found:
            data = QueryDict(mutable=True)
            for key in self.data:
                data.setlist(key, self._values(key))
            for name in found:
                data.setlist(self.add_prefix(name), [without_secret(text) for text in self._posted(name)])
            self.data = data
        return found

    def _open_fields(self) -> Iterator[str]:
        for name, field in self.fields.items():
            if name not in self.for_secrets and not isinstance(field.widget, forms.PasswordInput):
                yield name

    def _posted(self, name: str) -> list[str]:
        return [text for text in self._values(self.add_prefix(name)) if isinstance(text, str)]

    def _values(self, key: str) -> list[Any]:  # Any: a dict, which tests and code pass, may hold anything
        if isinstance(self.data, QueryDict):
            return list(self.data.getlist(key))
        return [self.data[key]] if key in self.data else []


def without_secret(text: str) -> str:
    """Return what may be shown again: nothing typed is lost but the secret."""
    if not may_hold_secret(text):
        return text
    rest = cut_out(text)
    return "" if rest.strip() == "***" or may_hold_secret(rest) else rest


def without_secrets(query: QueryDict) -> QueryDict:
    """Return a query without its values that hold a secret; what else is in it stays."""
    rest = QueryDict(mutable=True)
    for name, values in query.lists():
        fit = [] if may_hold_secret(name) else [each for each in values if not may_hold_secret(each)]
        if fit:
            rest.setlist(name, fit)
    return rest


class Form(RefusesSecrets, forms.Form):
    """The base of our forms."""


class ModelForm(RefusesSecrets, _ModelForm):
    """The base of our forms of a model."""


class Command(BaseCommand):
    """The base of our commands. What they are given is stored, shown, or at least kept by the shell.

    What is wrong outside the portal, such as a database that is away, is one line and no traceback.
    """

    help: "str | Promise" = ""  # type: ignore[assignment]  # Django has none that is translated
    group = "Operation"
    """Where `manage.py help` lists it, one of `portal.command_line.GROUPS`."""
    summary: "str | Promise" = ""
    """Its line there; without one it is the beginning of `help`."""
    _called_from_command_line: bool
    _names: Mapping[str, str] = {}
    """Each argument as people write it."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:  # Any: Django's signature
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.description = in_words(parser.description)
        for action in parser._actions:  # noqa: SLF001  # argparse has no other way to ask
            action.help = in_words(action.help)
        parser.error = suggesting(parser, parser.error)  # type: ignore[method-assign, assignment]  # Django makes it
        self._names = _names(parser)
        return parser

    def check(self, *args: Any, **options: Any) -> None:  # Any: Django's own signature
        """Run the system checks; the status says that the settings or keys refuse the start."""
        try:
            super().check(*args, **options)
        except SystemCheckError as error:
            error.returncode = SETTINGS_REFUSED
            raise

    def execute(self, *args: Any, **options: Any) -> str | None:  # Any: Django's own signature
        """Run the command; one that prints for machines speaks the default language."""
        is_for_machines = options.get("json") or options.get("csv")
        with override(settings.LANGUAGE_CODE) if is_for_machines else nullcontext():
            return self._execute(*args, **options)

    def _execute(self, *args: Any, **options: Any) -> str | None:  # Any: Django's own signature
        for name, value in options.items():
            if any(map(may_hold_secret, _texts(value))):
                raise CommandError(labelled(self._names.get(name, name), REFUSED), returncode=WRONG_CALL)
        if not self._called_from_command_line:  # code that calls a command wants the error itself
            return super().execute(*args, **options)
        with plain_errors(traceback=bool(options.get("traceback"))):
            return super().execute(*args, **options)


def _names(parser: ArgumentParser) -> dict[str, str]:
    """Return each argument as people write it."""
    actions = parser._actions  # noqa: SLF001  # argparse has no other way to ask
    return {each.dest: each.option_strings[-1] if each.option_strings else each.dest for each in actions}


def _texts(value: object) -> Iterator[str]:
    """Yield every text in plain values."""
    if isinstance(value, str | PurePath):
        yield str(value)
    elif isinstance(value, Mapping):
        for each in value.items():
            yield from _texts(each)
    elif isinstance(value, list | tuple | set):
        for each in value:
            yield from _texts(each)


class SessionSerializer(JSONSerializer):
    """Writes sessions as Django does, and refuses one with a client secret in it."""

    def dumps(self, obj: Any) -> bytes:  # Any: Django's own signature
        if any(map(has_secret, _texts(obj))):
            raise SecretInClear("a session")
        return super().dumps(obj)


def guard(connection: BaseDatabaseWrapper, **_: object) -> None:
    """Let a connection refuse statements that would store a client secret in clear."""
    if _guarded not in connection.execute_wrappers:
        connection.execute_wrappers.append(_guarded)


Execute = Callable[[str, Any, bool, dict[str, Any]], Any]


def _guarded(execute: Execute, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    # Any: Django's own signature
    if params and (write := _WRITE.match(sql)) and write[1] not in UNREADABLE:
        for row in params if many else (params,):
            if any(map(_is_in_clear, row)):
                raise SecretInClear(f"the table {write[1]}")
    return execute(sql, params, many, context)


def _is_in_clear(value: object) -> bool:
    """Whether one value of a statement holds a secret."""
    value = getattr(value, "obj", value)  # PostgreSQL's JSON and bytes come wrapped
    if isinstance(value, str):
        return len(value) >= SHORTEST and has_secret(value) and not _CIPHERTEXT.fullmatch(value)
    if isinstance(value, bytes):
        return any(map(has_secret, value.decode("utf-8", "replace").splitlines()))
    return any(map(has_secret, _texts(value)))
