"""`make pages`: writes what is generated of the help, and names what changed."""

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from tests.help_pages.writing import write  # noqa: E402  # needs the settings

if __name__ == "__main__":
    print("\n".join(write()) or "Every page of the help is what the code says.")  # noqa: T201  # output
    sys.exit(0)
