"""Hostile requests to every URL of the portal, as each role and as nobody, while a person works.

    make fuzz
    make fuzz REQUESTS=2000 SEED=7 ENGINE=postgresql

Exit status: 0 if every goal is met.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.figures import Report
from tests.fuzz.run import ENVIRONMENT, fuzz, prepared
from tests.services.portal import Portal
from tests.services.postgres_server import PostgresServer, reason_against_postgres


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--keep", type=Path, help="where to copy the web server's log")
    options = parser.parse_args()
    if options.engine == "postgresql" and (reason := reason_against_postgres()):
        sys.stderr.write(f"PostgreSQL cannot run here: {reason}\n")
        return 2
    report = Report(f"make fuzz REQUESTS={options.requests} SEED={options.seed} ENGINE={options.engine}")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-fuzz-")))
        environment = dict(ENVIRONMENT)
        if options.engine == "postgresql":
            server = stack.enter_context(PostgresServer())
            environment["DATABASE_URL"] = server.create_database("portal")
        portal = Portal(home, environment)
        site = prepared(portal)
        fuzz(portal, site, report, requests=options.requests, seed=options.seed, idle=120)
        if options.keep:
            options.keep.write_bytes((home / "web.log").read_bytes())
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
