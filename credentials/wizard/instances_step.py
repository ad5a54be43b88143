"""The step at which the instances are chosen."""

from collections.abc import Collection
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect

from credentials.rollouts.choosing import change_of, select
from credentials.rollouts.pages.choosing import (
    MOVES,
    InstallationsForm,
    InstanceSearch,
    moved_to,
    pressed,
)
from credentials.wizard import services
from credentials.wizard.pages import Page
from instances.models import PUSHABLE, Instance
from portal.audit.trail import Actor


def instances_page(page: Page) -> HttpResponse:
    """Choose instances; their containers come with them. Whatever button is pressed, the choice is kept."""
    search = InstanceSearch(page.request.GET)
    instances = search.select(Instance.objects.not_retired())
    if page.request.method != "POST":
        return _choose(page, search, instances)
    action = pressed(page.request.POST, "done")
    change = change_of(page.request.POST, action, instances)
    done = page.change(
        lambda: services.choose_installations(
            draft=page.draft,
            stamp=page.stamp,
            step=page.step,
            next_step=page.next_step,
            change=change,
            confirmed=action == "done",
            actor=Actor.of(page.request),
        )
    )
    if not done:
        return _choose(page, search, instances, ticked=change.added)
    if action in MOVES:
        return redirect(page.url(page.step) + moved_to(page.request, search))
    form = InstallationsForm(page.request.POST, total=page.draft.installations.filter(PUSHABLE).count())
    if page.leaves or form.is_valid():
        return page.go_on()
    return _choose(page, search, instances, form=form)


def _choose(
    page: Page,
    search: InstanceSearch,
    instances: QuerySet[Instance],
    *,
    form: InstallationsForm | None = None,
    ticked: Collection[UUID] | None = None,
) -> HttpResponse:
    selection = select(
        account=page.draft.account,
        chosen=page.draft.installations.all(),
        instances=instances,
        page=page.request.GET.get("page"),
        ticked=ticked,
    )
    return page.show("instances", form=form, search=search, selection=selection)
