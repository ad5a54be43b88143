"""Lists as files, as tests ask for them and read them."""

import csv
import io
import json
from typing import Any

from django.test import Client

from tests.portal.listed import Place


def body(response: Any) -> str:  # Any: what the test client returns
    assert response.status_code == 200
    text: str = response.getvalue().decode()
    return text


def as_csv(client: Client, name: str, query: str = "") -> list[dict[str, str]]:
    text = body(client.post(f"/exports/{name}/{query}"))
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def as_json(client: Client, name: str, query: str = "") -> list[dict[str, Any]]:
    found = json.loads(body(client.post(f"/exports/{name}/{query}", {"format": "json"})))
    assert found["list"] == name
    rows: list[dict[str, Any]] = found["rows"]
    return rows


def address(name: str, place: Place, filters: str = "") -> str:
    return f"/exports/{name}/?{place.get(name, '')}&{filters}"


def rows_of(client: Client, name: str, place: Place, filters: str = "") -> list[dict[str, Any]]:
    return as_json(client, name, f"?{place.get(name, '')}&{filters}")
