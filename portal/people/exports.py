"""The lists of users and of locks as files, and who could act on a day."""

from collections.abc import Iterator, Sequence
from datetime import date

from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy

from portal.people.forms import DayForm
from portal.people.on_a_day import Act, Person, on_a_day
from portal.people.services import role_of
from portal.people.signing_in.locks import Lock, current_locks
from portal.web.exports import Export, Row, in_order, register, values
from portal.web.lists import Orders

ORDERS = Orders(
    {
        "name": ["username"],
        "state": ["-is_active", "username"],
        "last_sign_in": ["last_login", "username"],
    },
    usual="state",
)


def _rows(keys: Sequence[int]) -> Iterator[Row]:
    for person in in_order(User.objects.prefetch_related("groups"), keys):
        yield {
            "name": person.username,
            "role": role_of(person),
            "active": person.is_active,
            "last_sign_in": person.last_login,
        }


register(
    Export(
        name="users",
        title=gettext_lazy("Users"),
        permission="auth.change_user",
        columns=("name", "role", "active", "last_sign_in"),
        select=lambda _form: User.objects.all(),
        orders=ORDERS,
        rows=_rows,
    )
)


COUNTED = ("known_browsers", "tries", "since", "until")


def _lock_rows(locks: Sequence[Lock]) -> Iterator[Row]:
    for lock in locks:
        kind, _colon, _value = lock.subject.partition(":")
        yield {
            "locked": kind,
            "name": lock.user.username if lock.user else "",
            "addresses": [lock.address] if lock.address else lock.addresses,
            "own_password": lock.is_own_password,
            **values(lock, COUNTED),
        }


register(
    Export(
        name="locks",
        title=gettext_lazy("Locked sign-ins"),
        permission="auth.change_user",
        columns=("locked", "name", "addresses", "own_password", *COUNTED),
        select=lambda _form: current_locks(),
        rows=_lock_rows,
    )
)


def _selected_day(form: DayForm) -> list[tuple[date, Person]]:
    found = on_a_day(form.cleaned_data["on"])
    return [(found.day, each) for each in (*found.people, *found.others)]


def _rows_of_day(keys: Sequence[tuple[date, Person]]) -> Iterator[Row]:
    """Yield a row for each part of the day that a person's role or access was the same in."""
    for day, person in keys:
        who = {
            "day": day.isoformat(),
            "name": person.name,
            "user": int(person.number) if person.number else None,
            "events_of_the_day": person.events,
            "locks_of_the_day": person.locks,
        }
        for each in person.standings:
            yield {
                **who,
                "from": each.since,
                "until": each.until,
                "role": each.role,
                "can_sign_in": _ANSWERS[each.can_sign_in],
                **_act("role", each.role_by),
                **_act("access", each.access_by),
            }
        if not person.standings:
            yield {**dict.fromkeys(DAY_COLUMNS), **who, "can_sign_in": "no user"}


def _act(of: str, act: Act | None) -> Row:
    return {
        f"{of}_since": act.at if act else None,
        f"{of}_by": act.who if act else "",
        f"{of}_entry": act.seq if act else None,
    }


_ANSWERS = {True: "yes", False: "no", None: "not recorded"}
DAY_COLUMNS = (
    *("day", "name", "user", "from", "until", "role", "role_since", "role_by", "role_entry"),
    *("can_sign_in", "access_since", "access_by", "access_entry", "events_of_the_day", "locks_of_the_day"),
)
register(
    Export(
        name="people_on_a_day",
        title=gettext_lazy("Who could act on a day"),
        permission="audit.export_events",
        columns=DAY_COLUMNS,
        filters=DayForm,
        select=_selected_day,
        rows=_rows_of_day,
    )
)
