"""The one folder that a run writes to, and the key files in it."""

import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path


def folder(path: Path) -> Path:
    """Make `path` if it is missing, readable by this user alone, and return it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def private_file(path: Path) -> Path:
    """Make an empty file that this user alone can read, unless there is one, and return its path.

    SQLite gives the files next to its database the mode of the database.
    """
    if not path.exists():
        folder(path.parent)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    return path


def random_key(size: int = 32) -> str:
    """Return `size` random bytes as URL-safe base64."""
    return urlsafe_b64encode(secrets.token_bytes(size)).decode()


def lines_of(text: str) -> list[str]:
    """Return the keys in a key's text, a line each, the first one first.

    A text of several lines counts as one more key, as a whole: earlier releases knew no other.
    """
    text = text.strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines if len(lines) < 2 else [*lines, text]


def read_key(path: Path) -> str:
    """Return the content of a key file, or an empty string if there is none that can be read."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def key_file(path: Path, make: Callable[[], str] = random_key) -> str:
    """Return the content of a key file; write what `make` returns, with mode 0600, if there is none.

    Two processes that start at once agree: the file appears under its name only when it is complete, and
    the second one reads what the first one wrote.
    """
    if not path.exists():
        folder(path.parent)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(make() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first: its key counts
        finally:
            draft.unlink()
    return path.read_text().strip()
