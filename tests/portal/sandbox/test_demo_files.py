"""The files that `make demo` names lead where it says: through the wizard, and to a new version."""

from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from credentials.models import TechnicalAccount
from credentials.rollouts.models import Rollout
from credentials.rollouts.starting import start_rollout
from credentials.rotation.models import Rotation
from instances.models import Installation
from portal.sandbox import tour
from portal.sandbox.demo import Facts, say_files
from portal.sandbox.fleet import running
from portal.sandbox.ssh_server import key_line
from tests.credentials.wizard.wizard_walk import begin, choose, done, post
from tests.factories import SOMEBODY

pytestmark = pytest.mark.django_db


@pytest.fixture
def facts(tmp_path: Path, settings: Settings) -> Iterator[Facts]:
    """The portal as the demo fills it, its fleet and its IMS at work."""
    with running(tmp_path / "fleet", [key_line(paramiko.ECDSAKey.generate())]) as found:
        settings.IMS_BASE_URL = found["ims_url"]
        tour.stock(
            inventory_csv=str(found["inventory_csv"]),
            console_json=str(found["console_json"]),
            without_account=[*found["without_account"], *found["rotated"]],  # type: ignore[misc]  # plain data
        )
        yield found  # type: ignore[misc]  # plain data with these keys


def pushed_to(rollout: Rollout) -> set[str]:
    return set(rollout.pushes.values_list("installation__instance__name", flat=True))


def test_each_file_is_taken_to_the_end_where_the_demo_says(
    as_admin: Client, facts: Facts, capsys: pytest.CaptureFixture[str]
) -> None:
    say_files(facts, tour.ACCOUNT)
    said = capsys.readouterr().out
    places = [
        said.index(text)
        for text in ("wizard", "new-account.json", "rotation of", "new-version.json", "workspace.json")
    ]
    assert places == sorted(places)
    account = begin(as_admin, name="Mine")
    done(as_admin, account, "signin", "project", "api", "authentication", "profile", "save")
    text = Path(facts["console_json_other"]).read_text()
    assert post(as_admin, account, "values", {"action": "file", "text": text}).status_code == 302
    assert post(as_admin, account, "check", {"action": "ask"}).status_code == 302
    done(as_admin, account, "check")
    free = Installation.objects.filter(instance__assignment=None)
    others = {*facts["without_account"], *facts["rotated"]}
    assert set(free.values_list("instance__name", flat=True)) == others
    free = free.filter(instance__name__in=facts["without_account"])
    assert post(as_admin, account, "instances", choose(free)).status_code == 302
    assert post(as_admin, account, "review", {"message": "mine"}).status_code == 302
    assert pushed_to(Rollout.objects.get(secret__account=account)) == set(facts["without_account"])

    first = TechnicalAccount.objects.get(name=tour.ACCOUNT)
    start_rollout(
        version=first.secrets.get(),
        installations=Installation.objects.filter(instance__assignment__account=first),
        reason="new",
        actor=SOMEBODY,
    )  # as the demo does
    answer = as_admin.post(
        reverse("rotation_start", args=[first.pk]), {"way": "by_hand", "wave_rule": "100%", "stop_rule": "0"}
    )
    rotation = Rotation.objects.get()
    assert answer["Location"] == reverse("rotation", args=[rotation.pk])
    text = Path(facts["console_json_next"]).read_text()
    answer = as_admin.post(reverse("rotation_verb", args=[rotation.pk, "enter-secret"]), {"text": text})
    assert answer["Location"] == reverse("rotation", args=[rotation.pk])
    rotation.refresh_from_db()
    assert rotation.new
    assert (rotation.new.version, rotation.state) == (2, Rotation.State.CHECKING)
