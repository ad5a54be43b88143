"""A pack of many entries needs no more memory than one of a few; docs/evidence.md has figures at scale."""

import tracemalloc
from datetime import datetime
from pathlib import Path

import pytest
from django.db import transaction
from django.utils import timezone

from credentials.evidence import segment, summary
from credentials.evidence.services import make_pack, period_pack
from portal.audit.models import AuditEvent
from portal.audit.signing.heads import sign_head
from portal.audit.trail import Entry, record_all
from tests.factories import SOMEBODY, make_account

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]
FEW, MANY = 1_500, 9_000


def happen(count: int) -> tuple[datetime, datetime]:
    """Let much happen; return when it began and ended."""
    since = timezone.now()
    with transaction.atomic():
        record_all([Entry("push.retried", details={"number": n}) for n in range(count)], actor=SOMEBODY)
    return since, timezone.now()


def peak(since: datetime, until: datetime, folder: Path) -> int:
    """Return how many bytes a pack of this time needs at most."""
    with (folder / "pack.zip").open("w+b") as file:
        tracemalloc.start()
        try:
            packed = make_pack(file, period_pack(since, until), actor=SOMEBODY, folder=folder)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert packed.shown > FEW
    return most


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "BATCH", 200)
    monkeypatch.setattr(summary, "MOST_ENTRIES", 100)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_entries(tmp_path: Path) -> None:
    make_account()
    few = happen(FEW)
    happen(1)  # one more after the period, which the pack needs
    sign_head()
    many = happen(MANY)
    peak(*few, tmp_path)  # what is loaded once is loaded now
    small, large = peak(*few, tmp_path), peak(*many, tmp_path)
    assert large < small * 2, f"{MANY} entries took {large:,} bytes, and {FEW} took {small:,}"


def test_the_text_of_an_entry_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    since, until = happen(50)
    made: list[int] = []
    original = AuditEvent.text.fget  # type: ignore[attr-defined]  # a property

    def counted(event: AuditEvent) -> str:
        made.append(event.seq)
        return str(original(event))

    with (tmp_path / "pack.zip").open("w+b") as file:
        monkeypatch.setattr(AuditEvent, "text", property(counted))
        packed = make_pack(file, period_pack(since, until), actor=SOMEBODY)
    verified = [seq for seq in made if seq < packed.made.seq]
    assert sorted(verified) == sorted(set(verified)) == list(range(1, 51))
