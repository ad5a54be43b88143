"""Finding rows by the names that people type: whole names, and beginnings where a star asks for them."""

from django.db.models import Q

STAR = "*"


def has_name(column: str, typed: str) -> Q:
    """Return the condition that `column` is this name, in any case; `mkt-2*` also fits mkt-20."""
    typed = typed.strip()
    if typed.endswith(STAR):
        return Q(**{f"{column}__istartswith": typed.rstrip(STAR)})
    return Q(**{f"{column}__iexact": typed})
