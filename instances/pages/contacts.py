"""Pages of contacts for the servers of an environment."""

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from instances.inventory.contacts import contacts_by_environment, remove_contact, save_contact
from instances.models import Contact, Instance
from instances.pages.forms import ContactForm
from portal.audit.trail import Actor


@require_GET
@permission_required("instances.view_container", raise_exception=True)
def contact_list(request: HttpRequest) -> HttpResponse:
    """Show the contact for each environment."""
    known = contacts_by_environment()
    rows = [(each, known.get(each.value)) for each in Instance.Environment]
    return render(request, "instances/contact_list.html", {"rows": rows})


@require_http_methods(["GET", "POST"])
@permission_required("instances.change_inventory", raise_exception=True)
def contact_edit(request: HttpRequest, environment: str) -> HttpResponse:
    """Enter, change or remove the contact for an environment."""
    if environment not in Instance.Environment.values:
        raise Http404
    row = contacts_by_environment().get(environment) or Contact(environment=environment)
    form = ContactForm(request.POST if request.method == "POST" else None, instance=row)
    if request.method == "POST" and "remove" in request.POST:
        remove_contact(environment, actor=Actor.of(request))
        messages.success(request, _("The contact was removed."))
        return redirect("contacts")
    if request.method == "POST" and form.is_valid():
        save_contact(form.save(commit=False), actor=Actor.of(request))
        messages.success(request, _("The contact was saved."))
        return redirect("contacts")
    context = {"form": form, "row": row, "label": Instance.Environment(environment).label}
    return render(request, "instances/contact_form.html", context)
