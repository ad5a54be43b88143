"""`docs/retention.md` against the models: each is there, with what it keeps of people, and how long."""

import re
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import models

from portal.audit.append_only import registered
from portal.health import workers
from portal.retention import kinds
from portal.short_lived import ShortLived, short_lived
from tests.services.portal import ROOT

PAGE = (ROOT / "docs" / "retention.md").read_text()
PERSONAL = re.compile(r"(actor_name|username|_by|_by_name|^ip|^address_of|^name_hash)$")


def rows() -> dict[str, tuple[str, str, str]]:
    """Model -> (of people, kept, why), as the page says."""
    found = {}
    section = PAGE.partition("## The database")[2].partition("\n## ")[0]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for label in re.findall(r"`([a-z]+\.\w+)`", cells[0]):
            assert label not in found
            found[label] = (cells[2], cells[3], cells[4])
    return found


def all_models() -> list[type[models.Model]]:
    return list(apps.get_models(include_auto_created=True))


def label(model: type[models.Model]) -> str:
    return str(model._meta.label)


def in_words(length: timedelta) -> str:
    hours, minutes = divmod(int(length.total_seconds()) // 60, 60)
    return f"{hours} hour" if hours else f"{minutes} minutes"


def holds_people(model: type[models.Model]) -> bool:
    fields = [field for field in model._meta.get_fields() if not field.auto_created]
    return model in (User, Session) or any(
        field.related_model is User or PERSONAL.search(field.name) for field in fields
    )


def test_every_table_is_on_the_page_and_no_other() -> None:
    assert rows().keys() == {label(model) for model in all_models()}


def test_what_holds_people_says_so() -> None:
    for model in all_models():
        if holds_people(model):
            assert rows()[label(model)][0] == "yes", label(model)


def test_what_goes_by_itself_has_its_time_and_is_said_to_be_in_no_backup() -> None:
    for model in short_lived():
        _, kept, why = rows()[label(model)]
        assert "by itself" in kept
        assert "in no backup" in why or model is Session
        if issubclass(model, ShortLived):
            assert in_words(model.KEPT) in kept  # type: ignore[attr-defined]  # each of them has it
    assert in_words(workers.FORGET) in rows()["health.Worker"][1]
    by_itself = {
        name
        for name, (_, kept, _) in rows().items()
        if "by itself" in kept and "by itself, each day" not in kept
    }
    assert by_itself == {label(model) for model in short_lived()} | {"health.Worker"}


def test_what_can_never_be_removed_says_so() -> None:
    for each in registered():
        _, kept, why = rows()[label(each.model)]
        assert kept.partition("; ")[0] == "for ever"
        may_go = each.removable or each.clearable
        assert re.search("can be changed or removed" if may_go else "cannot be changed or removed", why)
        assert ("KEEP_" in kept) == bool(may_go)


def test_what_goes_after_days_is_told_with_its_default() -> None:
    example = (ROOT / ".env.example").read_text()
    for kind in kinds():
        [days] = re.findall(rf"^# {kind.setting}=(\d+)$", example, re.MULTILINE)
        assert int(days) == kind.days
        assert f"| `{kind.setting}` | {days} |" in PAGE
    assert set(re.findall(r"KEEP_[A-Z_]+", PAGE)) == {kind.setting for kind in kinds()}


@pytest.mark.parametrize(
    ("setting", "words"), [("SESSION_IDLE_SECONDS", "an hour"), ("SESSION_ABSOLUTE_SECONDS", "ten")]
)
def test_the_sessions_times_are_the_defaults(setting: str, words: str) -> None:
    text = (ROOT / ".env.example").read_text()
    [seconds] = re.findall(rf"^# {setting}=(\d+)$", text, re.MULTILINE)
    assert {"an hour": 3600, "ten": 36_000}[words] == int(seconds)
    assert f"{words} without use (`{setting}`)" in PAGE or f"{words} at most (`{setting}`)" in PAGE
