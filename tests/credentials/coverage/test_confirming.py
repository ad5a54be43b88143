"""Confirming by hand: shown as confirmed, never as proven, and only as long as the file is as it was."""

import pytest
from django.test import Client

from credentials.coverage.cells import Wanted, cells_now
from credentials.coverage.confirming import NotConfirmable, confirm
from credentials.models import ClientSecret, DesiredVersion
from credentials.rollouts.models import ConfirmedVersion, ProvenWrite, Push, Rollout
from credentials.rollouts.services import cancel_rollout
from credentials.rollouts.starting import start_rollout
from instances.models import Installation
from portal.audit.models import AuditEvent
from tests.factories import SOMEBODY, finish, make_rollout

pytestmark = pytest.mark.django_db
DIGEST = "c" * 64


@pytest.fixture
def rollout() -> Rollout:
    """A push that wrote, and could not be proven."""
    made = make_rollout()
    finish(made.pushes.get(), state="failed", code="not_proven")
    account = made.secret.account
    Installation.objects.update(
        observed_digest=DIGEST,
        observed_client_id=account.client_id,
        observed_account_id=account.technical_account_id,
    )
    return made


def state() -> tuple[str, str, int | None]:
    (cell,) = cells_now(Wanted())
    return cell.cover, cell.how, cell.held.number if cell.held else None


def confirmed(digest: str = DIGEST, reason: str = "read it with the vendor") -> ClientSecret:
    return confirm(installation=Installation.objects.get(), digest=digest, reason=reason, actor=SOMEBODY)


def test_what_is_confirmed_counts_and_is_not_called_proven(rollout: Rollout) -> None:
    assert state() == ("needs_you", "", None)
    assert Push.objects.needing_attention().exists()
    assert confirmed() == rollout.secret
    assert state() == ("done", "confirmed", 1)
    assert not ProvenWrite.objects.exists()
    assert not Push.objects.needing_attention().exists()
    event = AuditEvent.objects.get(action="installation.confirmed")
    assert event.details["reason"] == "read it with the vendor"


def test_it_counts_only_while_the_file_is_seen_as_it_was(rollout: Rollout) -> None:
    confirmed()
    Installation.objects.update(observed_digest="e" * 64)
    assert state() == ("needs_you", "", None)


def test_a_cancelled_push_goes_back_to_what_was_confirmed(rollout: Rollout) -> None:
    confirmed()
    newer = start_rollout(
        version=rollout.secret, installations=Installation.objects.all(), reason="repair", actor=SOMEBODY
    )
    cancel_rollout(rollout=newer, actor=SOMEBODY)
    assert DesiredVersion.objects.get().version == rollout.secret
    assert state() == ("done", "confirmed", 1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"observed_digest": ""}, "not seen with the IDs"),
        ({"observed_client_id": "other"}, "not seen with the IDs"),
    ],
)
def test_a_file_of_somebody_else_is_not_confirmed(
    rollout: Rollout, spoil: dict[str, str], message: str
) -> None:
    Installation.objects.update(**spoil)
    with pytest.raises(NotConfirmable, match=message):
        confirmed(digest=spoil.get("observed_digest", DIGEST))


def test_nothing_is_confirmed_without_a_reason_of_another_state_or_under_a_push(rollout: Rollout) -> None:
    for digest, reason, message in ((DIGEST, " ", "Give a reason"), ("d" * 64, "sure", "in another state")):
        with pytest.raises(NotConfirmable, match=message):
            confirmed(digest=digest, reason=reason)
    Push.objects.update(state="queued")
    with pytest.raises(NotConfirmable, match="under way"):
        confirmed()
    assert not ConfirmedVersion.objects.exists()


def test_what_is_known_needs_no_confirmation(rollout: Rollout) -> None:
    finish(rollout.pushes.get(), state="succeeded")
    with pytest.raises(NotConfirmable, match="What it holds is already known"):
        confirmed(digest=Installation.objects.get().observed_digest)


def test_the_page_asks_for_a_reason_and_says_what_prevents_it(as_admin: Client, rollout: Rollout) -> None:
    pk = Installation.objects.get().pk
    assert "Confirm by hand" in as_admin.get(f"/installations/{pk}/").content.decode()
    url = f"/coverage/confirm/{pk}/"
    assert "could not prove" in as_admin.get(url).content.decode()
    assert "This field is required" in as_admin.post(url, {"digest": DIGEST}).content.decode()
    as_admin.post(url, {"digest": DIGEST, "reason": "read it"})
    assert state() == ("done", "confirmed", 1)
    assert "What it holds is already known" in as_admin.get(url).content.decode()
