"""Models whose fields have choices, which lists show by the dozen."""

from functools import cache
from typing import Any

from django.db import models
from django.utils.encoding import force_str


@cache
def _words(field: "models.Field[Any, Any]") -> dict[object, object]:
    return dict(field.flatchoices)


class WithChoices(models.Model):
    """A model whose `get_…_display` looks a word up; Django's own makes the table of all words each time."""

    class Meta:
        abstract = True

    def _get_FIELD_display(self, field: "models.Field[Any, Any]") -> Any:  # noqa: N802  # Django's own name
        value = getattr(self, field.attname)
        return force_str(_words(field).get(value, value), strings_only=True)
