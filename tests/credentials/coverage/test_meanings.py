"""What was there at a given time is named as a version, on the pages where people look for it."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from credentials.rollouts.models import ProvenDigest
from instances.discovery.models import Observation
from instances.models import Installation
from tests.factories import FILE_DIGEST, finish_all, make_installation, make_rollout

pytestmark = pytest.mark.django_db


def see(installation: Installation, digest: str = FILE_DIGEST, **values: object) -> Observation:
    return Observation.objects.create(
        **{
            "installation": installation,
            "at": timezone.now() - timedelta(days=3),
            "last_seen": timezone.now() - timedelta(days=1),
            "source": "read",
            "last_source": "read",
            "is_jwt": False,
            "digest": digest,
            "client_id": installation.observed_client_id,
            **values,
        }
    )


@pytest.fixture
def installation(db: None) -> Installation:
    finish_all(make_rollout(), state="succeeded")
    return Installation.objects.get()


def as_of(client: Client, row: Installation, days: int = 2) -> str:
    day = timezone.localdate() - timedelta(days=days)
    return client.get(f"/containers/{row.container_id}/timeline/?at={day}").content.decode()


def test_the_version_of_a_day_is_named(as_auditor: Client, installation: Installation) -> None:
    see(installation)
    assert "v1 of Triggers" in as_of(as_auditor, installation)
    assert "v1 of Triggers" not in as_of(as_auditor, installation, days=20)


def test_a_secret_that_was_never_proven_is_no_version(as_auditor: Client, installation: Installation) -> None:
    see(installation, digest="e" * 64)
    text = as_of(as_auditor, installation)
    assert "Secret version" in text
    assert "v1 of Triggers" not in text


def test_the_same_digest_under_another_client_is_no_version(
    as_auditor: Client, installation: Installation
) -> None:
    assert ProvenDigest.objects.exists()
    see(installation, client_id="somebody else's")
    assert "v1 of Triggers" not in as_of(as_auditor, installation)


def test_a_file_without_a_secret_has_no_version(as_auditor: Client, installation: Installation) -> None:
    see(installation, digest="")
    assert "Secret version" not in as_of(as_auditor, installation)


def test_the_pages_of_containers_and_instances_ask_for_the_day(
    as_helpdesk: Client, installation: Installation
) -> None:
    for kind, pk in (("containers", installation.container_id), ("instances", installation.instance_id)):
        text = as_helpdesk.get(f"/{kind}/{pk}/").content.decode()
        assert f'action="/{kind}/{pk}/timeline/#as-of"' in text


def test_many_installations_take_no_more_statements(as_auditor: Client, installation: Installation) -> None:
    see(installation)

    def count() -> int:
        with CaptureQueriesContext(connection) as found:
            as_of(as_auditor, installation)
        return len(found)

    few = count()
    for number in range(8):
        row = make_installation(instance=f"more{number}", container=installation.container.name)
        see(row, client_id=installation.observed_client_id)
    assert count() == few
