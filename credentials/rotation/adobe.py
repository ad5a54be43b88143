"""What a rotation asks Adobe: which secrets there are, another one, and that one goes. For workers alone.

The token for these calls is made with the secret that nobody is watching: with the old one until the canary
was seen to use the new one, and with the new one from then on. Otherwise the portal would see its own use.
"""

from collections.abc import Sequence

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from credentials.adobe import ims
from credentials.adobe.console import SCOPES, AdobeSecret, ConsoleError, Credential, NewSecret, Problem
from credentials.adobe.http import Route
from credentials.adobe.ims import NoToken, TokenVerdict
from credentials.ims_check import REFUSALS
from credentials.keys.keyring import UnreadableSecret
from credentials.keys.vault import open_version
from credentials.models import ClientSecret, TechnicalAccount
from portal.plaintext import Secret

REFUSED = (
    Problem.NOT_SIGNED_IN,
    Problem.FORBIDDEN,
    Problem.NOT_FOUND,
    Problem.FULL,
    Problem.OTHER_CREDENTIAL,
)
"""Adobe has answered, and the answer is no: a person mends that."""


def has_api(account: TechnicalAccount) -> bool:
    """Whether the account has the numbers that the API needs."""
    return bool(account.numeric_organization_id and account.credential_id)


def know_as(version: ClientSecret, adobe_id: str) -> None:
    """Keep by which id Adobe lists a version."""
    ClientSecret.objects.filter(pk=version.pk).update(adobe_id=adobe_id)
    version.adobe_id = adobe_id


def secrets(account: TechnicalAccount, signer: ClientSecret) -> Sequence[AdobeSecret]:
    """Return the secrets that Adobe has of an account's credential. `ConsoleError` if that is not known."""
    return _credential(account).list(_token(signer))


def create(account: TechnicalAccount, signer: ClientSecret) -> NewSecret:
    """Have Adobe make another secret. `ConsoleError` if there is none, or if nobody knows."""
    return _credential(account).create(_token(signer))


def delete(account: TechnicalAccount, signer: ClientSecret, adobe_id: str) -> None:
    """Have Adobe delete a secret, for ever. `ConsoleError` if it did not, or if nobody knows."""
    _credential(account).delete(_token(signer), adobe_id)


def _credential(account: TechnicalAccount) -> Credential:
    try:
        return Credential(
            account.numeric_organization_id,
            account.credential_id,
            account.client_id,
            settings.ADOBE_CONSOLE_URL,
            _route(),
        )
    except ValueError as error:
        raise ConsoleError(Problem.NOT_FOUND, str(error)) from None


def _route() -> Route:
    return Route(settings.ADOBE_PROXY, settings.ADOBE_CA_BUNDLE)


@sensitive_variables()
def _token(signer: ClientSecret) -> Secret:
    """Return a token for one call; `ConsoleError` where Adobe gives none, or the secret does not open."""
    try:
        plaintext = open_version(signer)
        return ims.token(signer.client_id, plaintext, SCOPES, base_url=settings.IMS_BASE_URL, route=_route())
    except UnreadableSecret as error:
        raise ConsoleError(Problem.NOT_SIGNED_IN, str(error)) from None
    except NoToken as error:
        raise ConsoleError(_problem(error.check.verdict), str(error.check.verdict.label)) from None


def _problem(verdict: TokenVerdict) -> Problem:
    known = {
        TokenVerdict.THROTTLED: Problem.THROTTLED,
        TokenVerdict.UNREACHABLE: Problem.UNREACHABLE,
        TokenVerdict.WRONG_SCOPE: Problem.FORBIDDEN,
    }
    if verdict in REFUSALS:
        return Problem.NOT_SIGNED_IN
    return known.get(verdict, Problem.UNCLEAR)
