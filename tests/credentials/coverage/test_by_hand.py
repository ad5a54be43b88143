"""Reports from containers that the portal cannot reach: a person's word, compared with what is known."""

import getpass
import hashlib
import io
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from credentials.accounts.history import goal_counts
from credentials.coverage import runbook
from credentials.coverage.by_hand import NotReported, Report, report
from credentials.coverage.cells import Cell, Wanted, cells_now
from credentials.coverage.drift import drifted
from credentials.models import ClientSecret, DesiredVersion, TechnicalAccount
from credentials.rollouts.models import (
    HandReport,
    ProvenDigest,
    ProvenWrite,
    Push,
    ReportedVersion,
)
from credentials.rollouts.services import held_versions
from credentials.rollouts.starting import RolloutError, start_rollout
from credentials.rollouts.versions import needing
from instances.discovery.models import Observation
from instances.discovery.observing import Sight, observe
from instances.inventory import csv_format
from instances.inventory.importing import apply_import
from instances.models import Container, Installation
from instances.nlserver import read_back
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.plaintext import Secret
from tests.credentials.coverage.both_ways import cells_as_of
from tests.factories import finish, make_rollout, next_version
from tests.instances.nlserver.shell_fleet import ShellContainer, make_container

pytestmark = [pytest.mark.django_db, pytest.mark.database]
ALICE = Actor(name="alice")
CONFIG = """<?xml version='1.0'?>
<serverConf><shared>
  <ims authIMSTAClientId="{client}" authIMSTAClientSecret="{secret}" authIMSTAId="{technical}"/>
</shared></serverConf>
"""


class There:
    """A container that the portal cannot reach: its real script, and the row that is marked by hand."""

    def __init__(self, shell: ShellContainer, installation: Installation, version: ClientSecret) -> None:
        self.shell, self.version = shell, version
        self.installation = installation
        self.account = version.account
        self.write("@b2xk")

    def write(self, secret: str, *, client: str = "", technical: str = "") -> str:
        """Let the file hold an encrypted secret; return its digest."""
        text = CONFIG.format(
            client=client or self.version.client_id,
            technical=technical or self.account.technical_account_id,
            secret=secret,
        )
        self.shell.config.write_text(text)
        return hashlib.sha256(secret.encode()).hexdigest()

    def block(self, *, container: str = "", instance: str = "") -> str:
        names = (self.shell.instance, container or self.installation.container.name, str(self.shell.root))
        done = subprocess.run(
            ["sh", str(read_back.PATH), *names], capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def report(self, text: str = "", **options: object) -> Report:
        installation = Installation.objects.select_related("instance__assignment__account", "container").get(
            pk=self.installation.pk
        )
        options = {"actor": ALICE, "text": text or self.block(), **options}
        return report(installation=installation, **options)  # type: ignore[arg-type]

    def cell(self) -> Cell:
        return next(cell for cell in cells_now(Wanted()) if cell.installation == self.installation.pk)

    def state(self) -> tuple[str, str, str, int | None]:
        cell = self.cell()
        return cell.cover, cell.need, cell.how, cell.held.number if cell.held else None


@pytest.fixture
def there(tmp_path: Path) -> There:
    """An account in use on two containers; app-2 is marked by hand, and v1 is proven on app-1."""
    rollout = make_rollout(instance="prod1", containers=("app-1", "app-2"))
    by_hand = rollout.pushes.get(container__name="app-2")
    Push.objects.filter(pk=by_hand.pk).update(state="cancelled", finished=timezone.now())
    finish(rollout.pushes.get(container__name="app-1"), state="succeeded")
    DesiredVersion.objects.filter(installation=by_hand.installation_id).delete()
    Container.objects.filter(name="app-2").update(is_by_hand=True)
    TechnicalAccount.objects.update(goal=rollout.secret)
    shell = make_container(tmp_path / "root", getpass.getuser())
    version = ClientSecret.objects.select_related("account").get(pk=rollout.secret_id)
    return There(shell, Installation.objects.get(pk=by_hand.installation_id), version)


def test_what_is_set_by_hand_is_done_by_report_and_never_proven(there: There) -> None:
    assert there.state() == ("needs_you", "by_hand", "", None)
    proofs = ProvenWrite.objects.count(), ProvenDigest.objects.count()
    there.report()
    assert there.state() == ("needs_you", "by_hand", "", None)
    there.write("@bmV3")
    done = there.report(version=there.version, note="ticket 7")
    assert there.state() == ("done", "", "reported", 1)
    assert there.cell().word == "Done, reported by hand"
    assert (ProvenWrite.objects.count(), ProvenDigest.objects.count()) == proofs
    assert held_versions([there.installation]) == {}
    assert (done.known, done.row.by, done.row.note) == (None, "alice", "ticket 7")
    seen = Observation.objects.filter(installation=there.installation).latest("pk")
    assert (seen.source, seen.source_id) == ("hand", done.row.nonce)
    event = AuditEvent.objects.get(action="installation.reported_by_hand", details__note="ticket 7")
    assert (event.actor_name, event.details["version"]) == ("alice", 1)
    assert not drifted()
    past = cells_as_of(Wanted(), timezone.now())
    assert {(cell.container, cell.how) for cell in past if cell.container == "app-2"} == {
        ("app-2", "reported")
    }


def test_a_digest_that_is_proven_elsewhere_is_still_only_reported(there: There) -> None:
    digest = there.write("@known")
    ProvenDigest.objects.update(digest=digest)
    done = there.report()
    assert done.known == there.version
    assert there.state() == ("done", "", "reported", 1)


def test_what_was_proven_is_not_called_so_once_only_a_person_has_seen_it(there: There) -> None:
    """A block that somebody made up says what the portal proved there before it lost the container."""
    digest = there.write("@known")
    ProvenWrite.objects.create(installation=there.installation, secret=there.version, fence=1, digest=digest)
    assert held_versions([there.installation]) == {}  # nobody has seen the file
    there.report()
    assert there.cell().held is None
    assert held_versions([there.installation]) == {}
    assert not goal_counts([there.account]).get(there.account.pk, 0) > 1


def test_the_portals_own_sight_is_believed_again(there: There) -> None:
    digest = there.write("@known")
    ProvenDigest.objects.update(digest=digest)
    row = there.report().row
    seen = row.observation
    names = ("client_id", "account_id", "organization_id", "digest", "is_jwt", "build", "stamp")
    sight = Sight(**{name: getattr(seen, name) for name in names})
    observe(installation_id=there.installation.pk, sight=sight, source="read", source_id="x")
    assert there.state() == ("done", "", "seen", 1)


def test_what_changes_after_a_report_is_drift(there: There) -> None:
    there.report()
    there.write("@bmV3")
    there.report(version=there.version)
    there.write("@restored")
    there.report()
    assert there.state()[:2] == ("needs_you", "drifted")
    (drift,) = drifted()
    assert drift.is_reported
    assert [each.name for each in drift.differences] == ["digest"]


def refused(there: There, text: str = "", **options: object) -> tuple[str, str]:
    reports, seen = HandReport.objects.count(), Observation.objects.count()
    with pytest.raises(NotReported) as refusal:
        there.report(text, **options)
    assert (HandReport.objects.count(), Observation.objects.count()) == (reports, seen)
    return refusal.value.field, str(refusal.value)


def test_a_block_of_another_container_or_instance_is_refused(there: There) -> None:
    assert refused(there, there.block(container="app-1"))[1].startswith(
        "This block is from the container app-1"
    )
    other = there.shell.base / "conf" / "config-other.xml"
    other.write_text(there.shell.config.read_text())
    text = subprocess.run(
        ["sh", str(read_back.PATH), "other", "app-2", str(there.shell.root)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert refused(there, text)[1].startswith("This block is from the instance other")


def test_a_block_is_taken_once(there: There) -> None:
    text = there.block()
    there.report(text)
    assert "by alice: run the script again" in refused(there, text)[1]


def test_an_older_block_does_not_replace_a_newer_one(there: There) -> None:
    old = there.block()
    there.report()
    moved = signed(old, minutes=-5)
    assert "A newer block was already reported" in refused(there, moved)[1]


def signed(text: str, **ago: float) -> str:
    """The block with another moment, and a checksum that fits: somebody did that on purpose."""
    moment = timezone.now() + timedelta(**ago)
    lines = text.splitlines()[1:-2]
    lines = [f"at={moment:%Y%m%dT%H%M%SZ}" if line.startswith("at=") else line for line in lines]
    body = "".join(f"{line}\n" for line in lines)
    return f"READ-BACK 1 BEGIN\n{body}check={hashlib.sha256(body.encode()).hexdigest()}\nREAD-BACK 1 END\n"


@pytest.mark.parametrize(
    ("ago", "said"), [({"hours": -25}, "more than a day ago"), ({"hours": 2}, "in the future")]
)
def test_a_block_of_another_day_is_refused(there: There, ago: dict[str, float], said: str) -> None:
    assert said in refused(there, signed(there.block(), **ago))[1]


def test_a_torn_file_is_no_report(there: There) -> None:
    there.shell.config.write_text(there.shell.config.read_text()[:-20])
    assert "could not read the file to its end" in refused(there)[1]


def test_a_file_that_holds_another_version_than_was_said_is_named(there: There) -> None:
    digest = there.write("@old")
    ProvenDigest.objects.update(digest=digest)
    new = next_version(there.account, Secret("p8e-second"))
    field, text = refused(there, version=new)
    assert (field, "holds version 1, not 2" in text) == ("version", True)


def test_a_secret_that_has_not_changed_was_not_set(there: There) -> None:
    there.report()
    field, text = refused(there, version=there.version)
    assert (field, "has changed nothing" in text) == ("version", True)


def test_the_same_secret_cannot_be_two_versions(there: There) -> None:
    there.report(version=there.version)
    new = next_version(there.account, Secret("p8e-second"))
    there.write("@other")
    there.report()
    there.write("@b2xk")
    field, text = refused(there, version=new)
    assert (field, "was reported as Triggers v1" in text) == ("version", True)


@pytest.mark.parametrize("changed", [{"client": "0" * 32}, {"technical": "x@techacct.adobe.com"}])
def test_the_ids_of_another_account_are_named(there: There, changed: dict[str, str]) -> None:
    there.report()
    there.write("@bmV3", **changed)
    field, text = refused(there, version=there.version)
    assert field == "version"
    assert next(iter(changed.values())) in text


def test_an_empty_organization_is_named(there: There) -> None:
    text = there.shell.config.read_text()
    there.shell.config.write_text(text.replace("</shared>", "<redirection IMSOrgId=''/></shared>"))
    assert "Organization ID in the file: an empty one" in refused(there, version=there.version)[1]


def test_another_server_is_asked_about_until_somebody_has_compared(there: There) -> None:
    first = there.report(version=there.version).row
    # as if the first report had come from another server
    with_host(first, "elsewhere")
    there.write("@bmV3")
    field, text = refused(there, version=there.version)
    assert (field, "was elsewhere when it was reported last" in text) == ("host_compared", True)
    assert there.report(version=there.version, host_compared=True).row.host != "elsewhere"


def with_host(row: HandReport, host: str) -> None:
    """Let a report be of another server, as another row: reports never change."""
    names = ("installation", "by", "note", "measured", "version", "digest", "stamp", "observation")
    HandReport.objects.create(nonce="f" * 32, host=host, **{name: getattr(row, name) for name in names})


def test_a_container_that_the_portal_reaches_is_not_reported(there: There) -> None:
    text = there.block()
    Container.objects.update(is_by_hand=False)
    assert "have the portal read it instead" in refused(there, text)[1]


def test_a_report_cannot_be_changed(there: There) -> None:
    there.report()
    with pytest.raises(DatabaseError), transaction.atomic():
        HandReport.objects.update(by="mallory")


def test_the_page_keeps_what_was_typed_and_says_at_its_place_what_is_wrong(
    there: There, as_admin: Client
) -> None:
    url = reverse("hand_report", args=[there.installation.pk])
    text = there.block()[:-40]
    answer = as_admin.post(url, {"block": text, "note": "ticket 7"})
    assert answer.status_code == 200
    assert "The block is cut off" in answer.content.decode()
    assert 'id="id_block_error"' in answer.content.decode()
    assert "ticket 7" in answer.content.decode()
    assert text.splitlines()[3] in answer.content.decode()
    assert not HandReport.objects.exists()
    answer = as_admin.post(url, {"block": there.block().replace("\n", "\r\n"), "note": "ticket 7"})
    assert answer.status_code == 302
    assert HandReport.objects.get().note == "ticket 7"


def test_a_secret_in_the_paste_is_not_shown_again(there: There, as_admin: Client) -> None:
    url = reverse("hand_report", args=[there.installation.pk])
    secret = "p8e-0123456789abcdef0123456789abcdef"
    answer = as_admin.post(url, {"block": there.block() + secret, "note": ""})
    assert secret not in answer.content.decode()
    assert "READ-BACK 1 BEGIN" in answer.content.decode()
    assert not HandReport.objects.exists()


def test_the_pages_show_who_reported_and_lead_to_the_runbook(there: There, as_admin: Client) -> None:
    there.report(version=there.version)
    installation, container = there.installation.pk, there.installation.container_id
    page = as_admin.get(reverse("installation", args=[installation])).content.decode()
    assert "alice" in page
    assert "reported by hand, not proven" in page
    page = as_admin.get(reverse("container", args=[container])).content.decode()
    assert reverse("hand_runbook", args=[installation]) in page
    assert "Read now" not in page
    assert "Scan now" not in page
    page = as_admin.get(reverse("coverage")).content.decode()
    assert "1 of those done was reported by hand" in page
    page = as_admin.get(reverse("containers") + "?switch=by_hand").content.decode()
    assert "app-2" in page
    assert "app-1" not in page
    assert as_admin.get(reverse("hand_script")).content.decode() == read_back.script()


def test_the_command_reports_as_the_page_does(
    there: There, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "block"
    file.write_text(there.block())
    out = io.StringIO()
    call_command("report_by_hand", "app-2", "prod1", file=str(file), set=1, json=True, stdout=out)
    answer = json.loads(out.getvalue())
    assert (answer["set"], answer["known"], answer["proven"]) == (1, None, False)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    with pytest.raises(CommandError, match=r"Nothing was kept\. This block was already reported on"):
        call_command("report_by_hand", "app-2", "prod1", file="-")
    for names in (("app-3", "prod1"), ("app-2", "prod3")):
        with pytest.raises(CommandError):
            call_command("report_by_hand", *names, file=str(file))


def in_bash(commands: str, shell: ShellContainer, history: Path) -> subprocess.CompletedProcess[str]:
    """Type commands into an interactive bash, as a person does, and return what it said."""
    return subprocess.run(
        ["bash", "--norc", "-i"],
        input=f"HISTFILE={history}\n{commands}",
        capture_output=True,
        text=True,
        cwd=shell.root,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(shell.root), "TERM": "dumb"},
    )


def test_the_runbooks_commands_set_the_account_and_leave_the_secret_nowhere(
    there: There, tmp_path: Path
) -> None:
    """Typed one after the other into bash; only becoming another user is left out."""
    secret = "p8e-canary_0123456789abcdef01234567"
    Container.objects.filter(name="app-2").update(install_root=str(there.shell.root))
    there.installation.container.refresh_from_db()
    (there.shell.base / "env.sh").write_text("export FROM_ENV=yes\n")
    (there.shell.root / runbook.SCRIPT_NAME).write_text(read_back.script())
    there.report()
    lines = []
    for step in runbook.steps(there.installation, there.version)[1:]:
        for command in step.commands:
            lines.append(command)
            if command.startswith("IFS= read"):
                lines.append(secret)
    history = tmp_path / "history"
    done = in_bash("\n".join(lines) + "\n", there.shell, history)
    assert secret not in done.stdout
    assert f"{len(secret)} characters" in done.stdout
    assert history.exists()
    assert "setimsoauth" in history.read_text()
    assert secret not in history.read_text()
    calls = [call for call in there.shell.calls() if call[0] == "config"]
    account = there.account
    ids = f"{account.organization_id}/{account.client_id}/{account.technical_account_id}"
    assert calls == [["config", "-instance:prod1", f"-setimsoauth:{ids}/{secret}"], ["config", "-reload"]]
    blocks = done.stdout.split("READ-BACK 1 BEGIN")
    there.report("READ-BACK 1 BEGIN" + blocks[-1], version=there.version)
    assert there.state() == ("done", "", "reported", 1)


def test_the_runbook_has_every_value_but_the_secret(there: There, as_admin: Client) -> None:
    page = as_admin.get(reverse("hand_runbook", args=[there.installation.pk])).content.decode()
    for value in (there.account.organization_id, there.account.client_id, there.account.technical_account_id):
        assert value in page
    assert "/$secret" in page
    assert "p8e-first" not in page
    assert hashlib.sha256(read_back.script().encode()).hexdigest() in page
    there.installation.instance.uses_triggers = True
    there.installation.instance.save()
    page = as_admin.get(reverse("hand_runbook", args=[there.installation.pk])).content.decode()
    assert "restart pipelined@prod1" in page


def test_a_reported_version_is_needed_and_gives_way_to_what_is_proven(there: There) -> None:
    there.report(version=there.version)
    assert there.installation in needing(there.version)
    new = next_version(there.account, Secret("p8e-second"))
    digest = ReportedVersion.objects.get().digest
    ProvenDigest.objects.update(digest=digest, secret=new)
    assert there.state()[3] == 2


def test_a_rollout_leaves_it_out_and_says_so(there: There, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("preview", "Triggers", json=True)
    said = json.loads(capsys.readouterr().out)
    assert [(each["container"], each["what"], each["why"]) for each in said["installations"]] == [
        ("app-1", "pushed", ""),
        ("app-2", "left_out", "container_by_hand"),
    ]
    with pytest.raises(RolloutError, match="app-2 is marked by hand"):
        start_rollout(version=there.version, installations=[there.installation], reason="repair", actor=ALICE)


def test_an_inventory_file_marks_containers(there: There) -> None:
    head = "instance,container,address,by_hand"
    parsed = csv_format.parse(f"{head}\nprod1,app-1,app-1.example.com,yes\n".encode())
    assert parsed.errors == ()
    apply_import(parsed=parsed, actor=ALICE)
    assert Container.objects.get(name="app-1").is_by_hand
    parsed = csv_format.parse(f"{head}\nprod1,app-1,app-1.example.com,\n".encode())
    apply_import(parsed=parsed, actor=ALICE)
    assert Container.objects.get(name="app-1").is_by_hand


def test_nobody_connects_there_by_command_or_page(there: There, as_admin: Client) -> None:
    for command, options in (("read", {}), ("trust_host_key", {"fingerprint": f"SHA256:{'A' * 43}"})):
        with pytest.raises(CommandError, match="app-2 is marked by hand"):
            call_command(command, "app-2", **options)
    for page in ("container_scan", "container_read"):
        answer = as_admin.post(reverse(page, args=[there.installation.container_id]), follow=True)
        assert "app-2 is marked by hand" in answer.content.decode()
    assert not there.installation.container.container_readings.exists()
