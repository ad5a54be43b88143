#!/usr/bin/env python3
"""Verifies an evidence pack. Needs Python 3.8 or later and ssh-keygen (OpenSSH 8.2 or later), nothing else.

    python3 -I verify.py PACK.zip --key SHA256:...

Exit status: 0 the pack is genuine, 1 it is refused, 2 the call was wrong, 3 it fits together, but nobody
said which key is the portal's, 4 the pack is genuine, but its history has a break that somebody sealed.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

FORMAT = "campaign-portal-evidence"
HEAD = "campaign-portal-head"
IDENTITY = "campaign-portal"
SEALED = "history.break_sealed"
ENDS = ("push.succeeded", "push.failed", "push.unknown", "push.superseded", "push.cancelled")
MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
NEEDED = ("chain.jsonl", "events.jsonl", "heads.jsonl", "names.jsonl")
BEGINNING = "0" * 64
CHUNK = 1024 * 1024
MOST = 16 * 1024 * 1024  # bytes of the manifest, and of a line
Row = Any  # what JSON holds


class Refused(Exception):
    """Why the pack is not what the portal made."""


class Unchecked(Exception):
    """What could not be done here, whatever the pack is."""


class Pack:
    """The files of a pack, in a ZIP or in a folder."""

    def __init__(self, path: Path) -> None:
        self._folder = path
        self._zip = None if path.is_dir() else zipfile.ZipFile(path)
        names = self._zip.namelist() if self._zip else [each.name for each in path.iterdir()]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise Refused(f"{min(twice)} is in the pack twice")
        self.names = set(names)

    def open(self, name: str) -> IO[bytes]:
        """Open one file; every name was compared with the manifest, or is a fixed one."""
        if name not in self.names:
            raise Refused(f"{name} is missing")
        return self._zip.open(name) if self._zip else (self._folder / name).open("rb")

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            data = file.read(MOST + 1)
        if len(data) > MOST:
            raise Refused(f"{name} is too large")
        return data

    def rows(self, name: str) -> Iterator[tuple[bytes, Row]]:
        """Yield each line, as it is and as what it says."""
        with self.open(name) as file:
            number = 0
            while True:
                line = file.readline(MOST)
                if not line:
                    return
                number += 1
                try:
                    yield line.rstrip(b"\n"), json.loads(line)
                except ValueError:
                    raise Refused(f"{name}: line {number} makes no sense") from None


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# Signatures


def key_of(signature: str) -> str:
    """Return the public key in a signature, as `authorized_keys` has it."""
    try:
        blob = base64.b64decode("".join(signature.strip().splitlines()[1:-1]), validate=True)
        if not blob.startswith(b"SSHSIG\0\0\0\1"):
            raise Refused("a signature is not one that ssh-keygen makes")
        size = int.from_bytes(blob[10:14], "big")
        key = blob[14 : 14 + size]
        kind = key[4 : 4 + int.from_bytes(key[:4], "big")].decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise Refused("a signature is damaged") from None
    return f"{kind} {base64.b64encode(key).decode()}"


def fingerprint(public: str) -> str:
    """Return what `ssh-keygen -l` prints of a public key."""
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def is_signed(message: bytes, signature: str, namespace: str) -> bool:
    """Whether `ssh-keygen -Y verify` accepts a signature, of the key that is in it."""
    program = shutil.which("ssh-keygen")
    if not program:
        raise Unchecked("ssh-keygen is not here: install the OpenSSH client")
    with tempfile.TemporaryDirectory() as folder:
        signers, file = Path(folder, "allowed_signers"), Path(folder, "signature")
        signers.write_text(f'{IDENTITY} namespaces="{namespace}" {key_of(signature)}\n')
        file.write_text(signature)
        command = [
            program,
            "-Y",
            "verify",
            "-f",
            str(signers),
            "-I",
            IDENTITY,
            "-n",
            namespace,
            "-s",
            str(file),
        ]
        done = subprocess.run(command, input=message, capture_output=True, check=False)  # noqa: S603  # no shell
    return done.returncode == 0


def check_signature(what: str, message: bytes, signature: str, namespace: str, keys: list[str]) -> str:
    """Return the fingerprint of the key that signed; `keys` are those that are known, none: any."""
    mark = fingerprint(key_of(signature))
    if keys and mark not in keys:
        raise Refused(
            f"{what}: signed with the key {mark}, which is not the one that you gave; if it is a former key "
            "of the portal, and you have its fingerprint from somebody you trust, give it with --key as well"
        )
    if not is_signed(message, signature, namespace):
        raise Refused(f"{what}: the signature does not fit; it was changed after it was signed")
    return mark


# Files


def check_files(pack: Pack, manifest: Row) -> int:
    """Compare each file with the manifest; return how many there are."""
    files = manifest["files"]
    further = pack.names - set(files) - {MANIFEST, SIGNATURE}
    if further:
        raise Refused(f"{min(further)} is in the pack, but not in its manifest")
    for name in NEEDED:
        if name not in files:
            raise Refused(f"{name} is not in the manifest")
    for name in sorted(files):
        digest, size = hashlib.sha256(), 0
        with pack.open(name) as file:
            for data in iter(lambda: file.read(CHUNK), b""):
                digest.update(data)
                size += len(data)
        if digest.hexdigest() != files[name]["sha256"] or size != files[name]["size"]:
            raise Refused(f"{name} is not the file that the manifest names: its SHA-256 differs")
    return len(files)


# The chain


def check_heads(pack: Pack, manifest: Row, keys: list[str]) -> tuple[dict[int, str], dict[str, list[int]]]:
    """Return the signed heads, by number, once each signature was checked; and those of each key."""
    heads: dict[int, str] = {}
    signed: dict[str, list[int]] = {}
    for _, row in pack.rows("heads.jsonl"):
        message = f"{row['seq']}:{row['hash']} {row['at']}\n".encode()
        mark = check_signature(f"head {row['seq']}", message, row["signature"], HEAD, keys)
        if fingerprint(row["public_key"]) != mark:
            raise Refused(f"head {row['seq']}: another key signed it than the one that it names")
        heads[row["seq"]] = row["hash"]
        signed.setdefault(mark, []).append(row["seq"])
    begins, ends = manifest["begins"], manifest["ends"]
    if begins["seq"] == 0 and begins["hash"] != BEGINNING:
        raise Refused("the chain does not begin as every history does")
    if begins["seq"] and heads.get(begins["seq"]) != begins["hash"]:
        raise Refused(f"the chain begins at {begins['seq']}, where no head was signed")
    if heads.get(ends["seq"]) != ends["hash"]:
        raise Refused(f"the chain ends at {ends['seq']}, where no head was signed")
    return heads, signed


class Chain:
    """A walk along the chain, with the entries that are shown next to it."""

    def __init__(self, pack: Pack, manifest: Row, heads: dict[int, str], noted: dict[int, str]) -> None:
        self._pack, self._manifest, self._heads, self._noted = pack, manifest, heads, noted
        self._shown = pack.rows("events.jsonl")
        self._event = next(self._shown, None)
        self._named = pack.rows("names.jsonl")
        self._name = next(self._named, None)
        self.previous: str = manifest["begins"]["hash"]
        self.seq: int = manifest["begins"]["seq"]
        self.shown = self.names = self.keyed = 0
        self.first: Row = None
        self.last: Row = None
        self.has_gap = self.is_open = self.goes_on = False
        self.breaks: list[Row] = []
        self.sealings: dict[int, Row] = {}
        self.who_sealed: dict[int, str] = {}
        self._next: int | None = None  # of the entry that has to be shown next, if none is left out
        self.ends: dict[
            str, tuple[str, str, int, Row]
        ] = {}  # of each push: its last state, when, by which entry
        self._earliest = 1  # the first entry of the history that no sealed break hides
        self._anchor = manifest["begins"]["seq"]
        self.unanchored: list[tuple[int, int]] = []

    def walk(self) -> None:
        for _, link in self._pack.rows("chain.jsonl"):
            if link["seq"] != self.seq + 1:
                raise Refused(f"chain.jsonl: entry {link['seq']} follows entry {self.seq}")
            if "sealed_by" in link:
                self._pass_break(link)
            else:
                self._pass_entry(link)
        self._end()

    def _pass_entry(self, link: Row) -> None:
        self.seq += 1
        digest = self._text_digest(link)
        if "sha256" in link:
            self.is_open = True
            self.previous = sha256(f"{self.previous}|{digest}".encode("ascii"))
        elif self.is_open:  # a hash alone would hide what is there, and what came before
            raise Refused(f"chain.jsonl: entry {self.seq} has no digest of its text")
        else:
            self.previous = link["hash"]
            self.keyed += 1
        for known, what in ((self._heads, "the signed head"), (self._noted, "the head that you noted")):
            if known.get(self.seq, self.previous) != self.previous:
                raise Refused(f"the chain does not lead to {what} of entry {self.seq}")
        if self.seq in self._heads:
            self._anchor = self.seq

    def _pass_break(self, link: Row) -> None:
        """Go on behind a break, at the hash that the pack gives. An entry that follows has to explain it."""
        first, last = link["seq"], link["last"]
        if first > last or re.fullmatch("[0-9a-f]{64}", link["hash"]) is None:
            raise Refused(f"chain.jsonl: the sealed break at entry {first} makes no sense")
        if self._anchor < self.seq:
            self.unanchored.append((self._anchor + 1, self.seq))
        if self._next == first:
            self._next = last + 1
        if self._earliest == first:
            self._earliest = last + 1
        self.breaks.append(link)
        self.seq, self.previous, self._anchor = last, link["hash"], last

    def _check_breaks(self) -> None:
        """Each break must be one that an entry behind it says was sealed, exactly there."""
        for link in self.breaks:
            first, last, by = link["seq"], link["last"], link["sealed_by"]
            event = self.sealings.get(by)
            details = event["details"] if event else {}
            if by <= last or max(details.get("first", 0), 1) != first or details.get("last") != last:
                raise Refused(f"entries {first} to {last} are left out as a break, but no entry sealed it")

    def _text_digest(self, link: Row) -> str:
        """Return the digest of an entry's text: of the entry itself, if it is shown."""
        if self._event is None or self._event[1].get("seq") != self.seq:
            return str(link.get("sha256"))
        text, event = self._event
        if "sha256" not in link and event.get("prev_hash") != self.previous:
            raise Refused(f"events.jsonl: entry {self.seq} does not continue the entry before it")
        if "sha256" in link and sha256(text) != link["sha256"]:
            raise Refused(f"events.jsonl: entry {self.seq} is not what the chain has there")
        self._note(event)
        self._event = next(self._shown, None)
        return sha256(text)

    def _note(self, event: Row) -> None:
        self.has_gap = self.has_gap or self._next not in (None, event["seq"])
        self.first, self.last, self._next = self.first or event, event, event["seq"] + 1
        if event.get("action") == SEALED:
            self.sealings[event["seq"]] = event
        if event.get("action") in ENDS and event.get("target_type") == "push":
            state = event["action"].split(".")[1]
            self.ends[event["target_id"]] = state, event["at"], event["seq"], event["details"]
        self.shown += 1
        while self._name is not None and self._name[1]["seq"] == event["seq"]:
            row = self._name[1]
            expected = hashlib.sha256(f"{row['salt']}{row['name']}".encode()).hexdigest()
            if value_at(event, row["place"]) != expected or row["place"] not in event.get("names", []):
                raise Refused(f"names.jsonl: {row['name']} is not the name in entry {event['seq']}")
            if row["place"] == "/actor_name" and event["seq"] in self.sealings:
                self.who_sealed[event["seq"]] = row["name"]
            self.names += 1
            self._name = next(self._named, None)

    def _end(self) -> None:
        if self._event is not None:
            number = self._event[1].get("seq")
            raise Refused(
                f"events.jsonl: entry {number} is there twice, in the wrong order, or not in the chain"
            )
        if self._name is not None:
            raise Refused(f"names.jsonl: a name of entry {self._name[1]['seq']}, which is not shown")
        ends = self._manifest["ends"]
        if (self.seq, self.previous) != (ends["seq"], ends["hash"]):
            raise Refused(f"the chain is cut: it ends at entry {self.seq} and not at {ends['seq']}")
        self._check_breaks()
        if self._manifest["kind"] == "period":
            self._check_period()

    def _check_period(self) -> None:
        """Every entry of the period is shown, and one more at each end, which lies outside."""
        since, until = self._manifest["since"], self._manifest["until"]
        if self.first is None or self.has_gap:
            raise Refused("an entry of the period is left out")
        if since <= self.first["at"] <= until and self.first["seq"] != self._earliest:
            raise Refused(f"entries before {self.first['seq']} may be left out")
        is_record = self.last["seq"] == self._manifest["recorded_as"]
        is_within = since <= self.last["at"] <= until
        if is_within and not is_record:
            raise Refused(f"entries after {self.last['seq']} may be left out")
        self.goes_on = is_within  # the pack was made before the period was over


def value_at(content: Row, pointer: str) -> Row:
    """Return the value at a JSON pointer."""
    for part in pointer[1:].split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        try:
            content = content[int(part) if isinstance(content, list) else part]
        except (LookupError, TypeError, ValueError):
            return None
    return content


# Pushes


def check_pushes(pack: Pack, chain: Chain, kind: str) -> tuple[int, int]:
    """Compare each push with the last entry about its end; return how many fit, and how many have none.

    A push may have moved on after the entries of the pack: then its end is later than that of the entry.
    """
    fit = others = 0
    left = dict(chain.ends)
    for _, row in pack.rows("pushes.jsonl"):
        state, at, seq, details = left.pop(row["push"], ("", "", 0, {}))
        if not seq:
            others += 1
            continue
        for name in ("rollout", "version"):
            if details.get(name, row[name]) != row[name]:
                raise Refused(f"pushes.jsonl: entry {seq} names another {name} of the push {row['push']}")
        is_earlier = row["finished"] is not None and row["finished"] <= at
        if row["state"] != state and is_earlier:
            raise Refused(f"pushes.jsonl: entry {seq} says {state} of the push {row['push']}")
        fit, others = fit + (row["state"] == state), others + (row["state"] != state)
    if left and kind != "period":  # in a period there may be pushes that were retried since
        raise Refused(f"pushes.jsonl: the push of entry {min(each[2] for each in left.values())} is left out")
    return fit, others


# All of it


def verify(path: Path, keys: list[str], noted: dict[int, str]) -> tuple[str, bool]:
    """Check a pack and say what was checked; return who signed it, and whether its chain is unbroken."""
    pack = Pack(path)
    text = pack.read(MANIFEST)
    mark = check_signature(MANIFEST, text, pack.read(SIGNATURE).decode("ascii", "replace"), FORMAT, keys)
    manifest = json.loads(text)
    if manifest.get("format") != FORMAT or manifest.get("version") != 1:
        raise Refused("this is no evidence pack, or one of a later release")
    say(f"{manifest['kind']}: {manifest['title']}")
    say(f"made {manifest['made']} by {manifest['made_by']}, recorded as entry {manifest['recorded_as']}")
    say(f"  ok  manifest.json has a good signature of {mark}")
    say(f"  ok  {check_files(pack, manifest)} files are those of the manifest")
    heads, signed = check_heads(pack, manifest, keys)
    for each, numbers in signed.items():
        span = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
        former = "" if each == mark else ", which is not the key of the manifest"
        many = "head of the history ({}) has" if len(numbers) == 1 else "heads of the history ({}) have"
        say(f"  ok  {len(numbers)} {many.format(span)} a good signature of {each}{former}")
    chain = Chain(pack, manifest, heads, noted)
    chain.walk()
    say_chain(chain, manifest)
    say_noted(chain, manifest, noted)
    say_rows(*check_pushes(pack, chain, manifest["kind"]), manifest)
    return mark, not chain.breaks


def say_chain(chain: Chain, manifest: Row) -> None:
    begins, ends = manifest["begins"]["seq"], manifest["ends"]["seq"]
    but = ", except for what is said below" if chain.breaks else ""
    span = f"entry {ends} is" if begins + 1 == ends else f"entries {begins + 1} to {ends} are"
    say(f"  ok  {span} one chain, from signed head to signed head{but}")
    hidden = sum(link["last"] - link["seq"] + 1 for link in chain.breaks)
    digests = ends - begins - chain.shown - hidden
    shown = "1 entry is" if chain.shown == 1 else f"{chain.shown} entries are"
    as_digest = "1 is there as a digest" if digests == 1 else f"{digests} are there as digests"
    say(f"  ok  {shown} shown, {as_digest} alone")
    names = (
        "1 name of a person is the one" if chain.names == 1 else f"{chain.names} names of people are those"
    )
    say(f"  ok  {names} that {'was' if chain.names == 1 else 'were'} recorded")
    if manifest["kind"] == "period":
        until = f" until {manifest['until']}, when the pack was made: it goes on" if chain.goes_on else ""
        say(f"  ok  no entry of the period is left out{until}")
    if chain.keyed:
        keyed = "1 entry" if chain.keyed == 1 else f"{chain.keyed} entries"
        its = "its" if chain.keyed == 1 else "their"
        say(f"  --  {keyed} of an earlier form: only the portal can check {its} text")
    for link in chain.breaks:
        event = chain.sealings[link["sealed_by"]]
        who = chain.who_sealed.get(event["seq"], event["actor_name"])
        if who == event["actor_name"] and "/actor_name" in event.get("names", []):
            who = "somebody whose name was erased"
        say(f"  !!  entries {link['seq']} to {link['last']} are a BREAK: changed, added or removed by hand.")
        say(f"      Entry {event['seq']} sealed it, {event['at']}, by {who}. The reason given:")
        say(f"      {event['details'].get('reason')}")
        say("      What these entries said cannot be checked. broken.jsonl has what is left of them.")
    for first, last in chain.unanchored:
        say(f"  --  entries {first} to {last}: no head was signed between them and the break, so the")
        say("      signature of this pack alone vouches for them")


def say_noted(chain: Chain, manifest: Row, noted: dict[int, str]) -> None:
    for seq in sorted(noted):
        is_inside = manifest["begins"]["seq"] <= seq <= manifest["ends"]["seq"]
        said = "is in the chain" if is_inside else "lies outside this chain: it says nothing here"
        if any(link["seq"] <= seq <= link["last"] for link in chain.breaks):
            is_inside, said = False, "lies in the break: it says nothing here"
        say(f"  {'ok' if is_inside else '--'}  the head {seq} that you noted {said}")


def say_rows(fit: int, others: int, manifest: Row) -> None:
    """Say what the entries prove of the pushes, and what nothing but the signature vouches for."""
    are = "1 push is" if fit == 1 else f"{fit} pushes are"
    say(f"  ok  {are} in the state that the last entry about the end says")
    if others:
        say(f"  --  {others} of the pushes: no entry here says their state")
    say("  --  the portal's signature alone vouches for what else pushes.jsonl says, for attempts.jsonl,")
    say("      observations.jsonl and summary.html")
    if manifest["kind"] != "period":
        say(
            f"  --  that no entry about this {manifest['kind']} is among the digests is the portal's word: to"
        )
        say("      check one, ask the portal for the entry of that number as JSON, and compare its digest")


def say(text: str) -> None:
    # A name may hold what a terminal takes for a command.
    sys.stdout.write("".join(c if c.isprintable() else "?" for c in text) + "\n")


def head(text: str) -> tuple[int, str]:
    found = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", text.strip().lower())
    if not found:
        raise argparse.ArgumentTypeError("a head is a number, a colon and 64 hexadecimal digits")
    return int(found[1]), found[2]


def key(text: str) -> str:
    if not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", text):
        raise argparse.ArgumentTypeError(
            "a fingerprint is SHA256: and 43 characters, as ssh-keygen -l prints it"
        )
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description="Verify an evidence pack of a Campaign credential portal.")
    parser.add_argument("pack", type=Path, nargs="?", default=Path(__file__).resolve().parent)
    parser.add_argument(
        "--key",
        type=key,
        action="append",
        default=[],
        help="the fingerprint of the portal's signing key, from outside the pack; several if it was replaced",
    )
    parser.add_argument(
        "--head", type=head, action="append", default=[], help="SEQ:HASH, a head that you noted earlier"
    )
    options = parser.parse_args()
    try:
        mark, is_unbroken = verify(options.pack, options.key, dict(options.head))
    except Refused as error:
        say(f"REFUSED: {error}.")
        return 1
    except (KeyError, TypeError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        say(f"REFUSED: the pack is damaged ({type(error).__name__}: {error}).")
        return 1
    except (Unchecked, OSError) as error:
        say(f"Not checked: {error}.")
        return 2
    if not options.key:
        say(f"The pack fits together. NOT CHECKED: whether {mark} is the portal's key.")
        say("Anybody can make a key and sign with it. Get the fingerprint from somebody you trust,")
        say("not from this pack, and give it with --key.")
        return 3
    if not is_unbroken:
        say("The pack is genuine. The history in it is NOT INTACT: it has a break, sealed as said above.")
        return 4
    say("The pack is genuine.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
