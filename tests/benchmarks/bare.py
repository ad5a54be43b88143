"""What a person with a thread loop would write: Paramiko, one connection per installation, nothing recorded.

Run as a program of its own, so that its time and processor time are its own: reads a JSON object on stdin
(`errands`, `concurrency`, `key`, `host_key`, `login`, `line`), writes one on stdout.
"""

import base64
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

import paramiko

PATIENCE = 60  # seconds, for each of Paramiko's waits


class Errand(TypedDict):
    """One connection: `line` is sent as soon as `ready` was said, and `done` must be said by the end.

    The script first reads harmless lines. Where `ready` is empty the line is sent at once; where `done` is,
    the exit status alone counts.
    """

    address: str
    port: int
    command: str
    line: str
    ready: str
    done: str


class Order(TypedDict):
    """What to do: `host_key` is the one all of them show, `<type> <base64>`."""

    errands: list[Errand]
    concurrency: int
    key: str
    host_key: str
    login: str
    harmless: str


class Answer(TypedDict):
    """How long it took and what it cost, in seconds, and how many errands failed."""

    seconds: float
    cpu: float
    failed: int


def main() -> None:
    """Do every errand."""
    order: Order = json.load(sys.stdin)
    key = paramiko.Ed25519Key.from_private_key_file(order["key"])
    host_key = paramiko.Ed25519Key(data=base64.b64decode(order["host_key"].split()[1]))
    started = time.monotonic()
    with ThreadPoolExecutor(order["concurrency"]) as pool:
        outcomes = list(pool.map(lambda errand: push(errand, order, key, host_key), order["errands"]))
    seconds = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    answer: Answer = {
        "seconds": seconds,
        "cpu": used.ru_utime + used.ru_stime,
        "failed": outcomes.count(False),
    }
    json.dump(answer, sys.stdout)


def push(errand: Errand, order: Order, key: paramiko.PKey, host_key: paramiko.PKey) -> bool:
    """Connect, run the command, send the line; return whether it ended well."""
    with paramiko.SSHClient() as client:
        client.get_host_keys().add(f"[{errand['address']}]:{errand['port']}", host_key.get_name(), host_key)
        client.connect(
            errand["address"],
            errand["port"],
            order["login"],
            pkey=key,
            allow_agent=False,
            look_for_keys=False,
            timeout=PATIENCE,
            banner_timeout=PATIENCE,
            auth_timeout=PATIENCE,
        )
        stdin, stdout, _ = client.exec_command(errand["command"])
        if errand["ready"]:
            stdin.write(order["harmless"])
            stdin.flush()
        said = ""
        while errand["ready"] not in said:
            heard = stdout.readline()
            if not heard:
                return False
            said += heard
        stdin.write(errand["line"] + "\n")
        stdin.flush()
        said += stdout.read().decode()
        return stdout.channel.recv_exit_status() == 0 and errand["done"] in said


if __name__ == "__main__":
    main()
