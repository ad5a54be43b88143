"""Pages of containers: how they are reached, their host keys."""

from collections.abc import Collection
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from instances import other_portals, ssh
from instances.discovery.last_seen import last_seen
from instances.discovery.models import Observation
from instances.discovery.schedule import next_turn
from instances.inventory import editing
from instances.inventory.contacts import server_teams
from instances.models import (
    NONE_RETIRED,
    NOT_RETIRED,
    Container,
    HostKey,
    Installation,
    OtherPortal,
)
from instances.pages.filters import ContainerFilters
from instances.pages.forms import ContainerForm, FingerprintForm, HostKeyApproval
from instances.pages.moments import asked_as_of
from instances.pages.readings import how_often, last_reading
from instances.pages.saving import is_by_hand, is_retired, is_saved
from instances.reaching import host_keys, jump_hosts
from instances.requirements import all_met
from portal.audit.trail import Actor
from portal.no_secrets import Form
from portal.permissions import permission_required
from portal.presets import Chosen, preset
from portal.web.exports import in_order
from portal.web.lists import Orders, page_of

PAGE = 25
ORDERS = Orders(
    {
        "name": ["name"],
        "address": ["address", "port", "name"],
        "login": ["login", "name"],
        "jump_host": ["jump_host__name", "name"],
        "retired": ["retired", "name"],
    },
    usual="name",
)


@require_GET
@permission_required("instances.view_container", raise_exception=True)
def container_list(request: HttpRequest) -> HttpResponse:
    filters = ContainerFilters(request.GET)
    order = ORDERS.of(request.GET)
    ids = filters.qs.order_by(*order.fields).values_list("pk", flat=True)
    page = page_of(ids, request.GET, PAGE)
    shown = counted(Container.objects.filter(pk__in=list(page))).only(
        *(
            "name",
            "address",
            "port",
            "login",
            "become",
            "is_enabled",
            "is_by_hand",
            "jump_host__name",
            "expected_host_key__fingerprint",
        ),
        *("retired", "retired_by", "retired_reason"),
    )
    context = {
        "form": filters.form,
        "is_narrowed": filters.is_narrowed,
        "page_obj": page,
        "order": order,
        "rows": [
            (container, host_keys.state_of(container.host_keys.all(), host_keys.expected_of(container)))
            for container in in_order(shown, list(page))
        ],
        "is_empty": not page.object_list and not Container.objects.exists(),
        "shows_retired": filters.shows_retired,
        "retired_count": filters.retired_count,
        "presets": [preset(label, wanted, filters.chosen) for label, wanted in PRESETS],
    }
    return render(request, "instances/container_list.html", context)


def counted(rows: QuerySet[Container]) -> QuerySet[Container]:
    """Return containers as lists show them: instances, those on JWT, when seen last, jump host, host keys."""
    return (
        rows.annotate(
            instances=Count("installations", filter=_INSTALLED),
            on_jwt=Count("installations", filter=_INSTALLED & Q(installations__observed_jwt=True)),
            last_seen=last_seen(),
        )
        .select_related("jump_host", "expected_host_key")
        .prefetch_related(Prefetch("host_keys", HostKey.objects.defer("base64").order_by()))
    )


_INSTALLED = all_met([NOT_RETIRED.of("installations"), NOT_RETIRED.of("installations__instance")])


PRESETS: tuple[tuple[Promise, Chosen], ...] = (
    (gettext_lazy("Not seen for a week"), {"seen": "old"}),
    (gettext_lazy("JWT still there"), {"jwt": "yes"}),
)


@require_GET
@permission_required("instances.view_container", raise_exception=True)
def container_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    container = get_object_or_404(Container.objects.select_related("jump_host"), pk=pk)
    keys = list(container.host_keys.all())
    expected = getattr(container, "expected_host_key", None)
    doubts = {
        key.pk: host_keys.doubt_about(key, keys, expected.fingerprint if expected else "") for key in keys
    }
    is_busy = container.lease_expires is not None and container.lease_expires > timezone.now()
    others = _others(container)
    known = list(container.installations.select_related("instance", "container"))
    retired = [each for each in known if each.retired or each.instance.retired]
    installations = [each for each in known if each not in retired]
    contents = {
        "container": container,
        "installations": installations,
        "retired": retired,
        "last_reading": last_reading(
            container,
            {each.instance.name for each in installations},
            retired={each.instance.name for each in retired},
        ),
        "is_seen_by_push": _is_seen_by_push(installations),
        "how_often": how_often(),
        "is_known": any(key.state == HostKey.State.APPROVED for key in keys),
        "next_reading": next_turn(container.pk, timezone.now()),
    }
    if request.headers.get("HX-Request") == "true":
        return render(request, "instances/_contents_live.html", contents)
    context = {
        **contents,
        "host_keys": [(key, host_keys.DOUBTS.get(doubts[key.pk], "")) for key in keys],
        "host_key_state": host_keys.state_of(keys, host_keys.expected_of(container)),
        "expected": expected,
        "is_busy": is_busy,
        "others": others,
        "own_id": other_portals.own_id() if others else "",
        "campaign_user": settings.CAMPAIGN_USER,
        "user_differs": container.become == "none" and container.login != settings.CAMPAIGN_USER,
        "approval": HostKeyApproval(),
        "teams": server_teams([each.instance for each in installations]),
        **asked_as_of(),
    }
    return render(request, "instances/container_detail.html", context)


def _is_seen_by_push(installations: Collection[Installation]) -> bool:
    """Whether what was seen last of these was seen by pushes alone, if none of it was read."""
    told = Observation.objects.filter(
        installation__in=installations, ended=None, last_source=Observation.Source.HAND
    )
    return not told.exists() and any(each.observed for each in installations)


def _others(container: Container) -> list[OtherPortal]:
    """The installations on this container that another portal holds."""
    in_use = all_met(each.of("installation") for each in NONE_RETIRED)
    rows = OtherPortal.objects.filter(in_use, installation__container=container)
    return list(rows.select_related("installation__instance").order_by("installation__instance__name"))


@require_POST
@permission_required("instances.change_inventory", raise_exception=True)
def installation_take_over(request: HttpRequest, pk: UUID) -> HttpResponse:
    installation = get_object_or_404(Installation.objects.select_related("instance", "container"), pk=pk)
    if is_retired(request, installation.retired_with or installation):
        return redirect("container", pk=installation.container_id)
    last = request.POST.get("last", "")
    try:
        other_portals.take_over(installation=installation, last=last, actor=Actor.of(request))
    except other_portals.NoLongerThere:
        text = _("Nothing was taken over: someone pushed to %s after you opened the page. Look at it again.")
        messages.error(request, text % installation.instance)
    else:
        text = _("This portal's next push will go to %s. Retry the failed push, or start a rollout.")
        messages.success(request, text % installation.instance)
    return redirect("container", pk=installation.container_id)


@require_http_methods(["GET", "POST"])
@permission_required("instances.change_inventory", raise_exception=True)
def container_add(request: HttpRequest) -> HttpResponse:
    return _edit(request, Container())


@require_http_methods(["GET", "POST"])
@permission_required("instances.change_inventory", raise_exception=True)
def container_edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    container = get_object_or_404(Container, pk=pk)
    if is_retired(request, container):
        return redirect("container", pk=pk)
    return _edit(request, container)


def _edit(request: HttpRequest, container: Container) -> HttpResponse:
    name = container.name  # the form writes into the container
    form = ContainerForm(request.POST if request.method == "POST" else None, instance=container)

    def save() -> None:
        editing.save_container(container=form.save(commit=False), actor=Actor.of(request))

    if is_saved(request, form, save, container):
        return redirect("container", pk=container.pk)
    context = {"form": form, "container": container, "name": name}
    return render(request, "instances/container_form.html", context)


@require_POST
@permission_required("instances.change_inventory", raise_exception=True)
def container_switch(request: HttpRequest, pk: UUID) -> HttpResponse:
    container = get_object_or_404(Container, pk=pk)
    if is_retired(request, container):
        return redirect("container", pk=pk)
    is_enabled = request.POST.get("to") == "on"
    editing.switch_container(container=container, is_enabled=is_enabled, actor=Actor.of(request))
    text = _("%s is on.") if is_enabled else _("%s is off: nothing is pushed to it.")
    messages.success(request, text % container)
    return redirect("container", pk=container.pk)


@require_POST
@permission_required("instances.approve_host_key", raise_exception=True)
def container_scan(request: HttpRequest, pk: UUID) -> HttpResponse:
    container = get_object_or_404(Container, pk=pk)
    if is_retired(request, container) or is_by_hand(request, container):
        return redirect("container", pk=pk)
    try:
        scan = host_keys.scan_container(container=container, actor=Actor.of(request))
    except ssh.SSHError as error:
        messages.error(request, jump_hosts.failure_in_words(error, container))
    else:
        messages.add_message(request, *_scan_message(scan))
        if missing := host_keys.missing_in_words(scan, container):
            messages.warning(request, missing)
    return redirect("container", pk=container.pk)


def _scan_message(scan: host_keys.Scan) -> tuple[int, str]:
    if scan.approved:
        return messages.SUCCESS, _("The server showed the expected key %s, which is now approved.") % (
            scan.approved.fingerprint
        )
    if scan.is_expected_missing and scan.missing:
        return messages.WARNING, _(
            "The expected key is not among those that the server has shown so far. Do not approve another "
            "one before a scan is complete."
        )
    if scan.is_expected_missing:
        return messages.WARNING, _(
            "The server did not show the expected key. Find out why before you approve another."
        )
    if any(key.state == HostKey.State.APPROVED for key in scan.keys):
        return messages.SUCCESS, _("The server still shows an approved key.")
    return messages.INFO, _("The server showed the keys below. Compare a fingerprint, then approve it.")


@require_http_methods(["GET", "POST"])
@permission_required("instances.approve_host_key", raise_exception=True)
def host_key_approve(request: HttpRequest, pk: int) -> HttpResponse:
    """Approve a first key after a tick, and one that may not be the container's own by its fingerprint."""
    key = _host_key(pk)
    container = key.container
    if is_retired(request, container):
        return redirect("container", pk=container.pk)
    if key.state == HostKey.State.APPROVED:
        messages.info(request, _("The key %s is already approved.") % key.fingerprint)
        return redirect("container", pk=container.pk)
    keys, expected = list(container.host_keys.all()), getattr(container, "expected_host_key", None)
    doubt = host_keys.doubt_about(key, keys, expected.fingerprint if expected else "")
    form_class = FingerprintForm if doubt else HostKeyApproval
    form = form_class(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and _is_approved(request, key, form):
        return redirect("container", pk=container.pk)
    context = {
        "container": container,
        "key": key,
        "form": form,
        "doubt": host_keys.DOUBTS[doubt] if doubt else "",
        "approved": [each for each in keys if each.state == HostKey.State.APPROVED],
        "expected": expected,
        "teams": server_teams([each.instance for each in container.installations.select_related("instance")]),
    }
    return render(request, "instances/host_key_approve.html", context)


def _is_approved(request: HttpRequest, key: HostKey, form: Form) -> bool:
    """Approve; False if an error at the form, or a message, says why not."""
    fingerprint = form.cleaned_data.get("fingerprint", "")
    try:
        host_keys.approve_host_key(key=key, actor=Actor.of(request), fingerprint=fingerprint)
    except host_keys.FingerprintDiffers:
        form.add_error("fingerprint", _NOT_THIS_ONE)
        return False
    except host_keys.FingerprintNeeded:
        messages.warning(request, _("Something has changed since you opened the page. Look again."))
        return True
    text = _("The key %s is approved. Failed pushes can be retried now.")
    messages.success(request, text % key.fingerprint)
    return True


_NOT_THIS_ONE = gettext_lazy(
    "This is not the fingerprint of the key that the server showed the portal. Do not approve it: ask the "
    "server team whether they gave the right one, and whether the portal reaches the right server."
)


@require_POST
@permission_required("instances.approve_host_key", raise_exception=True)
def host_key_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    key = _host_key(pk)
    if is_retired(request, key.container):
        return redirect("container", pk=key.container_id)
    host_keys.revoke_host_key(key=key, actor=Actor.of(request))
    messages.success(request, _("The key %s is not trusted.") % key.fingerprint)
    return redirect("container", pk=key.container_id)


def _host_key(pk: int) -> HostKey:
    largest = 2**63 - 1  # beyond it databases raise instead of finding nothing
    return get_object_or_404(HostKey.objects.select_related("container"), pk=min(pk, largest))
