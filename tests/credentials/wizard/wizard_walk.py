"""Steps of people in the wizard, for tests: one function per page, through Django's test client."""

import json
import uuid
from collections.abc import Iterable, Mapping

from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from credentials.models import TechnicalAccount
from credentials.wizard.models import Draft
from instances.models import Installation, Instance
from tests import factories

ORGANIZATION = "ABCDEF0123456789ABCDEF01@AdobeOrg"
CLIENT = "0123456789abcdef0123456789abcdef"
ACCOUNT = "FEDCBA9876543210FEDCBA98@techacct.adobe.com"
SECRET = "p8e-Canary0Canary1Canary2Canary3_-Z9"
OTHER_SECRET = "p8e-Another0Another1Another2Anoth-Z8"


def typed(**changes: str) -> dict[str, str]:
    """Return the four values as a person types them."""
    values = {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "technical_account_id": ACCOUNT,
        "organization_id": ORGANIZATION,
    }
    return values | changes


def console_json(*secrets: str, client_id: str = CLIENT) -> str:
    """Return the console's Download JSON of one credential."""
    document = {
        "ORG_ID": ORGANIZATION,
        "CLIENT_ID": client_id,
        "CLIENT_SECRETS": list(secrets or (SECRET,)),
        "TECHNICAL_ACCOUNT_ID": ACCOUNT,
        "TECHNICAL_ACCOUNT_EMAIL": "0b0b0b0b-1111-2222-3333-444455556666@techacct.adobe.com",
        "SCOPES": ["openid", "AdobeID"],
    }
    return json.dumps(document)


def make_installation(
    instance: str = "prod1",
    container: str = "app01",
    *,
    build: int | None = 9390,
    deployment: str = "on-premise",
) -> Installation:
    """Make an installation that a build new enough was seen on, and what it needs."""
    return factories.make_installation(
        instance=instance, container=container, build=build, deployment=deployment
    )


def begin(client: Client, *, way: str = "new", name: str = "Triggers production") -> TechnicalAccount:
    response = client.post(reverse("account_new"), {"way": way, "name": name})
    assert response.status_code == 302, response.content.decode()
    return TechnicalAccount.objects.get(name=name)


def begin_with_json(
    client: Client, text: str, *, name: str = "Triggers production", **further: str
) -> HttpResponse:
    """Send the first page's form for somebody who has the console's file."""
    data = {"action": "json", "text": text, "name": name, **further}
    response = client.post(reverse("account_new"), data)
    assert isinstance(response, HttpResponse)
    return response


def post(
    client: Client, account: TechnicalAccount, step: str, data: Mapping[str, object] | None = None
) -> HttpResponse:
    """Send one step's form as the page that is shown now would."""
    stamp = Draft.objects.get(account=account).stamp
    url = reverse("wizard", args=[account.pk, step])
    response = client.post(url, {"stamp": stamp, "action": "done", **(data or {})})
    assert isinstance(response, HttpResponse)
    return response


def done(client: Client, account: TechnicalAccount, *steps: str) -> None:
    """Pass steps that need nothing but the button."""
    for step in steps:
        response = post(client, account, step)
        assert response.status_code == 302, (step, response.content.decode())


def reach_values(client: Client, *, name: str = "Triggers production") -> TechnicalAccount:
    """Begin a new integration and stand where the values are entered; the steps before need no clicking."""
    account = begin(client, name=name)
    before = ["signin", "project", "api", "authentication", "profile", "save"]
    Draft.objects.filter(account=account).update(done=before, step="values")
    return account


def choose(installations: Iterable[Installation]) -> dict[str, object]:
    """Return what the form posts when these installations and their instances are ticked, and no others."""
    chosen = list(installations)
    ids: list[uuid.UUID] = [installation.instance_id for installation in chosen]
    return {
        "shown": [str(instance.pk) for instance in Instance.objects.all()],
        "instance": sorted({str(pk) for pk in ids}),
        "installation": [str(each.pk) for each in chosen],
    }
