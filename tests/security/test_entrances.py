"""Every entrance for text that is stored in clear refuses a secret and names the field, or stores none."""

import json
import logging
from collections.abc import Callable, Iterator
from importlib import import_module
from io import StringIO
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import pytest
from django import forms
from django.apps import apps
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import connection, models, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

import credentials
import instances
import portal
from credentials.models import TechnicalAccount
from instances.inventory import csv_format
from instances.inventory.editing import save_instance
from instances.models import Container, Installation, Instance, JumpHost
from portal import no_secrets
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.no_secrets import RefusesSecrets, SecretInClear
from tests.credentials.wizard.test_wizard_canary import everything_stored
from tests.factories import make_account, make_rollout
from tests.security.secret_shapes import BODY, HARMLESS, SECRET, WRITINGS

pytestmark = [pytest.mark.django_db, pytest.mark.one_engine]  # what matters is what is typed
ROOMS = (portal, instances, credentials)
REFUSED = "looks like a client secret"

NOT_IMPORTED = ("portal.sandbox", "portal.gunicorn", "portal.settings", "portal.wsgi")
# Forms that take secrets, and the fields in which they do.
FOR_SECRETS = {
    "ValuesForm": {
        "client_id",
        "client_secret",
        "technical_account_id",
        "organization_id",
    },  # it judges all four
    "ConsoleFileForm": {"text"},  # a file of the console, which is never stored
    "ValuesFileForm": {"text"},
    "NewFromFileForm": {"text"},
    "NewSecretForm": {"text"},
    "ImportForm": {"text"},  # it names the line
}
# Columns that the last net does not look at, and why.
UNGUARDED = {
    ("django_session", "session_key"): "made by Django",
    ("django_session", "session_data"): "encoded; the serializer looks at it before",
}


# Nobody can add an entrance that the rule does not know


def our_modules() -> Iterator[str]:
    for room in ROOMS:
        for module in walk_packages(room.__path__, f"{room.__name__}."):
            if not module.name.startswith(NOT_IMPORTED):
                yield module.name


def subclasses(of: type) -> Iterator[type]:
    each: type
    for each in of.__subclasses__():
        yield each
        yield from subclasses(each)


def our_forms() -> list[type[forms.BaseForm]]:
    for name in our_modules():
        import_module(name)
    names = tuple(f"{room.__name__}." for room in ROOMS)
    return [each for each in set(subclasses(forms.BaseForm)) if each.__module__.startswith(names)]


def test_every_form_refuses_secrets() -> None:
    found = our_forms()
    assert len(found) > 20
    assert [each.__qualname__ for each in found if not issubclass(each, RefusesSecrets)] == []


def test_the_fields_that_take_secrets_are_known() -> None:
    declared = {
        each.__name__: set(each.for_secrets)
        for each in our_forms()
        if issubclass(each, RefusesSecrets) and each.for_secrets
    }
    assert declared == FOR_SECRETS


@pytest.mark.parametrize("form", [PasswordChangeForm, SetPasswordForm])
def test_the_forms_of_django_that_we_use_have_password_fields_alone(form: type[forms.Form]) -> None:
    widgets = {type(field.widget) for field in form.base_fields.values()}
    assert widgets == {forms.PasswordInput}


def test_every_command_refuses_secrets() -> None:
    ours = {
        name: app for name, app in get_commands().items() if app.startswith(("portal", "instances", "cred"))
    }
    assert len(ours) > 10
    commands = [load_command_class(app, name) for name, app in ours.items()]
    assert [each for each in commands if not isinstance(each, no_secrets.Command)] == []


def text_columns() -> list[tuple[type[models.Model], "models.Field[Any, Any]"]]:
    kinds = (models.CharField, models.TextField, models.JSONField, models.BinaryField)
    return [
        (model, field)
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.concrete_fields
        if isinstance(field, kinds)
    ]


def in_kind(field: "models.Field[Any, Any]", text: str) -> object:
    if isinstance(field, models.JSONField):
        return {"deep": [text]}
    return text.encode() if isinstance(field, models.BinaryField) else text


def stores(model: type[models.Model], values: dict[str, object]) -> bool:
    """Whether an insert or an update with these values gets as far as the database."""
    rows = model._default_manager
    writes: list[Callable[[], object]] = [
        lambda: rows.bulk_create([model(**values)]),
        lambda: rows.bulk_create([model(**values)], ignore_conflicts=True),
        lambda: rows.update(**values),
    ]
    return any(reaches(write) for write in writes)


def reaches(write: Callable[[], object]) -> bool:
    try:
        with transaction.atomic():
            write()
    except SecretInClear:
        return False
    except Exception:  # noqa: BLE001  # the database refused it for another reason: it did get there
        return True
    return True


@pytest.mark.parametrize("secret", [SECRET, f"a longer text with {SECRET.upper()} inside"])
def test_no_column_of_any_table_takes_a_secret(secret: str) -> None:
    columns = text_columns()
    assert len(columns) > 80
    taken = set()
    for model, field in columns:
        value = in_kind(field, secret)
        if stores(model, {field.attname: value}):
            taken.add((model._meta.db_table, field.column))
    assert taken == UNGUARDED.keys()


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_resembles_a_secret_is_stored(text: str) -> None:
    TechnicalAccount.objects.create(name=text)
    assert TechnicalAccount.objects.filter(name=text).exists()


def test_statements_of_any_form_are_looked_at() -> None:
    with connection.cursor() as cursor, pytest.raises(SecretInClear, match="health_worker"):
        cursor.executemany("INSERT INTO health_worker (name) VALUES (%s)", [["a"], [SECRET]])


def test_a_ciphertext_is_no_secret_in_clear() -> None:
    secret = make_account()
    token = (secret.ciphertext or "").rpartition(".")[0] + "." + SECRET + "A" * 300
    type(secret).objects.filter(pk=secret.pk).update(ciphertext=token)


def test_a_session_keeps_no_secret() -> None:
    session = SessionStore()
    session["search"] = {"text": [f"for {SECRET}"]}
    with pytest.raises(SecretInClear):
        session.save()


# The places that people and files can fill


def whole(response: Any) -> str:  # Any: what the test client returns
    assert isinstance(response, HttpResponse)
    return response.content.decode()


def container_form(**changes: str) -> dict[str, str]:
    usual = {
        "name": "app-1",
        "address": "app-1.example.com",
        "port": "22",
        "login": "neolane",
        "become": "none",
        "install_root": "/usr/local/neolane",
    }
    return usual | changes


INSTANCE = {"environment": "production", "deployment": "on-premise", "role": "MKT"}
PERSON = {"role": "Helpdesk", "password1": "a long enough password", "password2": "a long enough password"}
JUMP_HOST = {"address": "jump.example.com", "port": "22", "login": "jump", "host_keys": "ssh-ed25519 AAAA"}
PAGES = [
    ("/instances/add/", "name", INSTANCE),
    ("/users/new/", "username", PERSON),
    *(("/containers/add/", name, container_form()) for name in ("name", "address", "login", "install_root")),
    *(("/containers/jump-hosts/add/", name, JUMP_HOST) for name in ("name", "address", "login", "host_keys")),
    ("/accounts/new/", "name", {"way": "new"}),
]


@pytest.mark.parametrize("writing", ["plain", "percent-encoded", "in wide characters", "private key"])
@pytest.mark.parametrize(("path", "field", "others"), PAGES)
def test_a_page_names_the_field_and_does_not_show_it_again(
    as_admin: Client, path: str, field: str, others: dict[str, str], writing: str
) -> None:
    response = as_admin.post(path, {**others, field: WRITINGS[writing]})
    assert response.status_code == 200, path
    assert REFUSED in str(response.context["form"].errors[field])
    assert len(response.context["form"].errors[field]) == 1
    page = whole(response)
    assert BODY not in page
    assert REFUSED in page
    assert BODY.lower() not in everything_stored().lower()


def test_what_else_was_typed_comes_back(as_admin: Client) -> None:
    page = whole(as_admin.post("/containers/add/", container_form(name=SECRET, address="app-77.example.com")))
    assert "app-77.example.com" in page
    rollout = make_rollout()
    rollout.pushes.update(state="failed", code="timed_out")
    push = rollout.pushes.get()
    page = whole(
        as_admin.post(reverse("push_retry", args=[push.pk]), {"message": f"OPS-1234 {SECRET} OPS-5"})
    )
    assert "OPS-1234 *** OPS-5" in page


def test_a_secret_in_a_choice_is_not_quoted(as_admin: Client) -> None:
    page = whole(as_admin.post("/instances/add/", {**INSTANCE, "name": "prod1", "role": SECRET}))
    assert REFUSED in page
    assert SECRET not in page


FILTERS = [
    "/instances/",
    "/containers/",
    "/accounts/",
    "/rollouts/",
    "/rollouts/failed/",
    "/history/",
    "/search/",
]


@pytest.mark.parametrize("path", FILTERS)
def test_a_search_for_a_secret_is_kept_nowhere(
    as_auditor: Client, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    names = ("q", "text", "who", "object", "account", "instance", "container", "code", "state", "environment")
    response = as_auditor.get(
        path,
        dict.fromkeys(names, f"for {SECRET}"),
        headers={"User-Agent": SECRET, "Referer": f"https://portal/?q={SECRET}", "X-Request-ID": SECRET},
        follow=True,
    )
    assert response.redirect_chain == [(path, 302)]
    page = whole(response)
    assert "taken out of the address" in page
    assert BODY not in page
    sessions = json.dumps(dict(as_auditor.session))
    for place in (everything_stored(), sessions, caplog.text, str([vars(each) for each in caplog.records])):
        assert BODY not in place


@pytest.mark.parametrize("writing", list(WRITINGS))
def test_only_the_secret_is_taken_out_of_an_address(as_auditor: Client, writing: str) -> None:
    query = {"q": ["of", WRITINGS[writing]], WRITINGS[writing]: "x", "show": "retired", "empty": ""}
    response = as_auditor.get("/accounts/", query)
    assert response.status_code == 302
    assert response.headers["Location"] == "/accounts/?q=of&show=retired&empty="
    assert BODY.lower() not in str([each.OutputString() for each in response.cookies.values()]).lower()


def test_a_stranger_does_not_take_a_secret_to_the_sign_in(client: Client) -> None:
    response = client.get(f"/search/?q={SECRET}", follow=True)
    assert response.redirect_chain == [("/search/", 302), ("/login/?next=/search/", 302)]
    assert "taken out of the address" in whole(response)


def test_an_address_without_its_secret_leads_to_no_other_server(as_auditor: Client) -> None:
    response = as_auditor.get("/", {"q": SECRET}, PATH_INFO="//example.com/")
    assert response.headers["Location"] == "/%2Fexample.com/"


def test_a_secret_in_a_path_is_recorded_without_it(
    as_helpdesk: Client, caplog: pytest.LogCaptureFixture
) -> None:
    as_helpdesk.get(f"/users/{SECRET}/")
    as_helpdesk.post(f"/instances/add/?name={SECRET}", {"name": SECRET})
    assert AuditEvent.objects.filter(action="access.refused").exists()
    assert BODY not in everything_stored()


CELLS = [name for name in csv_format.COLUMNS if name != "instance"]


@pytest.mark.parametrize("writing", [name for name in WRITINGS if name != "private key"])
@pytest.mark.parametrize("column", csv_format.COLUMNS)
def test_an_inventory_file_is_refused_at_row_and_column(column: str, writing: str) -> None:
    row = {
        "instance": "prod1",
        "container": "app-1",
        "address": "app-1.example.com",
        column: WRITINGS[writing],
    }
    header, cells = ",".join(row), ",".join(f'"{cell}"' for cell in row.values())
    parsed = csv_format.parse(f"{header}\n{cells}\n".encode())
    [error] = [error for error in parsed.errors if error.column == column]
    assert error.row_number == 2
    assert REFUSED in error.reason or "invisible" in error.reason
    assert parsed.rows == ()


def test_a_secret_as_the_name_of_a_column_is_not_quoted() -> None:
    parsed = csv_format.parse(f"instance,container,address,{SECRET}\na,b,c.example.com,d\n".encode())
    assert parsed.errors
    assert BODY not in str(parsed.errors)


COMMANDS = [
    ("rollout", ["Triggers"], {"message": SECRET}, "--message"),
    ("rollout", [SECRET], {}, "account"),
    ("rollout", ["Triggers"], {"instance": ["prod1", SECRET]}, "--instance"),
    ("retry", ["1"], {"message": f"for {SECRET}"}, "--message"),
    ("add_account", [SECRET], {}, "name"),
    ("add_account", ["Triggers"], {"client_id": SECRET}, "--client-id"),
    ("add_account", ["Triggers"], {"secret_file": SECRET}, "--secret-file"),
    ("secret", ["add", SECRET], {"secret_file": "x"}, "account"),
    ("secret", ["add", "Triggers"], {"from_json": SECRET}, "--from-json"),
    ("accounts", [SECRET], {}, "account"),
    ("failed", [], {"account": SECRET}, "--account"),
    ("assign", ["Triggers", SECRET], {}, "instance"),
    ("create_admin", [], {"name": SECRET}, "--name"),
    ("import_inventory", [SECRET], {}, "file"),
    ("trust_host_key", [SECRET], {"fingerprint": "SHA256:x"}, "container"),
    ("backup", [SECRET], {}, "folder"),
]


@pytest.mark.parametrize(("name", "args", "options", "argument"), COMMANDS)
def test_a_command_names_the_argument(
    name: str, args: list[str], options: dict[str, Any], argument: str, tmp_path: Path
) -> None:
    with pytest.raises(CommandError) as caught:
        call_command(name, *args, **options, stdout=StringIO(), stderr=StringIO())
    assert str(caught.value).startswith(f"{argument}: ")
    assert REFUSED in str(caught.value)
    assert BODY not in str(caught.value) + everything_stored()


def test_a_service_that_is_called_directly_stores_none(actor: Actor) -> None:
    with pytest.raises(SecretInClear, match="instances_instance"), transaction.atomic():
        save_instance(instance=Instance(name=SECRET), actor=actor)
    assert not Instance.objects.exists()


def test_the_walk_left_nothing_behind() -> None:
    assert not Container.objects.exists()
    assert not JumpHost.objects.exists()
    assert not Installation.objects.exists()
    assert not User.objects.filter(username=SECRET).exists()
