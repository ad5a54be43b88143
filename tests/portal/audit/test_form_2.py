"""Form 2 of an event: its text and hash for ever, recomputed by the script of the documentation."""

import csv
import io
import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from portal.audit.chain import canonical
from portal.audit.chain.sealing import examine, seal_break
from portal.audit.chain.verification import verify
from portal.audit.models import FIRST, AuditEvent, AuditHead
from portal.audit.names import PersonName
from portal.audit.trail import Actor, record
from tests.portal.audit.tampering import change, open_trail
from tests.services.portal import ROOT

pytestmark = pytest.mark.django_db
VECTORS = json.loads((Path(__file__).parent / "files" / "form-2.json").read_text())
"""Events of the first release that wrote form 2, with the texts, hashes and seals that it made of them."""
SCRIPT = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "audit-form.md").read_text(), re.DOTALL)[0]


def recompute(lines: str) -> tuple[int, str]:
    """Run the script of the documentation, with nothing of the portal, on an export."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", SCRIPT], input=lines, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def export(client: Client) -> str:
    return str(client.post("/history/export/", {"format": "json"}).getvalue().decode("ascii"))


def test_form_2_is_what_it_was_in_the_first_release_that_wrote_it() -> None:
    for vector in VECTORS["events"]:
        at = datetime.fromisoformat(vector["event"]["at"])
        event = AuditEvent(**{**vector["event"], "at": at}, form=2, names=vector["names"])
        event.chain(vector["prev_hash"], VECTORS["key"])
        assert (event.text, event.hash, event.seal) == (vector["text"], vector["hash"], vector["seal"])
        assert event.is_sealed_with(VECTORS["key"])


@pytest.mark.database
def test_an_export_can_be_recomputed_without_the_portal(as_auditor: Client, auditor: User) -> None:
    people = [{"name": PersonName("zoë/~"), "tries": 2}]
    record("sign_in.failures_counted", actor=Actor("portal", is_person=False), details={"people": people})
    record("user.created", actor=Actor("alice"), target=auditor, details={"é\u2028": ["\U0001f600", None, 1]})
    lines = export(as_auditor)
    assert recompute(lines) == (0, "")
    assert json.loads(lines.splitlines()[-1])["target_name"] == "astrid"
    details = AuditEvent.objects.get(action="history.exported").details
    assert details == {"filters": {}, "objects": 3, "last": 3, "format": "json"}
    changed = lines.replace('"tries":2', '"tries":3')
    assert recompute(changed) == (
        1,
        f"{AuditEvent.objects.all()[2].seq} is not what its hash was made over\n",
    )
    renamed = lines.replace('"target_name":"astrid"', '"target_name":"henry"')
    assert recompute(renamed)[0] == 1
    without = lines.splitlines(keepends=True)
    assert recompute("".join(without[:1] + without[2:]))[0] == 1


@pytest.mark.database
def test_events_of_both_forms_are_one_chain(as_auditor: Client) -> None:
    open_trail()
    AuditEvent.objects.all()._raw_delete("default")
    old = AuditEvent(seq=1, at=datetime.fromisoformat("2026-01-01T00:00:00+00:00"), actor_name="alice")
    old.chain(FIRST)
    old.save(force_insert=True)
    head = AuditHead(pk=1, seq=1, hash=old.hash)
    head.seal = head.expected_seal()
    head.save()
    record("push.failed", actor=Actor("alice"))
    assert [event.form for event in AuditEvent.objects.order_by("seq")] == [None, 2]
    assert verify().is_intact
    assert recompute(export(as_auditor)) == (0, "")
    change(1, actor_name="bob")
    assert [(each.seq, each.code) for each in verify().findings] == [(1, "changed")]


def test_the_text_in_a_csv_is_what_the_hash_was_made_over(as_auditor: Client) -> None:
    answer = as_auditor.post("/history/export/").getvalue().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(answer)))
    assert rows
    for row in rows:
        assert canonical.hash_2(row["text"], row["previous_hash"]) == row["hash"]


LIES: dict[str, dict[str, Any]] = {
    "another name": {"actor_name": "bob"},
    "another form": {"form": None},
    "an unknown form": {"form": 3},
    "a salt for another name": {"names": {"/actor_name": {"salt": "00"}}},
    "no names": {"names": {}},
    "names that are none": {"names": None},
    "names in a place that is not there": {"names": {"/details/9/x": {"salt": "00"}}},
    "a name erased in a place that is not there": {
        "names": {"/details/9/x": {"commitment": "0", "erased_by": 1}}
    },
    "a list of names": {"names": [{"erased_by": 1}]},
    "a text for a name": {"names": {"/actor_name": "erased_by"}},
    "another seal": {"seal": "f" * 64},
    "no seal": {"seal": None},
}


@pytest.mark.parametrize("values", LIES.values(), ids=LIES)
def test_a_changed_row_is_found(values: dict[str, Any]) -> None:
    for _ in range(3):
        record("push.failed", actor=Actor("alice"))
    change(2, **values)
    assert [(each.seq, each.code) for each in verify().findings] == [(2, "changed")]


def test_a_commitment_written_out_as_a_name_is_found() -> None:
    """The text would be the same, if it did not say where its commitments are."""
    event = record("push.failed", actor=Actor("alice"))
    names = event.names or {}
    known = canonical.commitment(names["/actor_name"]["salt"], "alice")
    change(event.seq, actor_name=known, names={})
    assert [each.code for each in verify().findings] == ["changed"]


def test_a_row_that_makes_no_sense_can_be_sealed_as_it_is() -> None:
    record("push.failed", actor=Actor("alice"))
    record("push.failed", actor=Actor("alice"))
    change(1, names={"/details/x": {"salt": "00"}}, form=7)
    seal_break(reason="tried", actor=Actor("alice"), looked_at=examine())
    assert verify().is_intact
    change(1, form=8)
    assert [each.code for each in verify().findings] == ["sealed_event_changed"]


def test_a_fraction_is_refused() -> None:
    with pytest.raises(TypeError, match="no fractions"):
        record("push.failed", actor=Actor("alice"), details={"seconds": [0.5]})


def test_two_events_of_one_person_show_different_commitments() -> None:
    texts = [record("push.failed", actor=Actor("alice")).text for _ in range(2)]
    assert all("alice" not in text for text in texts)
    assert json.loads(texts[0])["actor_name"] != json.loads(texts[1])["actor_name"]


def test_verify_audit_still_prints_words(capsys: pytest.CaptureFixture[str]) -> None:
    record("push.failed", actor=Actor("alice"))
    change(1, actor_name="bob")
    with pytest.raises(SystemExit):
        call_command("verify_audit")
    assert "event 1: was changed after it was recorded" in capsys.readouterr().out
