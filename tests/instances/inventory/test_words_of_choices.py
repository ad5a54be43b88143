"""A file may hold what the portal shows: every label of a choice, in every language that has a catalog."""

import pytest
from django.db.models import TextChoices
from django.utils import translation
from django.utils.translation import gettext

from instances.inventory.csv_format import clean_choice, clean_yes_no
from instances.models import Container, Instance
from tests.services.portal import ROOT

CHOICES = (Instance.Environment, Instance.Deployment, Instance.Role, Container.Become)
LANGUAGES = ["en", *sorted(path.parent.parent.name for path in ROOT.glob("locale/*/LC_MESSAGES/django.mo"))]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("choices", CHOICES)
def test_every_label_that_the_portal_shows_is_understood(choices: type[TextChoices], language: str) -> None:
    with translation.override(language):
        labels = {value: str(label) for value, label in choices.choices}
    assert {value: clean_choice(label, choices.values) for value, label in labels.items()} == {
        value: value for value in labels
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_yes_and_no_are_understood_as_the_portal_writes_them(language: str) -> None:
    with translation.override(language):
        yes, no = gettext("yes"), gettext("no")
    assert clean_yes_no(yes)
    assert not clean_yes_no(no)


@pytest.mark.parametrize(
    ("words", "choices", "value"),
    [
        (("Développement", "DE\u0301VELOPPEMENT"), Instance.Environment, "development"),
        (("préproduction", "Pré-production", "préprod"), Instance.Environment, "stage"),
        (("Sur site", "sur-site", "sur\u00a0site"), Instance.Deployment, "on-premise"),
        (("Hybride",), Instance.Deployment, "hybrid"),
        (("Hébergé par Adobe", "hébergé par\u202fadobe"), Instance.Deployment, "hosted"),
        (("Exécution (EXEC)", "exécution"), Instance.Role, "EXEC"),
        (("connexion en tant que neolane",), Container.Become, "none"),
        (("sudo vers neolane",), Container.Become, "sudo"),
        (("su vers neolane (connexion en root)",), Container.Become, "su"),
        (("su vers neolane (connexion en tant que root)",), Container.Become, "su"),
    ],
)
def test_french_words_are_understood_however_they_are_written(
    words: tuple[str, ...], choices: type[TextChoices], value: str
) -> None:
    assert {clean_choice(word, choices.values) for word in words} == {value}
