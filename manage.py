#!/usr/bin/env python
"""The portal's command line."""

import os
import sys

from portal.command_line import SERVICES, main
from portal.processes.logs import nothing_but_json

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    if SERVICES & set(sys.argv[1:2]):
        nothing_but_json()
    main(sys.argv)
