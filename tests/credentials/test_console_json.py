import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials.console_json import MAX_BYTES, ConsoleJSONError, read

SECRET = "p8e-CANARYCANARYCANARYCANARYCANARY1234"
OTHER_SECRET = "p8e-CANARYCANARYCANARYCANARYCANARY5678"
CLIENT = "0123456789abcdef0123456789abcdef"
OTHER_CLIENT = "fedcba9876543210fedcba9876543210"
CREDENTIAL = {
    "ORG_ID": "0123456789ABCDEF01234567@AdobeOrg",
    "CLIENT_ID": CLIENT,
    "CLIENT_SECRETS": [SECRET],
    "TECHNICAL_ACCOUNT_ID": "89ABCDEF0123456789ABCDEF@techacct.adobe.com",
    "TECHNICAL_ACCOUNT_EMAIL": "01234567-89ab-cdef-0123-456789abcdef@techacct.adobe.com",
    "SCOPES": ["openid", "AdobeID"],
}
JWT_CREDENTIAL = {
    "CLIENT_SECRET": "s8e-CANARYCANARYCANARYCANARYCANARY1234",
    "ORG_ID": CREDENTIAL["ORG_ID"],
    "API_KEY": CLIENT,
    "TECHNICAL_ACCOUNT_ID": CREDENTIAL["TECHNICAL_ACCOUNT_ID"],
    "PUBLIC_KEYS_WITH_EXPIRY": {"84a06e": "08/27/2025"},
}


def oauth(client_id: str = CLIENT, secrets: object = (SECRET,)) -> dict[str, object]:
    return {
        "id": "581153",
        "name": "Credential in Campaign",
        "integration_type": "oauth_server_to_server",
        "oauth_server_to_server": {
            "client_id": client_id,
            "client_secrets": secrets,
            "technical_account_email": CREDENTIAL["TECHNICAL_ACCOUNT_EMAIL"],
            "technical_account_id": CREDENTIAL["TECHNICAL_ACCOUNT_ID"],
            "scopes": ["openid", "AdobeID"],
        },
    }


JWT = {"id": "1", "integration_type": "service", "jwt": {"client_id": CLIENT, "client_secret": SECRET}}


def workspace(*credentials: object) -> dict[str, Any]:
    return {
        "project": {
            "id": "4566206088344",
            "name": "884CoralMockingbird",
            "title": "Campagne été",
            "org": {"id": "1234567", "name": "Acme", "ims_org_id": CREDENTIAL["ORG_ID"]},
            "workspace": {
                "id": "456",
                "name": "Stage",
                "details": {"credentials": list(credentials), "services": []},
            },
        }
    }


def refusal(document: object, client_id: str = "") -> ConsoleJSONError:
    data = document if isinstance(document, str | bytes) else json.dumps(document)
    with pytest.raises(ConsoleJSONError) as caught:
        read(data, client_id=client_id)
    assert "CANARY" not in f"{caught.value!r} {caught.value} {caught.value.__context__!r}"
    return caught.value


def without(key: str) -> dict[str, object]:
    return {name: value for name, value in CREDENTIAL.items() if name != key}


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(CREDENTIAL),
        json.dumps(CREDENTIAL, indent=2).encode(),
        b"\xef\xbb\xbf" + json.dumps(CREDENTIAL).encode(),
        "\ufeff\n" + json.dumps(CREDENTIAL),
        json.dumps(without("CLIENT_ID") | {"API_KEY": CLIENT}),
        json.dumps(CREDENTIAL | {"API_KEY": CLIENT, "ANYTHING": {"NEW": [1]}}),
    ],
)
def test_download_json_fills_everything(data: str | bytes) -> None:
    found = read(data)
    assert found.source == "credential"
    assert found.organization_id == CREDENTIAL["ORG_ID"]
    assert found.client_id == CLIENT
    assert found.technical_account_id == CREDENTIAL["TECHNICAL_ACCOUNT_ID"]
    assert found.technical_account_email == CREDENTIAL["TECHNICAL_ACCOUNT_EMAIL"]
    assert [secret.reveal() for secret in found.client_secrets] == [SECRET]
    assert found.scopes == ("openid", "AdobeID")
    assert "CANARY" not in repr(found)


def test_the_workspace_file_fills_everything() -> None:
    found = read(json.dumps(workspace(JWT, oauth(secrets=[SECRET, OTHER_SECRET]))))
    assert found.source == "workspace"
    assert (found.organization_id, found.client_id) == (CREDENTIAL["ORG_ID"], CLIENT)
    assert found.technical_account_id == CREDENTIAL["TECHNICAL_ACCOUNT_ID"]
    assert [secret.reveal() for secret in found.client_secrets] == [SECRET, OTHER_SECRET]
    assert (found.numeric_org_id, found.credential_id) == ("1234567", "581153")
    assert (found.project, found.workspace) == ("Campagne été", "Stage")


def test_ids_may_be_numbers() -> None:
    document = workspace(oauth())
    document["project"]["org"]["id"] = 1234567
    assert read(json.dumps(document)).numeric_org_id == "1234567"


def test_one_of_several_credentials_must_be_chosen() -> None:
    document = workspace(oauth(), oauth(OTHER_CLIENT, [OTHER_SECRET]))
    error = refusal(document)
    assert error.client_ids == (CLIENT, OTHER_CLIENT)
    assert OTHER_CLIENT in str(error)
    assert refusal(document, "0" * 32).client_ids == (CLIENT, OTHER_CLIENT)
    found = read(json.dumps(document), client_id=OTHER_CLIENT)
    assert [secret.reveal() for secret in found.client_secrets] == [OTHER_SECRET]


def test_a_client_id_that_may_be_a_secret_is_not_named() -> None:
    assert refusal(workspace(oauth(SECRET), oauth(OTHER_CLIENT))).client_ids == (OTHER_CLIENT,)


@pytest.mark.parametrize("document", [CREDENTIAL, workspace(oauth())])
def test_the_file_of_another_client_is_refused(document: object) -> None:
    assert "another Client ID" in str(refusal(document, OTHER_CLIENT))


@pytest.mark.parametrize("document", [workspace(JWT), JWT_CREDENTIAL])
def test_a_jwt_credential_is_to_be_migrated_first(document: object) -> None:
    assert "migrate" in str(refusal(document))


def test_a_workspace_without_oauth_credential_says_what_to_add() -> None:
    assert "add an API" in str(refusal(workspace()))


def test_secrets_scopes_and_email_may_be_missing() -> None:
    found = read(
        json.dumps({name: CREDENTIAL[name] for name in ("ORG_ID", "CLIENT_ID", "TECHNICAL_ACCOUNT_ID")})
    )
    assert (found.client_secrets, found.scopes, found.technical_account_email) == ((), (), "")


@pytest.mark.parametrize("key", ["ORG_ID", "CLIENT_ID", "TECHNICAL_ACCOUNT_ID"])
@pytest.mark.parametrize(
    "value", [None, "", "  ", 12, True, [SECRET], {SECRET: 1}, "a\nb", "\ud800", "\u202e", "x" * 1001]
)
def test_a_wrong_identifier_is_named_by_its_path(key: str, value: object) -> None:
    assert refusal(CREDENTIAL | {key: value}).path == key


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (SECRET, "CLIENT_SECRETS"),
        ({"client_secret": SECRET}, "CLIENT_SECRETS"),
        ([SECRET, [SECRET]], "CLIENT_SECRETS[1]"),
        ([SECRET, None], "CLIENT_SECRETS[1]"),
        ([SECRET] * 201, "CLIENT_SECRETS"),
    ],
)
def test_wrong_secrets_are_named_by_their_path(value: object, path: str) -> None:
    assert refusal(CREDENTIAL | {"CLIENT_SECRETS": value}).path == path


@pytest.mark.parametrize(
    "path",
    [
        "project",
        "project.org",
        "project.org.ims_org_id",
        "project.workspace",
        "project.workspace.details",
        "project.workspace.details.credentials",
        "project.workspace.details.credentials[0].oauth_server_to_server",
        "project.workspace.details.credentials[0].oauth_server_to_server.client_id",
        "project.workspace.details.credentials[0].oauth_server_to_server.client_secrets",
    ],
)
def test_a_wrong_type_in_the_workspace_file_is_named_by_its_path(path: str) -> None:
    document: Any = copy.deepcopy(workspace(oauth()))
    *steps, last = path.replace("[0]", ".0").split(".")
    place = document
    for step in steps:
        place = place[int(step) if step == "0" else step]
    place[last] = 7
    assert refusal(document).path == path


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "nothing to read"),
        (b"\xef\xbb\xbf \n", "nothing to read"),
        ("null", "not a file of the Developer Console"),
        ("[]", "not a file of the Developer Console"),
        ('"p8e-CANARY"', "not a file of the Developer Console"),
        ("{}", "not a file of the Developer Console"),
        ('{"other": 1}', "not a file of the Developer Console"),
        (json.dumps(CREDENTIAL)[:-1], "not complete JSON (line 1"),
        (f'{{\n"A": {SECRET}}}', "line 2, column 6"),
        (json.dumps(CREDENTIAL).encode("utf-16"), "not in UTF-8"),
        (json.dumps(CREDENTIAL).encode("utf-16-le"), "not in UTF-8"),
        (b'{"ORG_ID":\n"\xe9CANARY"}', "not in UTF-8 (line 2)"),
        (b" " * (MAX_BYTES + 1), "larger than 256 KiB"),
        ("é" * (MAX_BYTES // 2 + 1), "larger than 256 KiB"),
        ("\ud800", "not in UTF-8"),
        ('{"A": NaN}', "NaN"),
        ('{"A": -Infinity}', "NaN"),
        ('{"A": ' + "9" * 5000 + "}", "too long"),
        ("[" * 33 + "]" * 33, "not a file of the Developer Console"),
        ('{"A":' * 50_000, "not a file of the Developer Console"),
        ('"' + '\\"' * 100_000, "not complete JSON"),
    ],
)
def test_what_is_no_such_file_is_refused_with_a_reason(data: str | bytes, said: str) -> None:
    assert said in str(refusal(data))


def test_brackets_inside_texts_are_not_depth() -> None:
    assert read(json.dumps(CREDENTIAL | {"NAME": "[" * 100 + '\\"{' * 100})).client_id == CLIENT


@pytest.mark.parametrize(("key", "path"), [("CLIENT_ID", "CLIENT_ID"), (SECRET, "?")])
def test_a_repeated_name_is_refused(key: str, path: str) -> None:
    error = refusal(f'{{"{key}": 1, "{key}": 2}}')
    assert "twice" in str(error)
    assert error.path == path


def test_two_names_for_the_client_id_must_agree() -> None:
    assert refusal(CREDENTIAL | {"API_KEY": OTHER_CLIENT}).path == "API_KEY"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["project", "org", "ORG_ID", "CLIENT_SECRETS"]), inner)
    ),
    max_leaves=10,
)


@given(st.binary() | st.text() | JSON.map(json.dumps))
def test_nothing_else_than_a_refusal_can_happen(data: str | bytes) -> None:
    with pytest.raises(ConsoleJSONError):
        read(data)
