"""The wizard: one URL per step, each a plain form on the saved draft."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods

from credentials.models import TechnicalAccount
from credentials.rollouts.choosing import versions
from credentials.services import AccountError
from credentials.taken import linked
from credentials.wizard import services
from credentials.wizard.check_step import check_page
from credentials.wizard.credential_step import credential_page
from credentials.wizard.forms import NewAccountForm, NewFromFileForm, NotesForm, VersionForm
from credentials.wizard.instances_step import instances_page
from credentials.wizard.models import Draft
from credentials.wizard.pages import Page, PageView
from credentials.wizard.review_step import review_page
from credentials.wizard.steps import SLUGS, DraftProgress, Kind
from credentials.wizard.values_step import tell_without_secret, values_page
from instances.discovery.jwt_dates import JWT_DATES
from portal.audit.trail import Actor
from portal.permissions import permission_required


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
@permission_required(["credentials.manage_account", "credentials.enter_secret"], raise_exception=True)
def account_new(request: HttpRequest) -> HttpResponse:
    """Begin a draft: with the console's file, or step by step with a name."""
    if request.method == "POST" and request.POST.get("action") == "json":
        return _new_from_file(request)
    form = NewAccountForm(request.POST or None, initial={"way": request.GET.get("way", "")})
    if request.method == "POST" and form.is_valid():
        try:
            draft = services.begin(**form.cleaned_data, actor=Actor.of(request))
        except AccountError as error:
            form.add_error("name", linked(error, request.user))
        else:
            return redirect("wizard", draft.account_id, draft.step)
    return _show_new(request, form=form)


@sensitive_variables()
def _new_from_file(request: HttpRequest) -> HttpResponse:
    form = NewFromFileForm(request.POST, request.FILES)
    entry = form.judged.entry if form.is_valid() else None
    if entry is None:
        return _show_new(request, file_form=form)
    name = form.cleaned_data["name"]
    try:
        draft = services.begin_with_json(
            name=name, way=form.cleaned_data["way"], entry=entry, actor=Actor.of(request)
        )
    except AccountError as error:
        form.add_error(None, linked(error, request.user))
        return _show_new(request, file_form=form)
    if entry.secret is None:
        tell_without_secret(request, draft)
    elif not draft.cautions:
        messages.success(request, _("The file was read: all four values are stored."))
    if name and name != draft.account.name:
        messages.warning(request, _("Another account has the name %s: choose another one.") % name)
    return redirect("wizard", draft.account_id, draft.step)


def _show_new(
    request: HttpRequest, form: NewAccountForm | None = None, file_form: NewFromFileForm | None = None
) -> HttpResponse:
    way = request.GET.get("way", "")
    context = {
        "form": form or NewAccountForm(initial={"way": way}),
        "file_form": file_form or NewFromFileForm(initial={"is_migration": way == "migration"}),
        "dates": JWT_DATES,
    }
    return render(request, "wizard/new.html", context)


@require_GET
@permission_required("credentials.manage_account", raise_exception=True)
def wizard_resume(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Go to the step where the draft was left."""
    draft = get_object_or_404(Draft, account=pk)
    return redirect("wizard", pk, draft.step)


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
@permission_required(["credentials.manage_account", "credentials.enter_secret"], raise_exception=True)
def wizard(request: HttpRequest, pk: UUID, step: str) -> HttpResponse:
    """Show or take one step. A step that is not reached yet leads back to the first one that is not done."""
    account = get_object_or_404(TechnicalAccount.objects.select_related("draft"), pk=pk)
    draft = getattr(account, "draft", None)
    if draft is None:
        messages.info(request, _("This draft has since been finished: here is its account."))
        return redirect("account", pk)
    progress = DraftProgress(draft)
    place = progress.find(step)
    if place is None and step not in SLUGS:
        raise Http404
    if place is None or not progress.may_open(place):
        return redirect("wizard", pk, progress.first_open.slug)
    try:
        return _PAGES[place.kind](Page(request, draft, place))
    except AccountError as error:
        messages.error(request, str(error))
        return redirect("accounts")


def console_page(page: Page) -> HttpResponse:
    """A step that is done in the console: what to do there, and what to note here."""
    form = NotesForm(page.request.POST or None, step=page.step, account=page.draft.account)
    if page.request.method == "POST" and form.is_valid():
        has_json = page.request.POST.get("action") == "json"
        done = page.go_by(has_json=True, notes=form.notes) if has_json else page.finish(form.notes)
        if done:
            return page.go_on()
    return page.show("console", form=form)


def version_page(page: Page) -> HttpResponse:
    """Before a migration: which servers are too old."""
    form = VersionForm(page.request.POST or None, initial={"confirm": "version" in page.progress.done})
    if page.request.method == "POST" and (page.leaves or form.is_valid()):
        done = page.finish()
        if done:
            return page.go_on()
    return page.show("version", form=form, versions=versions(), dates=JWT_DATES)


_PAGES: dict[Kind, PageView] = {
    Kind.CONSOLE: console_page,
    Kind.CREDENTIAL: credential_page,
    Kind.VERSION: version_page,
    Kind.VALUES: values_page,
    Kind.CHECK: check_page,
    Kind.INSTANCES: instances_page,
    Kind.REVIEW: review_page,
}


@require_http_methods(["GET", "POST"])
@permission_required("credentials.manage_account", raise_exception=True)
def draft_delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask, then delete a draft that was never used."""
    draft = get_object_or_404(Draft.objects.select_related("account"), account=pk)
    if request.method == "POST":
        try:
            services.delete_draft(draft=draft, actor=Actor.of(request))
        except AccountError as error:
            messages.error(request, str(error))
            return redirect("account", pk)
        messages.success(request, _("The draft %s was deleted.") % draft.account.name)
        return redirect("accounts")
    return render(request, "wizard/delete.html", {"draft": draft, "account": draft.account})
