"""The pages that retire and take back: what they say before, what they do, and what is left afterwards."""

import html

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from credentials.rollouts.models import Push
from instances.discovery.models import Reading
from instances.inventory import retiring
from instances.models import Container, HostKey, Installation, Instance
from portal.audit.models import AuditEvent
from tests.factories import (
    SOMEBODY,
    make_container,
    make_host_key,
    make_installation,
    make_jump_host,
    make_rollout,
)

pytestmark = pytest.mark.django_db
WHY = "Decommissioned, CHG-7"


def text(client: Client, address: str, *, data: dict[str, str] | None = None) -> str:
    """What a page says, or the one that it leads to after a form."""
    answer = client.get(address) if data is None else client.post(address, data, follow=True)
    assert answer.status_code == 200
    return " ".join(html.unescape(answer.content.decode()).split())


def retire(row: retiring.Row, reason: str = WHY) -> None:
    retiring.retire(row=row, reason=reason, actor=SOMEBODY)


def test_a_container_is_retired_after_the_page_said_what_happens(as_admin: Client) -> None:
    rollout = make_rollout(containers=["web1"])
    make_installation(instance="other", container="web1")
    unknown = make_rollout(account="Other", instance="third", containers=["web1"]).pushes.get()
    Push.objects.filter(pk=unknown.pk).update(state="unknown")
    container = Container.objects.get()
    address = f"/containers/{container.pk}/retire/"
    assert address in text(as_admin, f"/containers/{container.pk}/")
    page = text(as_admin, address)
    assert "3 installations are left out of every count, list and rollout." in page
    assert "1 waiting push is cancelled." in page
    assert "1 push with an unknown outcome ends as failed" in page
    assert "no push, no look, no reading, no scan" in page
    page = text(as_admin, address, data={"reason": WHY})
    assert "web1 is retired. Its history stays. 1 push was cancelled." in page
    assert "1 push with an unknown outcome ended as failed." in page
    assert "Retired since" in page
    assert f"By alice: {WHY}" in page
    for word in ("Switch off", "Edit<", "Scan now", "Read now", "Retire…"):
        assert word not in page
    assert f"/containers/{container.pk}/take-back/" in page
    assert "prod1" in page  # what was there stays to be seen
    assert rollout.pushes.get().state == "cancelled"


@pytest.mark.parametrize("reason", ["", " ", "x" * 251, "a\nb", "p8e-" + "A1b2" * 8])
def test_without_a_reason_that_counts_nothing_happens(as_admin: Client, reason: str) -> None:
    container = make_container()
    answer = as_admin.post(f"/containers/{container.pk}/retire/", {"reason": reason})
    assert answer.status_code == 200
    assert answer.context["form"].errors["reason"]
    assert not Container.objects.retired().exists()


def test_what_runs_there_is_said_before_and_refuses(as_admin: Client) -> None:
    push = make_rollout().pushes.get()
    Push.objects.filter(pk=push.pk).update(state="running")
    address = f"/instances/{push.installation.instance_id}/retire/"
    assert "A push is running there now" in text(as_admin, address)
    page = text(as_admin, address, data={"reason": WHY})
    assert "A push is running there now: try again in a minute." in page
    assert f'value="{WHY}"' in page
    assert not Instance.objects.retired().exists()


def test_an_installation_is_retired_and_taken_back_from_its_container(as_admin: Client) -> None:
    installation = make_installation()
    make_installation(instance="prod2", container="web1")
    container = f"/containers/{installation.container_id}/"
    address = f"/installations/{installation.pk}"
    assert f"{address}/retire/" in text(as_admin, container)
    assert f"{address}/retire/" in text(as_admin, f"/instances/{installation.instance_id}/")
    assert "This installation is left out" in text(as_admin, f"{address}/retire/")
    page = text(as_admin, f"{address}/retire/", data={"reason": WHY})
    in_use, retired = page.split('id="retired"')
    assert "prod2" in in_use
    assert "prod1</a>" not in in_use
    assert WHY in retired
    assert WHY in text(as_admin, f"/instances/{installation.instance_id}/")
    assert WHY in text(as_admin, f"{address}/take-back/")
    page = text(as_admin, f"{address}/take-back/", data={"reason": "A mistake"})
    assert "prod1 on web1 is in use again." in page
    assert 'id="retired"' not in page
    event = AuditEvent.objects.get(action="installation.taken_back")
    assert event.details["reason"] == "A mistake"


def test_what_is_retired_with_its_container_is_named_on_the_page_of_the_instance(as_auditor: Client) -> None:
    installation = make_installation()
    retire(installation.container)
    page = text(as_auditor, f"/instances/{installation.instance_id}/")
    assert "This instance is on no container in use." in page
    assert "with its container" in page
    assert WHY in page
    assert "take-back" not in page


def test_the_loser_of_two_people_is_told_who_was_first(as_admin: Client) -> None:
    container = make_container()
    retire(container)
    assert as_admin.get(f"/containers/{container.pk}/retire/").status_code == 302
    page = text(as_admin, f"/containers/{container.pk}/retire/", data={"reason": "Another"})
    assert f"by somebody: {WHY}" in page
    assert Container.objects.get().retired_reason == WHY
    retired = Container.objects.get().retired
    assert retired
    seen = retired.isoformat()
    Container.objects.update(retired=timezone.now(), retired_reason="Anew")
    page = text(as_admin, f"/containers/{container.pk}/take-back/", data={"reason": "x", "seen": seen})
    assert "Someone retired it again after you opened the page." in page
    assert "Anew" in page
    Container.objects.update(retired=None)
    page = text(as_admin, f"/containers/{container.pk}/take-back/", data={"reason": "x", "seen": seen})
    assert "web1 is in use." in page


def test_nothing_can_be_done_with_a_retired_container(as_admin: Client) -> None:
    installation = make_installation()
    container = installation.container
    key = make_host_key(container=container, state=HostKey.State.OFFERED)
    retire(container)
    for address in (
        f"/containers/{container.pk}/edit/",
        f"/containers/{container.pk}/switch/",
        f"/containers/{container.pk}/scan/",
        f"/containers/{container.pk}/read/",
        f"/containers/host-keys/{key.pk}/approve/",
        f"/containers/host-keys/{key.pk}/revoke/",
        f"/installations/{installation.pk}/take-over/",
    ):
        assert "web1 is retired: take it back first." in text(as_admin, address, data={"to": "off"}), address
    page = text(
        as_admin, f"/instances/{installation.instance_id}/installations/add/", data={"container": "web1"}
    )
    assert "web1 is retired: take it back first." in page
    key.refresh_from_db()
    assert (key.state, Container.objects.get().is_enabled) == ("offered", True)
    assert not Reading.objects.exists()


def test_nothing_can_be_done_with_a_retired_instance(as_admin: Client) -> None:
    installation = make_installation()
    retire(installation.instance)
    page = text(as_admin, f"/instances/{installation.instance_id}/")
    assert f"By somebody: {WHY}" in page
    for word in ("Edit<", "Add container", "Remove<", "Retire…"):
        assert word not in page
    for address in ("edit", "installations/add"):
        page = text(as_admin, f"/instances/{installation.instance_id}/{address}/", data={})
        assert "prod1 is retired: take it back first." in page
    page = text(as_admin, f"/installations/{installation.pk}/remove/", data={})
    assert "prod1 is retired: take it back first." in page
    assert Installation.objects.exists()


def test_lists_leave_out_what_is_retired_and_show_it_apart(as_auditor: Client) -> None:
    gone = make_installation(instance="old-one", container="gone")
    make_installation(instance="prod1", container="web1")
    make_installation(instance="prod1", container="gone")
    retire(gone.container)
    retire(gone.instance, "Merged into prod1")
    for kind, name, other, why in (
        ("containers", "gone", "web1", WHY),
        ("instances", "old-one", "prod1", "Merged into prod1"),
    ):
        page = text(as_auditor, f"/{kind}/")
        assert f"{name}</a>" not in page
        assert f"1 retired {kind[:-1]} is left out here." in page
        page = text(as_auditor, f"/{kind}/?show=retired")
        assert f"{name}</a>" in page
        assert f"{other}</a>" not in page
        assert why in page
        assert "somebody" in page
        assert "left out here" not in text(as_auditor, f"/{kind}/?q={other}")
        assert "matches these filters" in text(as_auditor, f"/{kind}/?show=retired&q={other}")
    rows = as_auditor.get("/instances/").context["rows"]
    assert [(row.name, row.containers) for row in rows] == [("prod1", 1)]
    rows = as_auditor.get("/containers/").context["rows"]
    assert [(row.name, row.instances) for row, _state in rows] == [("web1", 1)]


def test_readings_leave_out_a_retired_container_and_tell_a_file_that_stays(
    as_helpdesk: Client, as_auditor: Client
) -> None:
    gone, kept = make_container(name="gone"), make_installation()
    values = {"asked_by": "henry", "finished": timezone.now()}
    Reading.objects.create(container=gone, state="failed", code="timed_out", **values)
    Reading.objects.create(container=kept.container, state="succeeded", found={"prod1": ""}, **values)
    retire(gone)
    retire(kept)
    page = text(as_auditor, "/containers/readings/")
    assert "gone" not in page
    page = text(as_auditor, f"/containers/{kept.container_id}/")
    assert "Retired in the inventory, but still there." in page
    assert "Found there, but not in the inventory." not in page
    as_helpdesk.post("/containers/readings/ask/")
    assert [each.container for each in Reading.objects.filter(finished=None)] == [kept.container]


def test_the_account_names_what_its_coverage_leaves_out(as_auditor: Client) -> None:
    rollout = make_rollout(containers=["web1", "web2"])
    retire(Container.objects.get(name="web2"))
    page = text(as_auditor, f"/accounts/{rollout.secret.account_id}/")
    assert "0 / 1" in page
    assert "prod1 on web2</a>" in page.split("Left out because retired:")[1]


@pytest.mark.parametrize("nasty", ["'\"<script>x</script>", "9" * 5000, "é\u202e", "[]"])
def test_garbage_is_no_server_error(as_admin: Client, nasty: str) -> None:
    container = make_container()
    text(as_admin, f"/containers/{container.pk}/retire/", data={"reason": nasty})
    answer = as_admin.post(f"/containers/{container.pk}/take-back/", {"reason": nasty, "seen": nasty})
    assert "<script>x" not in answer.content.decode()
    for kind in ("containers", "instances"):
        assert as_admin.get(f"/{kind}/", {"show": nasty}).status_code == 200


def test_a_page_about_a_large_container_takes_as_many_queries_as_about_a_small_one(as_admin: Client) -> None:
    def cost(address: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert as_admin.get(address).status_code == 200
        return len(queries)

    installation = make_installation()
    addresses = [
        f"/containers/{installation.container_id}/retire/",
        f"/containers/{installation.container_id}/",
        f"/instances/{installation.instance_id}/",
    ]
    retire(make_installation(instance="retired", container="web1"))
    before = [cost(address) for address in addresses]
    for number in range(10):
        retire(make_installation(instance=f"inst{number}", container="web1"))
        retire(make_installation(instance="prod1", container=f"c{number}").container)
        make_installation(instance=f"more{number}", container="web1")
    assert [cost(address) for address in addresses] == before


def test_a_jump_host_that_only_a_retired_container_needs_leads_to_it(as_admin: Client) -> None:
    host = make_jump_host()
    container = make_container()
    Container.objects.update(jump_host=host)
    retire(container)
    assert as_admin.get("/containers/jump-hosts/").context["rows"][0][0].used_by == 0
    page = text(as_admin, f"/containers/jump-hosts/{host.pk}/remove/")
    assert "Retired ones count here" in page
    assert "Show these containers" not in page
    assert "web1</a>" in text(as_admin, f"/containers/?jump_host={host.pk}&show=retired")
