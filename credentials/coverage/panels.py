"""What pages of the inventory show of coverage: what an installation holds, is to hold, and why."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext

from credentials.coverage import by_hand
from credentials.coverage.cells import Cell, cells_of
from credentials.models import DesiredVersion
from credentials.rollouts.models import Push
from instances.discovery.timeline import Link
from instances.models import Container, Installation, Instance
from portal.web.panels import Panel, panel

MOST = 200
"""Installations of one page."""


@dataclass(frozen=True)
class Desire:
    """Since when an installation desires something, and why."""

    row: DesiredVersion
    link: Link | None
    """The push that is to bring it."""


@panel("installation.cards", order=10)
def holding_of_installation(installation: Installation, request: HttpRequest) -> Panel | None:
    """Show what an installation holds and desires, since when and how that is known."""
    if not request.user.has_perm("credentials.view_technicalaccount"):
        return None
    cells = cells_of([installation.pk])
    row = DesiredVersion.objects.filter(pk=installation.pk).select_related("version").first()
    desire = Desire(row, push_links([row.push]).get(row.push) if row.push else None) if row else None
    context = {"cell": cells[0] if cells else None, "desire": desire}
    return Panel("coverage/_holding.html", context)


@panel("installation.cards", order=15)
def reports_of_installation(installation: Installation, request: HttpRequest) -> Panel | None:
    """Show what people reported of an installation that the portal cannot reach, or could not."""
    if not request.user.has_perm("credentials.view_technicalaccount"):
        return None
    reports = list(by_hand.last_reports(installation))
    mine = list(by_hand.by_hand().filter(pk=installation.pk).select_related("instance"))
    return (
        Panel("coverage/_by_hand.html", {"installations": mine, "reports": reports})
        if mine or reports
        else None
    )


@panel("container.cards", order=5)
def by_hand_on_container(container: Container, request: HttpRequest) -> Panel | None:
    """Show the runbooks of a container that the portal cannot reach."""
    if not request.user.has_perm("credentials.view_technicalaccount"):
        return None
    rows = by_hand.by_hand().filter(container=container).select_related("instance").order_by("instance__name")
    found = list(rows[:MOST])
    return Panel("coverage/_by_hand.html", {"installations": found}) if found else None


@panel("instance.cards", order=10)
def holding_of_instance(instance: Instance, request: HttpRequest) -> Panel | None:
    """Show what each installation of an instance holds."""
    return _cells(request, instance.installations.values_list("pk", flat=True)[:MOST])


@panel("container.cards", order=10)
def holding_of_container(container: Container, request: HttpRequest) -> Panel | None:
    """Show what each installation on a container holds."""
    return _cells(request, container.installations.values_list("pk", flat=True)[:MOST])


def _cells(request: HttpRequest, installations: Collection[uuid.UUID]) -> Panel | None:
    if not request.user.has_perm("credentials.view_technicalaccount"):
        return None
    cells: list[Cell] = cells_of(installations)
    return Panel("coverage/_cells.html", {"cells": cells}) if cells else None


def push_links(pushes: Collection[uuid.UUID]) -> Mapping[uuid.UUID, Link]:
    """Return links to the pages of pushes, by their ids."""
    rows = Push.objects.filter(pk__in=pushes).order_by().values_list("pk", "rollout__number")
    return {
        pk: Link(gettext("Push of rollout #%d") % number, reverse("push", args=[pk])) for pk, number in rows
    }
