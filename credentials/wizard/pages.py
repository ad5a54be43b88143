"""What every page of the wizard shares: how far the draft is, and how a form ends."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from credentials.wizard.models import Draft
from credentials.wizard.services import StaleDraft, finish_step, go_by
from credentials.wizard.steps import DraftProgress, Step
from portal.audit.trail import Actor

Change = Callable[[], Draft]


class Page:
    """One step of one draft, as one request sees it."""

    def __init__(self, request: HttpRequest, draft: Draft, step: Step) -> None:
        self.request, self.draft, self.step = request, draft, step
        self.progress = DraftProgress(draft)
        self.is_stale = False

    @property
    def stamp(self) -> str:
        """The state of the draft that the posted form was made from."""
        return self.request.POST.get("stamp", "")

    @property
    def next_step(self) -> Step:
        return self.progress.after(self.step)

    @property
    def leaves(self) -> bool:
        """Whether the person saves without saying that the step is done: to leave, or to go back."""
        return self.request.POST.get("action") in ("leave", "back")

    def change(self, change: Change) -> bool:
        """Run a service that changes the draft. False: somebody else was first, and the page says so."""
        try:
            self.draft = change()
        except StaleDraft as stale:
            self.draft, self.is_stale = stale.draft, True
            self.progress = DraftProgress(self.draft)
        return not self.is_stale

    def finish(self, notes: Mapping[str, str] | None = None, name: str = "") -> bool:
        """Keep what was noted at this step, and mark it done unless the person leaves. False: as `change`.

        `name` is another one for the account; `Taken` if somebody has it.
        """
        return self.change(
            lambda: finish_step(
                draft=self.draft,
                stamp=self.stamp,
                step=self.step,
                next_step=self.next_step,
                notes=notes or {},
                confirmed=not self.leaves,
                name=name,
                actor=Actor.of(self.request),
            )
        )

    def go_by(self, *, has_json: bool, notes: Mapping[str, str], name: str = "") -> bool:
        """Keep what was noted, and go on with the console's file or step by step. False: as `change`."""
        return self.change(
            lambda: go_by(
                draft=self.draft,
                stamp=self.stamp,
                has_json=has_json,
                notes=notes,
                name=name,
                actor=Actor.of(self.request),
            )
        )

    def go_on(self) -> HttpResponseRedirect:
        """Go to the step that the draft is at now, or leave, or go back."""
        if self.request.POST.get("action") == "back":
            return redirect(self.back_url)
        if self.leaves:
            messages.success(self.request, _("Saved. Any admin can continue from here, today or later."))
            return redirect("account", self.draft.account_id)
        return redirect("wizard", self.draft.account_id, self.draft.step)

    def show(self, template: str, **context: Any) -> HttpResponse:
        """Render the step; `prose` is the step's own unless another one is given."""
        context = {"prose": self.step.prose} | context
        context |= {
            "draft": self.draft,
            "account": self.draft.account,
            "step": self.step,
            "steps": self._steps(),
            "back_url": self.back_url,
            "is_stale": self.is_stale,
            "is_done": self.step.slug in self.progress.done,
        }
        return render(self.request, f"wizard/{template}.html", context)

    @property
    def back_url(self) -> str:
        before = self.progress.before(self.step)
        return self.url(before) if before else reverse("accounts")

    def url(self, step: Step) -> str:
        return reverse("wizard", args=[self.draft.account_id, step.slug])

    def _steps(self) -> list[dict[str, object]]:
        return [
            {"label": place.label, "state": place.state, "url": self.url(place.step) if place.is_open else ""}
            for place in self.progress.places(self.step)
        ]


PageView = Callable[[Page], HttpResponse]
