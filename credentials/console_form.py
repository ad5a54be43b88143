"""The form for a JSON file of the console, pasted or uploaded: every page that takes one builds on it."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from credentials.adobe.console_json import MAX_BYTES, ConsoleJSONError, ConsoleValues, read
from portal.no_secrets import Form

RAW = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}
"""Attributes of a field whose text nobody may correct or remember."""


class ConsoleFileForm(Form):
    """A JSON file of the console, pasted or uploaded. It is never shown again: it holds secrets."""

    text = forms.Field(label=_("Paste the JSON"), required=False, widget=forms.Textarea({**RAW, "rows": 5}))
    file = forms.FileField(label=_("or choose the file"), required=False, allow_empty_file=True)

    client_ids: tuple[str, ...] = ()
    for_secrets = frozenset({"text"})

    @sensitive_variables()
    def read_file(self, cleaned: dict[str, Any], *, client_id: str = "") -> ConsoleValues | None:
        """Return what the file says; None after adding an error at the field that was used."""
        upload, text = cleaned.get("file"), cleaned.get("text") or ""
        try:
            return read(upload.read(MAX_BYTES + 1) if upload else text, client_id=client_id)
        except ConsoleJSONError as error:
            self.client_ids = error.client_ids
            self.add_error("file" if upload else "text", str(error))
        return None
