"""Whether Adobe accepts a stored secret: asks, keeps the answer with the version, and says what it means."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from django.conf import settings
from django.utils import timezone
from django.utils.functional import Promise
from django.views.decorators.debug import sensitive_variables

from credentials.adobe import ims
from credentials.adobe.ims import NEXT_STEPS, TokenVerdict
from credentials.keys.vault import open_version
from credentials.models import ClientSecret
from credentials.services import record_ims_verdict
from portal.audit.trail import Actor
from portal.plaintext import Secret

FRESH: Final = timedelta(hours=1)
"""How long an answer counts. Somebody may have deleted the secret or the client at Adobe since."""

REFUSALS: Final = {TokenVerdict.WRONG_SECRET, TokenVerdict.UNKNOWN_CLIENT, TokenVerdict.NO_LONGER_ALLOWED}
"""Adobe has answered, and the answer is no. All others leave the question open."""


@dataclass(frozen=True)
class AdobeAnswer:
    """What Adobe said about one version, for people."""

    verdict: str
    label: Promise | str
    next_step: Promise | str
    checked: datetime | None

    @property
    def is_refusal(self) -> bool:
        return self.verdict in REFUSALS

    @property
    def is_valid(self) -> bool:
        return self.verdict == TokenVerdict.VALID

    @property
    def is_fresh(self) -> bool:
        """Whether it is so new that Adobe need not be asked again; a moment in the future says nothing."""
        return self.checked is not None and timedelta() <= timezone.now() - self.checked < FRESH


def answer_about(secret: ClientSecret | None) -> AdobeAnswer | None:
    """Return the last answer about a version, or None if Adobe was not asked yet."""
    if secret is None or secret.ims_verdict not in TokenVerdict:
        return None
    verdict = TokenVerdict(secret.ims_verdict)
    return AdobeAnswer(verdict, verdict.label, NEXT_STEPS[verdict], secret.ims_checked)


def ask(*, version: ClientSecret, actor: Actor) -> AdobeAnswer:
    """Ask Adobe now, at most `ims.DEADLINE` seconds, and keep the answer. For workers and commands.

    Not inside a transaction: it waits for the network. `UnreadableSecret` if the secret does not decrypt.
    """
    answer = begin(version)()
    keep(version=version, answer=answer, actor=actor)
    return answer


def begin(version: ClientSecret) -> Callable[[], AdobeAnswer]:
    """Open a version, and return what asks Adobe about it, without a database and as long as `ask`.

    `UnreadableSecret` if it does not decrypt.
    """
    return partial(ask_before, client_id=version.client_id, plaintext=open_version(version))


def keep(*, version: ClientSecret, answer: AdobeAnswer, actor: Actor) -> None:
    """Keep an answer with its version, and in the history."""
    record_ims_verdict(version=version, verdict=answer.verdict, actor=actor)


def not_asked() -> AdobeAnswer:
    """Return the answer for somebody who waited, and no worker asked Adobe."""
    verdict = TokenVerdict.NOT_ASKED
    return AdobeAnswer(verdict, verdict.label, NEXT_STEPS[verdict], timezone.now())


@sensitive_variables()
def ask_before(*, client_id: str, plaintext: Secret) -> AdobeAnswer:
    """Ask Adobe about a secret that is not stored; keeps nothing. Not inside a transaction, as `ask`."""
    found = ims.check(
        client_id,
        plaintext,
        settings.IMS_TEST_SCOPES,
        base_url=settings.IMS_BASE_URL,
        proxy=settings.ADOBE_PROXY,
        ca_bundle=settings.ADOBE_CA_BUNDLE,
    )
    return AdobeAnswer(found.verdict, found.verdict.label, NEXT_STEPS[found.verdict], found.checked_at)
