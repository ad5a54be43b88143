"""The step at which the four values enter: typed, from a file, refused, doubtful, put right."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from credentials.keys.vault import open_version
from credentials.models import ClientSecret, TechnicalAccount
from credentials.wizard.models import Draft
from tests.credentials.wizard.wizard_walk import (
    ACCOUNT,
    CLIENT,
    ORGANIZATION,
    OTHER_SECRET,
    SECRET,
    begin,
    console_json,
    post,
    reach_values,
    typed,
)

OTHER_CLIENT = "f" * 32


def stored(account: TechnicalAccount) -> str:
    secret = account.newest_version
    assert secret is not None
    return open_version(secret).reveal()


def page(client: Client, account: TechnicalAccount) -> str:
    return client.get(reverse("wizard", args=[account.pk, "values"])).content.decode()


def test_typed_values_are_stored_and_the_secret_encrypted(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    account.refresh_from_db()
    assert (account.organization_id, account.client_id, account.technical_account_id) == (
        ORGANIZATION,
        CLIENT,
        ACCOUNT,
    )
    assert stored(account) == SECRET
    assert SECRET not in (ClientSecret.objects.get().ciphertext or SECRET)


def test_blanks_around_values_are_removed_and_the_person_is_told(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed", client_secret=f"  {SECRET}\n"))
    assert stored(account) == SECRET
    page = as_admin.get(reverse("wizard", args=[account.pk, "check"])).content.decode()
    assert "around the Client secret were removed" in page


@pytest.mark.parametrize("how", ["paste", "upload"])
def test_a_console_file_fills_every_value(as_admin: Client, how: str) -> None:
    account = reach_values(as_admin)
    document = console_json()
    upload = {"file": SimpleUploadedFile("oauth.json", document.encode())}
    post(
        as_admin, account, "values", {"action": "file", **({"text": document} if how == "paste" else upload)}
    )
    account.refresh_from_db()
    assert (account.client_id, account.scopes, stored(account)) == (CLIENT, "openid,AdobeID", SECRET)


def test_a_refused_value_keeps_what_was_typed_except_the_secret(as_admin: Client) -> None:
    account = reach_values(as_admin)
    response = post(as_admin, account, "values", typed(action="typed", organization_id="has space"))
    text = response.content.decode()
    assert CLIENT in text
    assert SECRET not in text
    assert not ClientSecret.objects.exists()
    assert 'aria-invalid="true"' in text


@pytest.mark.parametrize(
    "values",
    [
        typed(client_id=SECRET, client_secret=CLIENT, organization_id="broken value"),
        typed(client_id=SECRET, client_secret=""),
        typed(organization_id=SECRET, technical_account_id="", client_secret=SECRET),
        typed(technical_account_id=f"{ORGANIZATION}/{CLIENT}/{ACCOUNT}/{SECRET}/more"),
        typed(client_id=console_json()),
        typed(client_id="An0therKindOfSecret4You", client_secret=CLIENT, organization_id=""),
    ],
)
def test_a_secret_in_the_wrong_field_is_never_shown_again(as_admin: Client, values: dict[str, str]) -> None:
    account = reach_values(as_admin)
    text = post(as_admin, account, "values", {**values, "action": "typed"}).content.decode()
    assert "Please correct this" in text
    assert SECRET not in text
    assert "An0therKindOfSecret4You" not in text


def test_swapped_values_are_put_right_with_one_button(as_admin: Client) -> None:
    account = reach_values(as_admin)
    swapped = typed(
        client_id=SECRET, client_secret=CLIENT, organization_id=ACCOUNT, technical_account_id=ORGANIZATION
    )
    post(as_admin, account, "values", {**swapped, "action": "typed"})
    text = page(as_admin, account)
    assert "They are correct now" in text
    assert SECRET not in text
    assert "values" not in Draft.objects.get().done
    assert post(as_admin, account, "values", {"action": "confirm"})["Location"].endswith("/check/")
    account.refresh_from_db()
    assert (account.client_id, account.organization_id, stored(account)) == (CLIENT, ORGANIZATION, SECRET)


def test_a_whole_command_line_in_one_field_is_taken_apart(as_admin: Client) -> None:
    account = reach_values(as_admin)
    line = f"-setimsoauth:{ORGANIZATION}/{CLIENT}/{ACCOUNT}/{SECRET}"
    post(as_admin, account, "values", {"action": "typed", "client_id": line})
    account.refresh_from_db()
    assert (account.client_id, stored(account)) == (CLIENT, SECRET)
    assert "They are correct now" in page(as_admin, account)


def test_an_unusual_value_waits_for_a_confirmation_that_names_it(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed", client_secret="short-secret"))
    assert "not the usual format of the Client secret" in page(as_admin, account)
    response = as_admin.get(reverse("wizard", args=[account.pk, "check"]))
    assert response["Location"].endswith("/values/")
    assert post(as_admin, account, "values", {"action": "confirm"})["Location"].endswith("/check/")
    assert stored(account) == "short-secret"


def test_a_confirmed_value_is_not_asked_about_twice(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed", organization_id="unusual"))
    post(as_admin, account, "values", {"action": "confirm"})
    response = post(
        as_admin, account, "values", typed(action="typed", organization_id="unusual", client_secret="")
    )
    assert response["Location"].endswith("/check/")


def test_an_empty_secret_keeps_the_stored_one(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    changed = ORGANIZATION.replace("A", "B", 1)
    post(as_admin, account, "values", typed(action="typed", client_secret="", organization_id=changed))
    account.refresh_from_db()
    assert (account.organization_id, stored(account)) == (changed, SECRET)
    assert ClientSecret.objects.count() == 1


def test_another_client_id_wants_the_secret_again(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    response = post(
        as_admin, account, "values", typed(action="typed", client_secret="", client_id=OTHER_CLIENT)
    )
    text = response.content.decode()
    assert "Enter the Client secret" in text
    assert f"belongs to another Client ID ({CLIENT})" in text.partition('id="id_client_id_error"')[2]
    account.refresh_from_db()
    assert account.client_id == CLIENT


def test_a_secret_of_another_client_does_not_count(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    both = console_json(OTHER_SECRET, "p8e-" + "a" * 32, client_id=OTHER_CLIENT)
    post(as_admin, account, "values", {"action": "file", "text": both, "replace": "on"})
    assert "values" not in Draft.objects.get().done
    assert "not entered yet" in as_admin.get(reverse("account", args=[account.pk])).content.decode()


def test_a_file_of_another_credential_says_so_and_changes_nothing(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    other = console_json(OTHER_SECRET, client_id=OTHER_CLIENT)
    page = post(as_admin, account, "values", {"action": "file", "text": other}).content.decode()
    assert f"its Client ID is {OTHER_CLIENT}, but {CLIENT} was entered before" in page
    assert 'name="replace"' in page
    assert OTHER_SECRET not in page
    account.refresh_from_db()
    assert (account.client_id, stored(account)) == (CLIENT, SECRET)
    meant = {"action": "file", "text": other, "replace": "on"}
    assert post(as_admin, account, "values", meant).status_code == 302
    account.refresh_from_db()
    assert (account.client_id, stored(account)) == (OTHER_CLIENT, OTHER_SECRET)


def test_a_stored_secret_is_not_called_optional(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    field = page(as_admin, account).split('for="id_client_secret"')[1].split("</label>")[0]
    assert "optional" not in field


def test_once_the_values_are_stored_the_way_is_to_compare_and_to_go_on(as_admin: Client) -> None:
    account = reach_values(as_admin)
    before = page(as_admin, account)
    assert "Copy the four values" in before
    assert before.index('value="file"') < before.index('value="typed"')
    post(as_admin, account, "values", typed(action="typed"))
    after = page(as_admin, account)
    assert "Copy the four values" not in after
    assert "Compare the four values" in after
    assert "Read another JSON file" in after
    button = after.partition('value="typed"')[0].rpartition("<button")[2]
    assert "primary" in button
    assert after.count('class="primary"') == 1
    assert after.index('value="typed"') < after.index('value="file"')


def test_another_secret_asks_adobe_again(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    Draft.objects.update(done=[*Draft.objects.get().done, "check"])
    post(as_admin, account, "values", typed(action="typed", client_secret=OTHER_SECRET))
    assert "check" not in Draft.objects.get().done


def test_a_secret_that_stays_although_a_file_came_is_named(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", typed(action="typed"))
    others = (OTHER_SECRET, OTHER_SECRET[:-1] + "7")
    response = post(as_admin, account, "values", {"action": "file", "text": console_json(*others)})
    assert "the one entered before is kept" in as_admin.get(response["Location"]).content.decode()


def test_the_likely_mistake_is_not_the_highlighted_button(as_admin: Client) -> None:
    account = reach_values(as_admin)
    email = "0b0b0b0b-1111-2222-3333-444455556666@techacct.adobe.com"
    post(as_admin, account, "values", typed(action="typed", technical_account_id=email))
    form = page(as_admin, account).split('class="confirm"')[1].split("</form>")[0]
    assert "it is right" in form
    assert "primary" not in form


def test_of_several_secrets_in_a_file_the_person_enters_the_right_one(as_admin: Client) -> None:
    account = reach_values(as_admin)
    post(as_admin, account, "values", {"action": "file", "text": console_json(SECRET, OTHER_SECRET)})
    account.refresh_from_db()
    assert account.client_id == CLIENT
    assert account.newest_version is None
    assert "does not say which client secret" in page(as_admin, account)
    post(as_admin, account, "values", typed(action="typed", client_secret=OTHER_SECRET))
    assert stored(account) == OTHER_SECRET


def test_of_several_credentials_in_a_workspace_one_is_chosen(as_admin: Client) -> None:
    account = reach_values(as_admin)
    credentials = [
        {
            "id": str(number),
            "oauth_server_to_server": {
                "client_id": client,
                "client_secrets": [SECRET],
                "technical_account_id": ACCOUNT,
            },
        }
        for number, client in enumerate((CLIENT, OTHER_CLIENT))
    ]
    details = {"credentials": credentials}
    document = {"project": {"org": {"id": 1, "ims_org_id": ORGANIZATION}, "workspace": {"details": details}}}
    text = json.dumps(document)
    response = post(as_admin, account, "values", {"action": "file", "text": text}).content.decode()
    assert OTHER_CLIENT in response
    assert 'name="use_client_id"' in response
    post(as_admin, account, "values", {"action": "file", "text": text, "use_client_id": OTHER_CLIENT})
    account.refresh_from_db()
    assert (account.client_id, account.credential_id, account.numeric_organization_id) == (
        OTHER_CLIENT,
        "1",
        "1",
    )


@pytest.mark.parametrize("whose", ["active", "mine", "bob"])
def test_a_client_id_in_use_elsewhere_is_refused_with_the_account_that_has_it(
    as_admin: Client, whose: str
) -> None:
    first = begin(as_admin, name="first")
    TechnicalAccount.objects.update(client_id=CLIENT, state="active" if whose == "active" else "draft")
    if whose == "active":
        first.draft.delete()
    elif whose == "bob":
        Draft.objects.update(changed_by=None, changed_by_name="bob")
    account = reach_values(as_admin)
    swapped = typed(action="typed", client_id=SECRET, client_secret=CLIENT)
    for data in (typed(action="typed"), swapped, {"action": "file", "text": console_json()}):
        text = post(as_admin, account, "values", data).content.decode()
        assert f'<a href="{reverse("account", args=[first.pk])}">Open first</a>' in text
        assert ("Retire it" in text) == (whose == "active")
        assert ("Continue with that draft, or delete it." in text) == (whose != "active")
        assert "last changed by you" in text or whose != "mine"
        assert "last changed by bob" in text or whose != "bob"
        assert SECRET not in text
    assert not ClientSecret.objects.exists()


def test_the_client_id_of_a_retired_account_is_free(as_admin: Client) -> None:
    TechnicalAccount.objects.create(name="first", client_id=CLIENT, state="retired")
    account = reach_values(as_admin)
    assert post(as_admin, account, "values", typed(action="typed")).status_code == 302


EMPTY = {"title": "", "name": None}
FIELD_FILES = [
    json.dumps(json.loads(console_json()) | {"TECHNICAL_ACCOUNT_EMAIL": "", "SCOPES": "openid,AdobeID"}),
    json.dumps(
        {
            "project": {
                **EMPTY,
                "org": {"ims_org_id": ORGANIZATION, "id": "9" * 41},
                "workspace": {
                    **EMPTY,
                    "details": {
                        "credentials": [
                            {
                                "id": {"a": 1},
                                "oauth_server_to_server": {
                                    "client_id": CLIENT,
                                    "client_secrets": [SECRET],
                                    "technical_account_email": "",
                                    "technical_account_id": ACCOUNT,
                                    "scopes": None,
                                },
                            }
                        ]
                    },
                },
            }
        }
    ),
]


@pytest.mark.parametrize("document", FIELD_FILES)
def test_what_no_push_needs_never_stops_a_file(as_admin: Client, document: str) -> None:
    account = reach_values(as_admin)
    assert post(as_admin, account, "values", {"action": "file", "text": document}).status_code == 302
    account.refresh_from_db()
    assert stored(account) == SECRET
    assert (account.project, account.numeric_organization_id, account.credential_id) == ("", "", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        '{"a":' * 500,
        '{"ORG_ID": "\\u0000"}',
        "\x00",
        "9" * 5000,
        "x" * 300_000,
        '{"CLIENT_ID": 1}',
    ],
)
def test_a_wrong_file_is_refused_at_its_field_and_changes_nothing(as_admin: Client, text: str) -> None:
    account = reach_values(as_admin)
    response = post(as_admin, account, "values", {"action": "file", "text": text})
    assert response.status_code == 200
    assert "Please correct this" in response.content.decode()
    account.refresh_from_db()
    assert account.client_id == ""


def test_a_file_that_is_not_text_is_refused(as_admin: Client) -> None:
    account = reach_values(as_admin)
    upload = SimpleUploadedFile("oauth.json", b"\x89PNG\x00")
    response = post(as_admin, account, "values", {"action": "file", "file": upload})
    assert "not a text file" in response.content.decode()


def test_pasted_megabytes_are_refused_at_the_form(as_admin: Client) -> None:
    account = reach_values(as_admin)
    response = post(as_admin, account, "values", {"action": "file", "text": "{" + " " * 2_000_000})
    assert response.status_code == 200
    assert "larger than 256 KiB" in response.content.decode()


def test_going_back_stores_what_was_typed(as_admin: Client) -> None:
    account = reach_values(as_admin)
    response = post(as_admin, account, "values", typed(action="back"))
    assert response["Location"].endswith("/save/")
    account.refresh_from_db()
    assert account.client_id == CLIENT
    assert stored(account) == SECRET


def test_going_back_with_nothing_typed_goes_back(as_admin: Client) -> None:
    account = reach_values(as_admin)
    response = post(as_admin, account, "values", {"action": "back"})
    assert response["Location"].endswith("/save/")


def test_what_cannot_be_stored_is_shown_before_it_is_left(as_admin: Client) -> None:
    account = reach_values(as_admin)
    response = post(as_admin, account, "values", {"client_id": "half a cli", "action": "back"})
    content = response.content.decode()
    assert 'value="half a cli"' in content
    assert "Go back without saving" in content
    assert "Go back without saving" not in page(as_admin, account)
