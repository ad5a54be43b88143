"""What is sent to a container, what is read from its answers, and what is concluded."""

import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances import nlserver
from instances.failures import Code
from instances.nlserver import FileState, Job, Journal, Look, Outcome, Ready, Report, Verdict
from tests.instances.shell_fleet import ACCOUNT, NONCE

MARK = f"PORTAL {NONCE} ".encode()
BEFORE = FileState("1", (), ("old",), ("old",), ("d0",), read=True)
AFTER = FileState("2", (), (ACCOUNT.client_id,), (ACCOUNT.technical_account_id,), ("d1",), read=True)
DONE = Outcome(config=0, reload=0)


def job(**changes: Any) -> Job:  # Any: a test's way to vary one value
    values: dict[str, Any] = {"instance": "prod1", "install_root": "/usr/local/neolane", "become": "none"}
    return Job(**(values | {"fence": 7, "attempt": 2} | changes))


def state(**changes: Any) -> FileState:
    return replace(AFTER, **changes)


def report(**changes: Any) -> Report:
    values: dict[str, Any] = {"job": job(), "outcome": DONE, "held": BEFORE, "after": AFTER}
    return Report(**(values | changes))


class TestJob:
    @pytest.mark.parametrize(
        "instance", ["default", "", "-x", "_x", "a b", "a;b", "a/b", "é", "x" * 41, "a\n", "config-x.xml"]
    )
    def test_what_is_no_instance_is_refused(self, instance: str) -> None:
        with pytest.raises(ValueError, match="instance"):
            job(instance=instance)

    @pytest.mark.parametrize("root", ["", "relative", "/", "/a b", "/a/../b", "/a;b", "/a\n", "/a'b", "//a"])
    def test_what_is_no_root_is_refused(self, root: str) -> None:
        with pytest.raises(ValueError, match="root"):
            job(install_root=root)

    @pytest.mark.parametrize(
        "changes", [{"become": "doas"}, {"user": "-u"}, {"user": "a b"}, {"fence": -1}, {"limit": 10**15}]
    )
    def test_other_bad_values_are_refused(self, changes: dict[str, object]) -> None:
        with pytest.raises(ValueError, match=r"become|number"):
            job(**changes)

    def test_flags_say_what_follows(self) -> None:
        assert job().flags == "reload"
        assert job(reload=False).flags == "none"
        assert job(restart_pipelined=True).flags == "reload,pipelined"

    def test_a_report_may_take_longer_the_more_is_to_be_done(self) -> None:
        assert job(reload=False, limit=60).report_seconds == 85
        assert job(limit=60, restart_pipelined=True).report_seconds == 155


class TestCommand:
    def words(self, become: str) -> list[str]:
        announced, _, command = nlserver.command(job(become=become), "apply", NONCE).partition(
            "shell=yes; exec "
        )
        assert announced == f"echo; echo PORTAL {NONCE} "
        return shlex.split(command)

    EXPECTED = ("portal", NONCE, "apply", "prod1", "/usr/local/neolane", "7", "2", "reload", "60", "neolane")

    def test_logged_in_as_the_user_the_script_runs_at_once(self) -> None:
        assert self.words("none") == ["sh", "-c", nlserver.script(), *self.EXPECTED]

    def test_through_sudo(self) -> None:
        words = self.words("sudo")
        assert words[:5] == ["sudo", "-n", "-u", "neolane", "--"]
        assert words[5:] == ["sh", "-c", nlserver.script(), *self.EXPECTED]

    def test_through_su(self) -> None:
        words = self.words("su")
        assert words[:4] == ["su", "-", "neolane", "-c"]
        assert shlex.split(words[4]) == ["exec", "sh", "-c", nlserver.script(), *self.EXPECTED]

    def test_the_review_shows_the_command_without_the_secret(self) -> None:
        assert nlserver.review_command("prod1", ACCOUNT) == (
            "nlserver config -instance:prod1 "
            "-setimsoauth:ORG@AdobeOrg/client-id/tech-id@techacct.adobe.com/********"
        )


def transcript(*lines: bytes) -> nlserver.Transcript:
    taken = nlserver.Transcript(NONCE)
    for line in b"".join(lines).splitlines(keepends=True):
        taken.feed(line)
    return taken


class TestTranscript:
    def test_marked_lines_are_told_from_noise(self) -> None:
        taken = transcript(b"Bienvenue\n", MARK + b"user=neolane\r\n", b"x " + MARK + b"user=root\n")
        assert taken.fields.last("user") == "neolane"
        assert taken.output.text() == b"Bienvenue\nx " + MARK + b"user=root\n"

    def test_another_nonce_is_noise(self) -> None:
        assert not transcript(b"PORTAL ffff user=root\n").fields.has("user")

    def test_a_piece_of_a_line_is_no_start_of_one(self) -> None:
        taken = nlserver.Transcript(NONCE)
        for piece in (b"x" * 100, MARK + b"ready\n"):
            taken.feed(piece)
        assert not taken.ready

    def test_empty_lines_around_marked_ones_are_left_out(self) -> None:
        taken = transcript(b"\n", MARK + b"a=1\n", b"\n", MARK + b"b=1\n", b"text\n", b"\n", MARK + b"c=1\n")
        assert taken.output.text() == b"text\n\n"

    def test_only_the_script_says_whether_a_step_failed(self) -> None:
        said = [b"run=config\n", b"rc.config=0\n", b"errors.config=1\n", b"run=reload\n", b"rc.reload=0\n"]
        noise = b"16:08:55 >>> not from nlserver\n"
        taken = transcript(*(part for line in said for part in (MARK + line, noise)), MARK + b"done=yes\n")
        report = nlserver.parse_report(taken, job(), 0)
        assert report
        assert report.outcome.failed_steps == {"config"}

    def test_nothing_counts_after_the_end(self) -> None:
        taken = transcript(MARK + b"rc.reload=0\n", MARK + b"done=yes\n", MARK + b"rc.reload=1\n", b">>> x\n")
        assert taken.fields.last("rc.reload") == "0"
        assert taken.output.text() == MARK + b"rc.reload=1\n>>> x\n"

    @pytest.mark.parametrize(
        ("said", "build"), [(b"9069@4a05ee3d089", (9069, "4a05ee3d089")), (b"9383", (9383, ""))]
    )
    def test_the_build_is_what_the_script_says(self, said: bytes, build: tuple[int, str]) -> None:
        conversation = nlserver.Conversation.__new__(nlserver.Conversation)
        conversation._transcript = transcript(
            b"Welcome to build 12 of something else\n",
            MARK + b"run=probe\n",
            b"build 2024 comes from the background\n",
            MARK + b"build=" + said + b"\n",
        )
        assert (conversation.seen().build, conversation.seen().build_sha) == build

    @given(st.lists(st.binary(max_size=60) | st.binary(max_size=60).map(MARK.__add__)))
    def test_anything_can_be_read(self, lines: list[bytes]) -> None:
        taken = nlserver.Transcript(NONCE)
        for line in lines:
            taken.feed(line)
        for stage in ("before", "held", "after"):
            taken.fields.file_state(stage)
        nlserver.parse_report(taken, job(), None)
        nlserver.refusal(taken, job(), Ready())
        nlserver.parse_journal(taken.fields.last("journal"))

    KEYS = st.sampled_from(
        ["after.secret", "rc.config", "journal", "user", "before.file", "done", "run", "x"]
    )

    @given(st.lists(st.tuples(KEYS, st.text(max_size=20))))
    def test_any_values_can_be_read(self, pairs: list[tuple[str, str]]) -> None:
        taken = nlserver.Transcript(NONCE)
        for key, value in pairs:
            taken.feed(MARK + f"{key}={value}\n".encode("utf-8", "replace"))
        found = nlserver.parse_report(taken, job(), 0)
        assert found is None or nlserver.judge(found, ACCOUNT, BEFORE).state != "succeeded"

    def test_entities_in_values_are_resolved(self) -> None:
        taken = transcript(MARK + b"after.client_id=a&amp;b&#64;c\n")
        assert taken.fields.file_state("after").client_ids == ("a&b@c",)

    def test_fields_are_bounded_in_number(self) -> None:
        taken = transcript(*(MARK + f"key{n}=1\n".encode() for n in range(500)), *[MARK + b"a=1\n"] * 500)
        assert len(taken.fields.values) <= nlserver.report.VALUES_LIMIT

    @pytest.mark.parametrize(
        "text", ["", "garbage", "1 2 done", "1 2 begun config=x reload=- restart=- errors=0"]
    )
    def test_what_is_no_journal_is_none(self, text: str) -> None:
        assert nlserver.parse_journal(text) is None

    def test_a_journal_is_read(self) -> None:
        text = "7 2 done config=0 reload=1 restart=- errors=config,reload"
        outcome = Outcome(0, 1, None, frozenset({"config", "reload"}))
        assert nlserver.parse_journal(text) == Journal(7, 2, "done", outcome)


class TestFileState:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"organization_ids": (ACCOUNT.organization_id,)},
            {"organization_ids": ("", ACCOUNT.organization_id)},
            {"client_ids": (ACCOUNT.client_id,) * 2},
            {"secrets": ("d1", "d2")},
        ],
    )
    def test_shows_the_account(self, changes: dict[str, object]) -> None:
        assert state(**changes).shows(ACCOUNT)

    @pytest.mark.parametrize(
        "changes",
        [
            {"client_ids": ()},
            {"client_ids": (ACCOUNT.client_id, "other")},
            {"client_ids": (ACCOUNT.client_id.upper(),)},
            {"technical_account_ids": ("other",)},
            {"technical_account_ids": ("", ACCOUNT.technical_account_id)},
            {"organization_ids": ("OTHER@AdobeOrg",)},
            {"secrets": ()},
            {"secrets": ("empty",)},
            {"secrets": ("d1", "empty")},
        ],
    )
    def test_does_not_show_the_account(self, changes: dict[str, object]) -> None:
        assert not state(**changes).shows(ACCOUNT)


SAME_SECRET = {"after": state(secrets=BEFORE.secrets, stamp=BEFORE.stamp)}
UNCHANGED = {"after": BEFORE}
WRONG_IDS = {"after": state(client_ids=("other",))}


@pytest.mark.parametrize(
    ("changes", "state", "code", "written"),
    [
        ({}, "succeeded", "", True),
        ({"after": state(secrets=BEFORE.secrets)}, "succeeded", "", True),
        ({"after": state(stamp=BEFORE.stamp)}, "succeeded", "", True),
        (SAME_SECRET, "failed", Code.NOT_PROVEN, False),
        ({"held": AFTER}, "failed", Code.NOT_PROVEN, False),
        (UNCHANGED, "failed", Code.NOT_APPLIED, False),
        (WRONG_IDS, "failed", Code.NOT_APPLIED, True),
        ({"after": FileState()}, "failed", Code.NOT_APPLIED, True),
        ({"after": state(read=False)}, "failed", Code.NOT_APPLIED, True),
        ({"outcome": Outcome(1)} | UNCHANGED, "failed", Code.REFUSED_BY_NLSERVER, False),
        ({"outcome": Outcome(1)}, "failed", Code.REFUSED_BY_NLSERVER, True),
        ({"outcome": Outcome(0, 0, None, frozenset({"config"}))}, "failed", Code.REFUSED_BY_NLSERVER, True),
        ({"outcome": Outcome(None)}, "failed", Code.REFUSED_BY_NLSERVER, True),
        ({"outcome": Outcome(124)} | UNCHANGED, "failed", Code.STOPPED_BY_LIMIT, False),
        ({"outcome": Outcome(124)}, "failed", Code.RELOAD_NOT_CONFIRMED, True),
        ({"outcome": Outcome(137)}, "failed", Code.RELOAD_NOT_CONFIRMED, True),
        ({"outcome": Outcome(124)} | WRONG_IDS, "failed", Code.STOPPED_BY_LIMIT, True),
        ({"outcome": Outcome(0, 1)}, "failed", Code.RELOAD_FAILED, True),
        ({"outcome": Outcome(0, 0, None, frozenset({"reload"}))}, "failed", Code.RELOAD_FAILED, True),
        ({"outcome": Outcome(0, None)}, "failed", Code.RELOAD_NOT_CONFIRMED, True),
        (
            {"outcome": Outcome(0, 0, 3), "job": job(restart_pipelined=True)},
            "failed",
            Code.RELOAD_FAILED,
            True,
        ),
        ({"job": job(restart_pipelined=True)}, "failed", Code.RELOAD_NOT_CONFIRMED, True),
        ({"outcome": Outcome(0), "job": job(reload=False)}, "succeeded", "", True),
        ({"stopped": Code.TOO_LATE}, "failed", Code.TOO_LATE, False),
        ({"stopped": Code.BUSY}, "failed", Code.BUSY, False),
        ({"stopped": Code.CONNECTION_LOST}, "failed", Code.CONNECTION_LOST, False),
        ({"stopped": Code.NEWER_PUSH}, "superseded", Code.NEWER_PUSH, False),
    ],
)
def test_a_report_is_judged(changes: dict[str, object], state: str, code: str, written: bool) -> None:
    verdict = nlserver.judge(report(**changes), ACCOUNT, BEFORE)
    assert (verdict.state, verdict.code, verdict.written) == (state, code, written)


def test_an_unchanged_file_is_good_if_a_proven_push_of_this_secret_left_it() -> None:
    known = frozenset(BEFORE.secrets)
    verdict = nlserver.judge(report(**SAME_SECRET), ACCOUNT, BEFORE, known_digests=known)
    assert verdict == Verdict("succeeded", written=False)


def test_without_a_state_under_the_lock_the_one_before_counts() -> None:
    unheld = report(held=FileState(), after=state(stamp="1", secrets=("d0",)))
    assert nlserver.judge(unheld, ACCOUNT, BEFORE).code == Code.NOT_PROVEN


def test_a_jwt_key_that_is_still_there_is_noted() -> None:
    assert nlserver.judge(report(after=state(jwt=True)), ACCOUNT, BEFORE) == Verdict(
        "succeeded", "", True, ("jwt",)
    )


def look(**changes: Any) -> Look:
    journal = Journal(7, 2, "done", DONE)
    values: dict[str, Any] = {"job": job(attempt=3), "ready": Ready(), "after": AFTER, "journal": journal}
    return Look(**(values | changes))


def journal(
    stage: str = "done", *codes: int | None, pair: tuple[int, int] = (7, 2), errors: str = ""
) -> Journal:
    config, reload, restart = (*codes, None, None, None)[:3]
    return Journal(*pair, stage, Outcome(config, reload, restart, frozenset(errors.split())))


@pytest.mark.parametrize(
    ("changes", "state", "code", "written"),
    [
        ({}, "succeeded", "", True),
        (UNCHANGED, "requeue", "", False),
        ({"after": state(secrets=BEFORE.secrets)}, "requeue", "", False),
        (WRONG_IDS, "failed", Code.CHANGED_BY_OTHERS, True),
        ({"journal": journal("done", 0, 1)}, "failed", Code.RELOAD_FAILED, True),
        ({"journal": journal("done", 3)} | UNCHANGED, "failed", Code.REFUSED_BY_NLSERVER, False),
        ({"journal": journal("done", 0, 0, errors="config")}, "failed", Code.REFUSED_BY_NLSERVER, True),
        ({"journal": journal("done", 0, 0, errors="reload")}, "failed", Code.RELOAD_FAILED, True),
        ({"journal": journal("done", 124)} | UNCHANGED, "failed", Code.STOPPED_BY_LIMIT, False),
        ({"journal": journal("configured", 0)}, "failed", Code.RELOAD_NOT_CONFIRMED, True),
        ({"journal": journal("begun")}, "failed", Code.RELOAD_NOT_CONFIRMED, True),
        ({"journal": journal("begun")} | UNCHANGED, "requeue", "", False),
        ({"journal": journal("begun")} | WRONG_IDS, "failed", Code.CHANGED_BY_OTHERS, True),
        ({"journal": None} | UNCHANGED, "requeue", "", False),
        ({"journal": None}, "requeue", "", None),  # our nlserver never ran: another hand wrote
        ({"journal": None} | WRONG_IDS, "failed", Code.CHANGED_BY_OTHERS, True),
        ({"journal": journal("done", 0, 0, pair=(7, 1))} | UNCHANGED, "requeue", "", False),
        ({"journal": journal("done", 0, 0, pair=(7, 3))}, "superseded", Code.NEWER_PUSH, None),
        ({"journal": journal("done", 0, 0, pair=(8, 1))}, "superseded", Code.NEWER_PUSH, None),
        ({"stopped": Code.NEWER_PUSH}, "superseded", Code.NEWER_PUSH, None),
        ({"stopped": Code.BUSY}, "unknown", Code.BUSY, None),
        ({"after": FileState()}, "unknown", Code.NO_REPORT, None),
    ],
)
def test_a_look_is_judged(changes: dict[str, object], state: str, code: str, written: bool | None) -> None:
    verdict = nlserver.judge_look(look(**changes), ACCOUNT, BEFORE.digest, 7, 2)
    assert (verdict.state, verdict.code, verdict.written) == (state, code, written)


def test_a_look_accepts_an_unchanged_file_that_a_proven_push_left() -> None:
    found = look(after=state(secrets=BEFORE.secrets))
    verdict = nlserver.judge_look(found, ACCOUNT, BEFORE.digest, 7, 2, frozenset(BEFORE.secrets))
    assert verdict == Verdict("succeeded", written=False)


def test_an_unchanged_file_whose_push_never_ran_is_sent_again_even_if_known() -> None:
    found = look(after=state(secrets=BEFORE.secrets), journal=None)
    verdict = nlserver.judge_look(found, ACCOUNT, BEFORE.digest, 7, 2, frozenset(BEFORE.secrets))
    assert verdict.state == "requeue"
