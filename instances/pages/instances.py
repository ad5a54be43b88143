"""Pages of instances and their installations."""

from collections.abc import Iterable
from uuid import UUID

from django.contrib import messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from instances.inventory import editing
from instances.inventory.contacts import server_teams
from instances.inventory.editing import InventoryError
from instances.models import NOT_RETIRED, Container, Installation, Instance
from instances.nlserver import MIN_BUILD
from instances.pages.filters import InstanceFilters
from instances.pages.forms import InstallationForm, InstanceForm
from instances.pages.moments import asked_as_of
from instances.pages.saving import is_retired, is_saved
from instances.requirements import all_met
from portal.audit.trail import Actor
from portal.permissions import permission_required
from portal.web.exports import in_order
from portal.web.lists import Orders, page_of

PAGE = 25
ORDERS = Orders(
    {
        "name": ["name"],
        "environment": ["environment", "name"],
        "role": ["role", "name"],
        "deployment": ["deployment", "name"],
        "retired": ["retired", "name"],
    },
    usual="name",
)
SUGGESTIONS = 500


@require_GET
@permission_required("instances.view_instance", raise_exception=True)
def instance_list(request: HttpRequest) -> HttpResponse:
    filters = InstanceFilters(request.GET)
    order = ORDERS.of(request.GET)
    ids = filters.qs.order_by(*order.fields).values_list("pk", flat=True)
    page = page_of(ids, request.GET, PAGE)
    is_empty = not page.object_list and not Instance.objects.exists()
    context = {
        "form": filters.form,
        "is_narrowed": filters.is_narrowed,
        "page_obj": page,
        "is_empty": is_empty,
        "order": order,
        "rows": in_order(counted(page), list(page)),
        "shows_retired": filters.shows_retired,
        "retired_count": filters.retired_count,
    }
    return render(request, "instances/instance_list.html", context)


def counted(keys: Iterable[UUID]) -> QuerySet[Instance]:
    """Return the instances of one page with what was seen of their installations: of these few only."""
    return (
        Instance.objects.filter(pk__in=list(keys))
        .annotate(
            containers=Count("installations", filter=_INSTALLED),
            old=Count("installations", filter=_INSTALLED & Q(installations__observed_build__lt=MIN_BUILD)),
            jwt=Count("installations", filter=_INSTALLED & Q(installations__observed_jwt=True)),
        )
        .order_by("name")
    )


_INSTALLED = all_met([NOT_RETIRED.of("installations"), NOT_RETIRED.of("installations__container")])


@require_GET
@permission_required("instances.view_instance", raise_exception=True)
def instance_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    instance = get_object_or_404(Instance, pk=pk)
    known = list(instance.installations.select_related("instance", "container"))
    retired = [row for row in known if row.retired or row.container.retired]
    installations = [row for row in known if row not in retired]
    builds = sorted({row.observed_build for row in installations if row.observed_build is not None})
    context = {
        "instance": instance,
        "installations": installations,
        "retired": retired,
        "builds": builds,
        "old": [row for row in installations if row.needs_upgrade],
        "jwt": [row for row in installations if row.observed_jwt],
        "teams": server_teams([instance]),
        **asked_as_of(),
    }
    return render(request, "instances/instance_detail.html", context)


@require_http_methods(["GET", "POST"])
@permission_required("instances.change_inventory", raise_exception=True)
def instance_add(request: HttpRequest) -> HttpResponse:
    return _edit(request, Instance())


@require_http_methods(["GET", "POST"])
@permission_required("instances.change_inventory", raise_exception=True)
def instance_edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    instance = get_object_or_404(Instance, pk=pk)
    if is_retired(request, instance):
        return redirect("instance", pk=pk)
    return _edit(request, instance)


def _edit(request: HttpRequest, instance: Instance) -> HttpResponse:
    name = instance.name  # the form writes into the instance
    form = InstanceForm(request.POST if request.method == "POST" else None, instance=instance)

    def save() -> None:
        editing.save_instance(instance=form.save(commit=False), actor=Actor.of(request))

    if is_saved(request, form, save, instance):
        return redirect("instance", pk=instance.pk)
    return render(request, "instances/instance_form.html", {"form": form, "instance": instance, "name": name})


@require_http_methods(["GET", "POST"])
@permission_required("instances.change_inventory", raise_exception=True)
def installation_add(request: HttpRequest, pk: UUID) -> HttpResponse:
    instance = get_object_or_404(Instance, pk=pk)
    if is_retired(request, instance):
        return redirect("instance", pk=pk)
    form = InstallationForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        container = form.cleaned_data["container"]
        try:
            editing.add_installation(instance=instance, container=container, actor=Actor.of(request))
        except InventoryError as error:
            form.add_error("container", str(error))
        else:
            messages.success(request, _("%s was added.") % container)
            return redirect("instance", pk=instance.pk)
    names = (
        Container.objects.not_retired()
        .exclude(installations__instance=instance)
        .values_list("name", flat=True)
    )
    context = {"form": form, "instance": instance, "names": names[:SUGGESTIONS]}
    return render(request, "instances/installation_form.html", context)


@require_http_methods(["GET", "POST"])
@permission_required("instances.change_inventory", raise_exception=True)
def installation_remove(request: HttpRequest, pk: UUID) -> HttpResponse:
    installation = get_object_or_404(Installation.objects.select_related("instance", "container"), pk=pk)
    refusal = ""
    if request.method == "POST":
        try:
            editing.remove_installation(installation=installation, actor=Actor.of(request))
        except InventoryError as error:
            refusal = str(error)
        else:
            messages.success(request, _("%s was removed.") % installation.label)
            return redirect("instance", pk=installation.instance_id)
    context = {"installation": installation, "refusal": refusal}
    return render(request, "instances/installation_remove.html", context)
