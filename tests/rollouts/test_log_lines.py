"""What a delivery writes into the log: which rollout, push and container a line is about."""

import logging

import pytest

from credentials.rollouts import delivery
from instances.models import Container
from portal.logs import Context
from tests.rollouts.conftest import FIRST, MakeSite, Start

pytestmark = pytest.mark.django_db


def test_a_line_of_a_delivery_names_rollout_push_and_container(
    make_site: MakeSite, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(Context())
    caplog.set_level(logging.INFO)
    site = make_site()
    rollout = start(site)
    delivery.deliver(site.row.pk)
    [line] = [record for record in caplog.records if record.name == "credentials.rollouts.delivery"]
    fields = vars(line)
    assert (fields["rollout"], str(fields["push"])) == (rollout.number, str(rollout.pushes.get().pk))
    assert (fields["container"], fields["attempt"]) == (str(Container.objects.get().pk), 1)
    assert (fields["state"], fields["code"]) == ("succeeded", "")
    assert fields["worker"]
    assert FIRST not in str([vars(record) for record in caplog.records])
