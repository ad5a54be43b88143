"""Writes an evidence pack: one ZIP whose files are listed, with their digests, in a signed manifest.

Everything is read in batches and written as it is read, so a pack of a million entries needs no more memory
than a small one, apart from its signed heads. `docs/evidence.md` describes the files and has figures.
"""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from django.conf import settings

from credentials.evidence import rows, summary
from credentials.evidence.scopes import Scope
from credentials.evidence.segment import Entry, Passed, Segment, Step, rows_in
from portal.audit.chain import canonical
from portal.audit.chain.findings import SealedBreak
from portal.audit.models import AuditEvent, SignedHead
from portal.audit.signing import heads
from portal.audit.signing.signing_key import signing_key
from portal.audit.signing.sshsig import fingerprint_of

FORMAT = "campaign-portal-evidence"
NAMESPACE = FORMAT
IDENTITY = "campaign-portal"
VERIFIER = Path(__file__).with_name("verify.py")
README = Path(__file__).with_name("README.txt")
COPIED = 1024 * 1024  # bytes at once


@dataclass
class Member:
    """A file of the pack while it is written: its digest, its size and its lines are counted on the way."""

    file: IO[bytes]
    size: int = 0
    lines: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.digest.update(data)
        self.size += len(data)
        self.lines += data.count(b"\n")

    def write_rows(self, found: Iterable[object]) -> None:
        """Write each value as one line of JSON."""
        for each in found:
            self.write(canonical.encode(each).encode() + b"\n")


class Archive:
    """A ZIP that is written from its beginning to its end, and the digests of what is in it."""

    def __init__(self, file: IO[bytes], at: datetime) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._date = at.astimezone(UTC).timetuple()[:6]
        self.files: dict[str, dict[str, object]] = {}

    @contextmanager
    def member(self, name: str, *, is_listed: bool = True) -> Iterator[Member]:
        """Write one file in this block."""
        info = zipfile.ZipInfo(name, self._date)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        with self._zip.open(info, "w", force_zip64=True) as file:
            member = Member(file)
            yield member
        if is_listed:
            self.files[name] = {
                "sha256": member.digest.hexdigest(),
                "size": member.size,
                **({"lines": member.lines} if name.endswith(".jsonl") else {}),
            }

    def add(self, name: str, data: bytes, *, is_listed: bool = True) -> None:
        """Write one short file."""
        with self.member(name, is_listed=is_listed) as member:
            member.write(data)

    def close(self) -> None:
        self._zip.close()


@dataclass(frozen=True)
class Packed:
    """What was written."""

    scope: Scope
    made: AuditEvent
    shown: int
    """Entries in full."""
    digests: int
    """Entries as digests alone."""
    key: str
    """The fingerprint of the key that signed it."""


def write_pack(
    file: IO[bytes], scope: Scope, segment: Segment, *, made: AuditEvent, folder: Path | None = None
) -> Packed:
    """Write a pack. `made` is the entry that records its making; `folder` is for what is put aside meanwhile.

    Raises `BrokenHistory`.
    """
    key = signing_key()
    with closing(Archive(file, made.at)) as archive:
        shown, first = _write_history(archive, scope, segment, folder)
        _write_rows(archive, scope, segment)
        packed = Packed(scope, made, shown, segment.length - shown, key.fingerprint)
        facts = _facts(scope, segment, made, key.public)
        lines = {name: each.get("lines") for name, each in archive.files.items()}
        html = summary.render(scope, made, facts, first, lines, segment.breaks)
        archive.add("summary.html", html.encode())
        archive.add("README.txt", README.read_bytes())
        archive.add("verify.py", VERIFIER.read_bytes())
        archive.add("allowed_signers", _allowed(key.public, segment).encode())
        manifest = json.dumps({**facts, "files": archive.files}, indent=1, sort_keys=True).encode() + b"\n"
        archive.add("manifest.json", manifest, is_listed=False)
        signature = key.sign(manifest, namespace=NAMESPACE)
        archive.add("manifest.json.sig", signature.encode(), is_listed=False)
    return packed


def _write_history(
    archive: Archive, scope: Scope, segment: Segment, folder: Path | None
) -> tuple[int, list[AuditEvent]]:
    """Write the chain and the entries of the pack; return how many these are, and the first of them."""
    first: list[AuditEvent] = []
    sealing = {each.seq for each in segment.breaks}
    with ExitStack() as stack:
        # ZIP takes one file after the other, and one walk along the chain yields three of them.
        shown, names = (Member(stack.enter_context(tempfile.TemporaryFile(dir=folder))) for _ in range(2))
        with archive.member("chain.jsonl") as chain:
            for steps in segment.walk():
                chain.write_rows(map(_link, steps))
                entries = [step for step in steps if isinstance(step, Entry)]
                belonging = scope.belongs([each.event for each in entries]) | sealing
                mine = [each for each in entries if each.event.seq in belonging]
                for entry in mine:
                    shown.write(entry.text.encode() + b"\n")
                    names.write_rows(_names(entry.event))
                first += [each.event for each in mine[: summary.MOST_ENTRIES - len(first)]]
        _copy(archive, "events.jsonl", shown)
        _copy(archive, "names.jsonl", names)
    return shown.lines, first


def _write_rows(archive: Archive, scope: Scope, segment: Segment) -> None:
    for name, found in (
        ("heads.jsonl", map(_head, segment.heads)),
        ("pushes.jsonl", rows.pushes(scope.pushes)),
        ("attempts.jsonl", rows.attempts(scope.pushes)),
        ("observations.jsonl", rows.observations(scope.observations)),
    ):
        with archive.member(name) as member:
            member.write_rows(found)
    if segment.breaks:
        with archive.member("broken.jsonl") as member:
            for sealed in segment.breaks:
                member.write_rows(_broken(scope, sealed))


def _broken(scope: Scope, sealed: SealedBreak) -> Iterator[dict[str, object]]:
    """Yield what is left of a sealed break and belongs to the pack, as it is: nothing shows what it was."""
    for rows_left in rows_in(sealed):
        belonging = scope.belongs(rows_left)
        for event in rows_left:
            if event.seq in belonging:
                yield {"seq": event.seq, "sealed_by": sealed.seq, "row": event.as_it_is()}


def _head(row: SignedHead) -> dict[str, object]:
    return {
        "seq": row.seq,
        "hash": row.hash,
        "at": heads.signed_at(row),
        "public_key": row.public_key,
        "signature": row.signature,
    }


def _facts(scope: Scope, segment: Segment, made: AuditEvent, public: str) -> dict[str, object]:
    return {
        "format": FORMAT,
        "version": 1,
        **({"portal": settings.PORTAL_URL} if settings.PORTAL_URL else {}),
        "kind": scope.kind,
        "about": scope.facts,
        "title": scope.title,
        "since": _moment(scope.since),
        "until": _moment(scope.until),
        "made": _moment(made.at),
        "made_by": made.actor_name,
        "recorded_as": made.seq,
        "begins": {"seq": segment.seq, "hash": segment.hash},
        "ends": {"seq": segment.end.seq, "hash": segment.end.hash},
        "keys": list(_keys(public, segment)),
    }


def _keys(public: str, segment: Segment) -> Iterator[dict[str, object]]:
    """Yield each key that signed something of the pack, with its heads; the one that signs the pack first."""
    for each in _publics(public, segment):
        numbers = [head.seq for head in segment.heads if head.public_key == each]
        yield {
            "fingerprint": fingerprint_of(each),
            "public_key": each,
            "heads": len(numbers),
            "first_head": numbers[0] if numbers else None,
            "last_head": numbers[-1] if numbers else None,
        }


def _publics(public: str, segment: Segment) -> list[str]:
    return list(dict.fromkeys([public, *(each.public_key for each in segment.heads)]))


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _link(step: Step) -> dict[str, object]:
    """Return what is needed to follow the chain over an entry, and says nothing of what is in it.

    The hash of form 1 is a keyed one: it can only be taken as it is. So can the one behind a sealed break.
    """
    if isinstance(step, Passed):
        sealed = step.sealed
        return {"seq": step.first, "last": sealed.last, "sealed_by": sealed.seq, "hash": step.hash}
    event = step.event
    if event.form is None:
        return {"seq": event.seq, "hash": event.hash}
    return {"seq": event.seq, "sha256": hashlib.sha256(step.text.encode()).hexdigest()}


def _names(event: AuditEvent) -> Iterator[dict[str, object]]:
    """Yield the names of people in an entry: its text has commitments instead. Erased ones are gone."""
    for pointer, known in sorted((event.names or {}).items()):
        if "salt" in known:
            name = canonical.value_at(event.readable, pointer)
            yield {"seq": event.seq, "place": pointer, "salt": known["salt"], "name": name}


def _copy(archive: Archive, name: str, source: Member) -> None:
    source.file.seek(0)
    with archive.member(name) as target:
        while data := source.file.read(COPIED):
            target.write(data)


def _allowed(public: str, segment: Segment) -> str:
    """Return the lines for `ssh-keygen -Y verify`; a former key may have signed earlier heads."""
    spaces = f"{NAMESPACE},{heads.NAMESPACE}"
    return "".join(f'{IDENTITY} namespaces="{spaces}" {each}\n' for each in _publics(public, segment))


def allowed_signers() -> str:
    """Return the line of the portal's key that an auditor keeps outside."""
    return f'{IDENTITY} namespaces="{NAMESPACE},{heads.NAMESPACE}" {signing_key().public}'
