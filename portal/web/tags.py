"""What every table row shows several times: icons, states and moments; and the panels of a page.

Tags in Python, since a page of fifty rows has hundreds of them. Every template knows them without loading.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import urlencode

from django import forms, template
from django.contrib.messages import constants as levels
from django.core.paginator import Page
from django.http import HttpRequest
from django.template import Engine
from django.utils import timezone
from django.utils.choices import flatten_choices
from django.utils.encoding import force_str
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from portal.audit.labels import target_in_words
from portal.audit.operator import in_words
from portal.plaintext import may_hold_secret
from portal.punctuation import labelled, with_colon
from portal.roles import role_label
from portal.web.icons import drawn
from portal.web.lists import SIZE, SORT, Order, SizedPaginator
from portal.web.panels import panels_of
from portal.web.shells import blank_slate, callout, card, card_header, table
from portal.web.split_bar import split_bar
from portal.web.times import duration, exact, is_exact_only, relative

register = template.Library()
register.simple_tag(drawn, name="icon")
register.simple_tag(split_bar)
for shell in (card, card_header, table, callout, blank_slate):
    register.simple_block_tag(shell)
register.filter(duration)
register.filter(labelled)
register.filter("person", in_words)
register.filter("target", target_in_words)
register.filter(role_label)
register.filter("colon", with_colon)

WORDS: dict[str, Promise] = {
    "finished": _("Finished"),
}


def word_states(words: dict[str, Promise]) -> None:
    """Add an app's words for the states of its objects, as `status` shows them."""
    WORDS.update(words)


@register.simple_tag(takes_context=True)
def error_in_title(context: template.Context) -> str:
    """Begin the title with "Error:" where a form was rejected or an action refused: it is read first."""
    is_refused = any(message.level >= levels.ERROR for message in context.get("messages") or ())
    shown: Iterable[object] = context.flatten().values()
    is_rejected = any(isinstance(each, forms.BaseForm) and each.errors for each in shown)
    # Outside of the braces of a text: what collects messages does not look into them.
    error = _("Error:")
    return f"{error} " if is_refused or is_rejected else ""


@register.simple_block_tag
def once(content: SafeString) -> SafeString:
    """Draw what a page shows twice: `{% once as name %}…{% endonce %}`, then `{{ name }}`."""
    return content


@register.simple_tag(takes_context=True)
def panels(context: template.RequestContext, place: str, row: object) -> SafeString:
    """Render what rooms above registered for this place of a page about `row`."""
    parts = []
    for panel in panels_of(place, row, context.request):
        with context.push(**panel.context):
            parts.append(Engine.get_default().get_template(panel.template).render(context))
    return mark_safe("".join(parts))  # noqa: S308  # rendered templates


@register.simple_tag(takes_context=True)
def same_filters(context: template.RequestContext, *without: str, **changed: str) -> str:
    """Return the query of this page's address without some parameters, or with others: `?q=mkt&who=alice`.

    A parameter that was refused since it looks like a secret is not repeated in the page.
    """
    return kept_query(context.request, *without, **changed)


def kept_query(request: HttpRequest, *without: str, **changed: str) -> str:
    """Return what `same_filters` does, outside of a template."""
    query = request.GET.copy()
    for name in list(query):
        if name in without or name in changed or any(map(may_hold_secret, [name, *query.getlist(name)])):
            del query[name]
    query.update(changed)
    return f"?{query.urlencode()}"


@register.simple_block_tag(takes_context=True)
def sortable(
    context: template.RequestContext, content: SafeString, column: str, *, is_number: bool = False
) -> SafeString:
    """Draw the heading of a column that the list can be ordered by. The page's context has `order`."""
    order: Order = context["order"]
    is_this = column == order.column
    state = ("descending" if order.is_descending else "ascending") if is_this else "none"
    query = kept_query(context.request, "page", sort=order.next_of(column))
    return format_html(
        '<th scope="col" class="sortable{}" aria-sort="{}"><a href="{}">{}{}</a></th>',
        " cell-number" if is_number else "",
        state,
        query,
        content.strip(),
        drawn(f"sort-{state}"),
    )


@register.simple_tag(takes_context=True)
def kept_order(context: template.RequestContext) -> SafeString:
    """Keep order and size of the list when its filters are sent."""
    return format_html_join("", '<input type="hidden" name="{}" value="{}">', _order_of(context.request))


@register.simple_tag(takes_context=True)
def and_order(context: template.RequestContext) -> str:
    """Return what keeps order and size of the list in a query that begins before it: `&sort=-name`."""
    return "".join(f"&{urlencode([pair])}" for pair in _order_of(context.request))


def _order_of(request: HttpRequest) -> list[tuple[str, str]]:
    asked = [(name, request.GET.get(name, "")) for name in (SORT, SIZE)]
    return [(name, value) for name, value in asked if value and not may_hold_secret(value)]


@register.simple_tag(takes_context=True)
def filters_in_words(context: template.RequestContext) -> str:
    """Return to what this page's list is narrowed, in the words of its form: `Search = mkt · Role = MKT`."""
    form = context.get("form")
    if context.request.method != "GET" or not isinstance(form, forms.BaseForm) or not form.is_bound:
        return ""
    form.is_valid()  # judged once, however often somebody asks
    chosen = [(each, form.cleaned_data.get(each.name)) for each in form]
    return " · ".join(f"{each.label} = {_in_words(each.field, value)}" for each, value in chosen if value)


def _in_words(field: forms.Field, value: object) -> str:
    """Return a cleaned value as the page shows it: a choice by its word, a row by its name, a tick by yes."""
    if value is True:
        return str(_("yes"))
    if isinstance(field, forms.ChoiceField) and not isinstance(field, forms.ModelChoiceField):
        words: Iterable[tuple[object, object]] = flatten_choices(field.choices)  # type: ignore[arg-type]  # a list
        value = dict(words).get(value, value)
    return str(value)


@register.simple_tag(takes_context=True)
def sizes(context: template.RequestContext, page: Page[object]) -> list[dict[str, object]]:
    """Return how many rows a page can have: number, address, whether it is so now. Empty without a choice."""
    paginator = page.paginator
    if not isinstance(paginator, SizedPaginator) or paginator.count <= min(paginator.sizes):
        return []
    return [
        {
            "rows": each,
            "query": kept_query(context.request, "page", size=str(each)),
            "is_now": each == paginator.per_page,
        }
        for each in paginator.sizes
    ]


@register.simple_tag
def status(state: str, label: str = "") -> SafeString:
    """Say a state by shape, word and colour; `label` if the usual word does not fit."""
    return _status(str(state), force_str(label or WORDS.get(str(state), state)))


@lru_cache(maxsize=512, typed=True)  # by type: what is safe already equals what is not
def _status(state: str, word: str) -> SafeString:
    name = state.lower()
    return format_html('<span class="status status-{}">{} {}</span>', name, drawn(name), word)


@register.simple_tag
def moment(at: datetime | None, absent: str = "") -> SafeString | str:
    """Show a moment in local time, with UTC in its title."""
    if not at:
        return absent or "—"
    utc = at.astimezone(UTC)
    local = at.astimezone(timezone.get_current_timezone())
    return mark_safe(  # noqa: S308  # digits alone: nothing to escape
        f'<time class="nowrap" datetime="{utc.isoformat()}" title="{utc:%Y-%m-%dT%H:%M:%SZ}">'
        f"{local:%Y-%m-%d %H:%M:%S}</time>"
    )


@register.simple_tag(name="relative")
def relative_moment(at: datetime | None, absent: str = "", past: str = "") -> SafeString | str:
    """Show how far away a moment is, with the exact one and its zone in the title.

    `past` is what to say of a moment that was to come and has passed.
    """
    if not at or is_exact_only():
        return moment(at, absent)
    return format_html(
        '<time class="nowrap relative" datetime="{}" title="{}">{}</time>',
        at.astimezone(UTC).isoformat(),
        exact(at),
        relative(at, past=past),
    )
