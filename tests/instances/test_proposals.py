"""What does not fit the inventory is proposed, applied only when somebody says so, and left with a reason."""

import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from instances.discovery import proposals as module
from instances.discovery.dismissals import Outdated, forget_outdated, leave, take_up
from instances.discovery.models import EMPTY_ORGANIZATION, Dismissal, Observation, Reading
from instances.discovery.observing import Sight, observe
from instances.discovery.proposal_list import Wanted, count, find, listed, page, places
from instances.discovery.proposal_words import advice, what
from instances.discovery.proposals import NOT_SAID_ELSEWHERE, Kind, Proposal, proposals
from instances.inventory import proposed
from instances.inventory.editing import InventoryError
from instances.models import Container, Installation, Instance
from instances.nlserver import FileState
from instances.nlserver.reading import MOST_FILES
from portal.audit.labels import line_of
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from tests.benchmarks.work import counted
from tests.factories import SOMEBODY, make_container, make_installation, make_instance

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def read(container: Container, *, ago: int = 0, **values: object) -> Reading:
    """A successful reading of a container that ended some minutes ago."""
    at = timezone.now() - timedelta(minutes=ago)
    told = {"state": "succeeded", "asked": at, "started": at, "finished": at, "build": 9394, **values}
    return Reading.objects.create(container=container, asked_by="henry", **told)


def see(installation: Installation, **values: object) -> Observation:
    told = {"client_id": "c", "account_id": "a", "organization_id": "o", "digest": "d", "is_jwt": False}
    sight = Sight(**told | values)  # type: ignore[arg-type]
    return observe(installation_id=installation.pk, sight=sight, source="read", source_id="x")


def kinds() -> list[str]:
    return [each.kind.value for each in proposals()]


def only() -> Proposal:
    (found,) = proposals()
    return found


@pytest.fixture
def container() -> Container:
    return make_container(name="mkt-1")


@pytest.fixture(autouse=True)
def every_proposal_has_words() -> Iterator[None]:
    yield
    assert all(what(each) and advice(each) and "%" not in what(each) for each in proposals())


@pytest.fixture(autouse=True)
def nothing_is_missed_by_asking_the_database_where_to_look(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield
    found = proposals()
    every = set(Container.objects.values_list("pk", flat=True))
    monkeypatch.setattr(module, "doubtful_containers", lambda *_asked: every)
    assert found == proposals()


@pytest.fixture(autouse=True)
def the_list_has_what_is_proposed() -> Iterator[None]:
    yield
    assert_same_list(proposals())


def assert_same_list(found: list[Proposal]) -> None:
    """The database finds the same, in the same order, with the same keys, however it is narrowed."""
    left = set(Dismissal.objects.values_list("proposal", flat=True))
    for is_left in (False, True):
        for kind in ("", *Kind, NOT_SAID_ELSEWHERE):
            expected = [
                each for each in found if (each.key in left) == is_left and each.kind in Wanted(kind).kinds
            ]
            assert page(Wanted(kind, is_left=is_left), 0, 10_000) == expected
            assert count(Wanted(kind, is_left=is_left)) == len(expected)  # a page drops what is no proposal


def undecided() -> list[Proposal]:
    return page(Wanted(), 0, 10_000)


# What is proposed


def test_an_instance_that_is_known_elsewhere_and_one_that_is_not(container: Container) -> None:
    make_installation(instance="prod1", container="mkt-2")
    read(container, found={"prod1": "", "stray": "busy", "folder": "none"})
    found = {(each.kind, each.instance, each.can_be_applied) for each in proposals()}
    assert found == {(Kind.ADD, "prod1", True), (Kind.CREATE, "stray", True)}


def test_what_fits_is_not_proposed(container: Container) -> None:
    make_installation(instance="prod1", container="mkt-1")
    read(container, ago=-1, found={"prod1": ""})
    assert proposals() == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"found": {}}, ["gone"]),
        ({"found": {"prod1": "unreadable"}}, []),
        ({"found": {}, "further": 1}, []),
        ({"found": {}, "state": "failed", "code": "timed_out"}, []),
    ],
)
def test_a_file_is_gone_only_by_a_complete_reading(
    container: Container, values: dict[str, object], expected: list[str]
) -> None:
    make_installation(instance="prod1", container="mkt-1")
    read(container, ago=-1, **values)
    assert kinds() == expected


def test_what_was_entered_or_seen_after_the_reading_is_not_gone(container: Container) -> None:
    row = make_installation(instance="prod1", container="mkt-1")
    read(container, ago=5, found={})
    assert kinds() == []
    Installation.objects.update(created=timezone.now() - timedelta(days=1))
    assert kinds() == ["gone"]
    see(row)  # by a push, say
    assert kinds() == []


def test_only_the_newest_successful_reading_counts(container: Container) -> None:
    read(container, ago=9, found={"old": ""})
    read(container, ago=5, found={"stray": ""})
    read(container, ago=1, state="failed", code="timed_out")
    assert only().instance == "stray"


def test_nothing_is_proposed_about_a_container_that_is_off(container: Container) -> None:
    read(container, found={"stray": ""}, build=9352)
    Container.objects.update(is_enabled=False)
    assert proposals() == []


def test_builds(container: Container) -> None:
    make_installation(instance="prod1", container="mkt-1", build=9352)
    make_installation(instance="prod1", container="mkt-2", build=9394)
    read(container, ago=9, found={"prod1": ""}, build=9350)
    read(container, ago=-1, found={"prod1": ""}, build=9352)
    found = {each.kind: each.builds for each in proposals()}
    assert found == {Kind.MIXED: (9352, 9394), Kind.BUILD: (9350, 9352), Kind.OLD: (9352,)}
    Installation.objects.update(observed_build=9394, observed=timezone.now() + timedelta(hours=1))
    assert kinds() == ["build_changed"]  # a push saw the upgrade


@pytest.mark.parametrize(("first", "last", "expected"), [(9394, 9352, ["build_old"]), (9352, 9394, [])])
def test_the_last_push_says_which_build_runs(
    container: Container, first: int, last: int, expected: list[str]
) -> None:
    read(container, ago=9, found={"prod1": "", "prod2": ""}, build=9390)
    for instance, build, ago in (("prod1", first, 5), ("prod2", last, 2)):
        row = make_installation(instance=instance, container="mkt-1", build=build)
        Installation.objects.filter(pk=row.pk).update(observed=timezone.now() - timedelta(minutes=ago))
    assert kinds() == expected


def test_an_empty_organization_is_told_from_none(container: Container) -> None:
    row = make_installation(instance="prod1", container="mkt-1")
    read(container, ago=-1, found={"prod1": ""})
    for ids, expected in (((), []), (("",), ["organization_empty"]), (("A@AdobeOrg",), [])):
        file = FileState(organization_ids=ids, read=True, stamp="1")
        sight = Sight.of(file, str)
        observe(installation_id=row.pk, sight=sight, source="read", source_id="x")
        assert kinds() == expected


def test_a_jwt_that_is_still_there_unless_adobe_hosts_the_instance(container: Container) -> None:
    row = make_installation(instance="prod1", container="mkt-1")
    see(row, is_jwt=True)
    assert kinds() == ["jwt_present"]
    assert "If it was, only the JWT remains" in advice(only())  # the account may be there already
    Instance.objects.update(deployment="hosted")
    assert kinds() == []


def test_an_empty_organization_is_no_failed_push(container: Container) -> None:
    see(make_installation(instance="prod1", container="mkt-1"), organization_id=EMPTY_ORGANIZATION)
    assert "then push the account here, or retry" in advice(only())


# Containers that lie


def test_names_are_bounded_and_no_other_name_is_believed(container: Container) -> None:
    nasty = {"<script>": "", "a b": "", "default": "", "x" * 41: "", "": "", "-a": "", "../etc": "", "é": ""}
    read(container, found=nasty | {"fine_1": ""})
    assert only().instance == "fine_1"


def test_five_thousand_files_are_no_five_thousand_proposals(container: Container) -> None:
    read(container, found={f"i{number}": "" for number in range(5_000)}, further=1)
    assert len(proposals()) == MOST_FILES


def test_a_name_that_differs_in_case_only_is_pointed_out(container: Container) -> None:
    make_instance(name="prod1")
    read(container, found={"PROD1": ""})
    assert (only().kind, only().alike) == (Kind.CREATE, "prod1")
    assert "differs only in upper and lower case" in advice(only())


def test_an_instance_that_adobe_hosts_is_not_entered_by_the_portal(container: Container) -> None:
    make_instance(name="cloud1", deployment="hosted")
    read(container, found={"cloud1": ""})
    assert not only().can_be_applied
    with pytest.raises(InventoryError):
        proposed.apply(key=only().key, actor=SOMEBODY)
    assert not Installation.objects.exists()


# Decisions


def test_applying_enters_what_was_found_and_says_by_which_reading(container: Container, actor: Actor) -> None:
    reading = read(container, found={"stray": ""})
    row = proposed.apply(key=only().key, actor=actor, environment="stage", role="RT")
    assert (row.instance.name, row.instance.environment, row.instance.role) == ("stray", "stage", "RT")
    assert row.container == container
    told = list(AuditEvent.objects.order_by("seq").values_list("action", flat=True))
    assert told == ["instance.created", "installation.added", "proposal.applied"]
    event = AuditEvent.objects.get(action="proposal.applied")
    assert event.details == {"proposal": "create_instance", "reading": str(reading.pk)}
    assert proposals() == []


def test_one_unknown_instance_on_two_containers_is_applied_in_one_go(
    container: Container, actor: Actor
) -> None:
    other = make_container(name="mkt-2")
    for each in (container, other):
        read(each, found={"stray": ""})
    for key in [each.key for each in proposals()]:
        proposed.apply(key=key, actor=actor)
    assert Installation.objects.filter(instance__name="stray").count() == 2


def test_a_proposal_that_was_overtaken_changes_nothing(container: Container, actor: Actor) -> None:
    read(container, ago=5, found={"stray": ""})
    key = only().key
    read(container, found={})
    with pytest.raises(Outdated):
        proposed.apply(key=key, actor=actor)
    with pytest.raises(Outdated):
        leave(key=key, reason="no", actor=actor)
    assert not Instance.objects.exists()
    assert not AuditEvent.objects.exists()


def test_a_reading_that_ends_meanwhile_is_the_one_that_counts(
    container: Container, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(container, ago=5, found={"stray": ""})

    def overtaken(key: str) -> Proposal | None:
        found = find(key)
        if not Reading.objects.filter(found={}).exists():
            read(container, found={})
        return found

    monkeypatch.setattr(proposed, "find", overtaken)
    with pytest.raises(Outdated):
        proposed.apply(key=only().key, actor=actor)
    assert not Instance.objects.exists()


def test_the_second_of_two_people_is_told(container: Container, actor: Actor) -> None:
    read(container, found={"stray": ""})
    key = only().key
    proposed.apply(key=key, actor=actor)
    with pytest.raises(Outdated):
        proposed.apply(key=key, actor=actor)
    assert Installation.objects.count() == 1


@pytest.mark.parametrize("values", [{"environment": "moon"}, {"role": "x" * 5000}])
def test_an_environment_or_role_that_is_none_is_refused(container: Container, values: dict[str, str]) -> None:
    read(container, found={"stray": ""})
    with pytest.raises(InventoryError):
        proposed.apply(key=only().key, actor=SOMEBODY, **values)
    assert not Instance.objects.exists()


def test_what_is_left_comes_back_when_something_else_is_seen(container: Container, actor: Actor) -> None:
    make_installation(instance="prod1", container="mkt-1")
    read(container, ago=-1, found={"prod1": ""}, build=9352)
    old = only()
    leave(key=old.key, reason="Upgrade is planned", actor=actor)
    leave(key=old.key, reason="twice", actor=actor)
    assert undecided() == []
    assert Dismissal.objects.get().reason == "Upgrade is planned"
    event = AuditEvent.objects.get()
    assert (event.action, event.target_name) == ("proposal.left", "mkt-1")
    assert event.details == {"proposal": "build_old", "reason": "Upgrade is planned"}
    assert ("proposal", "Build below 7.4.1") in line_of(event).facts
    read(container, ago=-2, found={"prod1": ""}, build=9356)
    assert {each.kind for each in undecided()} == {Kind.OLD, Kind.BUILD}
    forget_outdated()
    assert not Dismissal.objects.exists()


def test_what_is_left_can_be_taken_up_again(container: Container, actor: Actor) -> None:
    read(container, found={"stray": ""})
    leave(key=only().key, reason="A test", actor=actor)
    forget_outdated()
    take_up(key=only().key, actor=actor)
    assert undecided() == [only()]
    with pytest.raises(Outdated):
        take_up(key=only().key, actor=actor)
    assert AuditEvent.objects.filter(action="proposal.taken_up").count() == 1


# Large fleets, and the command


def test_a_push_that_saw_an_older_build_than_the_reading_is_told(container: Container) -> None:
    row = make_installation(instance="prod1", container="mkt-1")
    read(container, ago=10, found={"prod1": ""}, build=9394)
    observe(
        installation_id=row.pk,
        sight=Sight(client_id="c", account_id="a", organization_id="o", digest="d", is_jwt=False, build=9352),
        source="push",
        source_id="x",
    )
    assert (only().kind, only().builds) == (Kind.OLD, (9352,))


def test_many_containers_take_as_many_statements_as_few() -> None:
    counts = []
    for number in (2, 9):
        for each in range(number):
            row = make_installation(instance=f"i{number}-{each}", container=f"c{number}-{each}", build=9352)
            read(row.container, ago=-1, found={"stray": "", f"i{number}-{each}": ""})
            see(row, organization_id='""')
        with CaptureQueriesContext(connection) as queries:
            proposals()
        counts.append(len(queries))
    assert counts == [7, 7]


def discover(*arguments: str) -> tuple[str, int]:
    out = StringIO()
    try:
        call_command("discover", *arguments, stdout=out, stderr=out)
    except SystemExit as ended:
        return out.getvalue(), int(ended.code or 0)
    return out.getvalue(), 0


def test_the_command_lists_and_applies(container: Container) -> None:
    assert discover() == ("Nothing waits for a decision.\n", 0)
    read(container, found={"stray": "", "other": ""})
    said, status = discover("--json")
    found = json.loads(said)["proposals"]
    assert status == 1
    assert [(each["kind"], each["instance"], each["can_be_applied"]) for each in found] == [
        ("create_instance", "other", True),
        ("create_instance", "stray", True),
    ]
    assert found[0]["id"] in discover()[0]
    said, status = discover("--apply", found[0]["id"], "nonsense", "--role", "RT")
    assert "other is entered on mkt-1." in said
    assert "nonsense: Nothing was changed" in said
    assert status == 1
    assert Instance.objects.get().role == "RT"
    key = found[1]["id"]
    leave(key=key, reason="A test", actor=SOMEBODY)
    assert discover() == ("Nothing waits for a decision.\n", 0)
    assert json.loads(discover("--left", "--json")[0])["proposals"][0]["left"] == "A test"
    assert find(key)


@pytest.mark.parametrize("text", ["STRAY", "mkt-1", "100%", "_", "!", "é"])
def test_the_list_is_narrowed_by_names_as_they_are_typed(container: Container, text: str) -> None:
    read(container, found={"stray": "", "other_1": ""})
    read(make_container(name="mkt-2"), found={"other": ""})
    expected = [each for each in proposals() if text.lower() in f"{each.instance} {each.container}".lower()]
    assert page(Wanted(text=text), 0, 99) == expected
    assert count(Wanted(text=text)) == len(expected)


def test_the_list_is_cut_into_pages(container: Container) -> None:
    read(container, found={f"i{number}": "" for number in range(7)})
    found, all_of_them = proposals(), listed(Wanted())
    assert (len(all_of_them), all_of_them[2:5], all_of_them[6], all_of_them[5:99]) == (
        7,
        found[2:5],
        found[6],
        found[5:],
    )
    assert [find(each.key) for each in found] == found
    assert find("0" * 16) is None


def test_what_most_proposals_are_about_is_named(container: Container) -> None:
    make_installation(instance="prod1", container="mkt-2", build=9352)
    make_installation(instance="prod1", container="mkt-3", build=9394)
    read(container, found={"stray": "", "other": ""})
    read(Container.objects.get(name="mkt-2"), found={"prod1": "", "stray": ""}, build=9394)
    found, number = places(Wanted(NOT_SAID_ELSEWHERE), 2)
    assert [(each.name, each.number) for each in found] == [("mkt-1", 2), ("mkt-2", 1)]
    assert number == 3
    whole = places(Wanted(Kind.MIXED), 2)[0][0]
    assert (whole.name, whole.container, whole.instance) == (
        "prod1",
        None,
        Instance.objects.get(name="prod1").pk,
    )
    leave(key=page(Wanted(Kind.MIXED), 0, 1)[0].key, reason="Soon", actor=SOMEBODY)
    assert places(Wanted(Kind.MIXED), 2) == ([], 0)


def test_a_page_fetches_what_it_shows(container: Container) -> None:
    read(container, found={f"i{number}": "" for number in range(MOST_FILES)})
    for number in range(40):
        row = make_installation(instance=f"other{number}", container=f"c{number}")
        see(row, is_jwt=True)
    with counted(connection) as work:
        assert len(page(Wanted(Kind.JWT), 0, 5)) == 5
        assert count(Wanted()) == MOST_FILES + 40
    assert work.rows < 60


# What is retired


@pytest.mark.parametrize("what", ["installation", "instance", "container"])
def test_what_is_retired_is_neither_proposed_again_nor_missed(container: Container, what: str) -> None:
    row = make_installation(instance="prod1", container="mkt-1")
    make_installation(instance="prod2", container="mkt-1")
    read(container, ago=-1, found={"prod1": "", "prod2": ""})
    assert kinds() == []
    gone = {"installation": row, "instance": row.instance, "container": row.container}[what]
    gone.retired, gone.retired_reason = timezone.now(), "gone"
    gone.save()
    assert kinds() == []
    read(container, ago=-2, found={"prod2": ""})
    assert kinds() == []
