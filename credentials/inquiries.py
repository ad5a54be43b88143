"""Questions to Adobe from the web: a page writes one down, a worker opens the secret, asks, and answers.

So the web process never opens a stored secret, and talks to nobody outside. The page waits a little; if no
worker takes the question in time, that is the answer.
"""

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from credentials.adobe.http import DEADLINE
from credentials.ims_check import AdobeAnswer, answer_about, begin, keep, not_asked
from credentials.keys.keyring import UnreadableSecret
from credentials.models import ClientSecret, Inquiry, TechnicalAccount
from portal.audit.trail import Actor
from portal.processes import woken
from portal.processes.woken import Woken

AT_ONCE = 8
PATIENCE = DEADLINE + 8
"""Seconds for a worker to take a question and have it answered; Adobe alone may need `DEADLINE`."""
PAUSE = 0.05  # seconds between two looks for the answer


def ask(*, version: ClientSecret, actor: Actor) -> AdobeAnswer:
    """Have a worker ask Adobe about a version, wait for the answer, and return it.

    At most `PATIENCE` seconds, and not inside a transaction. Where no worker answers, that is the answer; a
    question would count as a use of the secret, so none is put while a rotation of the account is open.
    `UnreadableSecret` if the secret does not decrypt.
    """
    if TechnicalAccount.objects.filter(pk=version.account_id, is_rotating=True).exists():
        return _as_last_told(version)
    inquiry = Inquiry.objects.create(
        version=version,
        asked_by=actor.name,
        person=actor.user,
        ip=actor.ip,
        request_id=actor.request_id,
    )
    ring()
    answered = _wait(inquiry)
    if answered is None:
        answer = not_asked()
        keep(version=version, answer=answer, actor=actor)
        return answer
    if answered.problem:
        raise UnreadableSecret(answered.problem)
    version.refresh_from_db(fields=["ims_verdict", "ims_checked"])
    return answer_about(version) or not_asked()


def _as_last_told(version: ClientSecret) -> AdobeAnswer:
    """Return what Adobe said last: an open rotation watches when its secrets are used, and asks by itself."""
    version.refresh_from_db(fields=["ims_verdict", "ims_checked"])
    return answer_about(version) or not_asked()


def for_start(*, version: ClientSecret, actor: Actor) -> AdobeAnswer:
    """Return a fresh yes of Adobe if there is one; else have it asked now, as `ask` does."""
    known = answer_about(version)
    return known if known and known.is_valid and known.is_fresh else ask(version=version, actor=actor)


def _wait(inquiry: Inquiry) -> Inquiry | None:
    """Return the question once it is answered. None: it was not, and is taken back."""
    end = time.monotonic() + PATIENCE
    while True:
        found = Inquiry.objects.filter(pk=inquiry.pk, answered__isnull=False).first()
        if found or time.monotonic() > end:
            break
        time.sleep(PAUSE)
    if found is None:
        Inquiry.objects.filter(pk=inquiry.pk, taken=None).delete()
    return found


@shared_task(name="credentials.answer_inquiries", ignore_result=True)
def answer_inquiries() -> None:
    """Wake the thread of this worker that asks Adobe."""
    answering.bell.set()


def ring() -> None:
    """Tell a worker that a question waits."""
    woken.ring(answer_inquiries)


def work(stopping: threading.Event) -> None:
    """Answer what waits until nothing does, or until `stopping` is set. The threads need no database."""
    flying: dict[Future[AdobeAnswer], Inquiry] = {}
    pool = ThreadPoolExecutor(AT_ONCE, "inquiry")
    try:
        while True:
            taken = [] if stopping.is_set() else _take(AT_ONCE - len(flying))
            for inquiry in taken:
                _begin(inquiry, pool, flying)
            if not flying and not taken:
                return
            done, _others = wait(flying, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in done:
                inquiry = flying.pop(future)
                keep(version=inquiry.version, answer=future.result(), actor=_actor(inquiry))
                _end(inquiry)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin(inquiry: Inquiry, pool: ThreadPoolExecutor, flying: dict[Future[AdobeAnswer], Inquiry]) -> None:
    try:
        flying[pool.submit(begin(inquiry.version))] = inquiry
    except UnreadableSecret as error:
        _end(inquiry, str(error))


def _waiting() -> QuerySet[Inquiry]:
    """Return the questions that somebody still waits for, and that nobody answers just now."""
    lately = Q(asked__gt=Now() - timedelta(seconds=PATIENCE), asked__lte=Now() + timedelta(seconds=PATIENCE))
    free = Q(taken=None) | Q(taken__lt=Now() - Inquiry.ABANDONED) | Q(taken__gt=Now() + Inquiry.ABANDONED)
    rows = Inquiry.objects.filter(lately, free, answered=None)
    return rows.select_related("version__account", "person").order_by("asked")


def _take(number: int) -> list[Inquiry]:
    taken = []
    for inquiry in _waiting()[:number] if number > 0 else ():
        same = Inquiry.objects.filter(pk=inquiry.pk, taken=inquiry.taken, answered=None)
        if same.update(taken=Now()):
            taken.append(inquiry)
    return taken


def _actor(inquiry: Inquiry) -> Actor:
    return Actor(inquiry.asked_by, inquiry.person, inquiry.ip, inquiry.request_id)


def _end(inquiry: Inquiry, problem: str = "") -> None:
    Inquiry.objects.filter(pk=inquiry.pk, answered=None).update(answered=Now(), problem=problem[:500])


answering = Woken("inquiries", work)
worker_ready.connect(answering.start)
worker_shutting_down.connect(answering.stop)
