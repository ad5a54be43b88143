"""`python -m portal.webserver`: serve the portal's pages."""

import argparse
import logging.config
import os
import sys

from portal.processes.logs import nothing_but_json
from portal.settings import LOGGING
from portal.webserver.processes import Processes, listen


def main() -> int:
    """Listen, start the processes, and return the exit status: 3 if the portal refuses to start."""
    nothing_but_json()
    arguments = _arguments()
    logging.config.dictConfig(LOGGING)
    if "GUNICORN_CMD_ARGS" in os.environ:
        sys.stderr.write(
            "GUNICORN_CMD_ARGS is set, but Gunicorn no longer serves the portal. Remove it, and give "
            "--bind and --processes instead: see docs/operator-guide.md.\n"
        )
        return 3
    address, _, port = arguments.bind.rpartition(":")
    try:
        listener = listen(address.strip("[]"), int(port))
    except OSError as error:
        sys.stderr.write(f"The web server cannot listen on {arguments.bind}: {error.strerror}\n")
        return 1
    with listener:
        logging.getLogger("portal.webserver").info("web server listens", extra={"address": arguments.bind})
        return Processes(listener, arguments.processes).run()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m portal.webserver", description="Serve the portal's pages."
    )
    parser.add_argument("--bind", type=_address, default="127.0.0.1:8000", metavar="ADDRESS:PORT")
    parser.add_argument(
        "--processes",
        type=_number,
        default=os.environ.get("WEB_CONCURRENCY") or "1",
        help="serving processes, each of eight threads (default: WEB_CONCURRENCY, 1)",
    )
    return parser.parse_args()


def _address(text: str) -> str:
    address, _, port = text.rpartition(":")
    if not address or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not ADDRESS:PORT")
    return text


def _number(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 64")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
