"""Drift: what a file is compared with, what is found, and what people do about it."""

import json
from dataclasses import replace
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client

from credentials.coverage.cells import Wanted, cells_now
from credentials.coverage.drift import NotAccepted, accept, drifted
from credentials.coverage.findings import record_drift
from credentials.coverage.models import AcceptedSight, FoundDrift
from credentials.coverage.states import Need
from credentials.models import DesiredVersion
from credentials.rollouts.models import Attempt, ProvenDigest, ProvenWrite, Push, Rollout
from credentials.rollouts.starting import start_rollout
from credentials.rollouts.versions import enter
from instances.discovery.models import Observation
from instances.discovery.observing import Sight, observe
from instances.models import HostKey, Installation
from portal.audit.models import AuditEvent
from portal.notices.models import Note
from portal.plaintext import Secret
from tests.factories import FILE_DIGEST, SOMEBODY, finish, make_rollout

pytestmark = pytest.mark.django_db


def see(installation: Installation, sight: Sight, source: str = "read") -> Observation:
    return observe(installation_id=installation.pk, sight=sight, source=source, source_id="somewhere")


@pytest.fixture
def rollout() -> Rollout:
    return make_rollout()


@pytest.fixture
def installation(rollout: Rollout) -> Installation:
    return rollout.pushes.get().installation


@pytest.fixture
def proven(rollout: Rollout, installation: Installation) -> Sight:
    """What a push that is proven left in the file, as it was seen then."""
    account = rollout.secret.account
    sight = Sight(
        account.client_id, account.technical_account_id, "ORG@AdobeOrg", FILE_DIGEST, is_jwt=False, stamp="1"
    )
    seen = see(installation, sight, "push")
    finish(rollout.pushes.get(), state="succeeded")
    ProvenWrite.objects.update(observation=seen)
    return sight


def differs() -> list[str]:
    found = drifted()
    return [each.name for each in found[0].differences] if found else []


def state() -> tuple[str, str]:
    (cell,) = cells_now(Wanted())
    return cell.cover, cell.need


def test_what_a_proven_push_left_is_no_drift_however_often_it_is_seen(
    installation: Installation, proven: Sight
) -> None:
    for _ in range(3):
        see(installation, proven)
    see(installation, replace(proven, stamp="2", build=9400))  # written anew with the same content
    assert not drifted()
    assert state() == ("done", "")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"client_id": "another"}, ["client_id"]),
        ({"account_id": "another"}, ["account_id"]),
        ({"organization_id": ""}, ["organization_id"]),
        ({"digest": "e" * 64}, ["digest"]),
        ({"digest": ""}, ["digest"]),
        ({"is_jwt": True}, ["is_jwt"]),
        ({"client_id": "", "account_id": "", "digest": ""}, ["client_id", "account_id", "digest"]),
    ],
)
def test_whatever_differs_from_a_proven_write_is_found_and_named(
    installation: Installation, proven: Sight, change: dict[str, str | bool], names: list[str]
) -> None:
    see(installation, replace(proven, stamp="2", **change))  # type: ignore[arg-type]
    assert differs() == names
    assert state() == ("needs_you", "drifted")


def test_an_older_version_that_was_restored_is_named(
    rollout: Rollout, installation: Installation, proven: Sight
) -> None:
    version, _new = enter(account=rollout.secret.account, plaintext=Secret("p8e-second"), actor=SOMEBODY)
    newer = start_rollout(version=version, installations=[installation], reason="rotation", actor=SOMEBODY)
    seen = see(installation, replace(proven, digest="2" * 64, stamp="2"), "push")
    finish(newer.pushes.get(), state="succeeded")
    ProvenWrite.objects.update(observation=seen, digest="2" * 64, secret=version)
    ProvenDigest.objects.update_or_create(secret=rollout.secret, defaults={"digest": FILE_DIGEST})
    see(installation, replace(proven, stamp="3"))
    (found,) = drifted()
    assert (found.version and found.version.number, found.expected and found.expected.number) == (1, 2)


def test_the_first_sight_is_compared_where_nothing_was_proven(installation: Installation) -> None:
    Push.objects.update(state="cancelled")
    first = Sight("by hand", "by hand", "", "7" * 64, is_jwt=False, stamp="1")
    see(installation, first)
    assert not drifted()
    see(installation, replace(first, digest="8" * 64, stamp="2"))
    (found,) = drifted()
    assert not found.is_proven
    assert differs() == ["digest"]


def test_nothing_drifts_while_a_push_is_open_or_unknown(installation: Installation, proven: Sight) -> None:
    see(installation, replace(proven, digest="e" * 64, stamp="2"))
    for open_state in ("queued", "running", "unknown"):
        Push.objects.update(state=open_state)
        assert not drifted()
    Push.objects.update(state="succeeded")
    assert drifted()


@pytest.mark.parametrize(("written", "found"), [(True, 0), (None, 0), (False, 1)])
def test_a_push_that_failed_with_the_values_out_explains_what_differs(
    installation: Installation, proven: Sight, written: bool | None, found: int
) -> None:
    see(installation, replace(proven, digest="e" * 64, stamp="2"))
    Push.objects.update(state="failed", code="not_applied", is_written=written)
    assert len(drifted()) == found


def test_what_is_accepted_is_compared_from_then_on(installation: Installation, proven: Sight) -> None:
    changed = see(installation, replace(proven, digest="e" * 64, stamp="2"))
    accept(installation=installation, observation=changed.pk, reason="moved by the vendor", actor=SOMEBODY)
    assert not drifted()
    assert state() == ("kept", "")
    assert DesiredVersion.objects.get().version is None
    event = AuditEvent.objects.get(action="drift.accepted")
    assert event.details["reason"] == "moved by the vendor"
    see(installation, replace(proven, digest="f" * 64, stamp="3"))
    assert differs() == ["digest"]
    assert drifted()[0].is_accepted


def test_a_proven_push_after_the_acceptance_is_compared_instead(
    rollout: Rollout, installation: Installation, proven: Sight
) -> None:
    changed = see(installation, replace(proven, digest="e" * 64, stamp="2"))
    accept(installation=installation, observation=changed.pk, reason="moved", actor=SOMEBODY)
    back = see(installation, replace(proven, stamp="3"), "push")
    ProvenWrite.objects.update(observation=back)
    assert not drifted()
    see(installation, replace(proven, digest="e" * 64, stamp="4"))
    assert differs() == ["digest"]


def test_nothing_is_accepted_without_a_reason_that_was_seen_otherwise_or_is_being_pushed(
    installation: Installation, proven: Sight
) -> None:
    changed = see(installation, replace(proven, digest="e" * 64, stamp="2"))
    for reason, number, message in (
        ("  ", changed.pk, "Give a reason"),
        ("moved", changed.pk - 1, "in another state"),
    ):
        with pytest.raises(NotAccepted, match=message):
            accept(installation=installation, observation=number, reason=reason, actor=SOMEBODY)
    Push.objects.update(state="queued")
    with pytest.raises(NotAccepted, match="under way"):
        accept(installation=installation, observation=changed.pk, reason="moved", actor=SOMEBODY)
    assert not AcceptedSight.objects.exists()


def test_a_sight_is_recorded_as_drift_once(installation: Installation, proven: Sight) -> None:
    see(installation, replace(proven, digest="e" * 64, stamp="2"))
    assert (record_drift(), record_drift()) == (1, 0)
    see(installation, replace(proven, digest="f" * 64, stamp="3"))
    assert record_drift() == 1
    assert FoundDrift.objects.count() == 2
    events = AuditEvent.objects.filter(action="drift.found").order_by("seq")
    assert [event.details["differs"] for event in events] == [["digest"], ["digest"]]
    told = Note.objects.filter(kind="drift.found")
    assert [(each.subject, each.details) for each in told] == [
        (str(installation), {"differs": ["digest"]})
    ] * 2


def test_the_page_shows_what_differs_and_accepts_it(
    as_admin: Client, installation: Installation, proven: Sight
) -> None:
    changed = see(installation, replace(proven, client_id="of-somebody-else", stamp="2"))
    page = as_admin.get("/coverage/drift/").content.decode()
    assert "of-somebody-else" in page
    answer = as_admin.post(
        f"/coverage/drift/{installation.pk}/accept/", {"observation": changed.pk, "reason": ""}
    )
    assert "This field is required." in answer.content.decode()
    as_admin.post(
        f"/coverage/drift/{installation.pk}/accept/", {"observation": changed.pk, "reason": "agreed"}
    )
    assert "of-somebody-else" not in as_admin.get("/coverage/drift/").content.decode()


def test_the_page_says_what_pushing_again_would_do(
    as_admin: Client, installation: Installation, proven: Sight
) -> None:
    see(installation, replace(proven, client_id="of-somebody-else", stamp="2"))
    assert "When pushed: no known obstacle" in as_admin.get("/coverage/drift/").content.decode()
    HostKey.objects.all().delete()
    assert "When pushed: will fail: no approved host key" in as_admin.get("/coverage/drift/").content.decode()


def test_the_page_of_the_account_says_the_same_as_the_map(
    rollout: Rollout, installation: Installation, proven: Sight, as_admin: Client
) -> None:
    pages = [f"/accounts/{rollout.secret.account_id}/", "/coverage/"]
    assert all("proven by a push" in as_admin.get(page).content.decode() for page in pages)
    see(installation, replace(proven, is_jwt=True, stamp="2"))
    assert all(str(Need.DRIFTED.label) in as_admin.get(page).content.decode() for page in pages)


def test_the_page_tells_the_same_version_that_somebody_set_again(
    rollout: Rollout, installation: Installation, proven: Sight, as_admin: Client
) -> None:
    attempt = Attempt.objects.get()
    ProvenDigest.objects.create(secret=rollout.secret, digest="7" * 64, attempt=attempt)
    see(installation, replace(proven, digest="7" * 64, stamp="2"))
    page = as_admin.get("/coverage/drift/").content.decode()
    assert "encrypted again, but still that of version 1 of Triggers, which the portal had written" in page
    assert "another one" not in page


def test_a_page_that_is_out_of_date_accepts_nothing(
    as_admin: Client, installation: Installation, proven: Sight
) -> None:
    old = see(installation, replace(proven, digest="e" * 64, stamp="2"))
    see(installation, replace(proven, digest="f" * 64, stamp="3"))
    url = f"/coverage/drift/{installation.pk}/accept/"
    page = as_admin.post(url, {"observation": old.pk, "reason": "fine"}).content.decode()
    assert "in another state since" in page
    assert 'value="fine"' in page
    assert not AcceptedSight.objects.exists()


def test_the_command_ends_with_one_if_any_file_differs(installation: Installation, proven: Sight) -> None:
    out = StringIO()
    call_command("check_drift", stdout=out)
    assert out.getvalue() == "No file differs.\n"
    see(installation, replace(proven, digest="e" * 64, stamp="2"))
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("check_drift", json=True, stdout=out)
    assert ended.value.code == 1
    (told,) = json.loads(out.getvalue())["drifted"]
    assert (told["instance"], told["differs"], told["version"]) == ("prod1", ["digest"], None)
