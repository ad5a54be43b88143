#!/usr/bin/env python
"""Django's command line for the portal."""

import os
import sys

from django.core.management import execute_from_command_line

from portal.logs import nothing_but_json

SERVICES = {"collectstatic", "migrate", "scheduler", "start", "sync_roles"}
"""Commands that run without a person, whose output is a log."""

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    if SERVICES & set(sys.argv[1:2]):
        nothing_but_json()
    execute_from_command_line(sys.argv)
