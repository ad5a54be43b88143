"""Reading containers over real connections: what is stored, what failures say, and that pushes come first."""

import json
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction
from django.utils import timezone

from credentials.models import TechnicalAccount
from credentials.rollouts.models import Push
from instances.discovery.as_of import as_of
from instances.discovery.errand import GROUP, ReadErrand
from instances.discovery.management.commands import read as command
from instances.discovery.models import Observation, Reading
from instances.discovery.observing import Earlier, Sight, observe
from instances.discovery.services import ask
from instances.discovery.timeline import Wanted, of_installation, timeline
from instances.models import Container, Instance
from instances.nlserver.conversation import HARMLESS_LINES
from instances.visits import visit
from instances.visits.lease import Lease
from instances.visits.queue import FairQueue, Way
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.sandbox.ssh_server import SSHFaults
from tests.credentials.rollouts.conftest import FIRST, MakeDispatcher, MakeSite, Start, deliver_all
from tests.services.waiting import wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def read(actor: Actor, *sites: object) -> list[Reading]:
    readings = ask(containers=[site.row for site in sites], actor=actor)  # type: ignore[attr-defined]
    for site in sites:
        deliver_all(site)  # type: ignore[arg-type]
    return [Reading.objects.get(pk=each.pk) for each in readings]


def test_a_container_is_read_and_what_it_holds_is_kept(make_site: MakeSite, actor: Actor) -> None:
    site = make_site(instances=("prod1", "prod2"))
    Instance.objects.filter(name="prod2").delete()
    [reading] = read(actor, site)
    assert (reading.state, reading.code, reading.build) == ("succeeded", "", 9391)
    assert reading.found == {"prod1": "", "prod2": ""}
    [seen] = Observation.objects.all()
    assert (seen.installation_id, seen.source, seen.source_id) == (
        site.installation.pk,
        "read",
        str(reading.pk),
    )
    assert (seen.build, seen.ended, seen.sights) == (9391, None, 1)
    assert seen.stamp
    event = AuditEvent.objects.get(action="container.reading_asked")
    assert (event.actor_name, event.details) == ("alice", {"containers": 1})


def test_equal_sights_are_one_observation_and_the_next_different_one_ends_it(
    make_site: MakeSite, actor: Actor, start: Start
) -> None:
    site = make_site()
    for _ in range(3):
        read(actor, site)
    [before] = Observation.objects.all()
    assert (before.sights, before.ended) == (3, None)
    site.container.config("prod1").write_text("<serverconf/>")
    start(site)
    deliver_all(site)
    after, before = Observation.objects.all()
    assert (before.sights, before.ended is None, before.digest) == (3, False, "")
    assert (after.source, after.sights, after.ended) == ("push", 1, None)


def test_what_was_seen_lasts_until_the_push_that_writes_looks_at_it(
    make_site: MakeSite, actor: Actor, start: Start
) -> None:
    """The push saw the same file before it wrote, so it is known until then, and who changed it."""
    site = make_site()
    [reading] = read(actor, site)
    [seen] = Observation.objects.all()
    attempt = start(site).pushes.get().attempts
    deliver_all(site)
    begun = attempt.get().started
    after, before = Observation.objects.all()
    assert (before.source_id, before.last_source, before.sights) == (str(reading.pk), "push", 2)
    assert before.last_source_id == after.source_id == str(attempt.get().pk)
    assert seen.last_seen < before.last_seen == begun < after.at
    assert as_of(installation_id=site.installation.pk, moment=begun).certainty == "known"
    titles = [line.title for line in timeline(of_installation(site.installation), Wanted(9))]
    assert "Changed by a push" in titles
    assert not before.is_only_read


@pytest.mark.parametrize("content", ["<serverconf/>", None])
def test_a_file_that_somebody_wrote_before_the_push_is_not_what_was_seen(
    content: str | None, make_site: MakeSite, actor: Actor, start: Start
) -> None:
    """Not even with the same content (None): nobody knows what it held in between."""
    site = make_site()
    [reading] = read(actor, site)
    file = site.container.config("prod1")
    file.write_text(content or file.read_text())
    start(site)
    deliver_all(site)
    _after, before = Observation.objects.all()
    assert (before.last_source_id, before.sights, before.at) == (str(reading.pk), 1, before.last_seen)


def test_a_look_before_a_write_is_no_sight_of_what_the_write_left(make_site: MakeSite) -> None:
    """Whoever asks whether a file was read since it was written asks the open observation."""
    installation_id = make_site().installation.pk
    for number, at in ((1, timezone.now()), (2, timezone.now() + timedelta(hours=1))):
        new = replace(SIGHT, stamp=str(number))
        observe(
            installation_id=installation_id,
            sight=new,
            source="push",
            source_id=str(number),
            earlier=Earlier(SIGHT, at),
        )
    written, found = Observation.objects.all()
    assert found.last_seen == at
    assert written.last_seen < at


def test_a_push_and_a_reading_of_its_untouched_file_are_one_observation(
    make_site: MakeSite, actor: Actor, start: Start
) -> None:
    site = make_site()
    push = start(site).pushes.get()
    deliver_all(site)
    [reading] = read(actor, site)
    [seen] = Observation.objects.all()
    assert (seen.source, seen.source_id) == ("push", str(push.attempts.get().pk))
    assert (seen.last_source, seen.last_source_id) == ("read", str(reading.pk))
    assert (seen.sights, seen.ended, seen.build) == (2, None, 9391)
    assert seen.client_id == TechnicalAccount.objects.get().client_id
    assert seen.stamp


def test_a_file_that_was_written_anew_between_push_and_reading_is_another_sight(
    make_site: MakeSite, actor: Actor, start: Start
) -> None:
    """Though it holds the same, nobody knows what it held in between."""
    site = make_site()
    start(site)
    deliver_all(site)
    file = site.container.config("prod1")
    file.write_bytes(file.read_bytes())
    read(actor, site)
    after, pushed = Observation.objects.all()
    assert (pushed.source, pushed.sights, pushed.ended is None) == ("push", 1, False)
    assert (after.source, after.sights, after.ended) == ("read", 1, None)
    assert (after.digest, after.client_id) == (pushed.digest, pushed.client_id)
    assert after.stamp != pushed.stamp


def test_a_look_sees_the_stamp_as_well(make_site: MakeSite, actor: Actor, start: Start) -> None:
    site = make_site(ssh_faults=SSHFaults(drop_after_newline=HARMLESS_LINES + 1, drops_left=1))
    start(site)
    deliver_all(site)
    read(actor, site)
    seen = Observation.objects.first()
    assert seen
    assert (seen.source, seen.last_source, seen.sights) == ("look", "read", 2)


def test_a_clock_that_was_set_back_between_two_sights_ends_nothing(make_site: MakeSite, actor: Actor) -> None:
    """What was seen keeps the order in which it was seen, and no page or question fails."""
    site = make_site()
    read(actor, site)
    ahead = timezone.now() + timedelta(hours=1)
    Observation.objects.update(at=ahead, last_seen=ahead)
    read(actor, site)
    [seen] = Observation.objects.all()
    assert (seen.sights, seen.last_seen < seen.at) == (2, True)
    site.container.config("prod1").write_text("<serverconf/>")
    [reading] = read(actor, site)
    after, before = Observation.objects.all()
    assert (after.source_id, after.ended, before.ended is None) == (str(reading.pk), None, False)
    for moment in (timezone.now(), timezone.now() - timedelta(days=1)):
        assert as_of(installation_id=site.installation.pk, moment=moment).certainty != "known"


def test_an_ended_observation_and_a_finished_reading_are_frozen(make_site: MakeSite, actor: Actor) -> None:
    site = make_site()
    [reading] = read(actor, site)
    observe(installation_id=site.installation.pk, sight=SIGHT, source="read", source_id="x")
    for rows in (Observation.objects.exclude(ended=None), Reading.objects.filter(pk=reading.pk)):
        assert rows.count() == 1
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            rows.update(build=1)


SIGHT = Sight(client_id="c", account_id="a", organization_id="o", digest="d" * 64, is_jwt=False, stamp="1")


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        ({}, False),
        ({"stamp": ""}, True),
        ({"build": 9390}, False),  # it was not known before
        ({"stamp": "2"}, True),
        ({"digest": "e" * 64}, True),
        ({"client_id": "d"}, True),
        ({"account_id": "b"}, True),
        ({"organization_id": ""}, True),
        ({"is_jwt": True}, True),
    ],
)
def test_what_makes_another_sight(change: dict[str, object], is_another: bool, make_site: MakeSite) -> None:
    installation_id = make_site().installation.pk
    for sight in (SIGHT, Sight(**{**vars(SIGHT), **change})):
        observe(installation_id=installation_id, sight=sight, source="read", source_id="x")
    assert Observation.objects.count() == 1 + is_another


@pytest.mark.parametrize(
    ("site", "code"),
    [
        ({"ssh_faults": SSHFaults(refuse=True)}, "connection_refused"),
        ({"trusted": False}, "host_key_unknown"),
        ({"login": "somebody", "become": "sudo", "faults": ("sudo-refuses",)}, "become_refused"),
    ],
)
def test_why_a_container_could_not_be_read_is_said(
    site: dict[str, object], code: str, make_site: MakeSite, actor: Actor
) -> None:
    [reading] = read(actor, make_site(**site))
    assert (reading.state, reading.code) == ("failed", code)
    assert not Observation.objects.exists()


def test_nobody_is_asked_twice(make_site: MakeSite, actor: Actor) -> None:
    site = make_site()
    first, second = (ask(containers=[site.row], actor=actor) for _ in range(2))
    assert first == second
    assert AuditEvent.objects.filter(action="container.reading_asked").count() == 1


def test_a_push_comes_before_a_reading(make_site: MakeSite, actor: Actor, start: Start) -> None:
    site = make_site()
    [reading] = ask(containers=[site.row], actor=actor)
    rollout = start(site)
    assert visit.visit(site.row.pk)
    reading.refresh_from_db()
    assert reading.state == "queued"  # the place was a push's, and readings have their own
    deliver_all(site)
    reading.refresh_from_db()
    push = rollout.pushes.get()
    assert (push.state, reading.state) == ("succeeded", "succeeded")
    ended, began = push.attempts.get().finished, reading.started
    assert ended
    assert began
    assert ended < began
    assert site.secret() == FIRST


def test_what_a_vanished_worker_left_is_read_again_and_given_up_in_the_end(
    make_site: MakeSite, actor: Actor
) -> None:
    site = make_site()
    [reading] = ask(containers=[site.row], actor=actor)
    for tries in (1, 2, 3):
        lease = Lease(site.row.pk, owner="gone")
        with lease.taken():
            assert ReadErrand().begin(site.row.pk, lease)
        Container.objects.filter(pk=site.row.pk).update(lease_token=None, lease_expires=None)
        reading.refresh_from_db()
        assert (reading.state, reading.tries) == ("running", tries)
    deliver_all(site)
    reading.refresh_from_db()
    assert (reading.state, reading.code) == ("failed", "interrupted")
    [again] = read(actor, site)
    assert again.state == "succeeded"


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_container_that_is_off_waits(state: str, make_site: MakeSite, actor: Actor) -> None:
    site = make_site()
    [reading] = ask(containers=[site.row], actor=actor)
    Reading.objects.update(state=state)
    Container.objects.update(is_enabled=False)
    deliver_all(site)
    reading.refresh_from_db()
    assert reading.state == "queued"
    Container.objects.update(is_enabled=True)
    deliver_all(site)
    reading.refresh_from_db()
    assert reading.state == "succeeded"


def test_readings_take_an_eighth_of_the_places() -> None:
    queue = FairQueue(per_group=30, shared=32, per_jump_host=8, lookups=8, limits=ReadErrand().limits(32))
    rollout, way = uuid.uuid4(), Way()
    for group in (GROUP, rollout):
        for _ in range(20):
            queue.wait(uuid.uuid4(), group=group, way=way)
    let_in = []
    while pk := queue.following():
        let_in.append(queue._known[pk][0])
    assert (let_in.count(GROUP), let_in.count(rollout)) == (4, 20)


def test_the_command_says_what_is_there(
    make_site: MakeSite, actor: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    site = make_site(instances=("prod1", "prod2"))
    Instance.objects.filter(name="prod2").delete()
    Instance.objects.create(name="gone").installations.create(container=site.row)
    call_command("read", "mkt-1")
    assert capsys.readouterr().out == "mkt-1: Queued\n"
    deliver_all(site)
    call_command("read", "mkt-1")
    deliver_all(site)
    lines = command._lines(Reading.objects.order_by("asked").last())  # type: ignore[arg-type]
    assert lines == [
        "mkt-1: build 9391, 2 instances",
        "  prod1: no account",
        "  prod2: not in the inventory",
        "  gone: in the inventory, but not there",
    ]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "Name containers, or give --all."),
        (("mkt-1", "--all"), "Name containers, or give --all."),
        (("mtk-1",), "There is no container mtk-1. Did you mean mkt-1?"),
        (("off-1",), "off-1 is off: nobody logs in there."),
    ],
)
def test_a_wrong_call_is_said_and_asks_for_nothing(
    words: tuple[str, ...], why: str, make_site: MakeSite
) -> None:
    make_site()
    Container.objects.create(name="off-1", address="off-1.example.com", is_enabled=False)
    with pytest.raises(CommandError) as error:
        call_command("read", *words)
    assert (str(error.value), error.value.returncode) == (why, 2)
    assert not Reading.objects.exists()


def test_all_reads_those_that_are_on(make_site: MakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    make_site("one")
    make_site("two")
    Container.objects.create(name="off-1", address="off-1.example.com", is_enabled=False)
    call_command("read", "--all", "--json")
    answer = json.loads(capsys.readouterr().out)
    assert [(each["container"], each["state"]) for each in answer["readings"]] == [
        ("one", "queued"),
        ("two", "queued"),
    ]


@pytest.mark.django_db(transaction=True)
def test_the_dispatcher_reads_and_pushes_what_is_due(
    make_site: MakeSite, actor: Actor, start: Start, make_dispatcher: MakeDispatcher
) -> None:
    first, second = make_site("one"), make_site("two")
    [reading] = ask(containers=[first.row], actor=actor)
    push = start(second).pushes.get()
    make_dispatcher().ring([first.row.pk, second.row.pk])
    wait_until(
        lambda: Reading.objects.filter(pk=reading.pk, state="succeeded").exists(),
        within=120,
        what="a reading",
    )
    wait_until(lambda: Push.objects.filter(pk=push.pk, state="succeeded").exists(), within=120, what="a push")
