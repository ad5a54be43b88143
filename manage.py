#!/usr/bin/env python
"""The portal's command line."""

import os
import sys

from portal.command_line import main

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    main(sys.argv)
