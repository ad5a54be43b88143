"""The lists of rollouts, pushes and attempts as files. Of an attempt they have no output."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.utils.translation import gettext_lazy
from django_filters import ModelChoiceFilter

from credentials.rollouts.models import Attempt, Push, Rollout
from credentials.rollouts.pages.failing import Failing, failing_of
from credentials.rollouts.pages.filters import FailedPushFilters, PushFilters, RolloutFilters
from credentials.rollouts.pages.orders import FAILED_ORDERS, ROLLOUT_ORDERS
from credentials.rollouts.pages.tickets import since_of
from credentials.rollouts.progress import FAILURES_FIRST, named, progress_of, push_lines
from instances.failures import Code
from instances.menders import menders
from portal.no_secrets import Form
from portal.web.exports import Export, Row, in_order, register, values

WHAT = ("account", "version", "fingerprint")
PLACE = ("instance", "container")
ROLLOUT_COLUMNS = (
    *("rollout", *WHAT, "reason", "message", "requested", "requested_by", "state", "shown_state", "pushes"),
    *Push.State.values,
)
FAILED_COLUMNS = (
    *(*PLACE, "rollout", *WHAT, "state", "code", "what_happened"),
    *("menders", "failing_since", "tries", "retried", "requested", "finished", "push"),
)
PUSH_COLUMNS = (
    *(*PLACE, "rollout", *WHAT, "state", "code", "attempts", "seconds"),
    *("requested", "finished", "changed", "next_try", "push"),
)
ATTEMPT = (
    *("kind", "cause", "caused_by", "message", "started", "finished", "seconds", "stage"),
    *("verdict", "code", "proof", "build", "host_key"),
)


class PushesOfRollout(PushFilters):
    """The pushes of one rollout, all or those in one state."""

    rollout = ModelChoiceFilter(queryset=Rollout.objects.all(), required=True)


class AttemptsOfPush(Form):
    """The push whose attempts are wanted."""

    push = forms.ModelChoiceField(Push.objects.all())


def _what(rollout: Rollout) -> dict[str, object]:
    version = rollout.secret
    return {
        "rollout": rollout.number,
        "account": version.account.name,
        "version": version.version,
        "fingerprint": version.fingerprint,
    }


def _rollout_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    rollouts = in_order(Rollout.objects.select_related("secret__account").defer("secret__ciphertext"), keys)
    progress = progress_of(rollouts)
    for rollout in rollouts:
        yield {
            **_what(rollout),
            "reason": rollout.reason,
            "message": rollout.message,
            "requested": rollout.requested,
            "requested_by": rollout.requested_by_name,
            **values(progress[rollout.pk], ("state", "shown_state")),
            "pushes": progress[rollout.pk].total,
            **{state: progress[rollout.pk].counts.get(state, 0) for state in Push.State.values},
        }


def _pushes(keys: Sequence[UUID]) -> list[Any]:  # Any: pushes
    return in_order(named(Push.objects.defer("rollout__secret__ciphertext")), keys)


def _push(push: Push) -> dict[str, object]:
    return {
        "instance": push.installation.instance.name,
        "container": push.container.name,
        **_what(push.rollout),
        **values(push, ("state", "code", "requested", "finished")),
        "push": push.pk,
    }


def _failed_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    words, failing = dict(Code.choices), failing_of(keys)
    for push in _pushes(keys):
        fails = failing.get(push.pk, Failing())
        yield {
            **_push(push),
            "what_happened": words.get(push.code, ""),
            "menders": [each.value for each in menders(push.code, is_alike=fails.is_alike)],
            "failing_since": since_of(push, fails),
            "tries": fails.tries,
            "retried": push.retried,
        }


def _push_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    for line in push_lines(_pushes(keys)):
        yield {**_push(line.push), **values(line, ("attempts", "seconds", "changed", "next_try"))}


def _unproven_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    return map(_push, _pushes(keys))


def _attempt_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    rows = Attempt.objects.select_related("push__installation__instance", "push__container").defer("output")
    for attempt in in_order(rows, keys):
        yield {
            "instance": attempt.push.installation.instance.name,
            "container": attempt.push.container.name,
            "push": attempt.push_id,
            "attempt": attempt.number,
            "version": attempt.secret_version,
            "fingerprint": attempt.secret_fingerprint,
            **values(attempt, ATTEMPT),
        }


register(
    Export(
        name="rollouts",
        title=gettext_lazy("Rollouts"),
        permission="rollouts.view_rollout",
        columns=ROLLOUT_COLUMNS,
        filters=RolloutFilters,
        orders=ROLLOUT_ORDERS,
        rows=_rollout_rows,
    )
)
register(
    Export(
        name="pushes",
        title=gettext_lazy("Pushes"),
        permission="rollouts.view_rollout",
        columns=PUSH_COLUMNS,
        filters=PushesOfRollout,
        select=lambda filters: filters.qs.order_by(*FAILURES_FIRST),
        rows=_push_rows,
    )
)
register(
    Export(
        name="attempts",
        title=gettext_lazy("Attempts"),
        permission="rollouts.view_rollout",
        columns=(*PLACE, "push", "attempt", "version", "fingerprint", *ATTEMPT),
        filters=AttemptsOfPush,
        select=lambda form: form.cleaned_data["push"].attempts.order_by("-number"),
        rows=_attempt_rows,
    )
)
register(
    Export(
        name="failed_pushes",
        title=gettext_lazy("Failed pushes"),
        permission="rollouts.view_rollout",
        columns=FAILED_COLUMNS,
        filters=lambda query: FailedPushFilters(query, Push.objects.waiting_or_retried()),
        orders=FAILED_ORDERS,
        rows=_failed_rows,
    )
)
register(
    Export(
        name="unproven_successes",
        title=gettext_lazy("Successes without proof"),
        permission="rollouts.view_rollout",
        columns=(*PLACE, "rollout", *WHAT, "requested", "finished", "push"),
        select=lambda _form: Push.objects.unproven().order_by("-requested", "pk"),
        rows=_unproven_rows,
    )
)
