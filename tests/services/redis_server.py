"""A real Redis on a free port of 127.0.0.1."""

import secrets
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as RedisUnreachable

from tests.services.processes import Process, Server
from tests.services.waiting import free_port

_START_SECONDS = 60.0


class RedisServer(Server):
    """Redis as a careful production has it: password, append-only file, never evicting."""

    def __init__(self, *, program: Path) -> None:
        super().__init__()
        self.password = secrets.token_urlsafe(24)
        self.port = free_port()
        self._program = program
        self._configuration = self.home / "redis.conf"
        self._configuration.touch(mode=0o600)
        self._configuration.write_text(self._settings())

    def _settings(self) -> str:
        lines = (
            f"bind {self.host}",
            f"port {self.port}",
            f"requirepass {self.password}",
            f"dir {self.home}",
            "daemonize no",
            "appendonly yes",
            'save ""',
            "maxmemory-policy noeviction",
        )
        return "\n".join(lines) + "\n"

    def launch(self) -> Process:
        return Process([self._program, self._configuration], log=self.log)

    def wait_until_ready(self, process: Process) -> None:
        process.wait_for(self._answers, within=_START_SECONDS, what="answer to PING")

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisUnreachable:
            return False

    def url(self, database: int = 0) -> str:
        """The address as Celery and Django take it, password included."""
        return f"redis://:{self.password}@{self.host}:{self.port}/{database}"

    def client(self, database: int = 0) -> Redis:
        """A connected client; close it, or use it in a `with`."""
        return Redis.from_url(self.url(database))

    def flush(self) -> None:
        """Empty all databases."""
        with self.client() as client:
            client.flushall()
