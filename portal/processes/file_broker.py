"""Celery's file broker with files that appear whole.

Kombu creates a message, and the table of queues, under its final name and writes into it afterwards; who
reads in between ends with an error. Here a file is written under another name first, and then renamed.
"""

import fcntl
import os
import time
import uuid
from pathlib import Path

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    """A channel of the file broker; see the module."""

    def _put(self, queue: str, payload: dict[str, object], **_: object) -> None:  # type: ignore[override]  # its bases disagree
        # sorted by name, messages come in the order of their time
        name = f"{time.time_ns() // 1_000_000}_{uuid.uuid4()}.{queue}.msg"
        try:
            _appear(Path(self.data_folder_out) / name, dumps(payload))
        except OSError as error:
            raise ChannelError("the queue folder took no message") from error

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        entry = [routing_key or "", pattern or "", queue or ""]
        table = Path(self.control_folder) / f"{exchange}.exchange"
        table.parent.mkdir(exist_ok=True)
        with (table.parent / f"{exchange}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process may add a queue at the same time
            known = [list(each) for each in self.get_table(exchange)]
            if entry not in known:
                _appear(table, dumps([entry, *known]))


def _appear(path: Path, text: str) -> None:
    """Make or replace a file so that nobody ever sees a part of it."""
    draft = path.with_name(f"{uuid.uuid4()}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


class Transport(filesystem.Transport):
    Channel = Channel
