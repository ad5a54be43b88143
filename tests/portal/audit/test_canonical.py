"""The form of an event that its hash is made over, and the names by which events know their objects."""

import hmac
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import models

from credentials.models import Assignment, TechnicalAccount
from credentials.rollouts.models import Push, Rollout
from instances.models import Container, Installation, Instance, JumpHost
from portal.audit.chain import canonical
from portal.audit.models import AuditEvent
from portal.audit.trail import audit_name

VECTORS = json.loads((Path(__file__).parent / "files" / "form-1.json").read_text())
"""Events of the first release, with the texts and hashes that it made of them."""


@pytest.mark.parametrize("vector", VECTORS["events"], ids=lambda each: each["event"]["action"])
def test_form_1_is_what_it_was_in_the_first_release(vector: dict[str, Any]) -> None:
    event = {**vector["event"], "at": datetime.fromisoformat(vector["event"]["at"])}
    text = canonical.encode(canonical.form_1(**event))
    assert text == vector["text"]
    assert hmac.digest(VECTORS["key"].encode(), text.encode(), "sha256").hex() == vector["hash"]
    assert AuditEvent(**event).digest(VECTORS["key"]) == vector["hash"]


def test_the_vectors_are_of_every_kind() -> None:
    events = [each["event"] for each in VECTORS["events"]]
    assert len(events) == 20
    assert any(each["actor_id"] is None for each in events)
    assert any("." not in each["at"] for each in events)
    assert any("." in each["at"] for each in events)
    assert any(not str(each["target_name"]).isascii() for each in events)
    assert any(isinstance(value, dict) for each in events for value in each["details"].values())


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (TechnicalAccount, "technicalaccount"),
        (Rollout, "rollout"),
        (Push, "push"),
        (Instance, "instance"),
        (Container, "container"),
        (Installation, "installation"),
        (JumpHost, "jumphost"),
        (User, "user"),
    ],
)
def test_objects_are_known_by_names_that_never_change(model: type[models.Model], name: str) -> None:
    assert audit_name(model()) == name


def test_an_object_without_a_name_is_not_recorded_under_a_name_of_the_day() -> None:
    with pytest.raises(TypeError, match="Assignment has no audit_name"):
        audit_name(Assignment())
