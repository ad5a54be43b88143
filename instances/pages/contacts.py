"""Pages of contacts: for the servers of an environment, and for other teams."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from instances.inventory.contacts import contacts_by_team, remove_contact, save_contact
from instances.models import Contact
from instances.pages.forms import ContactForm
from portal.audit.trail import Actor
from portal.permissions import permission_required


@require_GET
@permission_required("instances.view_container", raise_exception=True)
def contact_list(request: HttpRequest) -> HttpResponse:
    """Show the contact of each team."""
    known = contacts_by_team()
    rows = [(name, Contact.label_of(name), known.get(name)) for name in Contact.names()]
    return render(request, "instances/contact_list.html", {"rows": rows})


@require_http_methods(["GET", "POST"])
@permission_required("instances.change_inventory", raise_exception=True)
def contact_edit(request: HttpRequest, environment: str) -> HttpResponse:
    """Enter, change or remove the contact of a team."""
    if environment not in Contact.names():
        raise Http404
    row = contacts_by_team().get(environment) or Contact(environment=environment)
    form = ContactForm(request.POST if request.method == "POST" else None, instance=row)
    if request.method == "POST" and "remove" in request.POST:
        remove_contact(environment, actor=Actor.of(request))
        messages.success(request, _("The contact was removed."))
        return redirect("contacts")
    if request.method == "POST" and form.is_valid():
        save_contact(form.save(commit=False), actor=Actor.of(request))
        messages.success(request, _("The contact was saved."))
        return redirect("contacts")
    context = {"form": form, "row": row, "label": Contact.label_of(environment)}
    return render(request, "instances/contact_form.html", context)
