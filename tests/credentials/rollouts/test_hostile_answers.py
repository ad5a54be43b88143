"""Containers whose answers are broken or hostile: a code, nothing believed, and no secret stored."""

import pytest
from django.core import serializers
from django.db.models import Model

from credentials.models import TechnicalAccount
from credentials.rollouts.models import Attempt, CandidateDigest, ProvenDigest, ProvenWrite, Push
from instances import nlserver, ssh
from instances.models import Installation
from instances.nlserver.conversation import HARMLESS_LINES
from instances.visits import visit
from portal.audit.models import AuditEvent
from portal.sandbox.ssh_server import SSHFaults
from tests.credentials.rollouts.conftest import FIRST, MakeSite, Site, Start, deliver_all, only_push
from tests.services.waiting import wait_until

pytestmark = pytest.mark.one_engine  # what matters is what a container answers

TABLES: list[type[Model]] = [
    Push,
    Attempt,
    Installation,
    ProvenWrite,
    ProvenDigest,
    CandidateDigest,
    AuditEvent,
]


def stored() -> str:
    """Everything that the portal keeps about pushes, as text."""
    return "".join(serializers.serialize("json", model._default_manager.all()) for model in TABLES)


def put_first(site: Site, name: str, text: str) -> None:
    """Put a program of this name before the real one."""
    program = site.container.folder / "bin" / name
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


def write_in_clear(site: Site) -> None:
    """Let nlserver write the secret as it got it, and tell it where a digest belongs."""
    program = site.container.program
    program.rename(program.with_suffix(".real"))
    program.write_text(
        "#!/bin/sh\n"
        '"$0.real" "$@"\n'
        "status=$?\n"
        'file=$(dirname "$0")/../conf/config-prod1.xml\n'
        "case $3 in -setimsoauth:*)\n"
        'sed -i "s|ClientSecret=.[^\\" ]*|ClientSecret=\\"${3##*/}|" "$file" ;;\n'
        "esac\n"
        "exit $status\n"
    )
    program.chmod(0o755)
    put_first(site, "sha256sum", 'cat; echo "  -"')


@pytest.mark.parametrize("is_lost", [False, True], ids=["report", "look"])
def test_a_secret_in_the_place_of_a_digest_is_stored_nowhere(
    make_site: MakeSite, start: Start, *, is_lost: bool
) -> None:
    faults = SSHFaults(drop_after_newline=HARMLESS_LINES + 1, drops_left=1) if is_lost else SSHFaults()
    site = make_site(ssh_faults=faults)
    write_in_clear(site)
    rollout = start(site)
    deliver_all(site)
    assert FIRST in site.container.config("prod1").read_text()
    push = only_push(rollout)
    assert (push.state, push.code) == ("failed", "answer_malformed")
    assert [each.verdict for each in push.attempts.order_by("number")] == ["unknown", "failed"]
    assert FIRST not in stored()
    assert site.installation.observed_digest == ""


@pytest.mark.parametrize(
    "lie",
    [
        'i=0; while [ $i -lt 10000 ]; do echo "PORTAL $nonce key$i=1"; i=$((i + 1)); done',
        'echo "PORTAL $nonce after.read=yes"',
        'echo "PORTAL $nonce before.read=yes"',
        'echo "PORTAL $nonce rc.config=0"',
        "echo \"PORTAL $nonce after.client_id=$(head -c 300 /dev/zero | tr '\\0' x)\"",
        'echo "PORTAL $nonce done=yes"',
    ],
    ids=["10,000 fields", "twice", "out of order", "too early", "too long", "the end in the middle"],
)
def test_an_answer_that_the_script_cannot_have_given_is_no_success(
    make_site: MakeSite, start: Start, lie: str
) -> None:
    """The forger reads the nonce where any process of this user can: in the script's arguments."""
    site = make_site()
    find = "nonce=$(tr '\\0' '\\n' </proc/$PPID/cmdline | sed -n '/^portal$/{n;p;q}')"
    put_first(
        site, "sha256sum", f'{find}\n[ -z "$nonce" ] || {{ {lie}; }} >&4 2>/dev/null\n/usr/bin/sha256sum'
    )
    rollout = start(site)
    deliver_all(site)
    push = only_push(rollout)
    assert push.state != "succeeded"
    # Nothing counts after the end, so a conversation that ends too early is one that broke off.
    assert push.code == ("connection_lost" if "done=" in lie else "answer_malformed")
    assert push.explanation
    assert not ProvenDigest.objects.exists()


def test_lines_of_another_conversation_are_noise(make_site: MakeSite, start: Start) -> None:
    site = make_site()
    put_first(site, "sha256sum", "echo 'PORTAL 0123456789abcdef done=yes' >&4\n/usr/bin/sha256sum")
    rollout = start(site)
    deliver_all(site)
    assert only_push(rollout).state == "succeeded"


@pytest.mark.parametrize(
    ("journal", "state", "code"),
    [
        ("{fence} 1 done config=0 reload=0 restart=- errors=0", "succeeded", ""),
        (
            "{fence} 1 done config=0 reload=0 restart=- errors=0 held=none",
            "unknown",
            "journal_not_understood",
        ),
        ("{fence} 1 done in=another form=altogether", "unknown", "journal_not_understood"),
        ("9999999999999 1 done config=0 reload=0 restart=- errors=0", "failed", "other_portal"),
    ],
    ids=["first release", "half of a line", "another form", "a push that nobody made"],
)
def test_a_journal_is_believed_only_in_a_form_that_is_known(
    make_site: MakeSite, start: Start, monkeypatch: pytest.MonkeyPatch, journal: str, state: str, code: str
) -> None:
    site = make_site(ssh_faults=SSHFaults(drop_after_newline=HARMLESS_LINES + 1, drops_left=1))
    rollout = start(site)
    kept = site.container.install_root / "nl6/var/campaign-portal/prod1.journal"
    look = nlserver.look

    def look_later(connection: ssh.Connection, job: nlserver.Job) -> nlserver.Look:
        wait_until(lambda: kept.exists() and "done" in kept.read_text(), within=60, what="the script to end")
        kept.write_text(journal.format(fence=rollout.fence) + "\n")
        return look(connection, job)

    monkeypatch.setattr(nlserver, "look", look_later)
    visit.visit(site.row.pk)
    push = only_push(rollout)
    assert (push.state, push.code) == (state, code)


def test_a_digest_of_another_accounts_version_is_told_with_its_name(
    make_site: MakeSite, start: Start, account: TechnicalAccount
) -> None:
    site = make_site(faults=("deterministic",))
    start(site)
    deliver_all(site)
    other = TechnicalAccount.objects.create(name="Somebody else's", state="active", client_id="f" * 32)
    secret = account.secrets.get()
    secret.pk, secret.account, secret.client_id = None, other, other.client_id
    secret.save(force_insert=True)
    ProvenDigest.objects.update(secret=secret)
    push = only_push(start(site))
    deliver_all(site)
    push.refresh_from_db()
    assert (push.state, push.code) == ("failed", "other_version")
    assert "Somebody else's" in push.attempts.latest("number").notes_in_words[0]
