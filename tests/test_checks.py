"""What `make check` looks for, it finds."""

import pytest

from tests import check_rules, check_words
from tests.check_ground import OF_CREDENTIALS, found, found_in, found_in_template, found_in_templates, uses


@pytest.mark.parametrize(
    "source",
    [
        "rows = Rollout.objects.all()",
        "from credentials.models import TechnicalAccount",
        "ICONS = {'rollouts': ''}",
        "TASK = 'instances.visits.bells'",
        "def host_keys(): ...",
        "row.technical_account",
    ],
)
def test_a_word_that_names_an_app_is_named_with_its_line(source: str) -> None:
    [line] = list(found_in("portal/x.py", f'"""A rollout."""\n\n{source}  # of rollouts\n'))[:1]
    assert line.startswith("portal/x.py:3: ")


def test_the_ground_names_no_app() -> None:
    assert list(found()) == []


@pytest.mark.parametrize(
    "tag",
    [
        "{% if perms.credentials.view_technicalaccount %}",
        '{% include "rollouts/_verdict.html" %}',
        '{% url "account" pk %}',
        "{{ instance.assignment.account }}",
    ],
)
def test_a_template_that_uses_what_is_above_it_is_named_with_its_line(tag: str) -> None:
    forbidden = uses("credentials", "|".join(OF_CREDENTIALS))
    source = f"<p>The account, its rollouts</p>\n{tag}\n{{% url 'instance' pk %}}{{{{ instance.name }}}}"
    [line] = found_in_template("instances/x.html", source, forbidden)
    assert line.startswith("instances/x.html:2: ")


def test_no_template_uses_what_is_above_it() -> None:
    assert list(found_in_templates()) == []


def test_a_construction_that_readers_stumble_over_is_named_with_its_line() -> None:
    text = "It works.\nNobody shall read so many lines.\n"
    assert list(check_words.found_in("docs/x.md", text)) == [
        "docs/x.md:2: 'shall': write will, must or can",
        "docs/x.md:2: 'so many': write this number of, or a name",
    ]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("The key stands in the file.", "stands"),
        ("The star stands for any name; a proxy stands in front of it.", ""),
        ("Whoever asks gets an answer.", "Whoever"),
        ("Two keys, of which one is new.", "of which"),
        ("The key is in the file beside it.", "beside"),
        ("Kept beside.", "beside"),
        ("    return beside(named, clock, abort=None)", ""),
        ("It is cut, for it may be long.", ", for it"),
        ("It is cut, for that cannot be read.", ", for that cannot"),
        ("A title, for that page alone.", ""),
        ("Nobody waits for it.", ""),
    ],
)
def test_a_word_is_let_through_only_where_it_is_the_usual_one(line: str, word: str) -> None:
    quoted = [text.split("'")[1] for text in check_words.found_in("docs/x.md", line)]
    assert quoted == ([word] if word else [])


def test_none_of_them_is_left() -> None:
    assert list(check_words.found()) == []


SECOND_OWNERS = {
    "container_off": "Push.objects.filter(container__is_enabled=True)",
    "container_by_hand": "if push.container.is_by_hand: stop()",
    "account_not_active": "if account.state != TechnicalAccount.State.ACTIVE: stop()",
    "version_not_usable": "return secret.state == ClientSecret.State.USABLE",
    "hosted": "if instance.deployment == Instance.Deployment.HOSTED: stop()",
    "not_assigned": "rows.exclude(installation__instance__assignment__account=account)",
    "replaced": "return not push.replaced",
}


@pytest.mark.parametrize(("obstacle", "code"), SECOND_OWNERS.items())
def test_a_second_owner_of_a_rule_is_named_with_its_line(obstacle: str, code: str) -> None:
    [line] = check_rules.found_in("credentials/rollouts/pages/views.py", f"\n{code}\n")
    assert line.startswith("credentials/rollouts/pages/views.py:2: ")
    assert f"the rule {obstacle!r}, which {check_rules.FACTS[obstacle][1]} owns" in line


def test_each_rule_has_one_owner_and_no_exemption_is_left_over() -> None:
    assert [*check_rules.found(), *check_rules.stale()] == []
