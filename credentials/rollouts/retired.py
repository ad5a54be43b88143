"""What becomes of pushes where an installation is retired, or marked by hand.

Nobody goes there any more, so each has to end.
"""

import uuid

from django.db.models import Count, Max, Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from credentials.rollouts.desires import call_off
from credentials.rollouts.models import Push
from credentials.rollouts.starting import one_start_at_a_time
from instances.failures import Code
from instances.inventory import retiring
from instances.inventory.retiring import Consequence, Ended, RetiringError
from instances.models import InstallationQuerySet
from portal.audit.trail import Entry

State = Push.State


class Pushes:
    """Queued pushes are cancelled, unknown ones end as failed, and a running one has to end by itself."""

    def foresee(self, installations: InstallationQuerySet) -> Consequence:
        """Return what would become of the open pushes there; one statement."""
        rows = Push.objects.open().filter(installation__in=installations).order_by()
        counts = dict(rows.values_list("state").annotate(count=Count("*")))
        texts = []
        if queued := counts.get(State.QUEUED, 0):
            text = ngettext("%d waiting push is cancelled.", "%d waiting pushes are cancelled.", queued)
            texts.append(text % queued)
        if unknown := counts.get(State.UNKNOWN, 0):
            text = ngettext(
                "%d push with an unknown outcome ends as failed: the portal no longer looks there.",
                "%d pushes with an unknown outcome end as failed: the portal no longer looks there.",
                unknown,
            )
            texts.append(text % unknown)
        return Consequence(tuple(texts), _runs_now() if counts.get(State.RUNNING) else "")

    def let_go(self, installations: InstallationQuerySet, why: Code) -> Ended:
        """Give every open push there its end; `RetiringError` if one runs.

        The last push of each installation is locked even if it is over: a retry must find it either before or
        after all of this. So must a start, hence its lock.
        """
        one_start_at_a_time()
        mine = Push.objects.filter(installation__in=installations)
        mine.filter(Q(replaced=False) | Q(state__in=Push.OPEN)).locked()
        found = list(
            mine.open().select_related("rollout__secret", "installation__instance", "installation__container")
        )
        if any(push.state == State.RUNNING for push in found):
            raise RetiringError(_runs_now())
        failed_before = [push for push in found if push.state == State.QUEUED and push.retried and push.code]
        queued = [push for push in found if push.state == State.QUEUED and push not in failed_before]
        unknown = [push for push in found if push.state == State.UNKNOWN]
        _rows(queued).update(state=State.CANCELLED, finished=Now())
        call_off(push.pk for push in queued)
        _rows(failed_before).update(state=State.FAILED, finished=Now())
        _rows(unknown).update(state=State.FAILED, code=why, finished=Now())
        attempts = _attempts(unknown)
        entries = [
            *(_entry("push.cancelled", push) for push in queued),
            *(_entry("push.failed", push, code=push.code) for push in failed_before),
            *(_entry("push.failed", push, code=why.value, attempt=attempts[push.pk]) for push in unknown),
        ]
        counts = {"cancelled": len(queued) + len(failed_before), "given_up": len(unknown)}
        return Ended(counts, entries)


def _runs_now() -> str:
    return _("A push is running there now: try again in a minute.")


def _rows(pushes: list[Push]) -> QuerySet[Push]:
    return Push.objects.filter(pk__in=[push.pk for push in pushes])


def _attempts(pushes: list[Push]) -> dict[uuid.UUID, int]:
    """Return the number of the last attempt of each push."""
    rows = _rows(pushes).order_by().values_list("pk").annotate(last=Max("attempts__number"))
    return {pk: last or 0 for pk, last in rows}


def _entry(action: str, push: Push, **more: object) -> Entry:
    secret = push.rollout.secret
    details = {"rollout": push.rollout.number, "version": secret.version, "fingerprint": secret.fingerprint}
    return Entry(action, push, details | more)


retiring.register(Pushes())
