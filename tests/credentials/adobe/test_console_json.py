import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials.adobe.console_json import MAX_BYTES, ConsoleJSONError, read

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
        (7, "CLIENT_SECRETS"),
        ({"another_key": SECRET}, "CLIENT_SECRETS"),
        ({"client_secret": SECRET, "value": OTHER_SECRET}, "CLIENT_SECRETS"),
        ({"client_secret": [SECRET]}, "CLIENT_SECRETS.client_secret"),
        ([SECRET, [SECRET]], "CLIENT_SECRETS[1]"),
        ([SECRET, 12], "CLIENT_SECRETS[1]"),
        ([SECRET, f"{SECRET}\n{SECRET}"], "CLIENT_SECRETS[1]"),
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
        ("null", "not a file from the Developer Console"),
        ("[]", "not a file from the Developer Console"),
        ('"p8e-CANARY"', "not a file from the Developer Console"),
        ("{}", "not a file from the Developer Console"),
        ('{"other": 1}', "not a file from the Developer Console"),
        (json.dumps(CREDENTIAL)[:-1], "not complete JSON (line 1"),
        (f'{{\n"A": {SECRET}}}', "line 2, column 6"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a text file"),
        (b"PK\x03\x04CANARY\xff", "not a text file"),
        (b'{"ORG_ID": "\x81CANARY"}', "not a text file"),
        ("{\\rtf1\\ansi {CANARY}}", "rich-text"),
        (json.dumps(CREDENTIAL) + "\nBest regards", "line 2, column 1, and something else follows"),
        (json.dumps(CREDENTIAL) + json.dumps(CREDENTIAL), "second JSON file"),
        ("Here it is:\n" + json.dumps(CREDENTIAL), "comes before the JSON (line 1, column 1)"),
        (b" " * (MAX_BYTES + 1), "larger than 256 KiB"),
        ("é" * (MAX_BYTES // 2 + 1), "larger than 256 KiB"),
        ("\ud800", "comes before the JSON"),
        ('{"ORG_ID": NaN}', "ORG_ID: Text was expected"),
        ('{"ORG_ID": ' + "9" * 5000 + "}", "ORG_ID: Text was expected"),
        (json.dumps([CREDENTIAL, CREDENTIAL]), "not a file from the Developer Console"),
        ("[" * 33 + "]" * 33, "not a file from the Developer Console"),
        ('{"A":' * 50_000, "not a file from the Developer Console"),
        ('"' + '\\"' * 100_000, "not complete JSON"),
    ],
)
def test_what_is_no_such_file_is_refused_with_a_reason(data: str | bytes, said: str) -> None:
    assert said in str(refusal(data))


def test_brackets_inside_texts_are_not_depth() -> None:
    assert read(json.dumps(CREDENTIAL | {"NAME": "[" * 100 + '\\"{' * 100})).client_id == CLIENT


def test_a_needed_name_with_two_values_is_refused_at_its_place() -> None:
    again = json.dumps(CREDENTIAL)[:-1]
    for key in ("CLIENT_ID", "ORG_ID", "TECHNICAL_ACCOUNT_ID", "CLIENT_SECRETS"):
        error = refusal(f'{again}, "{key}": "{SECRET}"}}')
        assert error.path == key
        assert "twice" in str(error)
    assert read(f'{again}, "CLIENT_ID": "{CLIENT}", "SCOPES": 1, "{SECRET}": 1, "{SECRET}": 2}}').scopes == ()


def test_two_names_for_the_client_id_must_agree() -> None:
    assert refusal(CREDENTIAL | {"API_KEY": OTHER_CLIENT}).path == "API_KEY"


UNUSABLE: list[Any] = [
    None,
    "",
    "  ",
    1.5,
    True,
    [],
    [SECRET],
    {},
    {SECRET: 1},
    "a\nb",
    "\ud800",
    "x" * 1001,
    10**31,
]
OAUTH = "project.workspace.details.credentials.0.oauth_server_to_server"
OPTIONAL_IN_WORKSPACE = [
    *("project.title", "project.name", "project.id", "project.org.id", "project.org.name"),
    *("project.workspace.title", "project.workspace.name", "project.workspace.id"),
    "project.workspace.details.credentials.0.id",
    "project.workspace.details.credentials.0.integration_type",
    *(f"{OAUTH}.{name}" for name in ("technical_account_email", "scopes")),
]


def changed(path: str, value: object) -> dict[str, Any]:
    """A workspace file with another value at one place."""
    document = copy.deepcopy(workspace(oauth()))
    *steps, last = path.split(".")
    place: Any = document
    for step in steps:
        place = place[int(step) if step == "0" else step]
    place[last] = value
    return document


@pytest.mark.parametrize("path", OPTIONAL_IN_WORKSPACE)
def test_what_no_push_needs_may_be_anything_in_a_workspace_file(path: str) -> None:
    for value in UNUSABLE:
        found = read(json.dumps(changed(path, value)))
        assert (found.client_id, [each.reveal() for each in found.client_secrets]) == (CLIENT, [SECRET])
        found = read(json.dumps(changed(path, value)) + " ")
        assert "\n" not in "".join(
            (found.project, found.workspace, found.technical_account_email, *found.scopes)
        )


@pytest.mark.parametrize("key", ["TECHNICAL_ACCOUNT_EMAIL", "SCOPES", "API_KEY", "ANYTHING", "project"])
def test_what_no_push_needs_may_be_anything_in_a_credential(key: str) -> None:
    for value in UNUSABLE:
        found = read(json.dumps(CREDENTIAL | {key: value}))
        assert (found.client_id, [each.reveal() for each in found.client_secrets]) == (CLIENT, [SECRET])


def test_an_empty_title_gives_way_to_the_name() -> None:
    found = read(json.dumps(changed("project.title", "") | {}))
    assert (found.project, found.workspace) == ("884CoralMockingbird", "Stage")


@pytest.mark.parametrize(
    "scopes", ["openid,AdobeID", "openid, AdobeID", "openid AdobeID\n", ["openid", 7.5, None, "AdobeID"]]
)
def test_scopes_are_a_list_or_a_text(scopes: object) -> None:
    assert read(json.dumps(CREDENTIAL | {"SCOPES": scopes})).scopes == ("openid", "AdobeID")


@pytest.mark.parametrize(
    "secrets",
    [
        SECRET,
        [SECRET, SECRET],
        [SECRET, None, "", " "],
        {"client_secret": SECRET, "created_at": "2026-01-01"},
        [{"value": SECRET, "uuid": "1"}],
    ],
)
def test_a_single_secret_is_found_in_every_form(secrets: object) -> None:
    for document in (CREDENTIAL | {"CLIENT_SECRETS": secrets}, workspace(oauth(secrets=secrets))):
        found = read(json.dumps(document))
        assert [each.reveal() for each in found.client_secrets] == [SECRET]


def test_a_secret_under_its_old_name_is_no_jwt_credential() -> None:
    document = without("CLIENT_SECRETS") | {"CLIENT_SECRET": SECRET}
    assert [each.reveal() for each in read(json.dumps(document)).client_secrets] == [SECRET]


def test_another_credential_without_a_client_id_is_no_hindrance() -> None:
    document = workspace(oauth(), oauth(""), 7)
    assert read(json.dumps(document), client_id=CLIENT).client_id == CLIENT
    assert refusal(document).client_ids == (CLIENT,)
    assert refusal(workspace(oauth(), oauth()), CLIENT).client_ids == (CLIENT,)


LINES = json.dumps(CREDENTIAL, indent=2)


@pytest.mark.parametrize(
    "data",
    [
        LINES.encode("utf-16"),
        LINES.encode("utf-16-le"),
        b"\xfe\xff" + LINES.encode("utf-16-be"),
        LINES.encode("utf-32"),
        LINES.replace("\n", "\r\n").encode("cp1252"),
        LINES.replace("{", '{"TITLE": "\u00e9t\u00e9 \u201cCampagne\u201d",', 1).encode("cp1252"),
        LINES.replace('"', "\u201d"),
        LINES.replace(' "', " \u201c").replace('"', "\u201d").encode("cp1252"),
        LINES.replace(" ", "\u00a0").replace("\n", "\u2028\n"),
        f"```json\n{LINES}\n```\n",
        f"\n~~~\n{LINES}\n~~~",
        f"`{LINES}`",
        f"[{LINES}]\n\n",
        "\ufeff" + LINES,
    ],
)
def test_what_editors_and_chats_do_to_a_file_is_harmless(data: str | bytes) -> None:
    found = read(data)
    assert (found.client_id, [each.reveal() for each in found.client_secrets]) == (CLIENT, [SECRET])
    assert found.scopes == ("openid", "AdobeID")


def test_what_a_word_processor_did_inside_a_value_stays_for_the_judge_of_values() -> None:
    found = read(LINES.replace('"', "\u201d").replace("p8e-", "p8e\u2013"))
    assert found.client_secrets[0].reveal().startswith("p8e\u2013")


def test_an_error_keeps_its_line_in_a_fence() -> None:
    assert "line 3, column 1" in str(refusal(f"```json\n{{\n{SECRET}\n```"))


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
