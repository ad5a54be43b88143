"""The pages of the help: all topics, and one of them."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from credentials.help.finding import active_language
from credentials.help.rendering import Page, page_of
from credentials.help.topics import TOPICS, Topic
from portal.permissions import permission_required

Entry = tuple[Topic, Page]
EVERY_ROLE = "rollouts.view_rollout"
"""What every role may see, so that the help is there for all of them."""


@require_GET
@permission_required(EVERY_ROLE, raise_exception=True)
def help_index(request: HttpRequest) -> HttpResponse:
    """Show all topics, those of the person's own role first."""
    roles = set(request.user.groups.values_list("name", flat=True))
    own = [each for each in TOPICS.values() if each.role in roles]
    others = [each for each in TOPICS.values() if each.role and each not in own]
    begin = [each for each in TOPICS.values() if not (each.role or each.is_reference)]
    groups = [
        (_("Your work"), own),
        (_("Begin here"), begin),
        (_("Look something up"), [each for each in TOPICS.values() if each.is_reference]),
        (_("What other people do here") if own else _("What people do here"), others),
    ]
    shown = [(label, _entries(topics)) for label, topics in groups if topics]
    return render(request, "help/index.html", {"groups": shown})


@require_GET
@permission_required(EVERY_ROLE, raise_exception=True)
def help_topic(request: HttpRequest, name: str) -> HttpResponse:
    """Show one topic in the language of the person who reads, or in English where it has no other one."""
    if name not in TOPICS:
        raise Http404
    language = active_language()
    page = page_of(name, language)
    context = {
        "page": page,
        "topic": TOPICS[name],
        "topics": _entries(list(TOPICS.values())),
        "is_translated": page.language == language.partition("-")[0],
    }
    return render(request, "help/topic.html", context)


def _entries(topics: list[Topic]) -> list[Entry]:
    return [(each, page_of(each.name, active_language())) for each in topics]
