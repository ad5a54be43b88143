"""The page of the search."""

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from credentials.search.kinds import Results, allowed
from credentials.search.kinds import search as search_in
from credentials.search.providers import KINDS, history_of
from portal.no_secrets import Form

LONGEST = 100


class SearchForm(Form):
    """What somebody looks for."""

    q = forms.CharField(
        label=_("Search for"),
        required=False,
        max_length=LONGEST,
        widget=forms.TextInput(
            {"type": "search", "autocomplete": "off", "spellcheck": "false", "data-search": ""}
        ),
    )


@require_GET
def search(request: HttpRequest) -> HttpResponse:
    """Show what a person may see and has this text: what is called exactly so first."""
    kinds = allowed(KINDS, request.user)
    if not kinds:
        raise PermissionDenied
    form = SearchForm(request.GET)
    text = form.cleaned_data["q"] if form.is_valid() else ""
    context = {
        "form": form,
        "text": text,
        "results": search_in(kinds, text, request.user.has_perm) if text else Results(),
        "kinds": kinds,
        "history_url": history_of(text) if text else "",
    }
    return render(request, "search/search.html", context)
