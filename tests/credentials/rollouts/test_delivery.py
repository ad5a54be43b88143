"""One push after another over real SSH, judged against what the container's file really holds."""

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from credentials import services
from credentials.models import TechnicalAccount
from credentials.rollouts.models import Attempt, Push
from credentials.rollouts.services import retry_pushes
from instances import nlserver
from instances.models import Container, ExpectedHostKey, HostKey
from instances.nlserver.conversation import HARMLESS_LINES
from instances.visits import visit
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.plaintext import Secret
from portal.sandbox.ssh_server import SSHFaults
from tests.credentials.rollouts.conftest import FIRST, SECOND, MakeSite, Start, deliver_all, only_push


def test_a_push_ends_as_succeeded_and_the_file_holds_the_secret(make_site: MakeSite, start: Start) -> None:
    site = make_site()
    rollout = start(site)
    deliver_all(site)
    push = only_push(rollout)
    attempt = push.attempts.get()
    assert (push.state, push.code, push.is_written) == ("succeeded", "", True)
    assert site.secret() == FIRST
    assert (attempt.verdict, attempt.stage, attempt.exit_codes) == (
        "succeeded",
        "done",
        {"config": 0, "reload": 0},
    )
    assert attempt.before_digest != attempt.after_digest
    assert attempt.host_key == site.server.fingerprint
    assert attempt.build == 9391
    assert attempt.seconds is not None
    site.installation.refresh_from_db()
    assert site.installation.observed_digest == attempt.after_digest
    assert AuditEvent.objects.filter(action="push.succeeded").count() == 1


@pytest.mark.parametrize(
    ("made", "code"),
    [
        ({"faults": ("exit_0_without_writing",)}, "not_applied"),
        ({"faults": ("error_exit_0",)}, "refused_by_nlserver"),
        ({"faults": ("reload_fails",)}, "reload_failed"),
        ({"build": 9368}, "build_too_old"),
        ({"ssh_faults": SSHFaults(refuse=True)}, "connection_refused"),
        ({"ssh_faults": SSHFaults(other_host_key=True)}, "host_key_changed"),
        ({"ssh_faults": SSHFaults(refuse_login=True)}, "login_refused"),
        ({"trusted": False}, "host_key_unknown"),
        ({"instances": ("other",)}, "instance_not_found"),
    ],
)
def test_a_failure_has_its_code_and_the_portal_says_what_to_do(
    make_site: MakeSite, start: Start, made: dict[str, object], code: str
) -> None:
    site = make_site(**made)
    if code == "instance_not_found":
        site.container.config("other").unlink()
    rollout = start(site)
    deliver_all(site)
    push = only_push(rollout)
    assert (push.state, push.code) == ("failed", code)
    assert push.explanation
    assert str(push.explanation.cause)
    assert str(push.explanation.next_step)
    assert AuditEvent.objects.filter(action="push.failed").count() == 1


def test_a_host_key_that_nobody_approved_is_kept_for_an_admin(make_site: MakeSite, start: Start) -> None:
    site = make_site(ssh_faults=SSHFaults(other_host_key=True))
    start(site)
    deliver_all(site)
    offered = HostKey.objects.get(state="offered")
    assert offered.fingerprint != site.server.fingerprint


def test_a_lost_report_is_settled_by_looking(make_site: MakeSite, start: Start) -> None:
    site = make_site(ssh_faults=SSHFaults(drop_after_newline=HARMLESS_LINES + 1, drops_left=1))
    rollout = start(site)
    deliver_all(site)
    push = only_push(rollout)
    kinds = list(push.attempts.values_list("kind", "verdict", "code"))
    assert kinds[0] == ("push", "unknown", "no_report")
    assert kinds[1][0] == "look"
    assert push.state == "succeeded"
    assert site.secret() == FIRST


def test_a_report_that_does_not_come_in_time_is_settled_by_looking(
    make_site: MakeSite, start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PUSH_COMMAND_LIMIT = 60
    monkeypatch.setattr(nlserver.Job, "report_seconds", 1)
    site = make_site(faults=("slow=3",))
    rollout = start(site)
    deliver_all(site)
    push = only_push(rollout)
    attempts = list(push.attempts.order_by("number").values_list("kind", "verdict", "code"))
    assert attempts == [("push", "unknown", "no_report"), ("look", "succeeded", "")]
    assert (push.state, site.secret()) == ("succeeded", FIRST)
    assert not AuditEvent.objects.filter(action="push.failed").exists()


def test_a_connection_lost_before_the_newline_changes_nothing(make_site: MakeSite, start: Start) -> None:
    harmless = HARMLESS_LINES * len(f"{uuid.uuid4().hex * 4}\n")
    site = make_site(ssh_faults=SSHFaults(drop_at_byte=harmless + 20, drops_left=1))
    rollout = start(site)
    visit.visit(site.row.pk)
    first = only_push(rollout).attempts.order_by("number")[0]
    assert first.verdict in ("queued", "unknown")
    deliver_all(site)
    assert only_push(rollout).state == "succeeded"


def test_exit_0_without_writing_is_no_success_at_a_rotation(
    make_site: MakeSite, start: Start, account: TechnicalAccount, actor: Actor
) -> None:
    site = make_site()
    start(site)
    deliver_all(site)
    services.add_secret(account=account, plaintext=Secret(SECOND), actor=actor)
    site.container.set_faults("exit_0_without_writing")
    rotation = start(site)
    deliver_all(site)
    assert (only_push(rotation).state, only_push(rotation).code) == ("failed", "other_version")
    assert site.secret() == FIRST


def test_the_same_secret_again_is_a_success_where_ciphertext_repeats(
    make_site: MakeSite, start: Start
) -> None:
    site = make_site(faults=("deterministic",))
    start(site)
    deliver_all(site)
    again = start(site)
    deliver_all(site)
    assert only_push(again).state == "succeeded"


def test_several_instances_of_a_container_share_one_connection(make_site: MakeSite, start: Start) -> None:
    site = make_site(instances=("prod1", "prod2", "prod3"))
    rollout = start(site)
    deliver_all(site)
    assert {push.state for push in rollout.pushes.all()} == {"succeeded"}
    assert site.server.connections == 1
    assert [site.secret(name) for name in ("prod1", "prod2", "prod3")] == [FIRST] * 3


@pytest.mark.parametrize(("become", "login"), [("sudo", "campaign"), ("su", "root")])
def test_other_logins_become_neolane(make_site: MakeSite, start: Start, become: str, login: str) -> None:
    site = make_site(become=become, login=login)
    rollout = start(site)
    deliver_all(site)
    assert only_push(rollout).state == "succeeded"


def test_a_taken_container_is_left_alone(make_site: MakeSite, start: Start) -> None:
    site = make_site()
    rollout = start(site)
    Container.objects.filter(pk=site.row.pk).update(
        lease_token=uuid.uuid4(), lease_expires=Now() + timedelta(minutes=1)
    )
    assert visit.visit(site.row.pk) is False
    assert only_push(rollout).state == "queued"


def test_a_worker_that_shuts_down_begins_nothing(make_site: MakeSite, start: Start) -> None:
    site = make_site()
    rollout = start(site)
    visit.stopping.set()
    assert visit.visit(site.row.pk) is False
    assert only_push(rollout).attempts.count() == 0


def test_a_secret_that_does_not_decrypt_sends_nothing(
    make_site: MakeSite, start: Start, account: TechnicalAccount
) -> None:
    site = make_site()
    rollout = start(site)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE credentials_clientsecret SET version = 7")
    deliver_all(site)
    assert only_push(rollout).code == "secret_unreadable"
    assert site.server.connections == 0


def test_a_newer_rollout_replaces_an_older_one(
    make_site: MakeSite, start: Start, account: TechnicalAccount, actor: Actor
) -> None:
    site = make_site()
    older = start(site)
    services.add_secret(account=account, plaintext=Secret(SECOND), actor=actor)
    newer = start(site)
    deliver_all(site)
    assert only_push(older).state == "superseded"
    assert only_push(newer).state == "succeeded"
    assert site.secret() == SECOND


def test_a_network_failure_is_tried_again_and_then_left_to_a_person(
    make_site: MakeSite, start: Start
) -> None:
    site = make_site(ssh_faults=SSHFaults(refuse=True))
    rollout = start(site)
    deliver_all(site)
    push = only_push(rollout)
    assert push.state == "failed"
    assert [attempt.cause for attempt in push.attempts.all()] == ["rollout", "automatic", "automatic"]
    assert [attempt.verdict for attempt in push.attempts.all()] == ["queued", "queued", "failed"]


def test_a_retry_delivers_the_same_version_and_keeps_who_asked(
    make_site: MakeSite, start: Start, actor: Actor
) -> None:
    site = make_site(faults=("exit_0_without_writing",))
    rollout = start(site)
    deliver_all(site)
    site.container.set_faults()
    retry_pushes(push_ids=[only_push(rollout).pk], actor=actor, message="disk was full")
    deliver_all(site)
    push = only_push(rollout)
    last = push.attempts.latest("number")
    assert push.state == "succeeded"
    assert (last.cause, last.caused_by, last.message) == ("retry", actor.name, "disk was full")
    assert site.secret() == FIRST


def test_remote_output_is_stored_without_the_secret(make_site: MakeSite, start: Start) -> None:
    site = make_site(faults=("echo_secret", "escape_codes"))
    rollout = start(site)
    deliver_all(site)
    output = only_push(rollout).attempts.get().output
    assert output
    assert FIRST not in output
    assert "\x1b" not in output


def test_an_outcome_is_recorded_without_questions_that_keep_others_waiting(
    make_site: MakeSite, start: Start
) -> None:
    site = make_site()
    start(site)
    with CaptureQueriesContext(connection) as captured:
        deliver_all(site)
    asked = [query["sql"] for query in captured.captured_queries]
    locked = next(number for number, sql in enumerate(asked) if 'FROM "audit_audithead"' in sql)
    words = [sql.split()[0] for sql in asked[locked + 1 :]]
    assert words[:2] == ["INSERT", "UPDATE"]
    assert words[2] in ("COMMIT", "RELEASE")  # what is an outermost transaction elsewhere


def test_a_finished_attempt_cannot_be_changed(make_site: MakeSite, start: Start) -> None:
    site = make_site()
    rollout = start(site)
    deliver_all(site)
    attempt = only_push(rollout).attempts.get()
    with pytest.raises(Exception, match="append-only"):
        Attempt.objects.filter(pk=attempt.pk).update(verdict="failed")


def test_a_container_that_is_off_receives_nothing(make_site: MakeSite, start: Start) -> None:
    site = make_site()
    rollout = start(site)
    Container.objects.filter(pk=site.row.pk).update(is_enabled=False)
    assert visit.visit(site.row.pk) is False
    assert only_push(rollout).state == Push.State.QUEUED


def test_a_fingerprint_given_in_advance_is_approved_by_the_first_push(
    make_site: MakeSite, start: Start
) -> None:
    site = make_site(trusted=False)
    ExpectedHostKey.objects.create(container=site.row, fingerprint=site.server.fingerprint, given_by="alice")
    rollout = start(site)
    deliver_all(site)
    assert only_push(rollout).state == "succeeded"
    assert HostKey.objects.get().state == "approved"


def test_another_key_than_the_one_given_in_advance_blocks(make_site: MakeSite, start: Start) -> None:
    site = make_site(trusted=False)
    ExpectedHostKey.objects.create(container=site.row, fingerprint="SHA256:" + "A" * 43, given_by="alice")
    rollout = start(site)
    deliver_all(site)
    assert (only_push(rollout).state, only_push(rollout).code) == ("failed", "host_key_changed")
    assert HostKey.objects.get().state == "offered"
