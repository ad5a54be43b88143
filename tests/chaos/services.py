"""What the portal under test stands on: PostgreSQL and Redis behind proxies, and a clock to be stepped."""

import os
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from tests.chaos.proxy import Doors, Loop, Proxy
from tests.services.postgres_server import PostgresServer
from tests.services.programs import require
from tests.services.redis_server import RedisServer
from tests.services.small_disk import SmallDisk
from tests.services.waiting import free_port

DATABASE = "portal"
DISK_MEGABYTES = 512
LEASE, RENEWAL, INTERVAL = 3, 0.5, 0.5
POOL = 8  # DATABASE_POOL as it is by default
CONNECT, READY, COMMAND_LIMIT = 3, 20, 8
RETRY_DELAYS = (1, 1, 1, 2, 2, 2, 2, 2)
STATEMENT_SECONDS = 15
CLOCK_PRECISION = 5.0  # seconds; the smallest step is far above
LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


class Clock:
    """The clock that PostgreSQL goes by, and with it every lease; `step` moves it while it runs.

    The workers keep this machine's: under libfaketime Python's `time.sleep` fails, and a suite that breaks
    what it tests proves nothing.
    """

    seconds = 0.0

    def __init__(self, home: Path) -> None:
        self._file = home / "clock"
        self.step(0)

    def step(self, seconds: float) -> None:
        """Let it be so many seconds ahead of this machine's, or behind it if they are negative."""
        self.seconds = seconds
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{seconds:+.0f}")
        draft.chmod(0o644)
        draft.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        if not LIBRARIES:
            return {}
        return {
            "LD_PRELOAD": str(LIBRARIES[-1]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


class ChaosPostgres(PostgresServer):
    """PostgreSQL that keeps what it has committed, on a small disk where one can be had."""

    def __init__(self, environment: dict[str, str], *, small_disk: bool) -> None:
        self.disk: SmallDisk | None = None
        self._wants_disk = small_disk
        settings = {"synchronous_commit": "on", "max_connections": "200", "wal_recycle": "off"}
        super().__init__(settings=settings, environment=environment)

    def _make_cluster(self) -> None:
        if self._wants_disk:
            self._data.mkdir()
            self.disk = SmallDisk(self._data, megabytes=DISK_MEGABYTES, owner=self._user or "root")
            self.disk.mount()
            self._data.chmod(0o700)
        super()._make_cluster()

    @property
    def has_ended(self) -> bool:
        return self._process is None or self._process.exit_status is not None

    def disk_errors(self) -> int:
        """How often it has said so far that there is no room."""
        return self.log.read_text(errors="replace").count("No space left on device")

    def crash(self) -> None:
        """Stop at once, without a checkpoint: the next start recovers."""
        if self._process:
            self._process.send(signal.SIGQUIT)
            self._process.wait_for_exit(within=30)

    def close(self) -> None:
        self.stop()
        if self.disk:
            self.disk.unmount()
        super().close()


class Services:
    """Everything below the portal, for as long as it is entered."""

    def __init__(self, *, small_disks: bool) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.home.chmod(0o755)  # PostgreSQL's account reads the clock
        self.clock = Clock(self.home)
        self.loop = Loop()
        self.redis = RedisServer(program=require("redis-server"))
        self.postgres = ChaosPostgres(self.clock.environment, small_disk=small_disks)
        self.redis_doors, self.postgres_doors = Doors(), Doors()
        self._own_redis = self._proxy(self.redis_doors, self.redis.port)

    def _proxy(self, doors: Doors, port: int) -> Proxy:
        proxy = Proxy(self.loop, host="127.0.0.1", port=free_port(), server=("127.0.0.1", port))
        doors.proxies.append(proxy)
        return proxy

    def new_doors(self) -> tuple[Proxy, Proxy]:
        """One more process's own ways to Redis and to PostgreSQL."""
        own = (
            self._proxy(self.redis_doors, self.redis.port),
            self._proxy(self.postgres_doors, self.postgres.port),
        )
        for proxy in own:
            proxy.listen()
        return own

    @property
    def own_environment(self) -> dict[str, str]:
        """Settings of this process, which speaks to PostgreSQL directly."""
        settings = self.settings(self._own_redis.port, self.postgres.port)
        settings["DATABASE_URL"] += f"?options=-c%20statement_timeout%3D{STATEMENT_SECONDS}s"
        return settings

    def settings(self, redis_port: int, postgres_port: int) -> dict[str, str]:
        """Settings of a process of the portal."""
        portal = self.home / "portal"
        portal.mkdir(mode=0o700, exist_ok=True)
        password = self.redis.password
        return {
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PORTAL_HOME": str(portal),
            "DATABASE_URL": f"postgres://portal:{self.postgres.password}@127.0.0.1:{postgres_port}/{DATABASE}",
            "BROKER_URL": f"redis://:{password}@127.0.0.1:{redis_port}/0",
            "HTTPS": "False",
            "ALLOW_LOOPBACK_TARGETS": "True",
            "PUSH_LEASE": str(LEASE),
            "PUSH_LEASE_RENEWAL": str(RENEWAL),
            "RECONCILE_INTERVAL": str(INTERVAL),
            "PUSH_CONNECT_TIMEOUT": str(CONNECT),
            "PUSH_READY_TIMEOUT": str(READY),
            "PUSH_COMMAND_LIMIT": str(COMMAND_LIMIT),
            "PUSH_RETRY_DELAYS": ",".join(map(str, RETRY_DELAYS)),
        }

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection past the proxy, outside any transaction."""
        url = self.postgres.url(DATABASE)
        return psycopg.connect(url, autocommit=True, connect_timeout=5, options="-c statement_timeout=8000")

    @property
    def is_clock_right(self) -> bool:
        """Whether PostgreSQL goes by the clock as it was stepped last; libfaketime looks now and then."""
        with self.connect() as connection:
            found = connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
        ahead = float(str(found[0])) - time.time() if found else 0.0
        return abs(ahead - self.clock.seconds) < CLOCK_PRECISION

    def cut_connections(self) -> int:
        """End every connection that the portal's processes have; return how many there were."""
        with self.connect() as connection:
            found = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE application_name = 'chaos-worker' AND datname = %s",
                [DATABASE],
            )
            row = found.fetchone()
        return int(str(row[0])) if row else 0

    def connections(self) -> int:
        """How many connections the portal's workers have."""
        with self.connect() as connection:
            found = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'chaos-worker'"
            ).fetchone()
        return int(str(found[0])) if found else 0

    def heal(self) -> None:
        """Both servers run, both proxies pass, the disk has room."""
        if self.postgres.disk:
            self.postgres.disk.empty()
        if self.postgres.has_ended:
            self.postgres.restart()
        self.redis.start()
        self.redis_doors.heal()
        self.postgres_doors.heal()

    def __enter__(self) -> Self:
        try:
            self.postgres.start()
            self.redis.start()
            self.postgres.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            self.redis_doors.listen()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all of it; the folder with the workers' logs stays for whoever asked for it."""
        self.redis_doors.refuse()
        self.postgres_doors.refuse()
        self.postgres.close()
        self.redis.close()
        self.loop.close()


def may_step_clocks() -> bool:
    """Whether libfaketime is here."""
    return bool(LIBRARIES) and os.name == "posix"
