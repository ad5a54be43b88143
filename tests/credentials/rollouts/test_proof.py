"""Every row of the decision table over real SSH, with nlservers that lie and people who interfere.

The account is rotated from FIRST to SECOND on a container that really holds FIRST; what the file holds in the
end is read with the stand-in's own key. `docs/decisions/0016-proof-of-a-push.md` has the rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from credentials import services
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Attempt, CandidateDigest, ProvenDigest, Push
from credentials.rollouts.services import held_versions, look_again
from instances.models import Installation
from instances.nlserver.conversation import HARMLESS_LINES
from portal.audit.trail import Actor
from portal.plaintext import Secret
from portal.sandbox import nlserver
from portal.sandbox.ssh_server import SSHFaults
from tests.credentials.rollouts.conftest import FIRST, SECOND, MakeSite, Site, Start, deliver_all, only_push

pytestmark = pytest.mark.one_engine  # what is judged is the file, and no database has a say in it

BOTH_CIPHERS = pytest.mark.parametrize("cipher", [(), ("deterministic",)], ids=["random", "fixed"])
Cipher = tuple[str, ...]


@dataclass
class Rotation:
    """A container that holds FIRST as the portal proved, and an account whose current secret is SECOND."""

    site: Site
    account: TechnicalAccount
    actor: Actor
    start: Start
    cipher: Cipher

    def push(self, *faults: str) -> Push:
        """Push the current secret while nlserver has these faults, until nothing is due any more."""
        self.site.container.set_faults(*faults, *self.cipher)
        rollout = self.start(self.site)
        deliver_all(self.site)
        return only_push(rollout)

    def set_by_hand(self, secret: str) -> None:
        """Write another secret of the same account into the file, as an administrator would."""
        line = (
            self.account.organization_id,
            self.account.client_id,
            self.account.technical_account_id,
            secret,
        )
        call = ["config", "-instance:prod1", f"-setimsoauth:{'/'.join(line)}"]
        self.site.container.set_faults(*self.cipher)
        self.site.container.run(*call)

    def copied_to(self, twin: Site) -> "Rotation":
        """Give another container the key of this one, as its image would: equal secrets look equal there."""
        key = (self.site.container.folder / nlserver.KEY).read_text()
        (twin.container.folder / nlserver.KEY).write_text(key)
        return Rotation(twin, self.account, self.actor, self.start, self.cipher)


MakeRotation = Callable[..., Rotation]


@pytest.fixture
def rotation(make_site: MakeSite, start: Start, account: TechnicalAccount, actor: Actor) -> MakeRotation:
    def make(cipher: Cipher = (), *, name: str = "mkt-1", **made: object) -> Rotation:
        site = make_site(name, faults=cipher, **made)
        first = start(site)
        deliver_all(site)
        assert only_push(first).state == "succeeded"
        services.add_secret(account=account, plaintext=Secret(SECOND), actor=actor)
        return Rotation(site, account, actor, start, cipher)

    return make


def verdict(push: Push) -> tuple[str, str]:
    return push.state, push.code


def last(push: Push) -> Attempt:
    return push.attempts.latest("number")


def interfere(site: Site, *, before: str = "", after: str = "", at_reload: str = "") -> None:
    """Let somebody run shell commands on the container around nlserver; `$file` is the configuration."""
    program = site.container.program
    program.rename(program.with_suffix(".real"))
    program.write_text(
        "#!/bin/sh\n"
        'file=$(dirname "$0")/../conf/config-prod1.xml\n'
        f'case "$*" in *-setimsoauth:*) {before or ":"} ;; esac\n'
        '"$0.real" "$@"\n'
        "status=$?\n"
        f'case "$*" in *-setimsoauth:*) {after or ":"} ;; *-reload*) {at_reload or ":"} ;; esac\n'
        "exit $status\n"
    )
    program.chmod(0o755)


# --- honest servers --------------------------------------------------------------------------------------


@BOTH_CIPHERS
def test_an_honest_rotation_is_proven_by_the_change(rotation: MakeRotation, cipher: Cipher) -> None:
    there = rotation(cipher)
    push = there.push()
    assert verdict(push) == ("succeeded", "")
    assert (last(push).proof, there.site.secret()) == ("changed", SECOND)
    proven = ProvenDigest.objects.get(secret=push.rollout.secret)
    assert (proven.digest, proven.attempt) == (last(push).after_digest, last(push))


@BOTH_CIPHERS
def test_a_repair_of_what_is_there_succeeds(rotation: MakeRotation, cipher: Cipher) -> None:
    there = rotation(cipher)
    there.push()
    push = there.push()
    assert verdict(push) == ("succeeded", "")
    assert last(push).proof == ("recognized" if cipher else "changed")
    assert ProvenDigest.objects.filter(secret=push.rollout.secret).count() == (1 if cipher else 2)


@BOTH_CIPHERS
@pytest.mark.parametrize("stopped", ["killed_after_writing*1", "reload_fails*1"])
def test_a_write_that_was_cut_off_is_confirmed_by_one_repeat(
    rotation: MakeRotation, cipher: Cipher, stopped: str
) -> None:
    there = rotation(cipher)
    push = there.push(stopped)
    if stopped.startswith("reload"):
        assert verdict(push) == ("failed", "reload_failed")
        assert held_versions(Installation.objects.all())[there.site.installation.pk].version == 2
        return
    assert verdict(push) == ("succeeded", "")
    proofs = list(push.attempts.order_by("number").values_list("code", "proof"))
    assert proofs == [("write_not_confirmed", "candidate"), ("", "repeated" if cipher else "changed")]
    assert push.resent
    assert there.site.secret() == SECOND


@BOTH_CIPHERS
def test_a_lost_report_is_settled_by_the_journal(rotation: MakeRotation, cipher: Cipher) -> None:
    there = rotation(cipher, ssh_faults=SSHFaults())
    there.site.server.faults.drop_after_newline = HARMLESS_LINES + 1
    there.site.server.faults.drops_left = 1
    push = there.push()
    assert verdict(push) == ("succeeded", "")
    assert [attempt.kind for attempt in push.attempts.order_by("number")] == ["push", "look"]
    assert (last(push).proof, there.site.secret()) == ("changed", SECOND)


@BOTH_CIPHERS
def test_a_server_that_writes_late_ends_as_a_success(
    rotation: MakeRotation, settings: Settings, cipher: Cipher
) -> None:
    settings.PUSH_SECOND_LOOK = 4
    there = rotation(cipher)
    push = there.push("writes_late=1*1")
    assert verdict(push) == ("succeeded", "")
    assert push.attempts.order_by("number")[0].proof == "candidate"
    assert (last(push).proof, there.site.secret()) == ("repeated" if cipher else "changed", SECOND)


def test_containers_that_share_a_key_vouch_for_each_other(
    rotation: MakeRotation, make_site: MakeSite
) -> None:
    fixed = ("deterministic",)
    there = rotation(fixed)
    there.push()
    copied = there.copied_to(make_site("mkt-2", faults=fixed))
    copied.set_by_hand(SECOND)
    push = copied.push()
    assert verdict(push) == ("succeeded", "")
    assert last(push).proof == "recognized"
    assert "mkt-1" in ProvenDigest.objects.get(digest=last(push).after_digest).attempt.push.container.name


def test_a_candidate_counts_for_its_own_installation_alone(
    rotation: MakeRotation, make_site: MakeSite
) -> None:
    fixed = ("deterministic",)
    there = rotation(fixed)
    there.push("killed_after_writing")
    copied = there.copied_to(make_site("mkt-2", faults=fixed))
    copied.set_by_hand(SECOND)
    push = copied.push()
    candidate = CandidateDigest.objects.get()
    assert (candidate.installation, candidate.digest) == (there.site.installation, last(push).after_digest)
    assert verdict(push) == ("failed", "not_proven")


# --- liars -----------------------------------------------------------------------------------------------


@BOTH_CIPHERS
@pytest.mark.parametrize("lie", ["exit_0_without_writing", "touches", "rewrites"])
def test_exit_0_without_the_secret_is_told_to_hold_the_other_version(
    rotation: MakeRotation, cipher: Cipher, lie: str
) -> None:
    there = rotation(cipher)
    push = there.push(lie)
    assert verdict(push) == ("failed", "other_version")
    assert there.site.secret() == FIRST
    first = ClientSecret.objects.get(version=1)
    assert push.explanation
    assert "Do not delete the old secret" in str(push.explanation.next_step)
    assert last(push).notes_in_words == [f"the file holds {first}, as was proven on prod1 on mkt-1"]
    assert held_versions(Installation.objects.all())[there.site.installation.pk] == first


@BOTH_CIPHERS
@pytest.mark.parametrize("lie", ["exit_0_without_writing", "touches", "rewrites"])
def test_exit_0_over_a_secret_that_nobody_proved_is_not_proven(
    rotation: MakeRotation, cipher: Cipher, lie: str
) -> None:
    there = rotation(cipher)
    there.set_by_hand("p8e-set-by-hand-by-an-administrator01")
    push = there.push(lie)
    assert verdict(push) == ("failed", "not_proven")
    assert last(push).proof == ""
    assert push.rollout.secret_id not in [
        each.pk for each in held_versions(Installation.objects.all()).values()
    ]


@BOTH_CIPHERS
@pytest.mark.parametrize(
    ("lie", "code"), [("second_node", "several_secrets"), ("empties_organization", "organization_empty")]
)
def test_a_file_that_leaves_it_open_is_no_success(
    rotation: MakeRotation, cipher: Cipher, lie: str, code: str
) -> None:
    assert verdict(rotation(cipher).push(lie)) == ("failed", code)


@BOTH_CIPHERS
@pytest.mark.parametrize("moment", ["before", "after", "at_reload"])
def test_a_file_that_is_restored_meanwhile_is_told_by_its_version(
    rotation: MakeRotation, cipher: Cipher, moment: str, tmp_path: Path
) -> None:
    there = rotation(cipher)
    saved = tmp_path / "saved.xml"
    saved.write_bytes(there.site.container.config("prod1").read_bytes())
    faults = ("exit_0_without_writing",) if moment == "before" else ()
    interfere(there.site, **{moment: f'cat {saved} >"$file"'})
    assert verdict(there.push(*faults)) == ("failed", "other_version")
    assert there.site.secret() == FIRST


@BOTH_CIPHERS
def test_a_file_that_is_restored_to_what_nobody_proved_is_no_success(
    rotation: MakeRotation, cipher: Cipher, tmp_path: Path
) -> None:
    there = rotation(cipher)
    there.set_by_hand("p8e-set-by-hand-by-an-administrator01")
    saved = tmp_path / "saved.xml"
    saved.write_bytes(there.site.container.config("prod1").read_bytes())
    interfere(there.site, at_reload=f'cat {saved} >"$file"')
    assert verdict(there.push()) == ("failed", "changed_again")


@BOTH_CIPHERS
def test_a_reload_that_encrypts_anew_is_never_proven(rotation: MakeRotation, cipher: Cipher) -> None:
    push = rotation(cipher).push("reload_encrypts_anew")
    assert verdict(push) == ("failed", "changed_again")
    assert push.attempts.count() == 1


@BOTH_CIPHERS
def test_a_kill_before_the_write_is_no_proof(rotation: MakeRotation, cipher: Cipher) -> None:
    there = rotation(cipher)
    push = there.push("killed_before_writing")
    assert verdict(push) == ("failed", "killed")
    assert (last(push).proof, there.site.secret()) == ("", FIRST)


@BOTH_CIPHERS
def test_a_kill_after_every_write_is_sent_once_more_and_no_more(
    rotation: MakeRotation, cipher: Cipher
) -> None:
    push = rotation(cipher).push("killed_after_writing")
    assert push.state == "failed"
    assert push.code in ("write_not_confirmed", "killed")
    assert push.attempts.count() == 2
    assert CandidateDigest.objects.get().secret == push.rollout.secret


def test_a_file_cut_off_under_the_lock_is_nothing_to_compare_with(rotation: MakeRotation) -> None:
    there = rotation()
    there.set_by_hand("p8e-set-by-hand-by-an-administrator01")
    whole = there.site.container.config("prod1").read_text()
    there.site.container.config("prod1").write_text(whole[: whole.index("<wfserver")])
    interfere(there.site, before=f"cat >\"$file\" <<'END'\n{whole}\nEND\n")
    assert verdict(there.push()) == ("failed", "not_comparable")


def test_a_file_that_is_cut_off_in_the_end_is_no_success(rotation: MakeRotation) -> None:
    there = rotation()
    interfere(there.site, at_reload='head -c 300 "$file" >"$file.cut" && cat "$file.cut" >"$file"')
    assert verdict(there.push()) == ("failed", "file_unreadable")


def test_one_digest_for_two_versions_proves_neither(rotation: MakeRotation) -> None:
    there = rotation(("deterministic",))
    push = there.push()
    first = ClientSecret.objects.get(version=1)
    ProvenDigest.objects.create(digest=last(push).after_digest, secret=first, attempt=last(push))
    assert verdict(there.push()) == ("failed", "digest_ambiguous")


def test_the_same_secret_under_another_account_is_the_same_secret(
    rotation: MakeRotation, account: TechnicalAccount
) -> None:
    there = rotation(("deterministic",))
    there.push()
    again = TechnicalAccount.objects.create(name="Again", state="retired", client_id=account.client_id)
    version = services.add_secret(account=again, plaintext=Secret(SECOND), actor=there.actor)[0]
    ProvenDigest.objects.filter(secret__account=account, secret__version=2).update(secret=version)
    push = there.push()
    assert (*verdict(push), last(push).proof) == ("succeeded", "", "recognized")
    # What was merely recognized vouches for nothing.
    assert ProvenDigest.objects.get(digest=last(push).after_digest).secret == version


# --- what no file can show -------------------------------------------------------------------------------


@pytest.mark.parametrize("liar", ["encrypts_anew", "third_value", "a person"])
def test_three_liars_that_no_file_can_show_pass(rotation: MakeRotation, liar: str) -> None:
    """They stand in docs/threat-model.md: Adobe alone can tell, by when the new secret was last used."""
    there = rotation()
    if liar == "a person":
        old = there.site.container.folder / "old"
        there.set_by_hand(FIRST)
        old.write_bytes(there.site.container.config("prod1").read_bytes())
        there.set_by_hand(FIRST)
        interfere(there.site, after=f'cat {old} >"$file"')
        push = there.push("exit_0_without_writing")
    else:
        push = there.push(liar)
    assert verdict(push) == ("succeeded", "")
    assert there.site.secret() != SECOND


# --- looking again ---------------------------------------------------------------------------------------


def test_looking_again_recognizes_what_was_proven_elsewhere_since(
    rotation: MakeRotation, make_site: MakeSite
) -> None:
    fixed = ("deterministic",)
    there = rotation(fixed)
    copied = there.copied_to(make_site("mkt-2", faults=fixed))
    copied.set_by_hand(SECOND)
    push = copied.push()
    assert verdict(push) == ("failed", "not_proven")
    there.push()
    assert look_again(push_id=push.pk, actor=there.actor)
    deliver_all(copied.site)
    push.refresh_from_db()
    assert verdict(push) == ("succeeded", "")
    assert [attempt.kind for attempt in push.attempts.order_by("number")] == ["push", "look"]


def test_looking_again_sends_nothing_even_where_the_container_remembers_nothing(
    rotation: MakeRotation,
) -> None:
    there = rotation()
    push = there.push("exit_0_without_writing")
    for file in (there.site.container.install_root / "nl6/var/campaign-portal").iterdir():
        file.unlink()
    calls = len(there.site.container.invocations())
    assert look_again(push_id=push.pk, actor=there.actor)
    deliver_all(there.site)
    push.refresh_from_db()
    assert push.state == "failed"
    assert len(there.site.container.invocations()) == calls
