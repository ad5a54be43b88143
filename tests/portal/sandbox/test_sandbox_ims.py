"""The stand-in for Adobe IMS answers as documented, over real HTTP."""

import json
import re
import time
from collections.abc import Iterator
from typing import TypedDict

import pytest
import requests

from portal.plaintext import Secret
from portal.sandbox.console import ConsoleAccount, make_secret
from portal.sandbox.ims import TOKEN_PATH, Mode, StandInIMS

ACCOUNT = ConsoleAccount(secrets=(make_secret(), make_secret()))


@pytest.fixture
def ims() -> Iterator[StandInIMS]:
    with StandInIMS() as running:
        running.accept(ACCOUNT.client_id, *ACCOUNT.secrets)
        yield running


class Change(TypedDict, total=False):
    client_id: str
    secret: Secret
    scope: str
    grant_type: str


def ask(
    ims: StandInIMS,
    *,
    client_id: str = ACCOUNT.client_id,
    secret: Secret = ACCOUNT.secrets[0],
    scope: str = "openid,AdobeID",
    grant_type: str = "client_credentials",
    timeout: float = 10,
) -> requests.Response:
    form = {
        "client_id": client_id,
        "client_secret": secret.reveal(),
        "scope": scope,
        "grant_type": grant_type,
    }
    with requests.Session() as session:
        session.trust_env = False
        return session.post(ims.url + TOKEN_PATH, data=form, timeout=timeout, allow_redirects=False)


@pytest.mark.parametrize("version", [0, 1])
def test_each_accepted_secret_gets_a_token(ims: StandInIMS, version: int) -> None:
    answer = ask(ims, secret=ACCOUNT.secrets[version])
    assert answer.status_code == 200
    token = answer.json()
    assert (token["token_type"], token["expires_in"]) == ("bearer", 86399)
    assert token["access_token"] != ask(ims).json()["access_token"]
    assert ims.requests == 2


@pytest.mark.parametrize(
    ("change", "error", "description"),
    [
        ({"secret": Secret("p8e-wrong")}, "invalid_client", "invalid client_secret parameter"),
        ({"client_id": "nobody"}, "invalid_client", "invalid client_id parameter"),
        ({"scope": "openid, AdobeID"}, "invalid_scope", None),
        ({"scope": "openid AdobeID"}, "invalid_scope", None),
        ({"scope": "openid,everything"}, "invalid_scope", None),
        ({"scope": ""}, "invalid_scope", None),
        ({"grant_type": "password"}, "unsupported_grant_type", None),
    ],
)
def test_a_refusal_is_told_by_its_body(
    ims: StandInIMS, change: Change, error: str, description: str | None
) -> None:
    answer = ask(ims, **change)
    assert answer.status_code in {400, 401}
    assert (answer.json()["error"], answer.json().get("error_description")) == (error, description)


@pytest.mark.parametrize(
    ("mode", "status", "text"),
    [
        (Mode.THROTTLED, 429, "too_many_requests"),
        (Mode.NO_LONGER_ALLOWED, 400, "This client is no longer allowed to get access token"),
        (Mode.GARBAGE, 200, "<html>"),
        (Mode.REDIRECT, 307, ""),
    ],
)
def test_a_mode_changes_every_answer(ims: StandInIMS, mode: Mode, status: int, text: str) -> None:
    ims.mode = mode
    answer = ask(ims)
    assert answer.status_code == status
    assert text in answer.text
    assert "access_token" not in answer.text


def test_a_redirect_leads_back_to_the_endpoint(ims: StandInIMS) -> None:
    ims.mode = Mode.REDIRECT
    assert ask(ims).headers["Location"] == ims.url + TOKEN_PATH


def test_a_slow_answer_takes_its_time_and_does_not_delay_the_stop() -> None:
    with StandInIMS(slow_seconds=60) as ims:
        ims.mode = Mode.SLOW
        with pytest.raises(requests.ReadTimeout):
            ask(ims, timeout=0.3)
        start = time.monotonic()
    assert time.monotonic() - start < 20


def test_other_paths_are_not_found(ims: StandInIMS) -> None:
    assert requests.post(f"{ims.url}/ims/token/v2", timeout=10).status_code == 404
    assert ims.requests == 0


def test_it_keeps_and_prints_no_secret(ims: StandInIMS, capfd: pytest.CaptureFixture[str]) -> None:
    ask(ims)
    ask(ims, secret=Secret("p8e-wrong-canary"))
    printed = "".join(capfd.readouterr())
    for secret in (ACCOUNT.secrets[0].reveal(), "p8e-wrong-canary"):
        assert secret not in printed + repr(vars(ims))


def test_the_console_files_hold_the_same_four_values() -> None:
    download = json.loads(ACCOUNT.download_json(version=0))
    project = json.loads(ACCOUNT.workspace_json(version=0))["project"]
    oauth = project["workspace"]["details"]["credentials"][0]["oauth_server_to_server"]
    assert download["ORG_ID"] == project["org"]["ims_org_id"] == ACCOUNT.organization_id
    assert download["CLIENT_ID"] == oauth["client_id"]
    assert download["TECHNICAL_ACCOUNT_ID"] == oauth["technical_account_id"]
    assert download["CLIENT_SECRETS"] == oauth["client_secrets"] == [ACCOUNT.secrets[0].reveal()]


def test_a_made_account_has_the_shapes_that_the_console_shows() -> None:
    account = ConsoleAccount()
    assert re.fullmatch(r"[0-9A-F]{24}@AdobeOrg", account.organization_id)
    assert re.fullmatch(r"[0-9a-f]{32}", account.client_id)
    assert re.fullmatch(r"[0-9A-F]{24}@techacct\.adobe\.com", account.technical_account_id)
    assert re.fullmatch(r"p8e-[A-Za-z0-9_-]{32}", account.secrets[0].reveal())
    assert account.client_id != ConsoleAccount().client_id
