"""Every text of a page is marked for translation: seen in a language in which marked texts are wider."""

import re
from random import Random

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.test import Client
from django.utils.translation import gettext

from credentials.adobe.guide import Prose
from credentials.help.topics import ENGLISH, FOLDER
from credentials.wizard import prose
from instances.inventory.csv_format import COLUMNS, DEPLOYMENT
from portal.zones import zones
from tests.benchmarks.filling import fill
from tests.benchmarks.scale import Scale
from tests.benchmarks.visits import VISITS, Visit
from tests.messages.pseudo import pseudo_language, texts_of

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]

FEW = Scale(installations=60, attempts=300, events=200)
NAMES = ("UTC", "Campaign", "CSV", "JSON", *(name for _, name in settings.LANGUAGES))
WITH_HELP = {"help", "help_topic", "search"}
"""Pages that show texts of the help."""
WORD = re.compile(r"[A-Za-z]{2,}")
FINGERPRINT = re.compile(r"SHA256:[\w+/]+")


def words_of_rows() -> set[str]:
    """All words that people entered or containers sent: they are shown as they are."""
    found: set[str] = set()
    for model in apps.get_models(include_auto_created=True):
        names = [
            field.attname
            for field in model._meta.concrete_fields
            if isinstance(field, models.CharField | models.TextField | models.JSONField | models.UUIDField)
        ]
        for row in model._default_manager.values_list(*names) if names else ():
            found.update(*(WORD.findall(str(value)) for value in row))
    return found


def words_of_help() -> set[str]:
    """All words of the help in English: its files are one a language, and nothing in them is marked."""
    return set(WORD.findall(" ".join(path.read_text() for path in (FOLDER / ENGLISH).glob("*.md"))))


def page(visit: Visit) -> str:
    client = Client(headers=dict(visit.headers))
    if visit.who:
        client.force_login(User.objects.get(username=visit.who))
    answer = client.get(visit.url())
    return answer.content.decode() if answer.get("Content-Type", "").startswith("text/html") else ""


def names() -> set[str]:
    """Words that are the same in every language: the console's labels are shown in both of its languages."""
    labels = [
        str(each)
        for each_step in vars(prose).values()
        if isinstance(each_step, Prose)
        for label in each_step.labels
        for each in (label.english, label.french)
    ]
    return set(WORD.findall(" ".join((*NAMES, *zones(), *labels, *COLUMNS, *DEPLOYMENT, "yes", "no"))))


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("roles")
def test_no_visible_text_is_without_its_mark() -> None:
    fill(FEW, Random(1))
    with pseudo_language():
        pages = [(visit, page(visit)) for visit in VISITS]
    known, of_help = words_of_rows() | names(), words_of_help()
    unmarked: dict[str, str] = {}
    for visit, content in pages:
        typed = set(WORD.findall(visit.query)) | (of_help if visit.name in WITH_HELP else set())
        for text in texts_of(content):
            left = {*WORD.findall(FINGERPRINT.sub("", text))} - known - typed
            if left:
                unmarked.setdefault(text, f"{visit.title}: {sorted(left)}")
    assert unmarked == {}


def test_a_text_that_is_not_marked_is_found() -> None:
    with pseudo_language():
        marked = gettext("Save")
    content = f'<p title="Open">{marked} it</p><code>not read</code>'
    assert texts_of(content) == ["Open", f"{marked} it"]
    assert WORD.findall(" ".join(texts_of(content))) == ["Open", "it"]
