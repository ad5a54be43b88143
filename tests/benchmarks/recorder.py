"""Records audit events, twenty a second, until its input ends; then prints how long they took, as JSON."""

import json
import os
import select
import sys
import time

import django

from tests.figures import percentile, say

PAUSE = 0.05


def main() -> int:
    """Record until told to stop."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    from django.db import transaction

    from portal.audit.trail import Actor, record

    seconds = []
    while not select.select([sys.stdin], [], [], PAUSE)[0]:
        begin = time.perf_counter()
        with transaction.atomic():
            record("history.read", actor=Actor("recorder"), details={"filters": {}})
        seconds.append(time.perf_counter() - begin)
    slowest, usual = max(seconds), percentile(seconds, 0.5)
    say(json.dumps({"count": len(seconds), "slowest": slowest, "usual": usual}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
