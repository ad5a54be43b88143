"""Looks for the secrets that were pushed in every place where none may be."""

import base64
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from portal.plaintext import Secret
from tests.chaos.services import DATABASE, Services
from tests.services.programs import find_program

DUMP_SECONDS = 120


def leaks(services: Services, logs: Iterable[Path], secrets: Iterable[Secret]) -> list[str]:
    """Return each place (a log, a file of the queue, the database's dump) in which a secret stands."""
    needles = [form for secret in secrets for form in _forms(secret.reveal())]
    return [name for name, content in _places(services, logs) if any(needle in content for needle in needles)]


def _forms(secret: str) -> set[bytes]:
    return {secret.encode(), quote(secret).encode(), base64.b64encode(secret.encode()).rstrip(b"=")}


def _places(services: Services, logs: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    for path in [*logs, services.postgres.log]:
        if path.exists():
            yield path.name, path.read_bytes()
    for path in services.redis.home.rglob("*"):
        if path.is_file() and path.name != "redis.conf":
            yield f"redis: {path.name}", path.read_bytes()
    yield "database", _dump(services)


def _dump(services: Services) -> bytes:
    program = find_program("pg_dump")
    if program is None:
        raise LookupError("no pg_dump beside PostgreSQL here")
    done = subprocess.run(
        [program, "--inserts", services.postgres.url(DATABASE)],
        capture_output=True,
        check=True,
        timeout=DUMP_SECONDS,
    )
    return done.stdout
