"""Fills a portal for the fuzz, and counts what it kept; run with the portal's settings.

python -m tests.fuzz.ground fill      prints people, URLs and field names as JSON
python -m tests.fuzz.ground count     prints the number of history events
"""

import json
import re
import sys
from contextlib import suppress

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.db import DatabaseError, transaction  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402

from portal.audit.models import AuditEvent  # noqa: E402
from portal.notices.channels import ChannelError  # noqa: E402
from portal.web import tickets  # noqa: E402
from portal.web.tickets import Ticket  # noqa: E402
from tests.test_roles import INITIALS, PAGES  # noqa: E402

FIRST_PERSON = 900_001  # numbers that no request of the fuzz hits: it removes and locks whom it can
SESSIONS = 40
FIELD = re.compile(rb'<(?:input|select|textarea|button)[^>]*?\bname="([\w.-]+)"')


def fill() -> dict[str, object]:
    """Make people with sessions and a row for every page."""
    people = {}
    for number, role in enumerate([*INITIALS, "Prober"]):
        person = User.objects.create_user(role.lower(), pk=FIRST_PERSON + number)
        person.groups.add(Group.objects.get(name="Admin" if role == "Prober" else role))
        people[role] = [_session(person) for _ in range(SESSIONS)]
    admin = User.objects.get(username="admin")
    urls = sorted({url for name in PAGES for url in _urls(name, admin)})
    cookies = [_cookie(ticket) for ticket in Ticket]
    return {"people": people, "urls": urls, "fields": sorted(_fields(admin, urls)), "tickets": cookies}


def _cookie(ticket: Ticket) -> str:
    response = HttpResponse()
    tickets.give(response, ticket)
    return response.cookies.output(attrs=[], header="").strip()


def _session(person: User) -> str:
    session = SessionStore()
    session[SESSION_KEY] = str(person.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
    session[HASH_SESSION_KEY] = person.get_session_auth_hash()
    session.save()
    return str(session.session_key)


def _urls(name: str, admin: User) -> list[str]:
    """Return the page's address; of a row that another page's row stands in the way of, a number's."""
    place: dict[str, object] = {}
    try:
        with transaction.atomic():
            place = PAGES[name].place(admin)
    except (DatabaseError, ValueError, ChannelError):
        place = {"pk": 1}
    with suppress(Exception):
        return [reverse(name, kwargs=place)]
    return []


def _fields(admin: User, urls: list[str]) -> set[str]:
    client = Client(raise_request_exception=False, headers={"host": "localhost"})
    client.force_login(admin)
    return {name.decode() for url in urls for name in FIELD.findall(b"".join(client.get(url)))}


if __name__ == "__main__":
    answer = fill() if sys.argv[1] == "fill" else {"events": AuditEvent.objects.count()}
    sys.stdout.write(json.dumps(answer) + "\n")
