"""How each kind of things is found: one query each, over tables that grow with the fleet, not with history.

A text is looked for anywhere in a name, since people remember the middle of names. No index answers that, and
none is needed: all kinds together took 0.1 to 0.3 s among 10,000 instances, 10,000 containers and 2,000
accounts on a busy machine, and twice that on PostgreSQL for a single letter that everything has.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TypeVar
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Case, Max, Model, Q, QuerySet, Value, When
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override

from credentials.help.finding import folded
from credentials.help.finding import found as found_in_help
from credentials.models import ClientSecret, TechnicalAccount
from credentials.rollouts.models import Push, Rollout
from credentials.rotation.models import Rotation
from credentials.search.kinds import LOOKED, Hit, Kind, Typed
from credentials.search.pages import pages
from instances import by_names
from instances.models import Container, Installation, Instance

M = TypeVar("M", bound=Model)
EXACT, BEGINS, CONTAINS = range(3)
NEWEST = 10_000
"""Rollouts and rotations whose messages are looked through."""
SHORTEST_FINGERPRINT = 4


def _ranked(
    rows: QuerySet[M], typed: Typed, *columns: str, identifiers: tuple[str, ...] = ("name",)
) -> Iterable[M]:
    """Return the rows with the text in one of `columns` or with this id: best ones first, then by name.

    Who types the whole of an identifier means that one.
    """
    if not typed.is_name:
        return ()
    exact, fits = Q(), Q()
    for column in identifiers:
        exact |= Q(**{f"{column}__iexact": typed.text})
    for column in columns:
        fits |= Q(**{f"{column}__icontains": typed.text})
    if typed.id:
        exact |= Q(pk=typed.id)
        fits |= Q(pk=typed.id)
    begins = When(**{f"{columns[0]}__istartswith": typed.text}, then=Value(BEGINS))
    rank = Case(When(exact, then=Value(EXACT)), begins, default=Value(CONTAINS))
    return rows.filter(fits).annotate(rank=rank).order_by("rank", columns[0])[:LOOKED]


def _is_exact(row: Model) -> bool:
    return getattr(row, "rank", None) == EXACT


def instances(typed: Typed) -> Iterator[Hit]:
    """Find instances by name."""
    for row in _ranked(Instance.objects.only("name", "environment", "role", "retired"), typed, "name"):
        yield Hit(
            row.name,
            reverse("instance", args=[row.pk]),
            f"{row.get_environment_display()} · {row.get_role_display()}",
            "retired" if row.retired else "",
            _is_exact(row),
        )


def containers(typed: Typed) -> Iterator[Hit]:
    """Find containers by name and address."""
    rows = Container.objects.only("name", "address", "port", "retired")
    for row in _ranked(rows, typed, "name", "address", identifiers=("name", "address")):
        yield Hit(
            row.name,
            reverse("container", args=[row.pk]),
            row.address if row.port == 22 else f"{row.address}:{row.port}",
            "retired" if row.retired else "",
            _is_exact(row),
        )


def installations(typed: Typed) -> Iterator[Hit]:
    """Find installations by both names, as pages and the history write them or side by side, or by container.

    `prod1 on mkt-2` in any language, `prod1 mkt-2` and `mkt-2 prod1` mean one; `mkt-2` all that are there.
    """
    pairs = by_names.pairs(typed.text)
    named = Q(container__name__iexact=typed.text) | by_names.fits(pairs)
    rows = Installation.objects.select_related("instance", "container").filter(named)
    for row in rows.order_by("container__name", "instance__name")[:LOOKED]:
        is_exact = by_names.is_exact(row, pairs)
        yield Hit(row.label, reverse("installation", args=[row.pk]), row.container.address, is_exact=is_exact)


def accounts(typed: Typed) -> Iterator[Hit]:
    """Find accounts by name and by what the Developer Console calls them."""
    identifiers = ("name", "client_id", "technical_account_id")
    columns = (*identifiers, "organization_id", "technical_account_email")
    for row in _ranked(TechnicalAccount.objects.all(), typed, *columns, identifiers=identifiers):
        yield Hit(row.name, reverse("account", args=[row.pk]), row.client_id, row.state, _is_exact(row))


def fingerprints(typed: Typed) -> Iterator[Hit]:
    """Find versions of secrets by how their fingerprint begins."""
    if len(typed.text) < SHORTEST_FINGERPRINT or not typed.is_name:
        return
    rows = ClientSecret.objects.filter(fingerprint__istartswith=typed.text).select_related("account")
    for row in rows.defer("ciphertext").order_by("fingerprint", "account__name", "-version")[:LOOKED]:
        yield Hit(
            _("%(account)s, version %(number)d") % {"account": row.account, "number": row.version},
            f"{reverse('account', args=[row.account_id])}?show=history",
            row.fingerprint,
            row.state,
            row.fingerprint.lower() == typed.text.lower(),
        )


def _by_name(typed: Typed, title: Promise) -> Typed:
    """Return `Rollout 1`, in any language of the portal, as the number that it names."""
    found = re.fullmatch(r"(.*?\S)\s*#?\s*([0-9]{1,9})", typed.text)
    names = set()
    for language, _name in settings.LANGUAGES:
        with override(language):
            names.add(folded(str(title) % ""))
    if found and folded(found[1].rstrip("# ")) in names:
        return replace(typed, number=int(found[2]))
    return typed


def _numbered(rows: QuerySet[M], typed: Typed) -> QuerySet[M]:
    """Return the row of this number or id, or the newest ones with the text in their message."""
    if typed.id:
        fitting = rows.filter(pk=typed.id)
    elif typed.number is not None:
        fitting = rows.filter(number=typed.number)
    elif typed.is_name:
        newest = rows.aggregate(newest=Max("number"))["newest"] or 0
        fitting = rows.filter(number__gt=newest - NEWEST, message__icontains=typed.text)
    else:
        return rows.none()
    return fitting.order_by("-number")[:LOOKED]


def _is_named(typed: Typed) -> bool:
    return typed.id is not None or typed.number is not None


def rollouts(typed: Typed) -> Iterator[Hit]:
    """Find a rollout by its number, or by its message, which often is a ticket."""
    typed = _by_name(typed, gettext_lazy("Rollout %s"))
    for row in _numbered(
        Rollout.objects.select_related("secret__account").defer("secret__ciphertext"), typed
    ):
        detail = " · ".join(filter(None, [row.get_reason_display(), row.message]))
        yield Hit(_("Rollout %s") % row, reverse("rollout", args=[row.pk]), detail, is_exact=_is_named(typed))


def rotations(typed: Typed) -> Iterator[Hit]:
    """Find a rotation by its number, or by its message."""
    typed = _by_name(typed, gettext_lazy("Rotation %s"))
    for row in _numbered(Rotation.objects.select_related("account"), typed):
        detail = " · ".join(filter(None, [row.get_state_display(), row.message]))
        yield Hit(
            _("Rotation %s") % row, reverse("rotation", args=[row.pk]), detail, is_exact=_is_named(typed)
        )


def pushes(typed: Typed) -> Iterator[Hit]:
    """Find a push by its id, which logs and the history name."""
    if typed.id is None:
        return
    place = ("installation__instance", "installation__container")
    rows = Push.objects.select_related("rollout__secret__account", *place)
    for row in rows.defer("rollout__secret__ciphertext").filter(pk=typed.id):
        title = _("Push to %s") % row.installation.label
        yield Hit(
            title,
            reverse("push", args=[row.pk]),
            _("Rollout %s") % row.rollout,
            row.state,
            is_exact=True,
        )


def people(typed: Typed) -> Iterator[Hit]:
    """Find people by the name that they sign in with."""
    # people are numbered: an id is none of theirs
    for row in _ranked(User.objects.all(), replace(typed, id=None), "username", identifiers=("username",)):
        state = "" if row.is_active else "off"
        yield Hit(row.username, reverse("user", args=[row.pk]), "", state, _is_exact(row))


def pages_of_help(typed: Typed) -> Iterator[Hit]:
    """Find topics of the help, their chapters and failure codes by title."""
    for title, url, page, is_code in islice(found_in_help(typed.text), LOOKED):
        yield Hit(title, url, page, is_exact=is_code)


KINDS = (
    Kind(
        "instances",
        gettext_lazy("Instances"),
        gettext_lazy("instances by name"),
        "instances.view_instance",
        instances,
        "instances",
    ),
    Kind(
        "containers",
        gettext_lazy("Containers"),
        gettext_lazy("containers by name and address"),
        "instances.view_container",
        containers,
        "containers",
    ),
    Kind(
        "layers",
        gettext_lazy("Installations"),
        gettext_lazy("installations by both names, such as “prod1 mkt-2”, or by their container"),
        "instances.view_instance",
        installations,
    ),
    Kind(
        "accounts",
        gettext_lazy("Accounts"),
        gettext_lazy("accounts by name, client ID, technical account and organization"),
        "credentials.view_technicalaccount",
        accounts,
        "accounts",
    ),
    Kind(
        "key",
        gettext_lazy("Versions of secrets"),
        gettext_lazy("versions by the beginning of their fingerprint, never by the secret"),
        "credentials.view_technicalaccount",
        fingerprints,
    ),
    Kind(
        "rollouts",
        gettext_lazy("Rollouts"),
        gettext_lazy("rollouts by number, such as #12, and by message"),
        "rollouts.view_rollout",
        rollouts,
    ),
    Kind(
        "retry",
        gettext_lazy("Rotations"),
        gettext_lazy("rotations by number and by message"),
        "rotation.view_rotation",
        rotations,
    ),
    Kind(
        "send",
        gettext_lazy("Pushes"),
        gettext_lazy("pushes by their ID"),
        "rollouts.view_rollout",
        pushes,
    ),
    Kind(
        "users",
        gettext_lazy("Users"),
        gettext_lazy("users by name"),
        "auth.change_user",
        people,
    ),
    Kind(
        "menu",
        gettext_lazy("Pages"),
        gettext_lazy("pages of the portal by title, and by words for what they show"),
        "rollouts.view_rollout",
        pages,
    ),
    Kind(
        "info",
        gettext_lazy("Help"),
        gettext_lazy("failure codes and topics of the help by title"),
        "rollouts.view_rollout",
        pages_of_help,
    ),
)
"""Everything that can be found, in the order of the page. A new kind is one more entry."""


def history_of(text: str) -> str:
    """Return the address of the history, narrowed to a text."""
    return f"{reverse('history')}?{urlencode({'text': text})}"
