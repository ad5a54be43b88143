"""What a secret looks like is stated once, and known in every writing."""

import logging
from pathlib import Path

import pytest

from credentials import values
from instances.reaching.redaction import redact
from portal.plaintext import USUAL_FORM, cut_out, has_secret, may_hold_secret
from portal.processes.logs import NoSecrets
from tests.security.secret_shapes import BODY, HARMLESS, JWT_SECRET, SECRET, WRITINGS

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("portal", "instances", "credentials")
STATED = ("8e-", "eyJ")


def test_no_other_module_states_a_shape() -> None:
    modules = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    assert len(modules) > 100
    found = {
        str(path.relative_to(ROOT))
        for path in modules
        if any(shape.lower() in path.read_text().lower() for shape in STATED)
    }
    assert found == {"portal/plaintext.py"}


@pytest.mark.parametrize("writing", WRITINGS)
def test_what_a_person_enters_is_known_in_every_writing(writing: str) -> None:
    assert may_hold_secret(WRITINGS[writing])
    assert may_hold_secret(f"before\n{WRITINGS[writing]}\nafter")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_resembles_a_secret_is_accepted(text: str) -> None:
    assert not may_hold_secret(text)


@pytest.mark.parametrize("text", WRITINGS.values())
def test_nothing_is_found_in_what_was_cut(text: str) -> None:
    """Otherwise the last net could keep the outcome of a push from being stored."""
    assert not has_secret(cut_out(text))
    assert not has_secret(redact(text.encode()))


@pytest.mark.parametrize("secret", [SECRET, JWT_SECRET, SECRET.upper(), SECRET.replace("-", "%2d")])
def test_logs_and_output_cut_the_same(secret: str) -> None:
    record = logging.LogRecord("name", logging.INFO, "path", 1, "before %s after", (secret,), None)
    NoSecrets().filter(record)
    assert record.msg == "before *** after"
    assert redact(f"before {secret} after".encode()) == "before ******** after"


def test_the_usual_form_is_the_one_that_values_knows() -> None:
    assert values.SHAPES[values.CLIENT_SECRET] is USUAL_FORM
    assert values.shape_of(SECRET) == values.CLIENT_SECRET


@pytest.mark.parametrize("name", ["organization_id", "client_id", "technical_account_id"])
@pytest.mark.parametrize("writing", WRITINGS)
def test_no_identifier_of_an_account_may_hold_a_secret(name: str, writing: str) -> None:
    checked = values.check(name, WRITINGS[writing])
    assert not checked.is_accepted
    assert BODY not in str(checked.problem)
