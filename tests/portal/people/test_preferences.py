"""How a person wants to see pages: time zone, language, exact times; and nobody else's pages change."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from credentials.rollouts.models import Rollout
from portal.people.models import Preferences
from portal.web import times
from tests.factories import make_rollout

pytestmark = pytest.mark.django_db

AT = datetime(2026, 7, 1, 22, 30, 5, tzinfo=UTC)
PATH = "/preferences/"


def prefer(username: str, **chosen: object) -> None:
    Preferences.objects.create(user=User.objects.get(username=username), **chosen)


def page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


@pytest.fixture
def rollout() -> Rollout:
    rollout = make_rollout()
    Rollout.objects.update(requested=AT)
    return rollout


def test_times_are_those_of_the_server_until_a_person_chooses(
    settings: Settings, as_admin: Client, as_auditor: Client, rollout: Rollout
) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    path = f"/rollouts/{rollout.pk}/"
    assert "2026-07-02 00:30:05" in page(as_admin, path)
    assert "Times are those of Europe/Berlin." in page(as_admin, path)
    answer = as_admin.post(PATH, {"zone": "America/New_York", "exact_times": "False"}, follow=True)
    assert "Your preferences were saved." in answer.content.decode()
    assert "2026-07-01 18:30:05" in page(as_admin, path)
    assert "Times are those of America/New_York." in page(as_admin, path)
    assert " in America/New_York." in page(as_admin, PATH), "the time there, to compare with one's own clock"
    assert "2026-07-02 00:30:05" in page(as_auditor, path), "somebody else's pages are as before"
    assert timezone.get_current_timezone_name() == "Europe/Berlin", "nothing is left behind"
    as_admin.post(PATH, {"zone": "", "exact_times": "False"})
    assert "2026-07-02 00:30:05" in page(as_admin, path)
    assert Preferences.objects.count() == 1


def test_lists_say_distances_or_exact_moments(as_auditor: Client, rollout: Rollout) -> None:
    Rollout.objects.update(requested=timezone.now() - timedelta(minutes=5))
    exact = f"{Rollout.objects.get().requested:%Y-%m-%d %H:%M:%S}"
    shown = page(as_auditor, "/rollouts/")
    assert ">5 min ago<" in shown
    assert f">{exact}<" not in shown
    as_auditor.post(PATH, {"zone": "", "exact_times": "True"})
    shown = page(as_auditor, "/rollouts/")
    assert ">5 min ago<" not in shown
    assert f">{exact}<" in shown
    assert not times.is_exact_only(), "nothing is left behind"


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "../../etc/passwd", "posix/UTC", "x" * 200])
def test_a_zone_that_does_not_exist_is_refused_and_harmless_where_it_is_stored(
    as_auditor: Client, zone: str
) -> None:
    answer = as_auditor.post(PATH, {"zone": zone, "exact_times": "False"})
    assert answer.status_code == 200
    assert "Select a valid choice" in answer.content.decode()
    assert not Preferences.objects.exists()
    prefer("astrid", zone=zone[:64])
    if not zone.startswith("posix"):
        assert "Times are those of UTC." in page(as_auditor, PATH)


def test_a_language_is_chosen_only_where_there_are_several(settings: Settings, as_auditor: Client) -> None:
    settings.LANGUAGES = [("en", "English")]
    assert 'name="language"' not in page(as_auditor, PATH)
    settings.LANGUAGES = [("en", "English"), ("fr", "Français")]
    assert 'name="language"' in page(as_auditor, PATH)
    as_auditor.post(PATH, {"zone": "", "language": "fr", "exact_times": "False"})
    assert as_auditor.get(PATH)["Content-Language"] == "fr"
    settings.LANGUAGES = [("en", "English")]
    assert as_auditor.get(PATH)["Content-Language"] == "en", "a language that is no longer there is no error"


def test_preferences_cost_no_query_of_their_own(as_auditor: Client) -> None:
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            page(as_auditor, "/rollouts/")
        counts.append(len(queries))
        Preferences.objects.get_or_create(
            user=User.objects.get(username="astrid"), defaults={"zone": "Europe/Paris"}
        )
    assert counts[0] == counts[1]
    assert not [each for each in queries if 'FROM "people_preferences"' in each["sql"]]


def test_somebody_who_is_deactivated_is_signed_out_as_before(as_auditor: Client) -> None:
    prefer("astrid", zone="Europe/Paris")
    User.objects.filter(username="astrid").update(is_active=False)
    assert as_auditor.get(PATH).status_code == 302


def test_a_choice_of_language_is_confirmed_in_that_language(as_admin: Client) -> None:
    for language, told in (("fr", "Vos préférences"), ("en", "Your preferences were saved.")):
        chosen = {"zone": "", "exact_times": "False", "language": language}
        assert told in as_admin.post(PATH, chosen, follow=True).text
