"""What every table row shows several times: icons, states and moments; and the panels of a page.

Tags in Python, since a page of fifty rows has hundreds of them. Every template knows them without loading.
"""

from datetime import UTC, datetime
from functools import lru_cache

from django import template
from django.template import Engine
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from portal.web.icons import DOT, ICONS
from portal.web.panels import panels_of

register = template.Library()

WORDS: dict[str, Promise] = {
    "finished": _("Finished"),
}


def word_states(words: dict[str, Promise]) -> None:
    """Add an app's words for the states of its objects, as `status` shows them."""
    WORDS.update(words)


@register.simple_tag
@lru_cache(maxsize=512)
def icon(name: str, further: str = "") -> SafeString:
    """Draw an icon. Decorative: the word next to it carries the meaning."""
    classes = " ".join(filter(None, ["icon", further, "icon-spin" if name == "running" else ""]))
    return format_html(
        '<svg class="{}" viewBox="0 0 16 16" aria-hidden="true" focusable="false">{}</svg>',
        classes,
        mark_safe(ICONS.get(name, DOT)),  # noqa: S308  # the portal's own drawings
    )


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


@register.simple_tag
def status(state: str, label: str = "") -> SafeString:
    """Say a state by shape, word and colour; `label` if the usual word does not fit."""
    return _status(str(state), label or WORDS.get(str(state), state))


@lru_cache(maxsize=512, typed=True)  # by type: what is safe already equals what is not
def _status(state: str, word: str | Promise) -> SafeString:
    name = state.lower()
    return format_html('<span class="status status-{}">{} {}</span>', name, icon(name), word)


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
