"""The folders and the database file that a process needs before anything else of it runs."""

from pathlib import Path

from django.conf import settings

from portal.private_files import folder, private_file

FILES = "filesystem:"
"""How the address of a broker begins that is a folder of this machine."""


def make_places() -> None:
    """Make PORTAL_HOME, the file of SQLite and the folders of the file queue, for this user alone.

    What is there stays as it is. `OSError` says what cannot be made.
    """
    folder(Path(settings.PORTAL_HOME))
    database = settings.DATABASES["default"]
    if database["ENGINE"] == "django.db.backends.sqlite3":
        private_file(Path(database["NAME"]))  # its journals get the same mode
    if settings.CELERY_BROKER_URL.startswith(FILES):
        options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
        for name in ("data_folder_in", "data_folder_out", "control_folder"):
            folder(Path(str(options[name])))
