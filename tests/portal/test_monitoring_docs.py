"""`docs/monitoring.md` against the running portal: every metric is documented, every alert has a metric."""

import re

import pytest
from django.db import transaction
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from credentials.rollouts.models import Duty, Push
from instances.failures import Code
from portal.audit.chain.verification import verify
from portal.audit.services import record_verification
from portal.audit.trail import Actor, record
from tests.factories import finish, make_rollout
from tests.portal.monitoring_page import TEXT, rules

METRIC = re.compile(r"portal_[a-z_]+")


def documented() -> set[str]:
    return set(re.findall(r"^\| `(portal_[a-z_]+)", TEXT, re.MULTILINE))


@pytest.mark.django_db(transaction=True)
def test_the_table_has_every_metric_and_no_other(client: Client) -> None:
    finish(make_rollout().pushes.get(), state="succeeded")
    Duty.objects.create(name="reconcile", done="2026-01-31T12:00:00Z")
    record_verification(result=verify(), actor=Actor("a test"))
    with transaction.atomic():
        record("portal.backed_up", actor=Actor("a test"))
    families = text_string_to_metric_families(client.get("/metrics").content.decode())
    assert {sample.name for family in families for sample in family.samples} == documented()


def test_every_alert_can_be_read_and_compares_what_there_is() -> None:
    alerts = list(rules())
    assert len({rule["alert"] for rule in alerts}) == len(alerts) > 10
    for rule in alerts:
        used = set(METRIC.findall(rule["expr"]))
        assert used
        assert used <= documented()
        assert rule["annotations"]


def test_whatever_is_compared_has_an_alert_for_its_absence() -> None:
    expressions = [rule["expr"] for rule in rules()]
    missed = {name for each in expressions for name in re.findall(r"absent\((portal_[a-z_]+)", each)}
    compared = {name for each in expressions if "absent" not in each for name in METRIC.findall(each)}
    # these two come and go together with others that are looked for
    assert compared - missed <= {
        "portal_pushes_needing_attention",
        "portal_audit_intact",
        "portal_audit_kept_head_in_chain",
        "portal_audit_sealed_breaks",
        "portal_append_only_protected",
        "portal_scrape_seconds",
    }


def test_labels_in_alerts_exist() -> None:
    for rule in rules():
        for state in re.findall(r'state="([^"]*)"', rule["expr"]):
            assert state in Push.State.values
        for code in re.findall(r'code="([^"]*)"', rule["expr"]):
            assert code in Code.values
