"""The signed head of each day, sent out: what a receiver can do with it when the portal cannot be trusted."""

import json
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from portal.audit.append_only import without_triggers
from portal.audit.models import AuditEvent, SignedHead
from portal.audit.signing.heads import sign_daily, sign_head
from portal.audit.signing.signing_key import signing_key
from portal.audit.trail import PORTAL, record
from portal.notices.letters import letter_of
from portal.notices.models import Message, Note
from tests.factories import make_channel
from tests.portal.notices.telling import send_all
from tests.services.answering import http, serving

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what it asks, others ask on both


def happen(count: int = 1) -> None:
    with transaction.atomic():
        for _ in range(count):
            record("push.retried", actor=PORTAL)


def accepted_by_ssh_keygen(folder: Path, signed_text: str, signature: str) -> bool:
    """Do what docs/evidence.md says of a head that was received."""
    armor = ["-----BEGIN SSH SIGNATURE-----", signature, "-----END SSH SIGNATURE-----", ""]
    (folder / "head.sig").write_text("\n".join(armor))
    (folder / "allowed_signers").write_text(f"campaign-portal {signing_key().public}\n")
    command = ["ssh-keygen", "-Y", "verify", "-f", "allowed_signers", "-I", "campaign-portal"]
    command += ["-n", "campaign-portal-head", "-s", "head.sig"]
    message = f"{signed_text}\n".encode()
    return (
        subprocess.run(command, cwd=folder, input=message, capture_output=True, check=False).returncode == 0
    )


def test_a_webhook_gets_the_head_with_a_signature_that_openssh_accepts(tmp_path: Path) -> None:
    happen(3)
    with serving(http(200, b"ok")) as server:
        make_channel(name="Auditors", way="webhook", address=f"{server.url}/hook")
        sign_daily()
        send_all()
        (request,) = server.requests
    told = json.loads(request.partition(b"\r\n\r\n")[2])
    head = SignedHead.objects.get()
    assert (told["kind"], told["subject"]) == ("head.signed", f"Head of the history: {head.seq}:{head.hash}")
    facts = told["details"]["first"][0]
    assert facts["subject"] == f"{head.seq}:{head.hash}"
    details = facts["details"]
    assert details["key"] == signing_key().fingerprint
    assert accepted_by_ssh_keygen(tmp_path, details["signed_text"], "\n".join(details["signature"]))
    assert not accepted_by_ssh_keygen(tmp_path, details["signed_text"] + "0", "\n".join(details["signature"]))


def test_the_text_of_a_mail_is_enough_as_well(tmp_path: Path) -> None:
    happen()
    make_channel()
    sign_daily()
    send_all()
    lines = letter_of(Message.objects.get()).lines
    text, signature = (
        next(line.removeprefix(start) for line in lines if line.startswith(start))
        for start in ("Signed text: ", "Signature: ")
    )
    assert accepted_by_ssh_keygen(tmp_path, text, signature)


def test_only_who_wants_it_gets_it() -> None:
    happen()
    make_channel(name="Others", kinds=["push.failed"])
    make_channel(name="Auditors", kinds=["head.signed"])
    sign_daily()
    send_all()
    assert [each.channel_name for each in Message.objects.all()] == ["Auditors"]


def test_the_heads_of_packs_are_not_sent_and_a_day_has_one() -> None:
    happen()
    sign_head()
    assert not Note.objects.exists()
    now = timezone.now()
    for hours in (24, 25, 26):
        with time_machine.travel(now + timedelta(hours=hours), tick=False):
            happen()
            sign_daily()
    assert Note.objects.count() == 1


def test_a_received_head_shows_a_history_that_was_made_anew(as_auditor: Client) -> None:
    happen(3)
    make_channel()
    sign_daily()
    head = Note.objects.get().subject

    def found() -> bool:
        as_auditor.post("/history/verify/", {"head": head})
        verified = AuditEvent.objects.filter(action="history.verified").first()
        assert verified
        return bool(verified.details["expected_head_found"])

    assert found()
    with transaction.atomic(), without_triggers(connection, "audit_auditevent"):
        previous = ""
        for event in AuditEvent.objects.order_by("seq"):  # by somebody who has the audit key
            event.request_id = "made anew"
            event.chain(previous or event.prev_hash)
            event.save(force_update=True)
            previous = event.hash
    assert not found()
