"""Saving one row of the inventory from a form, as the pages of all its kinds do."""

from collections.abc import Callable

from django.contrib import messages
from django.forms import BaseForm
from django.http import HttpRequest
from django.utils.translation import gettext as _

from instances.inventory.editing import InventoryError, take_back_first
from instances.models import NOT_BY_HAND, Container, Retirable
from instances.requirements import obstacle


def is_retired(request: HttpRequest, row: Retirable) -> bool:
    """Whether a row is retired, so that nothing can be done with it; the next page says so then."""
    if not row.retired:
        return False
    messages.error(request, take_back_first(row))
    return True


def is_by_hand(request: HttpRequest, container: Container) -> bool:
    """Whether nobody connects to a container; the next page says so then."""
    if not obstacle(container, [NOT_BY_HAND]):
        return False
    messages.error(request, _("%s is marked by hand: the portal does not connect to it.") % container)
    return True


def is_saved(request: HttpRequest, form: BaseForm, save: Callable[[], object], row: object) -> bool:
    """Save what was posted, and say so; False if there is nothing, or an error at the form says why not."""
    if request.method != "POST" or not form.is_valid():
        return False
    try:
        save()
    except InventoryError as error:
        form.add_error("name", str(error))
        return False
    messages.success(request, _("%s was saved.") % row)
    return True
