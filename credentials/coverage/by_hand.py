"""Reports from containers that the portal cannot reach: judging what a person pasted, and keeping it.

A report is a person's word. It is compared with what is known, and proves nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credentials.coverage.holding import with_holding
from credentials.desired import change
from credentials.models import ClientSecret, TechnicalAccount, Why
from credentials.rollouts.models import HandReport, ProvenDigest, ReportedVersion
from credentials.rollouts.starting import one_start_at_a_time
from instances.discovery.models import Observation
from instances.discovery.observing import Sight, observe
from instances.models import NOT_BY_HAND, Installation
from instances.nlserver import NotReadBack, ReadBack, parse_read_back
from instances.requirements import obstacle
from portal.audit.trail import Actor, record
from portal.plaintext import cut_out

OLDEST = timedelta(hours=24)
CLOCKS = timedelta(hours=1)
"""How far the clock of a container may be ahead of the portal's."""
MOST = 250

UNREADABLE: dict[str, Promise] = {
    "too_long": gettext_lazy("This is far longer than what the script prints: paste only its block."),
    "no_block": gettext_lazy(
        "This contains no block from the read-back script. The block begins with READ-BACK 1 BEGIN. If the "
        "script printed an error instead, fix that first."
    ),
    "several": gettext_lazy("This contains more than one block: paste only the newest one."),
    "cut_off": gettext_lazy(
        "The block is cut off: paste all of it, from READ-BACK 1 BEGIN to READ-BACK 1 END."
    ),
    "changed": gettext_lazy(
        "The block is not as the script printed it: its checksum does not match. Copy it again, directly "
        "from the terminal."
    ),
    "other_script": gettext_lazy(
        "This block is from another release of the script: get the script from the runbook again."
    ),
    "malformed": gettext_lazy("The block is not from the read-back script: run the script again."),
}
"""Why a text is no block, by the codes of `NotReadBack`."""


class NotReported(Exception):
    """A report that is refused; nothing was kept. `field`: `block`, `version` or `host_compared`."""

    def __init__(self, text: "str | Promise", field: str = "block") -> None:
        super().__init__(str(text))
        self.field = field


@dataclass(frozen=True)
class Report:
    """What was kept, and the version that the digest is known for; None if it is known for none."""

    row: HandReport
    known: ClientSecret | None


def by_hand() -> QuerySet[Installation]:
    """Return the installations in use that the portal cannot reach."""
    return Installation.objects.not_retired().exclude(NOT_BY_HAND.of("container").condition())


def account_of(installation: Installation) -> TechnicalAccount | None:
    """Return the account in use there; None without one."""
    assignment = getattr(installation.instance, "assignment", None)
    return assignment.account if assignment else None


@transaction.atomic
def report(
    *,
    installation: Installation,
    text: str,
    actor: Actor,
    version: ClientSecret | None = None,
    host_compared: bool = False,
    note: str = "",
) -> Report:
    """Keep what a person pasted of the read-back script; `NotReported` says at which field what is wrong.

    `version`: the one that was set there before the script ran, as the person says; it is desired there from
    then on. None: they only looked. `host_compared`: they are sure of the server, whatever its host name was.
    """
    block = _parsed(text)
    one_start_at_a_time()
    row = with_holding(_asked().filter(pk=installation.pk)).first()
    problems = (*_problems_of_place(row, installation), *_problems_of_block(block, installation))
    if problem := next(iter(problems), None):
        raise NotReported(problem)
    if not host_compared and (doubt := _doubt_about_host(block, installation)):
        raise NotReported(doubt, "host_compared")
    sight = Sight.of(block.state, cut_out, build=block.build)
    known = _known(sight)
    if version and (problem := _problem_of_version(row, version, block, known)):
        raise NotReported(problem, "version")
    return Report(_keep(row, block, sight, version, actor, note), known[0] if known else None)


def _asked() -> QuerySet[Installation]:
    return Installation.objects.select_related("instance__assignment__account", "container")


def _parsed(text: str) -> ReadBack:
    try:
        return parse_read_back(text)
    except NotReadBack as error:
        raise NotReported(UNREADABLE[error.code]) from None


def _problems_of_place(row: Installation | None, installation: Installation) -> Iterator[str]:
    if row is None or row.retired_with:
        yield _("%s is retired, or was removed: nothing can be reported for it.") % installation.label
    elif not obstacle(row.container, [NOT_BY_HAND]):
        yield _("The portal reaches %s itself: have the portal read it instead.") % row.container


def _problems_of_block(block: ReadBack, installation: Installation) -> Iterator[str]:
    """Say what keeps a block from being believed, the plainest reason first."""
    container, instance = installation.container.name, installation.instance.name
    if block.container != container:
        text = _("This block is from the container %(other)s, and this page is about %(own)s.")
        yield text % {"other": block.container, "own": container}
    if block.instance != instance:
        text = _("This block is from the instance %(other)s, and this page is about %(own)s.")
        yield text % {"other": block.instance, "own": instance}
    if former := HandReport.objects.filter(nonce=block.nonce).first():
        text = _("This block was already reported on %(when)s by %(by)s: run the script again.")
        yield text % {"when": _minute(former.at), "by": former.by}
    yield from _problems_of_time(block, installation)
    if not block.state.read:
        yield _(
            "The script could not read the file to its end: it is damaged, or was being written. Look at "
            "it, and run the script again."
        )


def _minute(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"


def _problems_of_time(block: ReadBack, installation: Installation) -> Iterator[str]:
    now = timezone.now()
    text = ""
    if block.at < now - OLDEST:
        text = _(
            "This block is from %s, more than a day ago: run the script again. If it was run just now, the "
            "clock of the container is wrong."
        )
    elif block.at > now + CLOCKS:
        text = _("This block is from %s, which is in the future: the clock of the container is wrong.")
    elif HandReport.objects.filter(installation=installation, measured__gt=block.at).exists():
        text = _("A newer block was already reported. This one is from %s.")
    if text:
        yield text % _minute(block.at)


def _doubt_about_host(block: ReadBack, installation: Installation) -> str:
    """Return why the block may come from another server, going by what servers were reported to be called."""
    container = installation.container_id
    reports = HandReport.objects.select_related("installation__container")
    if other := reports.filter(host=block.host).exclude(installation__container=container).first():
        text = _(
            "The server %(host)s was reported as the container %(other)s before. Was the script run on the "
            "wrong one?"
        )
        return text % {"host": block.host, "other": other.installation.container}
    mine = reports.filter(installation__container=container).first()
    if mine and mine.host != block.host:
        text = _(
            "The server is called %(host)s, and was %(former)s when it was reported last. Was the script run "
            "on the wrong one?"
        )
        return text % {"host": block.host, "former": mine.host}
    return ""


def _known(sight: Sight) -> list[ClientSecret]:
    """Return the versions that the digest is proven for elsewhere; more than one if a proof is false."""
    if not sight.digest:
        return []
    same = {"client_id": sight.client_id, "account__technical_account_id": sight.account_id}
    proven = ProvenDigest.objects.filter(digest=sight.digest).values("secret")
    rows = ClientSecret.objects.filter(pk__in=proven, **same).select_related("account")
    return list(rows.order_by("version"))


def _problem_of_version(
    row: Any,  # Any: an installation with its holding
    version: ClientSecret,
    block: ReadBack,
    known: list[ClientSecret],
) -> str:
    """Return why the version cannot be what is there, or an empty text."""
    account = account_of(row)
    if account is None or version.account_id != account.pk or not version.is_usable:
        return _("This is not a usable version of the account in use here: look again.")
    return (
        _problem_of_ids(block, version, account)
        or _problem_of_secret(block)
        or _problem_of_known(block, version, known)
        or _problem_of_before(row, version, block, known)
    )


def _problem_of_ids(block: ReadBack, version: ClientSecret, account: TechnicalAccount) -> str:
    state = block.state
    organizations = state.organization_ids or (account.organization_id,)  # none: the server's own counts
    wanted = (
        (_("Client ID"), state.client_ids, version.client_id),
        (_("Technical account ID"), state.technical_account_ids, account.technical_account_id),
        (_("Organization ID"), organizations, account.organization_id),
    )
    for name, found, value in wanted:
        if set(found) != {value}:
            text = _("%(name)s in the file: %(found)s. The account has %(value)s.")
            values = ", ".join(sorted(each or _("an empty one") for each in set(found))) or _("none")
            return text % {"name": name, "found": cut_out(values), "value": value}
    return ""


def _problem_of_secret(block: ReadBack) -> str:
    if block.state.digest:
        return ""
    return _("The file does not hold exactly one encrypted secret: look at what nlserver said there.")


def _problem_of_known(block: ReadBack, version: ClientSecret, known: list[ClientSecret]) -> str:
    """Equal ciphertext is equal plaintext: what is known of this digest contradicts what the person says."""
    if known and version not in known:
        text = _(
            "The file holds version %(found)s, not %(said)s: its encrypted secret is proven to be that of "
            "version %(found)s."
        )
        return text % {"found": known[0].version, "said": version.version}
    said = HandReport.objects.filter(digest=block.state.digest).exclude(version=None).exclude(version=version)
    related = ("version__account", "installation__instance", "installation__container")
    if other := said.select_related(*related).first():
        text = _("The same encrypted secret was reported as %(found)s, on %(there)s by %(by)s: one is wrong.")
        return text % {"found": str(other.version), "there": other.installation.label, "by": other.by}
    return ""


def _problem_of_before(row: Any, version: ClientSecret, block: ReadBack, known: list[ClientSecret]) -> str:
    """Return why nothing was set: the secret is what it was when it was not known to be this version."""
    is_unchanged = row.observed_digest == block.state.digest
    if known or not is_unchanged or row.held_version == version.pk:
        return ""
    return _(
        "The encrypted secret is the same as before, so the command has changed nothing. Look at what "
        "nlserver said there."
    )


def _keep(  # what one row is made of
    row: Any, block: ReadBack, sight: Sight, version: ClientSecret | None, actor: Actor, note: str
) -> HandReport:
    before = row.observed_digest
    hand = Observation.Source.HAND
    seen = observe(installation_id=row.pk, sight=sight, source=hand, source_id=block.nonce)
    made = HandReport.objects.create(
        installation=row,
        by=actor.name,
        note=cut_out(note)[:MOST],
        nonce=block.nonce,
        measured=block.at,
        host=cut_out(block.host),
        version=version,
        before=before[:64],
        digest=sight.digest,
        stamp=sight.stamp,
        observation=seen,
    )
    if version:
        facts = {"report": made, "secret": version, "digest": sight.digest, "observation": seen}
        ReportedVersion.objects.update_or_create(installation=row, defaults=facts)
        change({row.pk: (version.pk, None)}, Why.REPORTED)
    details: dict[str, object] = {"observation": seen.pk, "host": made.host, "measured": block.at.isoformat()}
    details |= {"version": version.version, "fingerprint": version.fingerprint} if version else {}
    details |= {"note": made.note} if made.note else {}
    record("installation.reported_by_hand", actor=actor, target=row, details=details)
    made.refresh_from_db()  # the database gave it its moment
    made.installation = row
    return made


def last_reports(installation: Installation, most: int = 10) -> QuerySet[HandReport]:
    """Return the newest reports of an installation."""
    return installation.hand_reports.select_related("version", "observation")[:most]
