"""Pages of jump hosts, for those who may change the editing."""

from uuid import UUID

from django.contrib import messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from instances.inventory import editing
from instances.inventory.editing import InventoryError
from instances.models import NOT_RETIRED, JumpHost
from instances.pages.forms import JumpHostForm
from instances.pages.saving import is_saved
from instances.reaching import jump_hosts
from instances.requirements import all_met
from portal.audit.trail import Actor
from portal.permissions import permission_required

PIN = ("instances.change_inventory", "instances.approve_host_key")
"""A person who enters a jump host approves the keys that it must show."""
_IN_USE = all_met([NOT_RETIRED.of("containers")])


@require_GET
@permission_required("instances.change_inventory", raise_exception=True)
def jump_host_list(request: HttpRequest) -> HttpResponse:
    rows = [(host, jump_hosts.keys_of(host)) for host in counted().order_by("name")]
    return render(request, "instances/jump_host_list.html", {"rows": rows})


def counted() -> QuerySet[JumpHost]:
    """Return jump hosts with the number of containers in use behind each."""
    return JumpHost.objects.annotate(used_by=Count("containers", filter=_IN_USE))


@require_http_methods(["GET", "POST"])
@permission_required(PIN, raise_exception=True)
def jump_host_add(request: HttpRequest) -> HttpResponse:
    return _edit(request, JumpHost())


@require_http_methods(["GET", "POST"])
@permission_required(PIN, raise_exception=True)
def jump_host_edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _edit(request, get_object_or_404(JumpHost, pk=pk))


def _edit(request: HttpRequest, jump_host: JumpHost) -> HttpResponse:
    name = jump_host.name  # the form writes into the jump host
    form = JumpHostForm(request.POST if request.method == "POST" else None, instance=jump_host)

    def save() -> None:
        editing.save_jump_host(jump_host=form.save(commit=False), actor=Actor.of(request))

    if is_saved(request, form, save, jump_host):
        return redirect("jump_hosts")
    context = {"form": form, "jump_host": jump_host, "name": name}
    return render(request, "instances/jump_host_form.html", context)


@require_http_methods(["GET", "POST"])
@permission_required("instances.change_inventory", raise_exception=True)
def jump_host_remove(request: HttpRequest, pk: UUID) -> HttpResponse:
    counts = {"used_by": Count("containers", filter=_IN_USE), "kept_by": Count("containers", filter=~_IN_USE)}
    jump_host = get_object_or_404(JumpHost.objects.annotate(**counts), pk=pk)
    refusal = ""
    if request.method == "POST":
        try:
            editing.remove_jump_host(jump_host=jump_host, actor=Actor.of(request))
        except InventoryError as error:
            refusal = str(error)
        else:
            messages.success(request, _("%s was removed.") % jump_host)
            return redirect("jump_hosts")
    return render(request, "instances/jump_host_remove.html", {"jump_host": jump_host, "refusal": refusal})
