"""Keys are replaced while the portal works: what the former one made stays right, nobody is left behind."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from credentials.keys.fingerprint_key import replace_fingerprint_key
from credentials.keys.keyring import fingerprint, keyring
from credentials.keys.rekeying import rotate
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.proof import is_same_secret
from credentials.services import add_secret
from portal.audit.chain import audit_keys, kept_head
from portal.audit.chain.verification import verify
from portal.audit.models import AuditEvent, AuditHead
from portal.audit.trail import Actor, record
from portal.health.models import Worker
from portal.keys import holders, known
from portal.keys.known import KeysRefused
from portal.keys.models import KeyHolder, KnownKey
from portal.plaintext import Secret
from portal.private_files import random_key
from tests.portal.audit.tampering import change, open_trail

ACTION = "rollout.requested"

pytestmark = [pytest.mark.django_db, pytest.mark.database]
RINGS = ["audit_key", "fingerprint_key", "keyring", "secret_key"]


def add(actor: Actor, count: int = 2) -> None:
    for _ in range(count):
        record(ACTION, actor=actor)


def prepend(settings: Settings, name: str = "audit_key") -> tuple[str, str]:
    """Put a new key on the first line; return it and the former text."""
    former = getattr(settings, name.upper())
    new = random_key()
    setattr(settings, name.upper(), f"{new}\n{former}")
    return new, former


def problems() -> list[str]:
    return [each.problem for each in verify().findings]


def reseal(first: int, to: int | None = None) -> None:
    """Seal the history anew from an event on, as somebody can who has the database and this process's key."""
    open_trail()
    previous = AuditEvent.objects.get(seq=first - 1).hash
    for event in AuditEvent.objects.filter(seq__gte=first, seq__lte=to or 10**9).order_by("seq"):
        event.chain(previous)
        previous = event.hash
        values = {"prev_hash": event.prev_hash, "hash": event.hash, "seal": event.seal}
        AuditEvent.objects.filter(seq=event.seq).update(**values)
    if to is None:
        head = AuditHead.objects.get()
        head.hash = previous
        head.seal = head.expected_seal()
        head.save()


def replace_audit_key(settings: Settings, actor: Actor) -> tuple[str, str]:
    add(actor)
    keys = prepend(settings)
    call_command("keys", "accept", "audit_key")
    add(actor)
    return keys


# The audit key


def test_the_history_verifies_across_a_replaced_audit_key(settings: Settings, actor: Actor) -> None:
    new, former = replace_audit_key(settings, actor)
    assert problems() == []
    event = AuditEvent.objects.get(action=audit_keys.REPLACED)
    assert event.details["before"] == audit_keys.fingerprint(former)
    assert event.details["after"] == audit_keys.fingerprint(new)
    assert event.is_sealed_with(new)
    assert AuditEvent.objects.order_by("seq").last().is_sealed_with(new)  # type: ignore[union-attr]  # there is one
    assert AuditHead.objects.get().sealed_with == new
    kept_head.keep()
    assert kept_head.compare().problem == ""
    assert known.problems() == []
    call_command("keys", "accept", "audit_key")  # again: nothing is left to do
    assert AuditEvent.objects.filter(action=audit_keys.REPLACED).count() == 1


def test_until_it_is_accepted_a_new_audit_key_seals_nothing(settings: Settings, actor: Actor) -> None:
    """Another process may not hold it yet, and would take the kept head for a forged one."""
    _, former = prepend(settings)
    add(actor)
    kept_head.keep()
    settings.AUDIT_KEY = former
    assert problems() == []
    assert kept_head.read()


def test_a_process_with_the_former_key_alone_records_nothing_any_more(
    settings: Settings, actor: Actor
) -> None:
    _, former = replace_audit_key(settings, actor)
    settings.AUDIT_KEY = former
    with pytest.raises(KeysRefused, match="AUDIT_KEY"):
        add(actor)


def test_a_stolen_former_key_changes_nothing_unseen(settings: Settings, actor: Actor) -> None:
    """Whoever has it and the database can seal what he likes with it, and put any head row there."""
    _, former = replace_audit_key(settings, actor)
    replaced = AuditEvent.objects.get(action=audit_keys.REPLACED).seq
    both = settings.AUDIT_KEY
    settings.AUDIT_KEY = former  # what he works with
    change(replaced + 1, action="other")
    reseal(replaced + 1)
    settings.AUDIT_KEY = both
    assert "was changed after it was recorded" in problems()


def test_a_stolen_former_key_does_not_change_what_came_before(settings: Settings, actor: Actor) -> None:
    _, former = replace_audit_key(settings, actor)
    replaced = AuditEvent.objects.get(action=audit_keys.REPLACED).seq
    both, settings.AUDIT_KEY = settings.AUDIT_KEY, former
    change(replaced - 1, action="other")
    reseal(replaced - 1, to=replaced - 1)
    settings.AUDIT_KEY = both
    assert problems() == ["does not continue the event before it"]


def test_a_forged_replacement_does_not_bring_a_former_key_back(settings: Settings, actor: Actor) -> None:
    new, former = replace_audit_key(settings, actor)
    last = AuditHead.objects.get().seq
    forged = {"before": audit_keys.fingerprint(new), "after": audit_keys.fingerprint(former)}
    both, settings.AUDIT_KEY = settings.AUDIT_KEY, former
    change(last, action=audit_keys.REPLACED, details=forged)
    reseal(last)
    settings.AUDIT_KEY = both
    assert "was changed after it was recorded" in problems()


def test_a_former_key_that_was_thrown_away_is_named(settings: Settings, actor: Actor) -> None:
    new, former = replace_audit_key(settings, actor)
    settings.AUDIT_KEY = new
    [problem] = problems()
    assert audit_keys.fingerprint(former) in problem
    settings.AUDIT_KEY = f"{new}\n{former}"
    assert problems() == []


def test_an_audit_key_can_be_replaced_again(settings: Settings, actor: Actor) -> None:
    for _ in range(3):
        replace_audit_key(settings, actor)
    assert problems() == []


def test_a_sealed_break_of_the_former_key_stays_sealed(settings: Settings, actor: Actor) -> None:
    add(actor, 4)
    change(2, action="other")
    call_command("seal_audit_break", "--reason", "a test", "--yes")
    replace_audit_key(settings, actor)
    assert (problems(), len(verify().sealed_breaks)) == ([], 1)
    change(2, action="a third")
    assert len(problems()) == 1


def test_a_history_that_does_not_verify_is_not_taken_over(settings: Settings, actor: Actor) -> None:
    add(actor)
    change(1, action="other")
    prepend(settings)
    with pytest.raises(CommandError, match="does not verify"):
        call_command("keys", "accept", "audit_key")


# The fingerprint key


@pytest.fixture
def account(actor: Actor) -> TechnicalAccount:
    account = TechnicalAccount.objects.create(name="a", client_id="client")
    for text in ("one", "two"):
        add_secret(account=account, plaintext=Secret(text), actor=actor)
    return account


def test_secrets_are_recognized_before_during_and_after_a_new_fingerprint_key(
    settings: Settings, actor: Actor, account: TechnicalAccount
) -> None:
    def recognizes() -> None:
        assert add_secret(account=account, plaintext=Secret("two"), actor=actor)[1] is False
        assert ClientSecret.objects.count() == 2

    before = {each.version: each.fingerprint for each in account.secrets.all()}
    new, _ = prepend(settings, "fingerprint_key")
    recognizes()
    call_command("keys", "accept", "fingerprint_key")
    recognizes()
    after = {each.version: each.fingerprint for each in account.secrets.all()}
    assert after == {
        number: fingerprint(Secret(text), "client", new) for number, text in ((1, "one"), (2, "two"))
    }
    settings.FINGERPRINT_KEY = new
    recognizes()
    assert known.problems() == []
    told = AuditEvent.objects.filter(action="client_secret.fingerprint_replaced")
    assert {each.details["version"]: each.details["former"] for each in told} == before


def test_nothing_is_stored_under_a_fingerprint_key_that_is_not_accepted(
    settings: Settings, actor: Actor, account: TechnicalAccount
) -> None:
    _, former = prepend(settings, "fingerprint_key")
    version, is_new = add_secret(account=account, plaintext=Secret("three"), actor=actor)
    assert is_new
    assert version.fingerprint == fingerprint(Secret("three"), "client", former)


def test_an_interrupted_replacement_of_the_fingerprint_key_is_repeated(
    settings: Settings, actor: Actor, account: TechnicalAccount
) -> None:
    """Versions of one client id are compared with each other, so they change together or not at all."""
    other = TechnicalAccount.objects.create(name="b", client_id="other")
    spoiled, _ = add_secret(account=other, plaintext=Secret("spoiled"), actor=actor)
    twin = TechnicalAccount.objects.create(name="c", client_id="client", state="retired")
    add_secret(account=twin, plaintext=Secret("two"), actor=actor)
    new, _ = prepend(settings, "fingerprint_key")
    whole = spoiled.ciphertext
    ClientSecret.objects.filter(pk=spoiled.pk).update(ciphertext="v1.00000000.AAAA")
    with pytest.raises(KeysRefused, match="cannot be opened: other"):
        replace_fingerprint_key(actor=actor)
    assert is_same_secret(account.secrets.get(version=2), twin.secrets.get())
    ClientSecret.objects.filter(pk=spoiled.pk).update(ciphertext=whole)
    assert replace_fingerprint_key(actor=actor).startswith("1 secret ")
    spoiled.refresh_from_db()
    assert spoiled.fingerprint == fingerprint(Secret("spoiled"), "other", new)
    assert AuditEvent.objects.filter(action="fingerprint_key.replaced").count() == 1


# Nobody is left behind


@pytest.mark.parametrize("name", RINGS)
def test_no_key_is_moved_to_while_a_running_process_lacks_it(
    settings: Settings, actor: Actor, account: TechnicalAccount, name: str
) -> None:
    if name == "secret_key":
        move = ["keys", "accept", name]
        KeyHolder.objects.create(name="web-1:7", keys={name: [known.known_keys()[name].fingerprint]})
        former, settings.SECRET_KEY = settings.SECRET_KEY, random_key(48)
        settings.SECRET_KEY_FALLBACKS = [former]
    else:
        holders.say()
        KeyHolder.objects.filter(name=holders.my_name()).update(name="web-1:7")
        prepend(settings, name)
        move = ["keyring", "rotate"] if name == "keyring" else ["keys", "accept", name]
    tokens = set(ClientSecret.objects.values_list("ciphertext", "fingerprint"))
    head = str(AuditHead.objects.get())
    with pytest.raises(CommandError, match="web-1:7"):
        call_command(*move)
    assert set(ClientSecret.objects.values_list("ciphertext", "fingerprint")) == tokens
    assert str(AuditHead.objects.get()) == head
    holders.say()
    KeyHolder.objects.filter(name="web-1:7").delete()
    KeyHolder.objects.filter(name=holders.my_name()).update(name="web-1:7")  # restarted
    call_command(*move)
    assert str(AuditHead.objects.get()) != head
    assert known.problems() == []


def test_a_worker_of_an_older_release_does_not_say_what_it_holds(settings: Settings, actor: Actor) -> None:
    Worker.objects.create(name="worker-1:9", concurrency=1)
    prepend(settings, "keyring")
    with pytest.raises(KeysRefused, match="worker-1:9"):
        rotate(actor=actor)


def test_the_list_names_who_lacks_the_newest_key(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    holders.say()
    prepend(settings, "keyring")
    with pytest.raises(CommandError):  # there is no SSH key here
        call_command("keys", "list", "--json")
    [line] = [each for each in json.loads(capsys.readouterr().out)["keys"] if each["name"] == "keyring"]
    assert (line["state"], line["lacking"]) == ("fits, newest key not in use", [holders.my_name()])


def test_a_process_says_what_it_holds_and_gives_nothing_away() -> None:
    holders.say()
    row = KeyHolder.objects.get()
    assert row.keys["keyring"] == keyring().fingerprints
    names = {"audit_key", "fingerprint_key", "keyring", "secret_key", "signing_key", "ssh_key"}
    assert set(row.keys) == names
    assert all(len(each) <= 64 for names in row.keys.values() for each in names)


# The secret key and the metrics token


def test_nobody_who_works_is_signed_out_by_a_new_secret_key(
    settings: Settings, as_admin: Client, as_auditor: Client
) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = random_key(48), [settings.SECRET_KEY]
    assert known.problems() == []
    assert as_admin.get("/").status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert as_admin.get("/").status_code == 200  # the session was signed anew
    assert as_auditor.get("/").status_code == 302  # away all the time


def test_two_tokens_open_the_figures_while_one_takes_the_others_place(
    settings: Settings, client: Client
) -> None:
    tokens = [random_key(), random_key()]
    settings.METRICS_TOKEN = "\n".join(tokens)
    answers = [
        client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code
        for token in [*tokens, settings.METRICS_TOKEN.replace("\n", " "), ""]
    ]
    assert answers == [200, 200, 401, 401]


def test_a_key_of_several_lines_of_an_earlier_release_still_counts(settings: Settings, actor: Actor) -> None:
    """`openssl rand -base64 96` prints two lines, and both together were the key."""
    whole = f"{random_key(48)}\n{random_key(20)}"
    settings.AUDIT_KEY = whole
    KnownKey.objects.filter(name="audit_key").update(fingerprint=audit_keys.fingerprint(whole))
    head = AuditHead.objects.get()
    head.seal = head.expected_seal(whole)
    head.save()
    assert known.problems() == []
    add(actor)
    assert AuditHead.objects.get().sealed_with == whole
    assert problems() == []
    assert connection.in_atomic_block
