"""`migrate` changes no table under a worker that knows the old ones."""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import StateApps
from django.utils import timezone

from credentials.models import TechnicalAccount
from credentials.rollouts.preparations import Preparation, prepare
from credentials.wizard.models import Draft
from portal.exit_status import REFUSED
from portal.health.models import Worker
from tests.factories import make_installation

pytestmark = pytest.mark.django_db(transaction=True)


def migrate(*words: str) -> str:
    out = StringIO()
    call_command("migrate", *words, "--skip-checks", stdout=out)
    return out.getvalue()


def the_tables_of(app: str, name: str) -> StateApps:
    """The models as they were after a migration: today's have columns that came later."""
    return MigrationExecutor(connection).loader.project_state((app, name)).apps


@pytest.fixture
def pending() -> None:
    """A database of the release before the last migration of drafts."""
    migrate("wizard", "0003")


def test_tables_do_not_change_under_a_worker(pending: None) -> None:
    Worker.objects.create(name="worker-1:12", concurrency=4)
    with pytest.raises(CommandError, match=r"workers are at work \(worker-1:12\)") as refused:
        migrate()
    assert refused.value.returncode == REFUSED
    assert "wizard.0004" in migrate("--plan")
    Worker.objects.all().delete()
    assert "wizard.0004_codes_alone... OK" in migrate()


def test_tables_do_not_go_back_under_a_worker_either() -> None:
    Worker.objects.create(name="worker-1:12", concurrency=4)
    with pytest.raises(CommandError, match="workers are at work"):
        migrate("wizard", "0003")
    Worker.objects.all().delete()
    assert "wizard.0004_codes_alone... OK" in migrate("wizard", "0003")
    migrate()


def test_where_nothing_is_to_be_done_workers_may_work() -> None:
    Worker.objects.create(name="worker-1:12", concurrency=4)
    assert "No migrations to apply" in migrate()


def test_open_drafts_and_prepared_rollouts_are_carried_over(pending: None) -> None:
    account = TechnicalAccount.objects.create(name="Triggers", way="new")
    stored = {
        "field": "client_id",
        "code": "unusual",
        "message": "This is not the usual form.",
    }
    before = the_tables_of("wizard", "0003_preparations_are_of_rollouts").get_model("wizard", "Draft")
    draft = before.objects.create(
        account_id=account.pk, step="values", cautions=[stored], confirmed=[stored], changed=timezone.now()
    )
    person = User.objects.create_user("alice")
    chosen = make_installation()
    prepare(account=account, person=person, chosen=[chosen.pk], reason="repair", message="CHG1")
    migrate()
    after = Draft.objects.get()
    assert (after.cautions, after.confirmed) == ([{"field": "client_id", "code": "unusual"}],) * 2
    assert after.changed == draft.changed
    assert list(Preparation.objects.get().installations.all()) == [chosen]
