"""What a delivery writes into the log: which rollout, push and container a line is about."""

import logging

import pytest
from django.test import Client
from django.urls import reverse

from credentials.rollouts.models import Rollout
from instances.models import Container
from instances.visits import visit
from portal.processes.logs import Context
from tests.credentials.rollouts.conftest import FIRST, MakeSite, Start
from tests.credentials.wizard.wizard_walk import choose
from tests.factories import make_account, make_installation

pytestmark = pytest.mark.django_db


def test_a_line_of_a_delivery_names_rollout_push_and_container(
    make_site: MakeSite, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(Context())
    caplog.set_level(logging.INFO)
    site = make_site()
    rollout = start(site)
    visit.visit(site.row.pk)
    [line] = [record for record in caplog.records if record.name == "credentials.rollouts.pushing"]
    fields = vars(line)
    assert (fields["rollout"], str(fields["push"])) == (rollout.number, str(rollout.pushes.get().pk))
    assert (fields["container"], fields["attempt"]) == (str(Container.objects.get().pk), 1)
    assert (fields["state"], fields["code"]) == ("succeeded", "")
    assert fields["worker"]
    assert FIRST not in str([vars(record) for record in caplog.records])


@pytest.mark.django_db(transaction=True)
def test_the_line_of_a_start_ties_the_request_to_the_rollout(
    as_admin: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(Context())
    caplog.set_level(logging.INFO)
    chosen = [make_installation(container=name) for name in ("web1", "web2")]
    address = reverse("account_rollout", args=[make_account(instances=["prod1"]).account_id])
    response = as_admin.post(address, {**choose(chosen), "reason": "repair", "action": "unconfirmed"})
    rollout = Rollout.objects.get()
    [line] = [record for record in caplog.records if record.message == "the rollout was started"]
    fields = vars(line)
    assert (fields["rollout"], fields["pushes"], fields["superseded"]) == (rollout.number, 2, 0)
    assert fields["request_id"] == response["X-Request-ID"]
