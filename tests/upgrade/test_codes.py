"""Every code that was ever stored keeps its words, and no new one is stored that the table does not name.

Finished attempts and events never change, so `files/codes.json` only grows: who adds a code adds it there.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
from django.apps import apps

from credentials.adobe.ims import NEXT_STEPS
from credentials.entry import Doubt
from credentials.rollouts.models import Attempt
from credentials.rollouts.notes import WORDS
from credentials.wizard.steps import STEPS, STEPS_WITH_JSON
from instances.failures import explain
from instances.models import Container, KeyScan
from instances.reaching import key_scans
from portal.audit.chain.findings import PROBLEMS
from portal.audit.labels import LABELS, line_of
from portal.audit.models import AuditEvent
from portal.notices.kinds import is_registered, kind_of
from portal.web import tags
from tests.upgrade import codes
from tests.upgrade.past import FILES

TABLE: dict[str, list[str]] = json.loads((FILES / "codes.json").read_text())


def choice(name: str, code: str) -> str:
    """Return the word of a code in a column with choices."""
    table, column = name.split(".")
    model = next(each for each in apps.get_models() if each._meta.db_table == table)
    field = next(each for each in model._meta.local_concrete_fields if each.column == column)
    return str(dict(field.flatchoices)[code])


def failure(name: str, code: str) -> str:
    explanation = explain(code)
    assert str(explanation.cause)
    assert str(explanation.next_step)
    return choice(name, code)


def kind_of_notice(code: str) -> str:
    assert is_registered(code)
    return str(kind_of(code).label)


def state(name: str, code: str) -> str:
    assert code in tags.WORDS
    return choice(name, code)


def target_type(code: str) -> str:
    assert code in set(codes.target_types())
    return code


def detail(key: str) -> str:
    line = line_of(AuditEvent(seq=1, action="rollout.requested", details={key: "told"}))
    (words,) = [name for name, text in line.facts if text == "told"]
    assert "_" not in words
    return words


def answer(code: str) -> str:
    assert str(NEXT_STEPS[code])
    answers: Iterable[Any] = NEXT_STEPS  # Any: its type says text, and they are choices
    return next(str(each.label) for each in answers if each == code)


WORDS_OF: dict[str, Callable[[str], Any]] = {
    "audit_auditevent.action": LABELS.__getitem__,
    "audit_auditevent.details": detail,
    "audit_auditevent.details.findings": lambda code: PROBLEMS[code] % defaultdict(int),
    "audit_auditevent.target_type": target_type,
    "credentials_clientsecret.ims_verdict": answer,
    "credentials_clientsecret.state": lambda code: tags.WORDS[code],  # an upgrade gives each a new one
    "instances_keyscan.code": lambda code: key_scans.why_failed(
        KeyScan(state="failed", code=code, container=Container())
    ),
    "notices_message.kind": kind_of_notice,
    "rollouts_attempt.code": partial(failure, "rollouts_attempt.code"),
    "rollouts_attempt.notes": WORDS.__getitem__,
    "rollouts_attempt.verdict": partial(state, "rollouts_attempt.verdict"),
    "rollouts_push.cause": lambda code: Attempt.Cause(code).label,
    "rollouts_push.code": partial(failure, "rollouts_push.code"),
    "rollouts_push.state": partial(state, "rollouts_push.state"),
    "wizard_draft.cautions": lambda code: Doubt("client_id", code).message,
    "wizard_draft.step": {
        step.slug: step.label
        for ways in (STEPS, STEPS_WITH_JSON)
        for steps in ways.values()
        for step in steps
    }.__getitem__,
}
"""How a code becomes words; for the other columns their choices say it."""


@pytest.mark.parametrize("name", TABLE)
def test_every_code_ever_used_still_has_words(name: str) -> None:
    in_words = WORDS_OF.get(name) or partial(choice, name)
    without = [code for code in TABLE[name] if not str(in_words(code)).strip()]
    assert not without


def test_todays_code_stores_no_code_that_the_table_lacks() -> None:
    lacking = {
        name: more
        for name, found in codes.of_today().items()
        if (more := set(found) - set(TABLE.get(name, [])))
    }
    assert not lacking, "add these to tests/upgrade/files/codes.json, and never remove one"


def test_the_table_is_in_order() -> None:
    assert list(TABLE) == sorted(TABLE)
    assert all(found == sorted(set(found)) for found in TABLE.values())
