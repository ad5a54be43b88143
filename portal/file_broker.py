"""Celery's file broker with messages that appear whole.

Kombu creates a message under its final name and writes into it afterwards; a worker that reads in between
ends with an "unrecoverable" error. Here the file is written under another name first, and then renamed.
"""

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
        name = uuid.uuid4()
        folder = Path(self.data_folder_out)
        draft = folder / f"{name}.draft"
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(dumps(payload))
            # sorted by name, messages come in the order of their time
            draft.replace(folder / f"{time.time_ns() // 1_000_000}_{name}.{queue}.msg")
        except OSError as error:
            raise ChannelError("the queue folder took no message") from error


class Transport(filesystem.Transport):
    Channel = Channel
