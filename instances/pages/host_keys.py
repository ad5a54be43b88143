"""The page where the first host keys of many containers are scanned, compared and approved."""

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from instances import tasks
from instances.inventory import pasted_keys
from instances.models import NOT_RETIRED, Container, KeyScan
from instances.pages import key_lists
from instances.pages.forms import ManyKeysForm
from instances.pages.key_lists import ContainerLine
from instances.reaching import host_keys as keys
from instances.reaching import key_scans
from instances.requirements import all_met
from portal.audit.trail import Actor
from portal.permissions import permission_required

PAGE = 100
MOST_FAILED = 100


@require_http_methods(["GET", "POST"])
@permission_required("instances.approve_host_key", raise_exception=True)
def host_keys(request: HttpRequest) -> HttpResponse:
    form = ManyKeysForm(request.POST if request.method == "POST" else None)
    page = Paginator(key_lists.offered().order_by("name"), PAGE).get_page(request.GET.get("page"))
    lines = key_lists.lines_of([container.pk for container in page])
    compared: dict[str, object] = {}
    if request.method == "POST":
        is_valid = form.is_valid()
        pasted, wrong = pasted_keys.read(form.cleaned_data.get("fingerprints", ""))
        compared = {"unused": key_lists.compare(lines, pasted), "wrong": wrong, "is_compared": bool(pasted)}
        chosen = _choose(request, lines)
        if is_valid and request.POST.get("do") == "approve" and _approve(request, form, lines, chosen):
            return redirect(request.get_full_path())
    return render(request, "instances/host_keys.html", {**_context(form, page, lines), **compared, **_scan()})


def _context(form: ManyKeysForm, page: Page[Container], lines: list[ContainerLine]) -> dict[str, object]:
    enabled = Container.objects.in_use()
    return {
        "form": form,
        "page_obj": page,
        "lines": lines,
        "is_choosable": any(line.is_choosable for line in lines),
        "mismatched": [line for line in lines if line.mismatches],
        "matched": sum(any(each.is_matched for each in line.keys) for line in lines),
        "changed": keys.in_host_key_state(enabled, "changed").count(),
        "unscanned": keys.in_host_key_state(enabled, "").count(),
    }


def _choose(request: HttpRequest, lines: list[ContainerLine]) -> set[int]:
    """Tick what was ticked, and while comparing what the pasted list confirms; never what it contradicts."""
    ticked = set(request.POST.getlist("key"))
    is_comparing = request.POST.get("do") != "approve"
    for line in lines:
        for each in line.keys:
            wanted = str(each.key.pk) in ticked or (is_comparing and each.is_matched)
            is_left = bool(line.mismatches) and is_comparing
            each.is_chosen = wanted and not each.doubt and not is_left
    return {each.key.pk for line in lines for each in line.keys if each.is_chosen}


def _approve(request: HttpRequest, form: ManyKeysForm, lines: list[ContainerLine], chosen: set[int]) -> bool:
    """Approve; False if something is missing, or something was left out, and the page says what."""
    if not chosen:
        form.add_error(None, _("Choose at least one key."))
        return False
    if not form.cleaned_data["compared"]:
        form.add_error("compared", _("Compare the fingerprints first, and tick this box."))
        return False
    approved, left = key_lists.approve(lines, chosen, Actor.of(request))
    if approved:
        text = ngettext("%d key is approved.", "%d keys are approved.", len(approved)) % len(approved)
        messages.success(request, text + " " + _("Failed pushes can be retried now."))
    done = {key.pk for key in approved}
    for line in lines:
        line.keys = [each for each in line.keys if each.key.pk not in done]
    for reason in left:
        form.add_error(None, reason)
    return not left


@require_http_methods(["GET", "POST"])
@permission_required("instances.approve_host_key", raise_exception=True)
def host_key_scan(request: HttpRequest) -> HttpResponse:
    """Begin to scan every container without an approved key, or show how far that is."""
    if request.method == "POST":
        if not key_scans.without_key().exists():
            messages.info(request, _("Every container that is on has an approved host key."))
        elif key_scans.start(actor=Actor.of(request)):
            tasks.ring()
        else:
            messages.info(request, _("A scan is already under way."))
    if request.headers.get("HX-Request") == "true":
        return render(request, "instances/_key_scan_live.html", _scan())
    return redirect("host_keys")


@require_POST
@permission_required("instances.approve_host_key", raise_exception=True)
def host_key_scan_stop(request: HttpRequest) -> HttpResponse:
    stopped = key_scans.stop(actor=Actor.of(request))
    text = ngettext("%d container was not scanned.", "%d containers were not scanned.", stopped) % stopped
    messages.info(request, text + " " + _("What was seen so far is kept."))
    return redirect("host_keys")


def _scan() -> dict[str, object]:
    """Return how far the scan of all is, and which containers could not be scanned."""
    counts = key_scans.counts()
    asked = counts.get(KeyScan.State.DONE, 0) + counts.get(KeyScan.State.FAILED, 0)
    in_use = all_met([NOT_RETIRED.of("container")])
    failed = KeyScan.objects.filter(in_use).exclude(code="").select_related("container__jump_host")
    return {
        "scan_total": sum(counts.values()),
        "scan_ended": asked,
        "scan_counts": counts,
        "is_scanning": any(counts.get(state) for state in KeyScan.OPEN),
        "is_nobody_working": key_scans.is_nobody_working(),
        "failed": [
            (each.container, key_scans.why_failed(each))
            for each in failed.order_by("container__name")[:MOST_FAILED]
        ],
        "failed_more": max(0, failed.count() - MOST_FAILED),
    }
