"""What needs a person: one entry for each kind of trouble, most urgent first, with where to go."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db.models import Count
from django.db.models.functions import Now
from django.urls import NoReverseMatch, reverse
from django.utils.translation import ngettext

from credentials.coverage import states as covering
from credentials.coverage.cells import LISTED_ELSEWHERE, OTHERS
from credentials.coverage.tallies import Tally
from credentials.home.counting import SHOWN, Counted, Proposed
from credentials.models import TechnicalAccount
from credentials.rollouts.models import Push
from credentials.rotation.models import Rotation
from credentials.rotation.waits import FOR_PEOPLE, Wait
from instances.discovery.proposals import NOT_SAID_ELSEWHERE
from instances.failures import Code
from instances.models import Container, Instance
from instances.needs import in_need
from instances.reaching import host_keys
from portal.punctuation import labelled

OVERDUE = timedelta(minutes=2)


@dataclass(frozen=True)
class NeedLink:
    text: str
    url: str


@dataclass(frozen=True)
class Need:
    """One thing that needs a person: how many, a sentence, and where to go."""

    icon: str
    tone: str
    count: int
    sentence: str
    url: str
    links: list[NeedLink]
    more: int = 0


def needs(counted: Counted) -> list[Need]:
    """Return everything that may need a person, most urgent first; some with a count of 0."""
    found = [each for each in counted.tallies if each.cover == covering.Cover.NEEDS_YOU]
    return [
        _overdue(),
        _rotations(),
        *_failed(),
        _ambiguous(),
        _unproven(),
        _changed_keys(),
        _unexpected_keys(),
        _no_approved_key(),
        _drifted(found),
        _behind(found),
        _on_jwt(),
        _too_old(),
        _proposals(counted.proposals),
        _without_account(),
        _drafts(),
    ]


def needs_of_deliveries() -> list[Need]:
    """Return what keeps pushes from arriving beyond those that failed."""
    return [_overdue(), _rotations(), _changed_keys(), _unexpected_keys(), _no_approved_key()]


def _overdue() -> Need:
    overdue = Push.objects.due().filter(due__lt=Now() - OVERDUE, container__lease_token=None)
    count = overdue.values("container").distinct().count()
    sentence = ngettext(
        "container is waiting for deliveries, but nothing is delivered. Is the portal's worker running?",
        "containers are waiting for deliveries, but nothing is delivered. Is the portal's worker running?",
        count,
    )
    return Need("unreachable", "danger", count, sentence, reverse("rollouts"), [])


def _rotations() -> Need:
    """Count the open rotations that do not go on by themselves."""
    waiting = Rotation.objects.open().filter(wait__in=FOR_PEOPLE)
    count = waiting.count()
    sentence = ngettext(
        "rotation is waiting for someone: its secret has not been replaced yet.",
        "rotations are waiting for someone: their secrets have not been replaced yet.",
        count,
    )
    shown = waiting.order_by("requested").values_list("pk", "account__name", "wait")[:SHOWN]
    links = [
        NeedLink(labelled(name, Wait(wait).label), reverse("rotation", args=[pk])) for pk, name, wait in shown
    ]
    return Need("needs_you", "warning", count, sentence, reverse("rotations"), links, count - len(links))


def _failed() -> list[Need]:
    waiting = Push.objects.needing_attention().order_by().values_list("state").annotate(count=Count("*"))
    counts: dict[str, int] = dict(waiting)
    failed, unknown = counts.get(Push.State.FAILED, 0), counts.get(Push.State.UNKNOWN, 0)
    sentence = ngettext(
        "push failed and has not been fixed.", "pushes failed and have not been fixed.", failed
    )
    about_unknown = ngettext(
        "push has an unknown outcome; the portal keeps looking.",
        "pushes have an unknown outcome; the portal keeps looking.",
        unknown,
    )
    retried = Push.objects.sent_again().count()
    about_retried = ngettext(
        "push is being retried and has no outcome yet.",
        "pushes are being retried and have no outcome yet.",
        retried,
    )
    page = reverse("failed_pushes")
    url = f"{page}?state="
    return [
        Need("failed", "danger", failed, sentence, f"{url}{Push.State.FAILED.value}", []),
        Need("unknown", "unknown", unknown, about_unknown, f"{url}{Push.State.UNKNOWN.value}", []),
        Need("running", "info", retried, about_retried, page, []),
    ]


def _ambiguous() -> Need:
    code = Code.DIGEST_AMBIGUOUS
    count = Push.objects.needing_attention().filter(code=code).count()
    sentence = ngettext(
        "push shows a secret that two versions claim: one of the proofs is false. Enter a new secret and "
        "roll it out.",
        "pushes show a secret that two versions claim: one of the proofs is false. Enter a new secret and "
        "roll it out.",
        count,
    )
    return Need("danger", "danger", count, sentence, f"{reverse('failed_pushes')}?code={code.value}", [])


def _unproven() -> Need:
    count = Push.objects.unproven().count()
    sentence = ngettext(
        "push was marked as succeeded without proof by an earlier release. Push it again before you delete "
        "an old secret at Adobe.",
        "pushes were marked as succeeded without proof by an earlier release. Push them again before you "
        "delete an old secret at Adobe.",
        count,
    )
    return Need("warning", "danger", count, sentence, reverse("unproven_successes"), [])


def _changed_keys() -> Need:
    return _containers(
        "changed",
        lambda count: ngettext(
            "container shows another host key than the approved one; nothing is pushed to it.",
            "containers show another host key than the approved one; nothing is pushed to them.",
            count,
        ),
    )


def _unexpected_keys() -> Need:
    return _containers(
        "unexpected",
        lambda count: ngettext(
            "container shows another host key than the one given in advance; nothing is pushed to it.",
            "containers show other host keys than the ones given in advance; nothing is pushed to them.",
            count,
        ),
    )


def _no_approved_key() -> Need:
    return _containers(
        "needed",
        lambda count: ngettext(
            "container has no host key that was approved or given in advance; nothing is pushed to it.",
            "containers have no host key that was approved or given in advance; nothing is pushed to them.",
            count,
        ),
    )


def _containers(state: str, sentence: Callable[[int], str]) -> Need:
    """Count the containers in use whose host keys stand so; the link leads to exactly these."""
    rows = host_keys.in_host_key_state(Container.objects.in_use(), state)
    count = rows.count()
    links = [NeedLink(name, page_url("container", pk)) for pk, name in rows.values_list("pk", "name")[:SHOWN]]
    url = f"{page_url('containers')}?host_key={state}&switch=on"
    icon, tone = ("offered", "warning") if state == "needed" else ("changed", "danger")
    return Need(icon, tone, count, sentence(count), url, links, count - len(links))


def _without_account() -> Need:
    return _instances(
        "account",
        lambda count: ngettext(
            "instance uses no technical account.", "instances use no technical account.", count
        ),
        icon="accounts",
        tone="info",
    )


def _behind(tallies: Iterable[Tally]) -> Need:
    """Count what needs a person beyond failed pushes and changed files, which have lines of their own."""
    found: Counter[tuple[str, UUID | None]] = Counter()
    for each in tallies:
        if each.need not in LISTED_ELSEWHERE:
            found[each.account, each.account_id] += each.count
    count = found.total()
    sentence = ngettext(
        "installation is not proven to hold what it should hold.",
        "installations are not proven to hold what they should hold.",
        count,
    )
    url = f"{reverse('coverage')}?state={OTHERS}"
    links = [
        NeedLink(labelled(name, number), f"{url}&account={pk}")
        for (name, pk), number in sorted(found.items())[:SHOWN]
    ]
    return Need("superseded", "warning", count, sentence, url, links, len(found) - len(links))


def _drifted(tallies: Iterable[Tally]) -> Need:
    count = sum(each.count for each in tallies if each.need == covering.Need.DRIFTED)
    sentence = ngettext(
        "file was changed since the portal wrote it, or since someone accepted it.",
        "files were changed since the portal wrote them, or since someone accepted them.",
        count,
    )
    return Need("drifted", "danger", count, sentence, reverse("drift"), [])


def _on_jwt() -> Need:
    return _instances(
        "jwt",
        lambda count: ngettext(
            "instance had a JWT credential, which Adobe switches off, when it was last seen.",
            "instances had a JWT credential, which Adobe switches off, when they were last seen.",
            count,
        ),
    )


def _too_old() -> Need:
    return _instances(
        "old",
        lambda count: ngettext(
            "instance ran a build below 7.4.1 when last seen. A push after the upgrade checks again.",
            "instances ran a build below 7.4.1 when last seen. A push after the upgrade checks again.",
            count,
        ),
    )


def _proposals(found: Proposed) -> Need:
    """Count what was seen and does not fit the inventory, without what has a line of its own here."""
    sentence = ngettext(
        "thing that was seen does not match the inventory.",
        "things that were seen do not match the inventory.",
        found.count,
    )
    links = [
        NeedLink(
            labelled(each.name, each.number),
            page_url("container", each.container) if each.container else page_url("instance", each.instance),
        )
        for each in found.places
    ]
    url = f"{page_url('proposals')}?kind={NOT_SAID_ELSEWHERE}"
    return Need("archive", "info", found.count, sentence, url, links, found.all_places - len(links))


def _instances(
    need: str, sentence: Callable[[int], str], *, icon: str = "warning", tone: str = "warning"
) -> Need:
    """Count the instances that have a need; the link leads to exactly these."""
    rows = in_need(Instance.objects.all(), need)
    count = rows.count()
    links = [NeedLink(name, page_url("instance", pk)) for pk, name in rows.values_list("pk", "name")[:SHOWN]]
    url = f"{page_url('instances')}?need={need}"
    return Need(icon, tone, count, sentence(count), url, links, count - len(links))


def _drafts() -> Need:
    drafts = TechnicalAccount.objects.filter(state=TechnicalAccount.State.DRAFT)
    count = drafts.count()
    sentence = ngettext("account is still a draft.", "accounts are still drafts.", count)
    shown = drafts.values_list("pk", "name")[:SHOWN]
    links = [NeedLink(name, reverse("account", args=[pk])) for pk, name in shown]
    url = f"{reverse('accounts')}?state={TechnicalAccount.State.DRAFT.value}"
    return Need("draft", "info", count, sentence, url, links, count - len(links))


def page_url(name: str, *args: object) -> str:
    """Return the address of a page of another app, or an empty string where there is no such page."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""
