"""Pages of technical accounts: the list, one account with its coverage and history, and its retirement."""

from uuid import UUID

from django.contrib import messages
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from credentials.accounts import history
from credentials.accounts.filters import AccountFilters
from credentials.adobe.guide import AFTERWARDS, PRODUCTS
from credentials.entry import usable_secret
from credentials.ims_check import answer_about
from credentials.models import ClientSecret, TechnicalAccount
from credentials.services import AccountError, assignments_in_use, retire
from portal.audit.trail import Actor
from portal.permissions import permission_required
from portal.web.lists import Orders, page_of

PAGE = 25
ORDERS = Orders(
    {"name": ["name"], "state": ["state", "name"], "secret": ["goal__entered", "name"]}, usual="name"
)
USING_SHOWN = 20  # instances that stand in the way of a retirement


@require_GET
@permission_required("credentials.view_technicalaccount", raise_exception=True)
def account_list(request: HttpRequest) -> HttpResponse:
    """List accounts with their state, goal and coverage."""
    filters = AccountFilters(request.GET)
    order = ORDERS.of(request.GET)
    usable = ClientSecret.objects.filter(state=ClientSecret.State.USABLE).order_by("-version")
    accounts = (
        filters.qs.select_related("draft", "goal")
        .prefetch_related(Prefetch("secrets", usable, to_attr="usable_versions"))
        .order_by(*order.fields)
    )
    page = page_of(accounts, request.GET, PAGE)
    sizes = history.sizes(list(page))
    counts = history.goal_counts(list(page))
    rows = [_row(account, sizes[account.pk], counts.get(account.pk, 0)) for account in page]
    context = {
        "form": filters.form,
        "order": order,
        "page_obj": page,
        "rows": rows,
        "is_narrowed": filters.is_narrowed,
    }
    return render(request, "credentials/account_list.html", context)


def _row(account: TechnicalAccount, size: history.Size, holding: int) -> dict[str, object]:
    usable: list[ClientSecret] = getattr(account, "usable_versions", [])
    newest = usable[0] if usable else None
    secret = account.goal or newest
    return {
        "account": account,
        "secret": secret,
        "answer": answer_about(secret),
        "size": size,
        "holding": holding,
        "newer": newest if newest != secret else None,
    }


@require_GET
@permission_required("credentials.view_technicalaccount", raise_exception=True)
def account_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show one account: its values and coverage, or its rotation history (`?show=history`)."""
    account = get_object_or_404(TechnicalAccount.objects.select_related("draft", "created_by", "goal"), pk=pk)
    secret = usable_secret(account)
    context: dict[str, object] = {
        "account": account,
        "draft": getattr(account, "draft", None),
        "secret": secret,
        "answer": answer_about(secret),
        "product": next((each.label for each in PRODUCTS if each.name == account.product), account.product),
    }
    if request.GET.get("show") == "history":
        page, lines = history.rollouts(account, request.GET.get("page"), request.GET.get("rollout"))
        context |= {"versions": history.versions(account), "page_obj": page, "lines": lines}
        return render(request, "credentials/account_history.html", context)
    found = history.coverage(account, request.GET.get("page"))
    context |= {
        "coverage": found,
        "page_obj": found.page,
        "instance_count": assignments_in_use(account).count(),
        "afterwards": AFTERWARDS if account.way == TechnicalAccount.Way.MIGRATION else None,
    }
    return render(request, "credentials/account_detail.html", context)


@require_http_methods(["GET", "POST"])
@permission_required("credentials.manage_account", raise_exception=True)
def account_retire(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask, then take an account out of use; refused while instances use it."""
    account = get_object_or_404(TechnicalAccount, pk=pk, state=TechnicalAccount.State.ACTIVE)
    if request.method == "POST":
        try:
            retire(account=account, actor=Actor.of(request))
        except AccountError as error:
            messages.error(request, str(error))
            return redirect("account_retire", pk)
        messages.success(request, _("%s is retired. Its history stays.") % account.name)
        return redirect("account", pk)
    using = assignments_in_use(account).select_related("instance")
    count = using.count()
    context = {"account": account, "using": using[:USING_SHOWN], "count": count, "more": count - USING_SHOWN}
    return render(request, "credentials/account_retire.html", context)
