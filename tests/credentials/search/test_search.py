"""The search: who finds what, what comes first, how much is shown, and that no secret is searched."""

import logging

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from credentials.models import TechnicalAccount
from credentials.search.kinds import LOOKED, SHOWN, SHOWN_WITHOUT_LIST, Found, Results, allowed, search
from credentials.search.pages import DESTINATIONS
from credentials.search.providers import KINDS
from instances.models import Container, Installation, Instance
from tests.credentials.wizard.test_wizard_canary import everything_stored
from tests.factories import make_account, make_container, make_installation, make_instance, make_rollout
from tests.factories import make_rotation as begin_rotation
from tests.security.secret_shapes import BODY, WRITINGS

pytestmark = pytest.mark.django_db


def titles(results: Results) -> list[str]:
    return [hit.title for _kind, hit in results.exact] + [
        hit.title for each in results.found for hit in each.hits
    ]


def exact(text: str) -> list[str]:
    return [hit.url for _kind, hit in search(KINDS, text).exact]


def of_kind(text: str, name: str) -> Found:
    [found] = [each for each in search(KINDS, text).found if each.kind.name == name]
    return found


def test_a_part_of_a_name_finds_instances_containers_and_accounts() -> None:
    make_installation(instance="brand_mkt", container="app-mkt-2")
    make_account(name="Triggers MKT")
    make_instance(name="something_else")
    assert titles(search(KINDS, "MKT")) == ["brand_mkt", "app-mkt-2", "Triggers MKT"]


def test_whoever_types_a_whole_name_gets_that_one_first() -> None:
    for name in ("mkt", "a_mkt", "mkt_2"):
        make_instance(name=name)
    found = search(KINDS, "MKT")
    assert [hit.title for _kind, hit in found.exact] == ["mkt"]
    assert [hit.title for hit in found.found[0].hits] == ["mkt_2", "a_mkt"]


def test_what_begins_so_comes_before_what_only_has_it() -> None:
    for name in ("a-srv", "b-srv", "srv-9"):
        make_container(name=name)
    assert titles(search(KINDS, "srv")) == ["srv-9", "a-srv", "b-srv"]


def test_an_account_is_found_by_what_adobe_calls_it() -> None:
    account = make_account().account
    page = [reverse("account", args=[account.pk])]
    assert exact(account.client_id) == page
    assert exact(account.technical_account_id) == page
    assert titles(search(KINDS, account.organization_id[:12])) == ["Triggers"]


def test_a_container_is_found_by_its_address() -> None:
    container = make_container(name="web1")
    assert exact("web1.example.com") == [reverse("container", args=[container.pk])]


def test_a_version_is_found_by_the_beginning_of_its_fingerprint() -> None:
    version = make_account()
    assert titles(search(KINDS, version.fingerprint[:6])) == ["Triggers, version 1"]
    assert exact(version.fingerprint.upper()) == [f"/accounts/{version.account_id}/?show=history"]
    found = search(
        KINDS, version.fingerprint[:3]
    ).found  # three digits may be in the account's client id, too
    assert "key" not in {each.kind.name for each in found}


def test_a_number_finds_the_rollout_and_the_rotation() -> None:
    rotation = begin_rotation()
    rollout = make_rollout(account="Other", instance="prod2", containers=["web2"])
    assert f"/rotations/{rotation.pk}/" in exact(f"#{rotation.number}")
    for typed in (f"#{rollout.number}", str(rollout.number), f"# {rollout.number}"):
        assert f"/rollouts/{rollout.pk}/" in exact(typed)
    assert exact("#999") == []
    assert exact("9" * 30) == []


def test_a_message_finds_the_rollout_with_that_ticket() -> None:
    rollout = make_rollout(message="CHG0042: new secret")
    assert titles(search(KINDS, "chg0042")) == [f"Rollout {rollout}"]


def test_an_id_finds_the_one_thing_that_has_it() -> None:
    push = make_rollout().pushes.get()
    for row, page in (
        (push, "push"),
        (push.rollout, "rollout"),
        (push.installation.instance, "instance"),
        (push.installation.container, "container"),
        (push.rollout.secret.account, "account"),
    ):
        assert exact(str(row.pk)) == [reverse(page, args=[row.pk])]


def test_the_name_of_an_installation_finds_it() -> None:
    made = make_installation(instance="prod1", container="web1")
    make_installation(instance="prod1", container="web10")
    assert exact("prod1 on web1") == [reverse("installation", args=[made.pk])]
    assert titles(search(KINDS, "prod1 on web1")) == ["prod1 on web1", "prod1 on web10"]


@pytest.mark.parametrize("typed", ["prod1 web1", "WEB1 prod1", " prod1  web1 "])
def test_the_two_names_find_an_installation_in_any_order(typed: str, as_admin: Client) -> None:
    made = make_installation(instance="prod1", container="web1")
    make_installation(instance="prod2", container="web1")
    page = as_admin.get("/search/", {"q": typed}).content.decode()
    assert "1 result" in page
    assert reverse("installation", args=[made.pk]) in page


def test_a_container_finds_the_installations_on_it() -> None:
    for instance in ("prod1", "prod2"):
        make_installation(instance=instance, container="web1")
    make_installation(instance="prod3", container="web10")
    assert [hit.title for hit in of_kind("WEB1", "layers").hits] == ["prod1 on web1", "prod2 on web1"]


def test_a_kind_without_a_list_shows_more() -> None:
    container = make_container(name="web1")
    for number in range(SHOWN_WITHOUT_LIST + 1):
        Installation.objects.create(container=container, instance=make_instance(name=f"prod{number:02}"))
    found = of_kind("web1", "layers")
    assert (len(found.hits), found.more, found.url) == (SHOWN_WITHOUT_LIST, 1, "")


def test_what_is_retired_is_found_and_says_so() -> None:
    Instance.objects.create(name="old1", retired=timezone.now(), retired_reason="gone")
    assert [hit.state for _kind, hit in search(KINDS, "old1").exact] == ["retired"]


def test_signs_of_patterns_are_taken_as_they_are() -> None:
    make_instance(name="a_mkt")
    make_instance(name="abmkt")
    assert titles(search(KINDS, "a_m")) == ["a_mkt"]
    assert titles(search(KINDS, "%")) == []


def test_few_are_shown_and_the_rest_is_counted_with_a_link_to_the_list() -> None:
    Instance.objects.bulk_create(Instance(name=f"brand{number:03}") for number in range(20))
    found = of_kind("brand", "instances")
    assert (len(found.hits), found.more, found.is_counted) == (SHOWN, 14, True)
    assert found.url == "/instances/?q=brand"


def test_what_is_too_much_to_count_is_not_counted(as_admin: Client) -> None:
    Instance.objects.bulk_create(Instance(name=f"brand{number:03}") for number in range(LOOKED + 9))
    found = of_kind("brand", "instances")
    assert (len(found.hits), found.more, found.is_counted) == (SHOWN, LOOKED - SHOWN, False)
    page = as_admin.get("/search/", {"q": "brand"}).content.decode()
    assert "and more than 95 others" in page
    assert "more than 100" not in page


def test_each_kind_takes_a_bounded_number_of_queries() -> None:
    make_rollout()
    for kind in KINDS:
        with CaptureQueriesContext(connection) as captured:
            search([kind], "prod")
        assert len(captured) <= 2, kind.name


def test_only_people_who_manage_users_find_them(
    as_admin: Client, as_helpdesk: Client, as_auditor: Client
) -> None:
    assert reverse("user", args=[User.objects.get(username="henry").pk]) in exact("henry")
    assert "/users/" in as_admin.get("/search/", {"q": "henry"}).content.decode().partition("<main")[2]
    for client in (as_helpdesk, as_auditor):
        page = client.get("/search/", {"q": "henry"}).content.decode().partition("<main")[2]
        assert "/users/" not in page
        assert "Users by name" not in page


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.label))
def test_every_kind_asks_for_its_own_permission(kind: object, roles: None) -> None:
    person = User.objects.create_user("newcomer")
    assert allowed(KINDS, person) == []
    [one] = [each for each in KINDS if each is kind]
    app, _dot, codename = one.permission.partition(".")
    person.user_permissions.add(Permission.objects.get(codename=codename, content_type__app_label=app))
    person = User.objects.get(pk=person.pk)
    assert one in allowed(KINDS, person)
    assert {each.permission for each in allowed(KINDS, person)} == {one.permission}


MENUS = {
    "accounts", "containers", "contacts", "coverage", "drift", "failed_pushes", "history", "history_people",
    "history_verify", "host_keys", "instances", "inventory_import", "jump_hosts", "jwt_and_builds", "locks",
    "notices", "preferences", "proposals", "readings", "rollouts", "rotation_windows", "rotations", "ssh_key",
    "users",
}  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("contacts", "/contacts/"),
        ("call", "/contacts/"),
        ("evidence", "/history/"),
        ("exports", "/history/?action=exports"),
        ("behind", "/coverage/"),
        ("due", "/rotations/"),
        ("maintenance", "/rotations/windows/"),
        ("JWT", "/instances/jwt-and-builds/"),
        ("not read", "/containers/readings/"),
        ("who to call", "/contacts/"),
        ("pipelined", "/instances/"),
        ("windows maintenance", "/rotations/windows/"),
    ],
)
def test_pages_are_found_by_title_and_by_words_for_what_they_show(typed: str, first: str) -> None:
    assert of_kind(typed, "menu").hits[0].url == first


def test_pages_are_found_in_the_language_of_the_reader() -> None:
    with override("fr"):
        assert of_kind("fenêtres", "menu").hits[0].url == "/rotations/windows/"
        assert of_kind("astreinte", "menu").hits[0].url == "/contacts/"


@pytest.mark.parametrize(
    ("typed", "kind", "part"),
    [
        ("fenetre", "menu", "/rotations/windows/"),
        ("FENÊTRES", "menu", "/rotations/windows/"),
        ("cle d'hote", "menu", "/containers/host-keys/"),
        ("clés d\u2019hôte", "menu", "/containers/host-keys/"),
        ("connexion refusee", "info", "/help/codes/#"),
        ("build trop ancien", "info", "/help/codes/#"),
    ],
)
def test_neither_case_nor_accents_nor_the_kind_of_apostrophe_matter(typed: str, kind: str, part: str) -> None:
    with override("fr"):
        assert part in " ".join(hit.url for hit in of_kind(typed, kind).hits)


def test_a_rollout_is_found_by_what_it_is_called_in_any_language() -> None:
    rotation = begin_rotation()
    rollout = make_rollout(account="Other", instance="prod2", containers=["web2"])
    for typed in ("rollout %s", "Rollout #%s", "déploiement %s", "DEPLOIEMENT #%s"):
        assert exact(typed % rollout.number) == [reverse("rollout", args=[rollout.pk])]
    assert exact(f"rotation {rotation.number}") == [reverse("rotation", args=[rotation.pk])]


def test_accents_alone_find_nothing() -> None:
    assert titles(search(KINDS, "\u0301")) == []


def test_a_page_is_found_by_those_who_may_open_it(as_helpdesk: Client, as_admin: Client) -> None:
    for client, is_found in ((as_helpdesk, False), (as_admin, True)):
        page = client.get("/search/", {"q": "webhook"}).content.decode().partition("<main")[2]
        assert ('href="/notices/"' in page) == is_found
    assert {each.name for each in DESTINATIONS} == MENUS
    for each in DESTINATIONS:
        assert (as_helpdesk.get(each.url).status_code == 200) == User.objects.get(username="henry").has_perm(
            each.permission
        ), each.name


def test_nothing_found_says_what_is_searched(as_helpdesk: Client) -> None:
    page = as_helpdesk.get("/search/", {"q": "no-such-thing"}).content.decode()
    assert "Nothing was found." in page
    assert "Containers by name and address" in page
    assert 'href="/history/?text=no-such-thing"' in page


def test_the_header_of_each_page_has_the_field_and_never_what_was_typed(as_auditor: Client) -> None:
    header = as_auditor.get("/search/", {"q": "needle"}).content.decode().partition("<main")[0]
    assert 'action="/search/"' in header
    assert header.count("needle") == 1  # the title of the page


@pytest.mark.parametrize("writing", list(WRITINGS))
def test_a_secret_is_refused_and_neither_shown_searched_nor_kept(
    as_admin: Client, writing: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    make_account(secret=WRITINGS[writing] if writing == "plain" else "p8e-first")
    with CaptureQueriesContext(connection) as captured:
        response = as_admin.get("/search/", {"q": WRITINGS[writing]}, follow=True)
    page = response.content.decode()
    assert response.redirect_chain == [("/search/", 302)]
    assert "looks like a client secret" in page
    assert " for <strong>" not in page
    statements = " ".join(query["sql"] for query in captured)
    for place in (page, statements, everything_stored(), caplog.text):
        assert BODY.lower() not in place.lower()


def test_nothing_that_a_search_reads_is_a_secret() -> None:
    """No statement of any kind names the column of the ciphertext."""
    rotation = begin_rotation()
    texts = [f"#{rotation.number}", "prod1 on web1", "Trig", rotation.old.fingerprint, str(rotation.pk)]
    texts += [str(each) for each in Installation.objects.values_list("pk", flat=True)]
    with CaptureQueriesContext(connection) as captured:
        for text in texts:
            search(KINDS, text)
    assert not [query["sql"] for query in captured if "ciphertext" in query["sql"]]
    assert Container.objects.count() == TechnicalAccount.objects.count() == 1
