"""Pages of technical accounts: list, detail with coverage, history, another version, rollout, retirement."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.keys.vault import open_version
from credentials.models import Assignment, ClientSecret, TechnicalAccount
from credentials.rollouts.models import Attempt, Push, Rollout
from credentials.rollouts.starting import start_rollout
from credentials.rollouts.versions import make_goal
from credentials.services import activate, add_secret, assign
from instances.models import Installation
from portal.audit.trail import Actor
from portal.plaintext import Secret
from tests.credentials.wizard.wizard_walk import (
    ACCOUNT,
    CLIENT,
    ORGANIZATION,
    OTHER_SECRET,
    SECRET,
    choose,
    console_json,
    make_installation,
)

UNCONFIRMED = {"action": "unconfirmed"}  # what Adobe says is for test_rollout_answer.py


@pytest.fixture
def installation(db: None) -> Installation:
    return make_installation()


@pytest.fixture
def account(actor: Actor, installation: Installation) -> TechnicalAccount:
    """An account in use by one installation, whose first rollout succeeded."""
    return make_account(actor, [installation])


def make_account(
    actor: Actor, installations: list[Installation], *, name: str = "Triggers"
) -> TechnicalAccount:
    client_id = CLIENT if name == "Triggers" else uuid.uuid4().hex
    account = TechnicalAccount.objects.create(
        name=name, client_id=client_id, organization_id=ORGANIZATION, technical_account_id=ACCOUNT
    )
    add_secret(account=account, plaintext=Secret(SECRET), actor=actor)
    activate(account=account, actor=actor)
    assign(account=account, instances=[each.instance for each in installations], actor=actor)
    if installations:
        deliver(account, installations, actor)
    return account


def deliver(
    account: TechnicalAccount, installations: list[Installation], actor: Actor, *, output: str = "done"
) -> Rollout:
    """Roll out and let every push succeed, as the worker would have written it."""
    secret = account.newest_version
    assert secret is not None
    rollout = start_rollout(
        version=secret, installations=installations, reason="new", actor=actor, message="CHG-7"
    )
    for push in rollout.pushes.all():
        digest = f"{secret.version:064d}"
        Attempt.objects.create(
            push=push,
            number=1,
            cause="rollout",
            secret_version=secret.version,
            secret_fingerprint=secret.fingerprint,
            lease_token=uuid.uuid4(),
            worker="w",
            after_digest=digest,
            output=output,
            verdict="succeeded",
            proof="changed",
            stage="done",
        )
        Push.objects.filter(pk=push.pk).update(state="succeeded")
        Installation.objects.filter(pk=push.installation_id).update(
            observed_digest=digest,
            observed_client_id=CLIENT,
            observed_account_id=account.technical_account_id,
        )
    return rollout


def get(client: Client, account: TechnicalAccount, name: str = "account", **query: str) -> str:
    response = client.get(reverse(name, args=[account.pk]), query)
    assert response.status_code == 200
    return response.content.decode()


def test_an_empty_list_says_what_to_do_first(as_admin: Client, as_auditor: Client) -> None:
    assert reverse("account_new") in as_admin.get(reverse("accounts")).content.decode()
    text = as_auditor.get(reverse("accounts")).content.decode()
    assert "no technical account yet" in text
    assert reverse("account_new") not in text


def test_the_list_shows_state_secret_and_coverage(as_auditor: Client, account: TechnicalAccount) -> None:
    text = as_auditor.get(reverse("accounts")).content.decode()
    secret = account.newest_version
    assert secret is not None
    assert secret.fingerprint in text
    assert "1 / 1" in text


def test_the_list_counts_only_what_is_proven(
    as_admin: Client, actor: Actor, account: TechnicalAccount, installation: Installation
) -> None:
    Installation.objects.update(observed_digest="f" * 64)
    assert "0 / 1" in as_admin.get(reverse("accounts")).content.decode()


def test_what_an_instance_with_another_account_still_holds_is_not_counted(
    as_admin: Client, actor: Actor, account: TechnicalAccount, installation: Installation
) -> None:
    second = make_installation(instance="second", container="web2")
    assign(account=account, instances=[second.instance], actor=actor)
    deliver(account, [second], actor)
    assert "2 / 2" in as_admin.get(reverse("accounts")).content.decode()
    other = make_account(actor, [], name="Other")
    assign(account=other, instances=[second.instance], actor=actor)
    text = as_admin.get(reverse("accounts")).content.decode()
    assert "1 / 1" in text
    assert "0 / 1" in text
    assert "1 / 1" in get(as_admin, account)


def test_the_list_and_the_account_count_a_restored_file_alike(
    as_admin: Client, actor: Actor, account: TechnicalAccount, installation: Installation
) -> None:
    digest = Installation.objects.get().observed_digest
    other = make_account(actor, [], name="Other")
    add_secret(account=other, plaintext=Secret(OTHER_SECRET), actor=actor)
    assign(account=other, instances=[installation.instance], actor=actor)
    deliver(other, [installation], actor)
    assign(account=account, instances=[installation.instance], actor=actor)
    Installation.objects.update(observed_digest=digest)
    assert "0 / 1" in as_admin.get(reverse("accounts")).content.decode()
    assert "0 / 1" in get(as_admin, account)


@pytest.mark.parametrize("query", ["q=triggers", "state=active", f"q={CLIENT[:9]}"])
def test_the_list_is_narrowed(as_admin: Client, account: TechnicalAccount, query: str) -> None:
    TechnicalAccount.objects.create(name="Another one")
    text = as_admin.get(f"{reverse('accounts')}?{query}").content.decode()
    assert "Triggers" in text
    assert "Another one" not in text


def test_the_account_with_the_oldest_secret_comes_first_by_its_age(as_auditor: Client, actor: Actor) -> None:
    for name, days in (("Zeta", 200), ("Alpha", 3), ("Mid", 90)):
        version = make_account(actor, [], name=name).secrets.get()
        ClientSecret.objects.filter(pk=version.pk).update(entered=timezone.now() - timedelta(days=days))
        make_goal(version=version, actor=actor)
    shown = as_auditor.get("/accounts/?sort=secret")
    assert [str(row["account"]) for row in shown.context["rows"]] == ["Zeta", "Mid", "Alpha"]
    assert "3 d ago" in shown.content.decode()


@pytest.mark.parametrize(
    "query", ["page=999999999999", "page=-1", "page=x", "q=%00", "state=zzz", "q=" + "a" * 4000, "show=%00"]
)
def test_garbage_in_the_address_is_harmless(as_admin: Client, account: TechnicalAccount, query: str) -> None:
    for url in (reverse("accounts"), reverse("account", args=[account.pk])):
        assert as_admin.get(f"{url}?{query}").status_code == (400 if "%00" in query else 200)


def test_lists_and_details_take_no_more_queries_for_more_rows(
    as_admin: Client, actor: Actor, account: TechnicalAccount
) -> None:
    def counts() -> list[int]:
        pages = [reverse("accounts"), reverse("account", args=[account.pk])]
        found = []
        for url in [*pages, f"{pages[1]}?show=history"]:
            with CaptureQueriesContext(connection) as captured:
                as_admin.get(url)
            found.append(len(captured))
        return found

    few = counts()
    more = [make_installation("prod1", f"host{number}") for number in range(8)]
    deliver(account, more, actor)
    for number in range(5):
        make_account(actor, [make_installation(f"i{number}", f"h{number}")], name=f"account {number}")
    assert counts() == few


def test_the_detail_shows_the_ids_and_never_the_secret(as_auditor: Client, account: TechnicalAccount) -> None:
    text = get(as_auditor, account)
    for value in (ORGANIZATION, CLIENT, ACCOUNT):
        assert value in text
    assert SECRET not in text
    assert reverse("account_secret", args=[account.pk]) not in text


def test_coverage_tells_goal_other_and_unproven_apart(
    as_admin: Client, actor: Actor, account: TechnicalAccount, installation: Installation
) -> None:
    assert "1 / 1" in get(as_admin, account)
    version, _new = add_secret(account=account, plaintext=Secret(OTHER_SECRET), actor=actor)
    text = get(as_admin, account)
    assert "1 / 1" in text
    assert "This is version 2. The goal remains version 1" in text
    make_goal(version=version, actor=actor)
    text = get(as_admin, account)
    assert "0 / 1" in text
    assert "The goal remains" not in text
    Installation.objects.update(observed_digest="f" * 64, observed_client_id="somebody else")
    text = get(as_admin, account)
    assert "version not known" in text
    assert "it is not known which version it holds" in text
    assert "Another client" in text
    assert "1</strong><span>file shows another client ID" in text
    assert "0</strong><span>nothing proven yet" in text


def test_an_installation_whose_file_holds_the_goal_may_need_a_person_all_the_same(
    as_admin: Client, account: TechnicalAccount, installation: Installation
) -> None:
    assert "needs a person" not in get(as_admin, account)
    Push.objects.update(state="failed", code="reload_failed")
    text = get(as_admin, account)
    assert "1 / 1</strong><span>file holds the goal" in text
    assert "1 installation needs a person, whatever its file holds." in text
    assert f'href="/coverage/?account={account.pk}&amp;state=needs_you"' in text


def test_the_history_shows_versions_rollouts_pushes_and_attempts(
    as_auditor: Client, actor: Actor, account: TechnicalAccount, installation: Installation
) -> None:
    add_secret(account=account, plaintext=Secret(OTHER_SECRET), actor=actor)
    deliver(account, [installation], actor, output="<b>remote</b> text" + "x" * 5000 + "the end")
    text = get(as_auditor, account, show="history")
    fingerprints = [secret.fingerprint for secret in account.secrets.all()]
    assert all(each in text for each in fingerprints)
    assert text.count("CHG-7") == 2
    assert "the end" in text
    assert "<b>remote</b>" not in text
    assert "Attempt" in text


def test_another_secret_becomes_the_next_version(as_admin: Client, account: TechnicalAccount) -> None:
    response = as_admin.post(
        reverse("account_secret", args=[account.pk]), {"client_secret": f" {OTHER_SECRET} "}
    )
    assert response["Location"] == reverse("account_rollout", args=[account.pk])
    current = account.newest_version
    assert current is not None
    assert (current.version, open_version(current).reveal()) == (2, OTHER_SECRET)


def test_the_same_secret_again_changes_nothing(as_admin: Client, account: TechnicalAccount) -> None:
    as_admin.post(reverse("account_secret", args=[account.pk]), {"client_secret": SECRET})
    assert ClientSecret.objects.count() == 1


def test_of_a_file_with_both_secrets_the_new_one_is_taken(
    as_admin: Client, account: TechnicalAccount
) -> None:
    text = console_json(SECRET, OTHER_SECRET)
    as_admin.post(reverse("account_secret", args=[account.pk]), {"text": text})
    current = account.newest_version
    assert current is not None
    assert open_version(current).reveal() == OTHER_SECRET


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({}, "Enter the Client secret"),
        ({"client_secret": "with space and/slash"}, "slash"),
        ({"client_secret": CLIENT}, "looks like the Client ID"),
        ({"client_secret": "unusual"}, "not the usual format"),
        ({"text": console_json(OTHER_SECRET, client_id="e" * 32)}, "another Client ID"),
        ({"text": "{"}, "not complete JSON"),
        ({"text": console_json("p8e-" + "a" * 32, "p8e-" + "b" * 32)}, "which secret is the new one"),
    ],
)
def test_a_wrong_secret_is_refused_with_the_reason(
    as_admin: Client, account: TechnicalAccount, data: dict[str, str], why: str
) -> None:
    response = as_admin.post(reverse("account_secret", args=[account.pk]), data)
    assert why in response.content.decode()
    assert OTHER_SECRET not in response.content.decode()
    assert ClientSecret.objects.count() == 1


def test_a_doubtful_secret_is_stored_once_confirmed(as_admin: Client, account: TechnicalAccount) -> None:
    url = reverse("account_secret", args=[account.pk])
    as_admin.post(url, {"client_secret": "unusual", "accept": "on"})
    assert ClientSecret.objects.count() == 2
    response = as_admin.post(url, {"client_secret": SECRET})
    assert "secret of version 1" in response.content.decode()


def test_a_rotation_reaches_all_installations_by_default(
    as_admin: Client, actor: Actor, account: TechnicalAccount, installation: Installation
) -> None:
    second = make_installation(container="app02")
    add_secret(account=account, plaintext=Secret(OTHER_SECRET), actor=actor)
    text = get(as_admin, account, "account_rollout")
    assert text.count('name="installation"') == text.count(" checked>") - 2  # the instance and the reason
    assert f"-setimsoauth:{ORGANIZATION}/{CLIENT}/{ACCOUNT}/********" in text
    data = {**choose([installation, second]), "reason": "rotation", "message": "yearly"} | UNCONFIRMED
    response = as_admin.post(reverse("account_rollout", args=[account.pk]), data)
    rollout = Rollout.objects.get(reason="rotation")
    assert response["Location"] == reverse("rollout", args=[rollout.pk])
    assert (rollout.pushes.count(), rollout.message) == (2, "yearly")


def test_only_a_secret_that_was_never_rolled_out_is_called_a_rotation(
    as_admin: Client, actor: Actor, account: TechnicalAccount, installation: Installation
) -> None:
    url = reverse("account_rollout", args=[account.pk])
    add_secret(account=account, plaintext=Secret(OTHER_SECRET), actor=actor)
    assert as_admin.get(url).context["form"]["reason"].value() == "rotation"
    as_admin.post(url, {**choose([installation]), "reason": "rotation"} | UNCONFIRMED)
    assert as_admin.get(url).context["form"]["reason"].value() == "repair"
    assert as_admin.get(f"{url}?version=1").context["form"]["reason"].value() == "roll_back"


def test_another_instance_is_assigned_when_it_is_rolled_out(
    as_admin: Client, account: TechnicalAccount
) -> None:
    new = make_installation("prod2", "app09")
    assert "prod2" not in get(as_admin, account, "account_rollout")
    assert "prod2" in get(as_admin, account, "account_rollout", all="1")
    url = reverse("account_rollout", args=[account.pk]) + "?all=1"
    as_admin.post(url, {**choose([new]), "reason": "repair"} | UNCONFIRMED)
    assert Assignment.objects.get(instance=new.instance).account == account


def test_a_rollout_without_a_choice_or_with_garbage_is_refused(
    as_admin: Client, account: TechnicalAccount
) -> None:
    before = Rollout.objects.count()
    for data in (
        {"reason": "rotation", **choose([])},
        {"reason": "x", "instance": "x", "installation": "\x00"},
    ):
        response = as_admin.post(reverse("account_rollout", args=[account.pk]), data)
        assert response.status_code == 200
        assert "Please correct this" in response.content.decode()
    assert Rollout.objects.count() == before


def test_a_secret_that_adobe_refused_is_not_rolled_out(
    as_admin: Client, account: TechnicalAccount, installation: Installation
) -> None:
    ClientSecret.objects.update(ims_verdict="wrong_secret")
    before = Rollout.objects.count()
    data = {**choose([installation]), "reason": "repair"} | UNCONFIRMED
    text = as_admin.post(reverse("account_rollout", args=[account.pk]), data).content.decode()
    assert "Adobe refused this secret" in text
    assert Rollout.objects.count() == before


def test_adobe_is_asked_from_the_account_page(
    as_admin: Client, account: TechnicalAccount, settings: Settings
) -> None:
    settings.IMS_BASE_URL = "http://127.0.0.1:1"
    response = as_admin.post(reverse("account_check", args=[account.pk]))
    assert response["Location"] == reverse("account", args=[account.pk])
    assert "Adobe not reached" in get(as_admin, account)


def test_an_account_in_use_is_not_retired(as_admin: Client, account: TechnicalAccount) -> None:
    url = reverse("account_retire", args=[account.pk])
    assert "still in use" in as_admin.get(url).content.decode()
    as_admin.post(url)
    account.refresh_from_db()
    assert account.state == "active"
    Assignment.objects.all().delete()
    as_admin.post(url)
    account.refresh_from_db()
    assert account.state == "retired"
    assert set(account.secrets.values_list("state", flat=True)) == {"abandoned"}


@pytest.mark.parametrize("name", ["account_secret", "account_check", "account_rollout", "account_retire"])
def test_only_admins_change_accounts(
    name: str, as_helpdesk: Client, as_auditor: Client, account: TechnicalAccount
) -> None:
    for client in (as_helpdesk, as_auditor):
        assert client.post(reverse(name, args=[account.pk])).status_code == 403
        assert client.get(reverse("account", args=[account.pk])).status_code == 200


def test_a_page_of_nobody_is_not_found(as_admin: Client) -> None:
    for name in ("account", "account_secret", "account_rollout", "account_retire"):
        assert as_admin.get(reverse(name, args=[uuid.uuid4()])).status_code == 404


def test_what_adobe_said_of_a_secret_that_is_gone_does_not_look_like_its_state(
    as_admin: Client, account: TechnicalAccount
) -> None:
    ClientSecret.objects.update(ims_verdict="valid", ims_checked=timezone.now())
    url = f"{reverse('account', args=[account.pk])}?show=history"
    assert "when it was in use" not in as_admin.get(url).content.decode()
    ClientSecret.objects.update(state=ClientSecret.State.DELETED, slot=None, ciphertext=None)
    assert "when it was in use: Valid" in " ".join(as_admin.get(url).content.decode().split())
