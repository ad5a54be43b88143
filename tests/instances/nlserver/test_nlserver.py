"""What is sent to a container, what is read from its answers, and what is concluded."""

import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances import nlserver
from instances.nlserver import FileState, Job, Journal, Mark, Ready, StepExits
from instances.nlserver.job import NO_C_SHELL
from tests.instances.nlserver.shell_fleet import ACCOUNT, NONCE

MARK = f"PORTAL {NONCE} ".encode()
A, B = "a" * 64, "b" * 64
AFTER = FileState((), (ACCOUNT.client_id,), (ACCOUNT.technical_account_id,), (A,), read=True)


def job(**changes: Any) -> Job:  # Any: a test's way to vary one value
    values: dict[str, Any] = {"instance": "prod1", "install_root": "/usr/local/neolane", "become": "none"}
    return Job(**(values | {"fence": 7, "attempt": 2} | changes))


def state(**changes: Any) -> FileState:
    return replace(AFTER, **changes)


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
        "changes",
        [
            {"become": "doas"},
            {"user": "-u"},
            {"user": "a b"},
            {"fence": -1},
            {"limit": 10**15},
            {"portal": "-x"},
            {"over": "a b"},
        ],
    )
    def test_other_bad_values_are_refused(self, changes: dict[str, object]) -> None:
        with pytest.raises(ValueError, match=r"become|number|portal"):
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
        assert announced == f"{NO_C_SHELL}echo; echo PORTAL {NONCE} "
        return shlex.split(command)

    EXPECTED = ("portal", NONCE, "apply", "prod1", "/usr/local/neolane", "7", "2", "reload", "60", "neolane")

    def test_logged_in_as_the_user_the_script_runs_at_once(self) -> None:
        assert self.words("none") == ["sh", "-c", nlserver.script(), *self.EXPECTED]

    def test_the_portal_and_whom_it_takes_over_come_last(self) -> None:
        found = nlserver.command(job(portal="ours", over="7.1"), "apply", NONCE)
        assert shlex.split(found)[-3:] == ["neolane", "ours", "7.1"]

    def test_through_sudo(self) -> None:
        words = self.words("sudo")
        assert words[:5] == ["sudo", "-n", "-u", "neolane", "--"]
        assert words[5:] == ["sh", "-c", nlserver.script(), *self.EXPECTED]

    def test_through_su(self) -> None:
        words = self.words("su")
        assert words[:4] == ["su", "-", "neolane", "-c"]
        inner = words[4].removeprefix(NO_C_SHELL)
        assert inner != words[4]
        assert shlex.split(inner) == ["exec", "sh", "-c", nlserver.script(), *self.EXPECTED]

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
        fields = [MARK + key + b"\n" for key in (b"user=x", b"config=present", b"done=yes")]
        taken = transcript(b"\n", fields[0], b"\n", fields[1], b"text\n", b"\n", fields[2])
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
        for stage in nlserver.report.READINGS:
            taken.fields.file_state(stage)
        nlserver.parse_report(taken, job(), None)
        nlserver.refusal(taken, job(), Ready())
        nlserver.parse_journal(taken.fields.last("journal"))

    KEYS = st.sampled_from(
        ["after.secret", "rc.config", "journal", "user", "before.read", "done", "run", "x"]
    )

    @given(st.lists(st.tuples(KEYS, st.text(max_size=20))))
    def test_any_values_can_be_read(self, pairs: list[tuple[str, str]]) -> None:
        taken = nlserver.Transcript(NONCE)
        for key, value in pairs:
            taken.feed(MARK + f"{key}={value}\n".encode("utf-8", "replace"))
        found = nlserver.parse_report(taken, job(), 0)
        assert found is None or nlserver.judge(found, ACCOUNT).state != "succeeded"

    def test_entities_in_values_are_resolved(self) -> None:
        taken = transcript(MARK + b"after.client_id=a&amp;b&#64;c\n")
        assert taken.fields.file_state("after").client_ids == ("a&b@c",)

    @pytest.mark.parametrize(
        "text", ["", "garbage", "1 2 done", "1 2 begun config=x reload=- restart=- errors=0"]
    )
    def test_what_is_no_journal_is_none(self, text: str) -> None:
        assert nlserver.parse_journal(text) is None

    def test_a_journal_is_read(self) -> None:
        text = "7 2 done config=0 reload=1 restart=- errors=config,reload"
        outcome = StepExits(0, 1, None, frozenset({"config", "reload"}))
        assert nlserver.parse_journal(text) == Journal(7, 2, "done", outcome)

    @pytest.mark.parametrize(
        ("word", "mark"),
        [
            (A, Mark(True, frozenset({A}))),
            ("empty", Mark(True, frozenset({"empty"}))),
            ("none", Mark(True)),
            ("many", Mark()),
            ("unread", Mark()),
            ("-", None),
        ],
    )
    def test_a_journal_tells_the_secrets_around_nlserver(self, word: str, mark: Mark | None) -> None:
        text = f"7 2 begun config=- reload=- restart=- errors=0 held={word} written={word} took=3"
        found = nlserver.parse_journal(text)
        assert found
        assert (found.held, found.written, found.took) == (mark, mark, 3)

    def test_a_journal_of_a_newer_release_is_read(self) -> None:
        text = f"7 2 done config=0 reload=0 restart=- errors=0 held={A} written={B} took=0 portal=x seen=1"
        found = nlserver.parse_journal(text)
        assert found
        assert found.written == Mark(True, frozenset({B}))


def report_lines(**changes: bytes | None) -> list[bytes]:
    """What the script says in a conversation that goes well; a change replaces a line, None leaves it out."""
    reading = [b"client_id=c", b"technical_account_id=t", b"organization_id=o", b"read=yes"]
    digests = {b"before": A, b"held": A, b"written": B, b"after": B}
    said = {
        b"user": b"neolane", b"nlserver": b"/n/nl7/bin/nlserver", b"config": b"present", b"run": b"probe",
        b"rc.probe": b"0", b"errors.probe": b"0",
    }  # fmt: skip
    lines = [key + b"=" + value for key, value in said.items()]
    steps = {
        b"held": [b"ready"],
        b"written": [b"run=config", b"rc.config=0", b"errors.config=0", b"took.config=1"],
        b"after": [b"run=reload", b"rc.reload=0", b"errors.reload=0"],
    }
    for name, digest in digests.items():
        lines += steps.get(name, [])
        lines += [name + b"." + each for each in (b"secret=" + digest.encode(), *reading)]
    lines.append(b"done=yes")
    for old, new in changes.items():
        at = next(n for n, line in enumerate(lines) if line.startswith(old.replace("_", ".").encode()))
        lines[at : at + 1] = [] if new is None else [new]
    return [MARK + line + b"\n" for line in lines]


class TestShapes:
    def test_a_conversation_that_goes_well_has_the_right_shape(self) -> None:
        taken = transcript(*report_lines())
        assert not taken.fields.malformed
        found = nlserver.parse_report(taken, job(), None)
        assert found
        assert (found.took, found.written.digest, found.after.digest) == (1, B, B)

    @pytest.mark.parametrize(
        "lines",
        [
            report_lines(after_secret=b"after.secret=p8e-the-secret-itself-in-the-clear"),
            report_lines(after_secret=b"after.secret=" + b"f" * 65),
            report_lines(after_secret=b"after.secret=" + b"F" * 64),
            report_lines(after_read=b"after.read=maybe"),
            report_lines(after_client=b"after.client_id=" + b"c" * 201),
            report_lines(rc_config=b"rc.config=0000"),
            report_lines(took_config=b"took.config=-1"),
            report_lines(done=b"done=perhaps"),
            report_lines(user=b"user=p8e a secret"),
            [*report_lines(done=None), MARK + b"after.read=yes\n", MARK + b"done=yes\n"],
            [*report_lines(done=None), MARK + b"held.read=yes\n", MARK + b"done=yes\n"],
            [MARK + b"after.read=yes\n", *report_lines()],
            [*report_lines(done=None), MARK + b"unheard_of=1\n", MARK + b"done=yes\n"],
            [MARK + b"user\n", *report_lines()],
            [MARK + b"run=something\n", *report_lines()],
            [*(MARK + f"key{n}=1\n".encode() for n in range(10_000)), *report_lines()],
            [*report_lines(done=None), *[MARK + f"after.secret={B}\n".encode()] * 41],
        ],
    )
    def test_what_the_script_cannot_have_said_is_malformed_and_not_kept(self, lines: list[bytes]) -> None:
        taken = transcript(*lines)
        assert taken.fields.malformed
        assert "p8e" not in str(taken.fields.values)
        assert sum(map(len, taken.fields.values.values())) < 100
        assert nlserver.refusal(taken, job(), Ready()) == "answer_malformed"


class TestFileState:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"organization_ids": (ACCOUNT.organization_id,)},
            {"organization_ids": ("", ACCOUNT.organization_id)},
            {"client_ids": (ACCOUNT.client_id,) * 2},
            {"secrets": (A, B)},
            {"secrets": (A, "empty")},
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
            {"read": False},
            {"read": False, "torn": True},
        ],
    )
    def test_does_not_show_the_account(self, changes: dict[str, object]) -> None:
        assert not state(**changes).shows(ACCOUNT)
