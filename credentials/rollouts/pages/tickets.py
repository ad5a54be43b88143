"""What somebody is told about failed pushes who has no portal: a text for a ticket to the team that mends it.

It holds what was seen and never a secret: output and notes were cleaned before they were stored.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import F, OuterRef, Subquery
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from credentials.rollouts.models import Attempt, Push, explained
from credentials.rollouts.notes import in_words
from credentials.rollouts.pages.failing import Failing
from instances.failures import WRITTEN, Code
from instances.inventory.contacts import Team, contacts_by_team
from instances.menders import SECURITY_IS_TOLD, Mender, menders
from instances.menders import in_words as menders_in_words
from instances.models import Contact, ExpectedHostKey, HostKey, Instance
from portal.punctuation import labelled

DETAILED = 3
"""Of this number of pushes a ticket has what the container said; of more, the portal is asked."""
INDENT = "  "
MOST_OUTPUT = 2000  # characters of one container
KEYS = frozenset({Code.HOST_KEY_UNKNOWN, Code.HOST_KEY_CHANGED})
"""Failures about which somebody compares fingerprints."""


@dataclass(frozen=True)
class Told:
    """What a container said last, and which host keys are known of it, a line each."""

    output: str = ""
    notes: Sequence[str] = ()
    keys: Sequence[str] = ()


@dataclass
class Ticket:
    """Pushes that failed, or are unknown, for the same reason. Those in `pushes` are named."""

    state: str
    code: str
    count: int = 0
    since: datetime | None = None
    last: datetime | None = None
    tries: int = 0
    pushes: Sequence[Push] = ()
    filters: str = ""
    """What narrows the list of failed pushes, in addition to state and code."""
    is_alike: bool = False
    """Whether a retry of each of them has failed for the same reason."""
    teams: Sequence[Team] = ()
    told: Mapping[uuid.UUID, Told] = field(default_factory=dict)

    @property
    def label(self) -> str | Promise:
        return label_of(self.state, self.code)

    @property
    def url(self) -> str:
        """Leads to the push, or to the list of them."""
        if self.count == 1 and self.pushes:
            return reverse("push", args=[self.pushes[0].pk])
        query = urlencode({"state": self.state, "code": self.code})
        return f"{reverse('failed_pushes')}?{query}{self.filters and f'&{self.filters}'}"

    @property
    def text(self) -> str:
        """The ticket without the link, whose host the page knows."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self._heading()
        known = explained(self.state, self.code)
        if known:
            yield str(known.cause)
            advice = known.after_retry if self.is_alike else known.next_step
            yield labelled(_("What the portal advises its helpdesk to do"), advice)
        yield ""
        is_unknown = self.state == Push.State.UNKNOWN
        yield labelled(_("Unknown since") if is_unknown else _("Failing since"), _exact(self.since))
        if self.last and self.since and self.last > self.since:
            yield labelled(_("Last try"), _exact(self.last))
        yield labelled(_("Tries without success"), self.tries)
        if who := menders_in_words(self.code, is_alike=self.is_alike):
            yield labelled(_("Who can mend it"), who)
        for team in self.teams:
            if team.contact:
                yield labelled(team.label, _reached(team.contact))
        yield ""
        for push in self.pushes:
            yield from self._push(push)
        if more := self.count - len(self.pushes):
            yield ngettext("and %(count)s more", "and %(count)s more", more) % {"count": more}

    def _heading(self) -> str:
        if self.state == Push.State.UNKNOWN:
            text = ngettext(
                "%(what)s: the portal of Campaign credentials does not know whether a secret has reached "
                "%(count)s installation",
                "%(what)s: the portal of Campaign credentials does not know whether a secret has reached "
                "%(count)s installations",
                self.count,
            )
        elif self.code in WRITTEN:
            text = ngettext(
                "%(what)s: the portal of Campaign credentials wrote a secret on %(count)s installation, and "
                "a step after that failed",
                "%(what)s: the portal of Campaign credentials wrote a secret on %(count)s installations, and "
                "a step after that failed",
                self.count,
            )
        else:
            text = ngettext(
                "%(what)s: the portal of Campaign credentials could not deliver a secret to %(count)s "
                "installation",
                "%(what)s: the portal of Campaign credentials could not deliver a secret to %(count)s "
                "installations",
                self.count,
            )
        what = f"{self.label} ({self.code})" if self.code else self.label
        return text % {"what": what, "count": self.count}

    def _push(self, push: Push) -> Iterator[str]:
        yield labelled(_("Installation"), push.place)
        environment = Instance.Environment(push.installation.instance.environment).label
        yield INDENT + labelled(_("Environment"), environment)
        yield INDENT + labelled(_("Account"), push.rollout.secret.account)
        yield INDENT + _("Push of rollout %(number)s (version %(version)s)") % {
            "number": push.rollout.number,
            "version": push.rollout.secret.version,
        }
        address = f"{push.container.address}:{push.container.port}"
        if push.container.jump_host:
            address = _("%(address)s, through the jump host %(name)s") % {
                "address": address,
                "name": push.container.jump_host,
            }
        yield INDENT + labelled(_("Address of the container"), address)
        yield INDENT + labelled(_("Login"), push.container.login)
        told = self.told.get(push.pk, Told())
        if self.code in KEYS:
            yield from (INDENT + line for line in told.keys)
        yield from (INDENT + labelled(_("Note"), each) for each in told.notes)
        if told.output:
            yield (INDENT + labelled(_("What the container printed"), "")).rstrip()
            yield from ((2 * INDENT + line).rstrip() for line in told.output.splitlines())


def label_of(state: str, code: str) -> str | Promise:
    """Return what pushes failed for, or without a code their state."""
    return Code(code).label if code else Push.State(state).label


def tell(tickets: Iterable[Ticket], contacts: Mapping[str, Contact] | None = None) -> None:
    """Add to tickets contacts and what the first containers said; four statements for all of them."""
    asked = list(tickets)
    if not asked:
        return
    known = contacts_by_team() if contacts is None else contacts
    first = [push for ticket in asked for push in ticket.pushes[:DETAILED]]
    told = _told(first)
    for ticket in asked:
        environments = [push.installation.instance.environment for push in ticket.pushes]
        ticket.teams = teams_for(ticket.code, known, environments, is_alike=ticket.is_alike)
        ticket.told = {push.pk: told[push.pk] for push in ticket.pushes[:DETAILED]}


def teams_for(
    code: str, contacts: Mapping[str, Contact], environments: Iterable[str], *, is_alike: bool
) -> list[Team]:
    """Return the teams that can be called: who can mend this failure in these environments or has to know."""
    who: list[str] = list(menders(code, is_alike=is_alike))
    if code in SECURITY_IS_TOLD:
        who.append(Contact.Team.SECURITY)
    names = dict.fromkeys(environments) if Mender.SERVER in who else {}
    others = [each for each in Contact.Team.values if each in who]
    return [Team(name, contacts.get(name)) for name in (*names, *others)]


def tickets_of(failing: Iterable[tuple[Push, Failing]], filters: str = "") -> list[Ticket]:
    """Return a ticket for each cause of these pushes; who and what is told is not in it yet."""
    found: dict[tuple[str, str], list[tuple[Push, Failing]]] = {}
    for push, fails in failing:
        found.setdefault((push.state, push.code), []).append((push, fails))
    return [
        Ticket(
            state,
            code,
            count=len(rows),
            since=min(filter(None, (since_of(push, fails) for push, fails in rows)), default=None),
            last=max(filter(None, (fails.last for _push, fails in rows)), default=None),
            tries=sum(fails.tries for _push, fails in rows),
            pushes=[push for push, _fails in rows],
            is_alike=all(fails.is_alike for _push, fails in rows),
            filters=filters,
        )
        for (state, code), rows in found.items()
    ]


def since_of(push: Push, fails: Failing) -> datetime | None:
    """Return since when a push is as it is: unknown, or failing."""
    if push.state == Push.State.UNKNOWN:
        return push.unknown_since or fails.since
    return fails.since or push.finished


def _told(pushes: Sequence[Push]) -> dict[uuid.UUID, Told]:
    last = Attempt.objects.filter(push=OuterRef("push"), finished__isnull=False).order_by("-number")
    attempts = Attempt.objects.filter(push__in=[push.pk for push in pushes]).annotate(
        last=Subquery(last.values("number")[:1])
    )
    rows = attempts.filter(number=F("last")).order_by().values_list("push", "output", "notes")
    said = {push: (output, notes) for push, output, notes in rows}
    keys = _keys([push.container_id for push in pushes])
    return {
        push.pk: Told(
            _shortened(said[push.pk][0]), in_words(said[push.pk][1]), keys.get(push.container_id, [])
        )
        if push.pk in said
        else Told(keys=keys.get(push.container_id, []))
        for push in pushes
    }


def _keys(containers: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[str]]:
    """Return the fingerprints that are expected, approved and offered, by container."""
    found: dict[uuid.UUID, list[str]] = {}
    given = ExpectedHostKey.objects.filter(container__in=containers)
    for container, fingerprint in given.order_by("container").values_list("container", "fingerprint"):
        found.setdefault(container, []).append(labelled(_("Host key expected"), fingerprint))
    labels = {
        HostKey.State.APPROVED: _("Host key approved"),
        HostKey.State.OFFERED: _("Host key offered by the server"),
    }
    shown = HostKey.objects.filter(container__in=containers, state__in=labels).order_by("state", "type")
    for container, state, kind, fingerprint in shown.values_list("container", "state", "type", "fingerprint"):
        line = labelled(labels[HostKey.State(state)], f"{kind} {fingerprint}")
        found.setdefault(container, []).append(line)
    return found


def _shortened(output: str) -> str:
    return output if len(output) <= MOST_OUTPUT else f"{output[:MOST_OUTPUT]}…"


def _reached(contact: Contact) -> str:
    return f"{contact.who}, {contact.reach}" + (f" ({contact.hours})" if contact.hours else "")


def _exact(at: datetime | None) -> str:
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M %Z}" if at else "—"
