"""What a rotation does outside the database: calls to Adobe, each in three parts.

`intend` writes down what is about to be done, in the transaction that decided it. `run` does it, without a
transaction. `keep` stores what came of it, in another transaction, and returns what to wait for if it failed.
A call whose worker vanished in between is found by its open row.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from credentials.adobe.console import AdobeSecret, ConsoleError, NewSecret, Problem
from credentials.ims_check import AdobeAnswer, begin, keep
from credentials.keys.keyring import UnreadableSecret
from credentials.models import ClientSecret
from credentials.rollouts.versions import enter
from credentials.rotation import adobe
from credentials.rotation.models import ConsoleCall, Rotation
from credentials.rotation.outcomes import Waits
from credentials.rotation.waits import Wait, iso
from credentials.services import AccountError
from portal.audit.trail import PORTAL, record

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
AFTER_REFUSAL = timedelta(minutes=1)


class Action(ABC):
    """One of them."""

    error: ConsoleError | None = None

    def intend(self, rotation: Rotation) -> None:  # noqa: B027  # most change nothing
        """Write down what is about to be done, where it changes something."""

    @abstractmethod
    def run(self) -> None:
        """Do it, and remember what came of it."""

    @abstractmethod
    def keep(self, rotation: Rotation) -> Waits | None:
        """Store what came of it; None if the rotation can go on at once."""


class Listing(Action):
    """Asks Adobe which secrets there are. `signer` makes the token: never a version that is watched."""

    def __init__(self, rotation: Rotation, signer: ClientSecret) -> None:
        self.account, self.signer = rotation.account, signer
        self.found: Sequence[AdobeSecret] = ()

    def run(self) -> None:
        try:
            self.found = adobe.secrets(self.account, self.signer)
        except ConsoleError as error:
            self.error = error

    def keep(self, rotation: Rotation) -> Waits | None:
        if self.error:
            return failed(rotation, self.error.problem)
        rotation.adobe_secrets = [
            {"id": each.uuid, "created": iso(each.created), "used": iso(each.last_used)}
            for each in self.found
        ]
        rotation.listed, rotation.tries = timezone.now(), 0
        return None


class Creating(Action):
    """Has Adobe make the second secret, and stores it as a version."""

    def __init__(self, rotation: Rotation) -> None:
        self.account, self.signer = rotation.account, rotation.old
        self.made: NewSecret | None = None

    def intend(self, rotation: Rotation) -> None:
        ConsoleCall.objects.create(rotation=rotation, what=ConsoleCall.What.CREATE, known=rotation.adobe_ids)

    def run(self) -> None:
        try:
            self.made = adobe.create(self.account, self.signer)
        except ConsoleError as error:
            self.error = error

    def keep(self, rotation: Rotation) -> Waits | None:
        rotation.listed = None
        if self.made is None:
            return _close_failed(rotation, self.error)
        try:
            with transaction.atomic():
                version, is_new = enter(
                    account=rotation.account, plaintext=self.made.plaintext, actor=PORTAL, is_rotation=True
                )
        except AccountError:
            is_new = False
        if not is_new:  # somebody entered another one meanwhile, or Adobe told the old one again
            _close(rotation, Problem.UNCLEAR, may_have_been_done=True)
            return failed(rotation, Problem.UNCLEAR)
        adobe.know_as(version, self.made.uuid)
        _close(rotation, ConsoleCall.DONE, adobe_id=self.made.uuid)
        rotation.new, rotation.tries = version, 0
        details: dict[str, object] = {"rotation": rotation.number, "version": version.version}
        record("client_secret.made_at_adobe", actor=PORTAL, target=rotation.account, details=details)
        return None


class Deleting(Action):
    """Has Adobe delete a secret; the next list shows whether it is gone."""

    def __init__(self, rotation: Rotation, signer: ClientSecret, adobe_id: str) -> None:
        self.account, self.signer, self.adobe_id = rotation.account, signer, adobe_id

    def intend(self, rotation: Rotation) -> None:
        ConsoleCall.objects.create(
            rotation=rotation,
            what=ConsoleCall.What.DELETE,
            adobe_id=self.adobe_id,
            known=rotation.adobe_ids,
        )

    def run(self) -> None:
        try:
            adobe.delete(self.account, self.signer, self.adobe_id)
        except ConsoleError as error:
            self.error = error

    def keep(self, rotation: Rotation) -> Waits | None:
        rotation.listed = None
        if self.error:
            return _close_failed(rotation, self.error)
        _close(rotation, ConsoleCall.DONE)
        rotation.tries = 0
        return None


class Checking(Action):
    """Asks IMS for a token with a version, which marks it as used at Adobe."""

    def __init__(self, version: ClientSecret, *, is_bound: bool = True) -> None:
        """Without `is_bound` the rotation goes on even if Adobe gives no answer."""
        self.version, self.is_bound = version, is_bound
        self.answer: AdobeAnswer | None = None

    def run(self) -> None:
        try:
            self.answer = begin(self.version)()
        except UnreadableSecret as error:
            self.error = ConsoleError(Problem.NOT_SIGNED_IN, str(error))

    def keep(self, rotation: Rotation) -> Waits | None:
        if self.answer is None:
            return Waits(Wait.UNREADABLE, {"version": self.version.version}, AFTER_REFUSAL)
        keep(version=self.version, answer=self.answer, actor=PORTAL)
        self.version.refresh_from_db(fields=["ims_verdict", "ims_checked"])
        if self.answer.is_valid or self.answer.is_refusal or not self.is_bound:
            rotation.tries = 0
            return None
        return _later(rotation, str(self.answer.verdict), asks="ims")


def settle_lost(rotation: Rotation) -> None:
    """End a call whose worker vanished: it may have been done."""
    lost = ConsoleCall.objects.filter(rotation=rotation, ended=None)
    if lost.update(ended=Now(), outcome=ConsoleCall.LOST, may_have_been_done=True):
        rotation.listed = None


def _close_failed(rotation: Rotation, error: ConsoleError | None) -> Waits | None:
    """End a call that did not do what it was for, or may have; what is there now shows the next list."""
    problem = error.problem if error else Problem.UNCLEAR
    _close(rotation, problem, may_have_been_done=error is None or error.may_have_been_done)
    if problem == Problem.NOT_FOUND and _last_deleted(rotation):
        return None  # the list shows whether it is gone
    if problem == Problem.FULL and len(rotation.adobe_secrets) > 1:
        return None  # likewise, which two there are
    return failed(rotation, problem)


def _last_deleted(rotation: Rotation) -> bool:
    last = rotation.calls.last()
    return last is not None and last.what == ConsoleCall.What.DELETE


def _close(rotation: Rotation, outcome: str, *, may_have_been_done: bool = False, adobe_id: str = "") -> None:
    values: dict[str, object] = {"outcome": outcome, "may_have_been_done": may_have_been_done}
    values |= {"adobe_id": adobe_id} if adobe_id else {}
    ConsoleCall.objects.filter(rotation=rotation, ended=None).update(ended=Now(), **values)


def failed(rotation: Rotation, problem: Problem) -> Waits:
    """Return what to wait for after a call that failed: for a person if Adobe said no, else for a while."""
    if problem in adobe.REFUSED:
        return Waits(Wait.ADOBE_REFUSED, {"problem": problem.value}, AFTER_REFUSAL)
    return _later(rotation, problem.value)


def _later(rotation: Rotation, problem: str, *, asks: str = "console") -> Waits:
    rotation.tries += 1
    pause = min(FIRST_PAUSE * 2 ** min(rotation.tries - 1, 10), LONGEST_PAUSE)
    return Waits(Wait.ADOBE_LATER, {"problem": problem, "asks": asks}, pause)
