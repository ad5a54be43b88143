"""The file broker under several writers and a fast reader: no message is lost or read half-written."""

import json
import subprocess
import sys
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection

from portal import celery_app  # noqa: F401  # installs the transport
from portal.private_files import folder

WRITERS, EACH = 3, 150
WRITER = """
import sys
from kombu import Connection
from portal import celery_app
options = {name: sys.argv[1] for name in ("data_folder_in", "data_folder_out", "control_folder")}
with Connection("filesystem://localhost", transport_options=options) as connection:
    queue = connection.SimpleQueue("bell")
    for number in range(int(sys.argv[2])):
        queue.put("x" * 5000)
"""


def test_no_message_is_lost_or_read_half_written(tmp_path: Path) -> None:
    options = {
        name: str(folder(tmp_path / "q")) for name in ("data_folder_in", "data_folder_out", "control_folder")
    }
    command = [sys.executable, "-c", WRITER, str(tmp_path / "q"), str(EACH)]
    writers = [subprocess.Popen(command) for _ in range(WRITERS)]
    came = 0
    with Connection(
        "filesystem://localhost", transport_options={**options, "polling_interval": 0.001}
    ) as reader:
        queue = reader.SimpleQueue("bell")
        while came < WRITERS * EACH:
            message = queue.get(timeout=30)
            assert message.payload == "x" * 5000
            message.ack()
            came += 1
        with pytest.raises(Empty):
            queue.get(timeout=0.01)
    assert [writer.wait(10) for writer in writers] == [0] * WRITERS


BINDER = """
import sys
from kombu import Connection
from portal import celery_app
options = {name: sys.argv[1] for name in ("data_folder_in", "data_folder_out", "control_folder")}
with Connection("filesystem://localhost", transport_options=options) as connection:
    for number in range(40):
        connection.default_channel._queue_bind(f"bell-{number}", "", "", sys.argv[2])
        connection.default_channel.get_table(f"bell-{number}")
"""


def test_queues_that_are_added_at_the_same_time_are_all_known(tmp_path: Path) -> None:
    place = str(folder(tmp_path / "q"))
    binders = [subprocess.Popen([sys.executable, "-c", BINDER, place, str(each)]) for each in range(3)]
    assert [binder.wait(60) for binder in binders] == [0] * 3
    tables = [json.loads(each.read_text()) for each in (tmp_path / "q").glob("*.exchange")]
    assert [len(table) for table in tables] == [3] * 40
