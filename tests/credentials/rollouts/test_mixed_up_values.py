"""A container whose nlserver writes the secret where an identifier belongs, or says so."""

import json

from django.db import connection

from credentials.rollouts.models import Push
from tests.credentials.rollouts.conftest import FIRST, MakeSite, Start, deliver_all, only_push
from tests.security.secret_shapes import SECRET

MIX_UP = """#!/bin/sh
"$0.real" "$@"
status=$?
file=$(dirname "$0")/../conf/config-prod1.xml
case $3 in -setimsoauth:*) sed -i "s|authIMSTAId=.[^ />]*|authIMSTAId='${3##*/}'|" "$file" ;; esac
exit $status
"""


def test_a_container_that_mixes_up_the_values_gives_no_secret_away(make_site: MakeSite, start: Start) -> None:
    site = make_site()
    program = site.container.program
    program.rename(program.with_suffix(".real"))
    program.write_text(MIX_UP)
    program.chmod(0o755)
    rollout = start(site)
    deliver_all(site)
    assert only_push(rollout).code == "not_applied"
    seen = site.installation.observed_account_id
    assert seen == "********"
    assert FIRST not in json.dumps(list(Push.objects.values("attempts__output")))


def test_a_secret_that_an_earlier_release_stored_stops_no_push(make_site: MakeSite, start: Start) -> None:
    site = make_site()
    rollout = start(site)
    rows = {"cause": "retry", "cause_by": SECRET, "cause_message": f"for {SECRET}"}
    earlier = [*connection.execute_wrappers]
    connection.execute_wrappers.clear()
    rollout.pushes.update(**rows)
    connection.execute_wrappers.extend(earlier)
    deliver_all(site)
    push = rollout.pushes.get()
    assert push.state == "succeeded"
    assert push.attempts.values_list("caused_by", "message").get() == ("***", "for ***")
