"""What a container's page says of the last time it was read, and the button that has it read now."""

from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from instances.discovery.models import Reading
from instances.discovery.services import ask
from instances.failures import Explanation, explain
from instances.models import Container
from portal.audit.trail import Actor

UNREAD: dict[str, Promise] = {
    "none": gettext_lazy("Its file is a folder, or a link that leads nowhere."),
    "unreadable": gettext_lazy("Its file cannot be read by the user who runs nlserver."),
    "busy": gettext_lazy("A push was under way, so its file was left alone. Read again in a minute."),
    "too_big": gettext_lazy("Its file is larger than 16 MB, which no configuration is."),
    "moving": gettext_lazy("Its file was being written while it was read. Read again."),
}
"""Why the file of an instance was not read, by the script's word."""


@dataclass(frozen=True)
class Unknown:
    """An instance that was found there and is not in the inventory."""

    name: str
    unread: Promise | str


@dataclass(frozen=True)
class LastReading:
    """The last reading of a container, compared with its inventory."""

    reading: Reading
    unknown: list[Unknown]
    gone: list[str]
    """Instances of the inventory that have no file there."""
    unread: list[tuple[str, Promise | str]]
    explanation: Explanation | None


def last_reading(container: Container, names: set[str]) -> LastReading | None:
    """Return the newest reading, compared with the names of the instances that are entered there."""
    reading = container.container_readings.order_by("-asked").first()
    if reading is None:
        return None
    found: dict[str, str] = reading.found
    words = {name: UNREAD.get(why, why) for name, why in sorted(found.items())}
    is_read = reading.state == Reading.State.SUCCEEDED
    return LastReading(
        reading=reading,
        unknown=[Unknown(name, why) for name, why in words.items() if name not in names],
        gone=sorted(names - found.keys()) if is_read and not reading.further else [],
        unread=[(name, why) for name, why in words.items() if why and name in names],
        explanation=explain(reading.code) if reading.code else None,
    )


@require_POST
@permission_required("discovery.read_container", raise_exception=True)
def container_read(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Have the container read as soon as its turn comes; the page shows how it goes."""
    container = get_object_or_404(Container, pk=pk)
    if container.is_enabled:
        ask(containers=[container], actor=Actor.of(request))
    else:
        messages.error(request, _("%s is off: nobody logs in there.") % container)
    return redirect(f"{request.path.removesuffix('read/')}#contents")
