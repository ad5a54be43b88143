"""The commands `rollout` and `retry`."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from credentials.models import TechnicalAccount
from credentials.rollouts.models import Push, Rollout
from credentials.rollouts.starting import start_rollout
from credentials.services import abandon, add_secret
from instances.models import Container, Installation
from portal.audit.models import AuditEvent
from portal.plaintext import Secret
from tests.factories import (
    SOMEBODY,
    finish,
    finish_all,
    make_account,
    make_installation,
    make_rollout,
)
from tests.services.waiting import wait_until

pytestmark = pytest.mark.django_db
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; return exit code, output and progress."""

    def run(*words: str) -> tuple[int, str, str]:
        code = 0
        try:
            call_command(*words)
        except SystemExit as end:
            code = int(end.code or 0)
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


@contextmanager
def worker(outcomes: dict[str, str]) -> Iterator[None]:
    """Give each container's queued push its outcome from another thread, as a worker does."""

    def deliver() -> None:
        try:
            wait_until(
                lambda: Push.objects.filter(state="queued").count() == len(outcomes),
                within=20,
                what="queued pushes",
            )
            for push in Push.objects.filter(state="queued"):
                state = outcomes[push.container.name]
                finish(push, state=state, code="timed_out" if state == "failed" else "")
        finally:
            connection.close()

    thread = threading.Thread(target=deliver)
    thread.start()
    yield
    thread.join(30)


def test_it_delivers_to_every_installation_of_the_account(run: Run) -> None:
    make_installation(instance="prod1", container="web1")
    make_installation(instance="prod2", container="web2")
    make_installation(instance="other", container="web3")
    make_account(name="Triggers", instances=["prod1", "prod2"])
    code, out, err = run("rollout", "Triggers", "--unconfirmed", "--message", "CHG1", "--json")
    assert (code, "Rollout 1 was started." in err) == (0, True)
    assert json.loads(out) == {
        "rollout": 1,
        "state": "running",
        "shown_state": "running",
        "states": {"queued": 2},
        "pushes": [
            {
                "instance": "prod1",
                "container": "web1",
                "state": "queued",
                "code": "",
                "attempts": 0,
                "seconds": 0.0,
                "unknown_since": None,
                "next_try": None,
            },
            {
                "instance": "prod2",
                "container": "web2",
                "state": "queued",
                "code": "",
                "attempts": 0,
                "seconds": 0.0,
                "unknown_since": None,
                "next_try": None,
            },
        ],
    }
    rollout = Rollout.objects.get()
    assert (rollout.reason, rollout.message) == ("new", "CHG1")
    assert AuditEvent.objects.get(action="rollout.requested").actor_name.endswith("(command line)")


def test_it_delivers_to_chosen_instances_only(run: Run) -> None:
    make_installation(instance="prod1", container="web1")
    make_installation(instance="prod2", container="web2")
    make_account(name="Triggers", instances=["prod1", "prod2"])
    run("rollout", "Triggers", "--unconfirmed", "--instance", "prod2")
    assert Push.objects.get().installation.instance.name == "prod2"


def test_containers_that_are_off_are_left_out_unless_their_instance_is_named(run: Run) -> None:
    make_installation(instance="prod1", container="web1")
    make_installation(instance="prod1", container="web2")
    make_account(name="Triggers", instances=["prod1"])
    Container.objects.filter(name="web2").update(is_enabled=False)
    run("rollout", "Triggers", "--unconfirmed")
    assert Push.objects.get().container.name == "web1"
    with pytest.raises(CommandError, match="web2 is switched off"):
        call_command("rollout", "Triggers", "--unconfirmed", "--instance", "prod1")


def test_the_reason_is_found_out_from_the_accounts_history(run: Run) -> None:
    make_installation()
    secret = make_account(name="Triggers", instances=["prod1"])
    run("rollout", "Triggers", "--unconfirmed")
    run("rollout", "Triggers", "--unconfirmed")
    add_secret(account=secret.account, plaintext=Secret("p8e-second"), actor=SOMEBODY)
    run("rollout", "Triggers", "--unconfirmed")
    run("rollout", "Triggers", "--unconfirmed", "--reason", "migration")
    assert list(Rollout.objects.order_by("number").values_list("reason", flat=True)) == [
        "new",
        "repair",
        "rotation",
        "migration",
    ]


def test_what_does_not_fit_is_named_and_nothing_is_started() -> None:
    make_installation(instance="prod1")
    make_account(name="Triggers", instances=["prod1"])
    TechnicalAccount.objects.create(name="Half done")
    for words, problem in (
        (["Nobody"], "no technical account Nobody"),
        (["Half done"], "Half done is still a draft: finish it in the wizard, or delete it there."),
        (["Triggers", "--instance", "prod9"], "uses Triggers: prod9"),
    ):
        with pytest.raises(CommandError, match=problem):
            call_command("rollout", *words)
    assert not Rollout.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_waiting_ends_with_0_once_every_push_succeeded(run: Run) -> None:
    make_installation(container="web1")
    make_installation(container="web2")
    make_account(name="Triggers", instances=["prod1"])
    with worker({"web1": "succeeded", "web2": "succeeded"}):
        code, out, err = run("rollout", "Triggers", "--unconfirmed", "--wait", "30")
    assert code == 0
    assert "2 of 2 ended: 2 succeeded" in err
    assert out.splitlines()[0].split() == ["INSTANCE", "CONTAINER", "STATE", "CODE", "ATTEMPTS", "SECONDS"]
    assert out.splitlines()[1].split() == ["prod1", "web1", "succeeded", "-", "1", "2.0"]


@pytest.mark.django_db(transaction=True)
def test_waiting_ends_with_1_and_advice_if_one_push_failed(run: Run) -> None:
    make_installation(container="web1")
    make_installation(container="web2")
    make_account(name="Triggers", instances=["prod1"])
    with worker({"web1": "succeeded", "web2": "failed"}):
        code, out, _err = run("rollout", "Triggers", "--unconfirmed", "--wait", "30")
    assert code == 1
    assert "timed_out: The container did not answer in time." in out


@pytest.mark.django_db(transaction=True)
def test_waiting_in_vain_ends_with_1_and_says_what_is_open(run: Run) -> None:
    make_installation()
    make_account(name="Triggers", instances=["prod1"])
    code, out, _err = run("rollout", "Triggers", "--unconfirmed", "--wait", "0.1", "--json")
    assert (code, json.loads(out)["state"]) == (1, "running")


def test_retry_tries_failed_and_unknown_pushes_of_that_rollout(run: Run) -> None:
    rollout = make_rollout(containers=["web1", "web2", "web3"])
    first, second, third = rollout.pushes.all()
    finish(first, state="failed", code="timed_out")
    finish(second, state="unknown", code="no_report")
    finish(third, state="succeeded")
    other = make_rollout(account="Other", instance="other", containers=["c1"])
    finish_all(other, state="failed", code="timed_out")
    code, _out, err = run("retry", "1", "--message", "network is back")
    assert (code, "2 pushes of rollout 1 are tried again." in err) == (0, True)
    assert dict(Push.objects.values_list("container__name", "state")) == {
        "web1": "queued",
        "web2": "unknown",
        "web3": "succeeded",
        "c1": "failed",
    }
    event = AuditEvent.objects.filter(action="push.retried").first()
    assert event is not None
    assert event.details["message"] == "network is back"


def test_retry_names_what_it_left_alone_and_ends_with_1(run: Run) -> None:
    finish_all(make_rollout(), state="failed", code="timed_out")
    Container.objects.update(is_enabled=False)
    code, _out, err = run("retry", "1")
    assert (code, "Not retried: prod1 on web1. The container is switched off" in err) == (1, True)


def test_retry_of_a_rollout_that_does_not_exist_is_refused() -> None:
    for number in ("7", "9" * 25):
        with pytest.raises(CommandError, match="There is no rollout"):
            call_command("retry", number)


@pytest.mark.django_db(transaction=True)
def test_retry_waits_for_the_whole_rollout(run: Run) -> None:
    rollout = make_rollout(containers=["web1"])
    finish_all(rollout, state="failed", code="timed_out")
    with worker({"web1": "succeeded"}):
        code, out, _err = run("retry", "1", "--wait", "30", "--json")
    assert (code, json.loads(out)["state"]) == (0, "succeeded")


class TestRollingBack:
    """`--secret-version`: to an older version, by the same rules as everywhere."""

    @pytest.fixture(autouse=True)
    def _rotated(self) -> None:
        """Two versions were rolled out, and the newer one is the goal."""
        make_installation(instance="prod1", container="web1")
        first = make_account(name="Triggers", instances=["prod1"])
        for version in (first, None):
            newest = (
                version
                or add_secret(account=first.account, plaintext=Secret("p8e-second"), actor=SOMEBODY)[0]
            )
            rollout = start_rollout(
                version=newest, installations=Installation.objects.all(), reason="rotation", actor=SOMEBODY
            )
            finish_all(rollout, state="succeeded")

    def test_an_older_version_is_rolled_back_to_and_the_history_says_so(self, run: Run) -> None:
        code, _out, err = run("rollout", "Triggers", "--secret-version", "1", "--unconfirmed", "--json")
        assert (code, "Rollout 3 was started." in err) == (0, True)
        rollout = Rollout.objects.get(number=3)
        assert (rollout.secret.version, rollout.reason) == (1, "roll_back")
        event = AuditEvent.objects.filter(action="rollout.requested").latest("seq")
        assert (event.details["reason"], event.details["version"]) == ("roll_back", 1)

    def test_adobe_is_asked_about_it_first(self, run: Run) -> None:
        with pytest.raises(CommandError, match="Adobe has not accepted the secret"):
            run("rollout", "Triggers", "--secret-version", "1")
        assert Rollout.objects.count() == 2

    def test_one_that_was_given_up_is_refused(self, run: Run) -> None:
        version = TechnicalAccount.objects.get().secrets.get(version=1)
        abandon(version=version, actor=SOMEBODY)
        with pytest.raises(CommandError, match="can no longer be used"):
            run("rollout", "Triggers", "--secret-version", "1", "--unconfirmed")
        assert Rollout.objects.count() == 2

    def test_one_that_never_was_is_a_wrong_call(self, run: Run) -> None:
        with pytest.raises(CommandError, match="Triggers has no version 9") as refused:
            run("rollout", "Triggers", "--secret-version", "9", "--unconfirmed")
        assert refused.value.returncode == 2
