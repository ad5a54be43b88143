"""No stored secret in anything that leaves the portal: pages, files, evidence packs and notices.

In a portal that holds something of everything, in both languages. The secrets are opened here and looked for
in all that comes out, in the writings in which a program could have put them there.
"""

import base64
from collections.abc import Iterator
from random import Random
from urllib.parse import quote

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone, translation

from credentials.evidence.services import account_pack, period_pack, rotation_pack
from credentials.keys.vault import open_version
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rotation.models import Rotation
from portal.notices.kinds import kinds
from portal.notices.letters import letter_of
from portal.notices.models import Message
from tests.benchmarks.filling import fill
from tests.benchmarks.scale import Scale
from tests.benchmarks.visits import VISITS
from tests.credentials.evidence.packs import pack_of
from tests.portal.listed import EXPORTS, Place
from tests.portal.listed import fill as fill_lists

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]
PREFIX = "listed "
SCALE = Scale(installations=24, attempts=120, events=100)
LANGUAGES = [code for code, _name in settings.LANGUAGES]


def writings(plaintext: str) -> Iterator[bytes]:
    """Yield what is looked for: each half, so that a part of it is found too, and what encodes it."""
    body = plaintext.removeprefix("p8e-").lower()
    half = len(body) // 2
    # Half of a short one is in every page; tests' own accounts have such.
    yield from (part.encode() for part in ([body[:half], body[half:]] if half > 8 else [f"p8e-{body}"]))
    yield base64.b64encode(plaintext.encode())[:-4].lower()
    yield quote(plaintext, safe="").lower().encode()


class Canaries:
    """The secrets that the portal holds, and a look for them."""

    def __init__(self, place: Place) -> None:
        self.place = place
        rows = ClientSecret.objects.exclude(ciphertext="").select_related("account")
        self.wanted = {each for row in rows for each in writings(open_version(row).reveal())}

    def are_in(self, content: bytes) -> bool:
        low = content.lower()
        return any(each in low for each in self.wanted)


@pytest.fixture
def canaries(roles: None) -> Canaries:
    fill(SCALE, Random(1))
    found = Canaries(fill_lists(PREFIX, size=2))
    assert len(found.wanted) > len(EXPORTS)
    return found


def client_of(name: str, language: str) -> Client:
    client = Client(headers={"Accept-Language": language})
    if name:
        client.force_login(User.objects.get(username=name))
    return client


@pytest.mark.parametrize("language", [pytest.param("en", marks=pytest.mark.slow), "fr"])
def test_no_page_shows_a_stored_secret(canaries: Canaries, language: str) -> None:
    for visit in VISITS:
        response = client_of(visit.who, language).get(visit.url(), headers=dict(visit.headers))
        assert response.status_code in (200, 302), visit.title
        assert not canaries.are_in(response.getvalue()), visit.title


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_file_of_a_list_has_a_stored_secret(canaries: Canaries, language: str) -> None:
    client = client_of("alice", language)
    User.objects.filter(username="alice").update(is_superuser=True)
    for name in EXPORTS:
        for form in ({}, {"format": "json"}, {"labels": "on"}):
            response = client.post(f"/exports/{name}/?{canaries.place.get(name, '')}", form)
            assert response.status_code == 200, name
            content = response.getvalue()
            assert content.count(b"\n") > 1, name
            assert not canaries.are_in(content), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_pack_has_a_stored_secret(canaries: Canaries, language: str) -> None:
    account = TechnicalAccount.objects.get(name=f"{PREFIX}Triggers")
    rotation = Rotation.objects.get(account__name=f"{PREFIX}Rotated")
    long_ago = timezone.now().replace(year=2020)
    with translation.override(language):
        for wanted in (account_pack(account), rotation_pack(rotation), period_pack(long_ago, timezone.now())):
            for name, data in pack_of(wanted).items():
                assert not canaries.are_in(data), (wanted, name)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_notice_tells_a_stored_secret(canaries: Canaries, language: str) -> None:
    """Also where a room put one into its facts by mistake: what looks like a secret is cut out."""
    version = ClientSecret.objects.filter(state=ClientSecret.State.USABLE).first()
    message = Message.objects.select_related("channel").first()
    assert version
    assert message
    assert message.channel
    message.channel.language = language
    leaked = open_version(version).reveal()
    first = {"subject": f"prod1 {leaked}", "details": {}, "link": "", "at": timezone.now().isoformat()}
    for kind in kinds():
        message.kind, message.content = kind.code, {"first": [first], "tally": {}}
        letter = letter_of(message)
        assert not canaries.are_in(letter.text.encode()), kind.code


def test_the_look_finds_a_secret_in_each_writing(canaries: Canaries) -> None:
    """This test must be able to fail."""
    version = ClientSecret.objects.filter(state=ClientSecret.State.USABLE).first()
    assert version
    known = open_version(version).reveal()
    shown = (known, known.upper(), known[4:24], known[-16:], base64.b64encode(known.encode()).decode())
    assert all(canaries.are_in(f"<td>{each}</td>".encode()) for each in shown)
