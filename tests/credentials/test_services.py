"""Verbs on accounts: enter a secret, assign, activate, retire."""

import pytest
from django.db import IntegrityError

from credentials.keys.keyring import UnreadableSecret
from credentials.keys.vault import open_version
from credentials.models import Assignment, ClientSecret, TechnicalAccount
from credentials.services import (
    AccountError,
    NoPlace,
    activate,
    add_secret,
    assign,
    record_ims_verdict,
    retire,
)
from instances.models import Instance
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.plaintext import Secret

CANARY = "p8e-canary-canary-canary-canary-0000"


@pytest.fixture
def account(db: None) -> TechnicalAccount:
    return TechnicalAccount.objects.create(name="a", client_id="client")


def test_a_secret_is_stored_encrypted_and_bound_to_its_row(account: TechnicalAccount, actor: Actor) -> None:
    first, _ = add_secret(account=account, plaintext=Secret(CANARY), actor=actor)
    second, _ = add_secret(account=account, plaintext=Secret("another"), actor=actor)
    first.refresh_from_db()
    assert open_version(first).reveal() == CANARY
    assert CANARY not in (first.ciphertext or CANARY)
    first.ciphertext = second.ciphertext
    with pytest.raises(UnreadableSecret):
        open_version(first)


def states(account: TechnicalAccount) -> dict[int, str]:
    return dict(account.secrets.order_by("version").values_list("version", "state"))


def test_a_draft_keeps_the_newest_secret_alone(account: TechnicalAccount, actor: Actor) -> None:
    for text in ("one", "two", "three"):
        add_secret(account=account, plaintext=Secret(text), actor=actor)
    assert states(account) == {1: "abandoned", 2: "abandoned", 3: "usable"}


def test_an_account_in_use_has_two_usable_versions_at_most(account: TechnicalAccount, actor: Actor) -> None:
    TechnicalAccount.objects.update(state="active")
    for text in ("one", "two"):
        add_secret(account=account, plaintext=Secret(text), actor=actor)
    with pytest.raises(NoPlace, match="as many as Adobe allows"):
        add_secret(account=account, plaintext=Secret("three"), actor=actor)
    assert states(account) == {1: "usable", 2: "usable"}


def test_the_same_secret_again_is_no_new_version(account: TechnicalAccount, actor: Actor) -> None:
    add_secret(account=account, plaintext=Secret("one"), actor=actor)
    same, is_new = add_secret(account=account, plaintext=Secret("one"), actor=actor)
    assert (same.version, is_new, account.secrets.count()) == (1, False, 1)


def test_an_abandoned_secret_again_makes_its_version_usable(account: TechnicalAccount, actor: Actor) -> None:
    first, _ = add_secret(account=account, plaintext=Secret("one"), actor=actor)
    second, _ = add_secret(account=account, plaintext=Secret("two"), actor=actor)
    again, is_new = add_secret(account=account, plaintext=Secret("one"), actor=actor)
    assert (again, is_new, account.secrets.count()) == (first, False, 2)
    second.refresh_from_db()
    assert (account.newest_version, second.state) == (first, "abandoned")
    event = AuditEvent.objects.get(action="client_secret.selected")
    assert event.details == {"version": 1, "fingerprint": first.fingerprint}


def test_entering_a_secret_is_recorded_by_fingerprint_alone(account: TechnicalAccount, actor: Actor) -> None:
    secret, _ = add_secret(account=account, plaintext=Secret(CANARY), actor=actor)
    event = AuditEvent.objects.get(action="client_secret.entered")
    assert event.details == {"version": 1, "fingerprint": secret.fingerprint}
    assert event.actor_name == "alice"


@pytest.mark.parametrize("slot", [None, 1, 3])
def test_the_database_allows_one_usable_version_per_place(
    account: TechnicalAccount, actor: Actor, slot: int | None
) -> None:
    add_secret(account=account, plaintext=Secret("one"), actor=actor)
    with pytest.raises(IntegrityError):
        ClientSecret.objects.create(
            account=account, version=9, client_id="client", entered_by_name="x", slot=slot
        )


def test_an_answer_of_adobe_is_kept_with_its_version(account: TechnicalAccount, actor: Actor) -> None:
    secret, _ = add_secret(account=account, plaintext=Secret("one"), actor=actor)
    record_ims_verdict(version=secret, verdict="valid", actor=actor)
    secret.refresh_from_db()
    assert secret.ims_verdict == "valid"
    assert AuditEvent.objects.filter(action="client_secret.checked").count() == 1


def test_assigning_replaces_the_former_account_and_names_it(account: TechnicalAccount, actor: Actor) -> None:
    former = TechnicalAccount.objects.create(name="former")
    instance = Instance.objects.create(name="prod1")
    assign(account=former, instances=[instance], actor=actor)
    assign(account=account, instances=[instance], actor=actor)
    assign(account=account, instances=[instance], actor=actor)
    assert Assignment.objects.get().account == account
    events = AuditEvent.objects.filter(action="account.assigned").order_by("seq")
    assert [event.details["former_account"] for event in events] == ["", "former"]


def test_a_hosted_instance_is_not_assigned_nor_are_the_others(
    account: TechnicalAccount, actor: Actor
) -> None:
    instances = [Instance.objects.create(name="a1"), Instance.objects.create(name="a2", deployment="hosted")]
    with pytest.raises(AccountError, match="hosted by Adobe"):
        assign(account=account, instances=instances, actor=actor)
    assert not Assignment.objects.exists()


def test_only_a_draft_with_a_secret_becomes_active(account: TechnicalAccount, actor: Actor) -> None:
    with pytest.raises(AccountError, match="four values"):
        activate(account=account, actor=actor)
    add_secret(account=account, plaintext=Secret("one"), actor=actor)
    activate(account=account, actor=actor)
    activate(account=account, actor=actor)
    assert AuditEvent.objects.filter(action="account.activated").count() == 1


def test_retiring_abandons_the_secrets_unless_the_account_is_used(
    account: TechnicalAccount, actor: Actor
) -> None:
    add_secret(account=account, plaintext=Secret("one"), actor=actor)
    activate(account=account, actor=actor)
    assign(account=account, instances=[Instance.objects.create(name="prod1")], actor=actor)
    with pytest.raises(AccountError, match="prod1"):
        retire(account=account, actor=actor)
    Assignment.objects.all().delete()
    retire(account=account, actor=actor)
    assert account.secrets.get().state == "abandoned"
    with pytest.raises(AccountError):
        activate(account=account, actor=actor)
