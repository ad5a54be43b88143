"""Packs as tests need them: made by the portal, taken apart, and verified where there is no portal."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from credentials.evidence.packing import NAMESPACE
from credentials.evidence.services import Wanted, make_pack
from portal.audit.signing import sshsig
from portal.audit.signing.signing_key import signing_key
from tests.factories import SOMEBODY

Files = dict[str, bytes]
Forgery = Callable[[Files], None]


def pack_of(wanted: Wanted) -> Files:
    """Make a pack and return its files by name."""
    file = io.BytesIO()
    make_pack(file, wanted, actor=SOMEBODY)
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(files: Files, folder: Path) -> Path:
    """Write files into a ZIP in an empty folder, with nothing next to it but the verifier of this pack."""
    folder.mkdir(exist_ok=True)
    pack = folder / "pack.zip"
    with zipfile.ZipFile(pack, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    (folder / "verify.py").write_bytes(files["verify.py"])
    return pack


def verify(files: Files, folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the verifier as an auditor does, without anything of the portal; return status and output."""
    pack = written(files, folder)
    done = subprocess.run(
        [sys.executable, "-I", "verify.py", str(pack), *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def key() -> str:
    return signing_key().fingerprint


def rows(files: Files, name: str) -> list[dict[str, Any]]:  # Any: plain JSON values
    return [json.loads(line) for line in files[name].splitlines()]


def sign_again(files: Files, *, with_key: sshsig.SigningKey | None = None) -> None:
    """Let the manifest fit the files, and sign it: as somebody would who has the portal's key, or another."""
    manifest = json.loads(files["manifest.json"])
    for name, facts in manifest["files"].items():
        facts |= {"sha256": hashlib.sha256(files[name]).hexdigest(), "size": len(files[name])}
    files["manifest.json"] = json.dumps(manifest).encode()
    signer = with_key or signing_key()
    files["manifest.json.sig"] = signer.sign(files["manifest.json"], namespace=NAMESPACE).encode()


def lines_of(files: Files, name: str) -> list[bytes]:
    return files[name].splitlines(keepends=True)
