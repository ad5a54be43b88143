"""The secrets of a credential at Adobe: what the client makes of every answer, and of none."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from credentials.adobe import ims
from credentials.adobe.console import SCOPES, ConsoleError, Credential, Problem
from credentials.adobe.http import Route
from portal.plaintext import Secret
from portal.sandbox.console import ConsoleAccount, make_secret
from portal.sandbox.console_api import Fault, StandInConsole
from portal.sandbox.ims import StandInIMS
from tests.services.answering import http, serving
from tests.services.waiting import free_port

ROUTE = Route(connect_timeout=2, read_timeout=2, deadline=4)


@pytest.fixture
def stand_in_ims() -> Iterator[StandInIMS]:
    with StandInIMS() as found:
        yield found


@pytest.fixture
def console(stand_in_ims: StandInIMS) -> Iterator[StandInConsole]:
    with StandInConsole(stand_in_ims, slow_seconds=6) as found:
        yield found


@pytest.fixture
def account(console: StandInConsole) -> ConsoleAccount:
    account = ConsoleAccount()
    console.register(account)
    return account


@pytest.fixture
def token(account: ConsoleAccount, stand_in_ims: StandInIMS) -> Secret:
    return sign_in(account, stand_in_ims, account.secrets[0])


def sign_in(account: ConsoleAccount, stand_in_ims: StandInIMS, secret: Secret) -> Secret:
    return ims.token(account.client_id, secret, SCOPES, base_url=stand_in_ims.url, route=ROUTE)


def at(url: str, account: ConsoleAccount) -> Credential:
    ids = (account.numeric_organization_id, account.credential_id, account.client_id)
    return Credential(*ids, base_url=url, route=ROUTE)


@pytest.fixture
def credential(account: ConsoleAccount, console: StandInConsole) -> Credential:
    return at(console.url, account)


def test_a_whole_rotation(
    credential: Credential, account: ConsoleAccount, stand_in_ims: StandInIMS, token: Secret
) -> None:
    [old] = credential.list(token)
    assert old.created
    assert old.last_used, "the token was made with it"
    new = credential.create(token)
    fresh = next(each for each in credential.list(token) if each.uuid == new.uuid)
    assert (fresh.last_used, fresh.expires) == (None, None)
    before = datetime.now(UTC)
    second = sign_in(account, stand_in_ims, new.plaintext)
    found = {each.uuid: each for each in credential.list(second)}
    used = found[new.uuid].last_used
    assert used
    assert abs((used - before).total_seconds()) < 5
    credential.delete(second, old.uuid)
    assert [each.uuid for each in credential.list(second)] == [new.uuid]
    with pytest.raises(ims.NoToken) as refused:
        sign_in(account, stand_in_ims, account.secrets[0])
    assert refused.value.check.verdict == ims.TokenVerdict.WRONG_SECRET


def test_a_third_secret_is_refused(credential: Credential, token: Secret, console: StandInConsole) -> None:
    credential.create(token)
    with pytest.raises(ConsoleError) as refused:
        credential.create(token)
    assert refused.value.problem == Problem.FULL
    assert not refused.value.may_have_been_done
    assert len(credential.list(token)) == 2


def test_a_secret_that_is_gone_is_not_found(credential: Credential, token: Secret) -> None:
    with pytest.raises(ConsoleError) as refused:
        credential.delete(token, "00000000-0000-0000-0000-000000000000")
    assert refused.value.problem == Problem.NOT_FOUND


@pytest.mark.parametrize(
    ("fault", "problem", "may"),
    [
        (Fault.UNAUTHORIZED, Problem.NOT_SIGNED_IN, False),
        (Fault.FORBIDDEN, Problem.FORBIDDEN, False),
        (Fault.NOT_FOUND, Problem.NOT_FOUND, False),
        (Fault.THROTTLED, Problem.THROTTLED, False),
        (Fault.FAILS, Problem.ADOBE_FAILED, True),
        (Fault.FAILS_AFTERWARDS, Problem.ADOBE_FAILED, True),
        (Fault.LOST, Problem.ANSWER_LOST, True),
        (Fault.SLOW, Problem.ANSWER_LOST, True),
        (Fault.GARBAGE, Problem.UNCLEAR, True),
    ],
)
def test_whether_a_secret_may_have_been_made_is_known(
    credential: Credential,
    account: ConsoleAccount,
    token: Secret,
    console: StandInConsole,
    fault: Fault,
    problem: Problem,
    may: bool,
) -> None:
    """What is said of a creation must never be more than is known: an orphan would be forgotten."""
    console.faults.append(fault)
    with pytest.raises(ConsoleError) as failed:
        credential.create(token)
    assert (failed.value.problem, failed.value.may_have_been_done) == (problem, may)
    if len(console.secrets(account)) == 2:
        assert failed.value.may_have_been_done


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.FAILS, Fault.GARBAGE])
def test_a_list_that_fails_has_changed_nothing(
    credential: Credential, token: Secret, console: StandInConsole, fault: Fault
) -> None:
    console.faults.append(fault)
    with pytest.raises(ConsoleError) as failed:
        credential.list(token)
    assert not failed.value.may_have_been_done


def test_where_nobody_listens_nothing_was_done(account: ConsoleAccount, token: Secret) -> None:
    with pytest.raises(ConsoleError) as failed:
        at(f"http://127.0.0.1:{free_port()}", account).create(token)
    assert (failed.value.problem, failed.value.may_have_been_done) == (Problem.UNREACHABLE, False)


def test_a_token_of_another_client_or_without_the_scopes_is_refused(
    console: StandInConsole, credential: Credential, account: ConsoleAccount, stand_in_ims: StandInIMS
) -> None:
    other = ConsoleAccount(credential_id="5")
    console.register(other)
    few = ims.token(account.client_id, account.secrets[0], ["openid"], base_url=stand_in_ims.url, route=ROUTE)
    for token in (sign_in(other, stand_in_ims, other.secrets[0]), few, Secret("none")):
        with pytest.raises(ConsoleError) as refused:
            credential.list(token)
        assert refused.value.problem == Problem.NOT_SIGNED_IN


GOOD = {"uuid": "a-1", "created_at": "1682448485000", "expires_at": "PERMANENT", "secret_usages": None}
USED = [{"last_used_at": "1683162010101", "grant_type": "client_credentials"}]


def listed(account: ConsoleAccount, rows: object) -> Any:  # Any: a sequence of secrets
    with serving(http(200, {"client_id": account.client_id, "client_secrets": rows})) as server:
        return at(server.url, account).list(Secret("a token"))


def test_numbers_are_texts_of_milliseconds(account: ConsoleAccount) -> None:
    first, second = listed(account, [{**GOOD, "uuid": "b", "secret_usages": USED}, GOOD])
    assert first.uuid == "a-1"
    assert first.created == datetime(2023, 4, 25, 18, 48, 5, tzinfo=UTC)
    assert first.last_used is None
    assert second.last_used == datetime(2023, 5, 4, 1, 0, 10, 101000, tzinfo=UTC)


@pytest.mark.parametrize(
    "rows",
    [
        None,
        {},
        "none",
        [None],
        [{**GOOD, "uuid": None}],
        [{**GOOD, "uuid": "../../other"}],
        [{**GOOD, "secret_usages": "yesterday"}],
        [{**GOOD, "secret_usages": [{}]}],
        [{**GOOD, "secret_usages": [{"last_used_at": "yesterday"}]}],
        [{**GOOD, "secret_usages": [*USED, {"last_used_at": None}]}],
        [GOOD] * 5,
    ],
    ids=lambda rows: json.dumps(rows)[:60],
)
def test_a_list_that_is_not_understood_is_no_list(account: ConsoleAccount, rows: object) -> None:
    """Above all, a use that is not understood is never taken for none: the secret would be called idle."""
    with pytest.raises(ConsoleError) as failed:
        listed(account, rows)
    assert failed.value.problem == Problem.UNCLEAR


@pytest.mark.parametrize("status", [301, 307, 418])
def test_another_status_is_not_understood_and_no_redirect_is_followed(
    account: ConsoleAccount, status: int
) -> None:
    with serving(http(status, b"", "Location: http://127.0.0.1:1/elsewhere")) as server:
        with pytest.raises(ConsoleError) as failed:
            at(server.url, account).create(Secret("a token"))
        assert len(server.requests) == 1
    assert (failed.value.problem, failed.value.may_have_been_done) == (Problem.UNCLEAR, True)


@pytest.mark.parametrize("ids", [("1", "x"), ("../1", "2"), ("", "2")])
def test_ids_that_are_no_numbers_go_into_no_address(ids: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="numbers"):
        Credential(*ids, "client", base_url="http://127.0.0.1:1", route=ROUTE)
    with pytest.raises(ValueError, match="not the id"):
        Credential("1", "2", "client", base_url="http://127.0.0.1:1", route=ROUTE).delete(Secret("t"), "../3")


def test_nothing_of_secret_or_token_is_told(
    credential: Credential,
    token: Secret,
    console: StandInConsole,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    with caplog.at_level(logging.DEBUG):
        new = credential.create(token)
        console.faults += [Fault.LOST, Fault.GARBAGE]
        told = [repr(new), repr(credential)]
        for _ in range(2):
            with pytest.raises(ConsoleError) as failed:
                credential.create(token)
            told += map(repr, (failed.value, failed.value.__cause__, failed.value.__context__))
    told.append(caplog.text)
    for each in (token.reveal(), new.plaintext.reveal()):
        assert each not in "".join(told)


def test_a_made_secret_has_the_usual_shape() -> None:
    assert make_secret().reveal().startswith("p8e-")
