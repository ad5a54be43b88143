"""Pages of the inventory import: upload or paste, preview, confirm."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods

from instances.inventory import csv_format, pending
from instances.inventory.importing import ImportRefused, Plan, PlanOutdated, apply_import, plan_import
from instances.pages.forms import PASTE_LIMIT, ImportForm
from portal.audit.trail import Actor
from portal.permissions import permission_required
from portal.web import tickets
from portal.web.tickets import Ticket

PAGE = 50
TEMPLATE = (
    "instance,container,address,port,jump_host,login,become,install_root,"
    "environment,deployment,role,uses_triggers,host_key,by_hand\r\n"
    "example_mkt,example-app-1,app-1.example.com,22,,neolane,none,/usr/local/neolane,"
    "production,on-premise,MKT,no,\r\n"
    "example_mkt,example-app-2,app-2.example.com,22,,campaign,sudo,/usr/local/neolane,"
    "production,on-premise,MKT,no,\r\n"
)


@require_http_methods(["GET", "POST"])
@permission_required("instances.change_inventory", raise_exception=True)
def inventory_import(request: HttpRequest) -> HttpResponse:
    form = ImportForm(*((request.POST, request.FILES) if request.method == "POST" else ()))
    if request.method == "POST" and _too_large(request):
        messages.error(
            request, _("The file is larger than 20 MB. Split it: each import adds to the ones before.")
        )
    elif request.method == "POST" and form.is_valid():
        upload = pending.keep(form.data_bytes, user_id=_user_id(request))
        return redirect("inventory_preview", upload=upload)
    context = {"form": form, "columns": TEMPLATE.splitlines()[0].split(",")}
    response = render(request, "instances/inventory_import.html", context)
    tickets.give(response, Ticket.IMPORTER, path=reverse("inventory_import"))
    return response


def _too_large(request: HttpRequest) -> bool:
    """True if Django has dropped the upload, as it does beyond the limit, without a word."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    return length.isdigit() and int(length) > settings.FILE_UPLOAD_MAX_MEMORY_SIZE


@require_http_methods(["GET", "POST"])
@permission_required("instances.change_inventory", raise_exception=True)
def inventory_preview(request: HttpRequest, upload: UUID) -> HttpResponse:
    data = pending.read(upload, user_id=_user_id(request))
    if data is None:
        messages.error(
            request,
            _("This upload is gone: it was imported, or is more than an hour old. Choose the file again."),
        )
        return redirect("inventory_import")
    parsed = csv_format.parse(data, allow_loopback=settings.ALLOW_LOOPBACK_TARGETS)
    if request.method == "POST" and _may_import(request, parsed):
        try:
            plan = apply_import(
                parsed=parsed, actor=Actor.of(request), confirmed=request.POST.get("confirmed", "")
            )
        except PlanOutdated:
            messages.warning(
                request, _("The inventory has changed since the preview. This is a new preview.")
            )
        except ImportRefused:
            pass  # the preview shows the errors
        else:
            pending.discard(upload, user_id=_user_id(request))
            messages.success(request, _summary(plan))
            return redirect("instances")
    plan = plan_import(parsed=parsed, actor=Actor.of(request))
    return render(request, "instances/inventory_preview.html", _preview(request, plan, parsed, data))


def _may_import(request: HttpRequest, parsed: csv_format.ParsedInventory) -> bool:
    """Giving a host key in advance is approving it, and needs the same permission."""
    if request.user.has_perm("instances.approve_host_key") or not any(row.host_key for row in parsed.rows):
        return True
    messages.error(request, _("You are not allowed to approve host keys, so the file must not contain any."))
    return False


def _summary(plan: Plan) -> str:
    number = len(plan.changes)
    done = ngettext("%d change was imported.", "%d changes were imported.", number) % number
    known = ngettext(
        "%d installation in the file was known already.",
        "%d installations in the file were known already.",
        plan.unchanged,
    )
    return f"{done} {known % plan.unchanged}"


def _preview(
    request: HttpRequest, plan: Plan, parsed: csv_format.ParsedInventory, data: bytes
) -> dict[str, object]:
    return {
        "plan": plan,
        "errors": plan.errors[: csv_format.MAX_LISTED],
        "unlisted": parsed.unlisted_errors + max(0, len(plan.errors) - csv_format.MAX_LISTED),
        "page_obj": Paginator(plan.changes, PAGE).get_page(request.GET.get("page")),
        "form": _correction(data) if plan.errors else None,
    }


def _correction(data: bytes) -> ImportForm:
    """Return the form for sending the file again, with its text in it where that is possible."""
    form = ImportForm(initial={"text": _editable(data)})
    form.fields["text"].label, form.fields["text"].required = _("The rows"), True
    form.fields["file"].required = True
    return form


def _editable(data: bytes) -> str:
    """Return the file's text for correcting it on the page, or nothing where that would not be faithful."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return ""
    return text if len(text) <= PASTE_LIMIT and "\0" not in text else ""


@require_GET
@permission_required("instances.change_inventory", raise_exception=True)
def inventory_template(request: HttpRequest) -> HttpResponse:
    headers = {"Content-Disposition": 'attachment; filename="inventory.csv"'}
    return HttpResponse(TEMPLATE, content_type="text/csv; charset=utf-8", headers=headers)


def _user_id(request: HttpRequest) -> int:
    user_id: int = request.user.pk  # type: ignore[assignment]  # every view here needs a signed-in person
    return user_id
