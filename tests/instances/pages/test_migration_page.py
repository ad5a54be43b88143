"""The page of JWT and builds: a table, a chart with the same figures, CSV and JSON."""

import csv
import html
import json
import re
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from instances.discovery.jwt_dates import JWT_DATES
from instances.discovery.migration_history import Point
from instances.discovery.migration_progress import Stage
from instances.models import Installation, Instance
from instances.pages.migration import STAGES
from instances.pages.migration_chart import APART, HEIGHT, chart
from tests.factories import make_installation

pytestmark = pytest.mark.django_db
PAGE = "/instances/jwt-and-builds/"


def seen(instance: str, *, jwt: bool, build: int, container: str = "web1") -> None:
    row = make_installation(instance=instance, container=container, build=build)
    Installation.objects.filter(pk=row.pk).update(observed_jwt=jwt, observed=timezone.now())


def text(client: Client, query: str = "") -> str:
    answer = client.get(PAGE + query)
    assert answer.status_code == 200
    return " ".join(html.unescape(answer.content.decode()).split())


def names(page: str) -> list[str]:
    return re.findall(r'/instances/[0-9a-f-]{36}/">(\w+)</a>', page)


def test_an_empty_portal_says_what_to_do_first(as_auditor: Client) -> None:
    assert "Enter the inventory first" in text(as_auditor)
    make_installation()
    page = text(as_auditor)
    assert "Read the containers first" in page
    assert "1 instance</a>" in page


def test_the_table_the_chart_and_the_dates(as_helpdesk: Client) -> None:
    seen("late", jwt=True, build=9352)
    seen("old", jwt=False, build=9352)
    seen("fine", jwt=False, build=9394)
    make_installation(instance="unseen")
    page = text(as_helpdesk)
    assert "A chart appears here next Monday" in page
    assert "<svg viewBox" not in page.partition("Over time")[2].partition("The figures of the chart")[0]
    Installation.objects.update(created=timezone.now() - timedelta(weeks=3))
    Instance.objects.update(created=timezone.now() - timedelta(weeks=3))
    page = text(as_helpdesk)
    assert names(page) == ["late", "old", "unseen", "fine"]
    assert all(each.means(timezone.localdate()) in page for each in JWT_DATES)
    for words in STAGES.values():
        assert f'<tspan class="chart-number">1</tspan> {words}' in page
    assert "style=" not in page.partition("<svg viewBox")[2].partition("</svg>")[0]
    assert names(text(as_helpdesk, "?stage=jwt")) == ["late"]
    assert "No instance matches these filters." in text(as_helpdesk, "?q=nothing")


def test_each_figure_is_true_when_it_is_read_alone(as_helpdesk: Client) -> None:
    """An instance with a JWT and an old build is counted once; one without any account is not "done"."""
    seen("late", jwt=True, build=9352)
    seen("fine", jwt=False, build=9394)
    figures = text(as_helpdesk).partition("By instance")[0]
    assert "Build below 7.4.1" not in figures
    assert "Old build, no JWT" in figures
    assert "is counted there only, whatever its builds" in figures
    assert "No JWT, build ready" in figures
    assert "Done" not in figures


def test_it_can_be_taken_away_as_csv_and_json(as_auditor: Client) -> None:
    seen("late", jwt=True, build=9352)
    seen("late", jwt=False, build=9394, container="web2")
    export = "/exports/jwt_and_builds/"
    answer = as_auditor.post(export)
    (row,) = csv.DictReader(answer.getvalue().decode("utf-8-sig").splitlines())
    assert (row["instance"], row["stage"], row["on_jwt"], row["builds"]) == ("late", "jwt", "1", "9352 9394")
    assert "jwt-and-builds-" in answer["Content-Disposition"]
    (told,) = rows_of(as_auditor.post(export, {"format": "json"}))
    assert told["builds"] == [9352, 9394]
    assert rows_of(as_auditor.post(f"{export}?stage=done", {"format": "json"})) == []


def rows_of(answer: Any) -> list[dict[str, Any]]:  # Any: what the test client returns
    rows: list[dict[str, Any]] = json.loads(answer.getvalue())["rows"]
    return rows


def test_garbage_in_the_address_is_no_server_error(as_auditor: Client) -> None:
    make_installation()
    for query in ("?page=x", "?stage=moon", "?q=%2500", "?format=exe"):
        text(as_auditor, query)


def test_labels_of_thin_bands_do_not_lie_over_each_other() -> None:
    now = timezone.now()
    counts = Counter({Stage.JWT: 1, Stage.OLD: 1, Stage.UNKNOWN: 1, Stage.DONE: 997})
    points = [Point(now - timedelta(weeks=1), Counter()), Point(now, counts)]
    bands = chart(points, STAGES).bands
    places = [band.label_at for band in bands]
    assert all(below - above >= APART for below, above in pairwise(places))
    assert all(0 < place < HEIGHT for place in places)
