"""What a preview says, in words: of each group of installations, of each of them, and how long it takes."""

import math
from collections.abc import Collection, Iterator

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy

from credentials.rollouts.choosing import OBSTACLES
from credentials.rollouts.how_long import Estimate
from credentials.rollouts.outlook import HOST_KEY_UNEXPECTED, NO_HOST_KEY
from credentials.rollouts.preview import Also, Fate, Group, Preview, Row
from instances.failures import Code, explain
from portal.punctuation import labelled, with_semicolons

MINUTE, HOUR = 60, 3600
EXACT_HOURS = 2 * HOUR
"""From here on a range is said in hours."""

_FATES = {
    Fate.REFUSED: ngettext_lazy(
        "%(count)s of %(total)s cannot be pushed to", "%(count)s of %(total)s cannot be pushed to", "count"
    ),
    Fate.LEFT_OUT: ngettext_lazy(
        "%(count)s of %(total)s is left out", "%(count)s of %(total)s are left out", "count"
    ),
    Fate.FAILS: ngettext_lazy(
        "%(count)s of %(total)s will fail", "%(count)s of %(total)s will fail", "count"
    ),
    Fate.LIKELY_FAILS: ngettext_lazy(
        "%(count)s of %(total)s is likely to fail", "%(count)s of %(total)s are likely to fail", "count"
    ),
    Fate.WAITS: ngettext_lazy("%(count)s of %(total)s waits", "%(count)s of %(total)s wait", "count"),
    Fate.PUSHED: ngettext_lazy(
        "%(count)s of %(total)s is pushed", "%(count)s of %(total)s are pushed", "count"
    ),
}
_ONE = {
    Fate.REFUSED: gettext_lazy("cannot be pushed to"),
    Fate.LEFT_OUT: gettext_lazy("is left out"),
    Fate.FAILS: gettext_lazy("will fail"),
    Fate.LIKELY_FAILS: gettext_lazy("is likely to fail"),
    Fate.WAITS: gettext_lazy("waits"),
    Fate.PUSHED: gettext_lazy("is pushed"),
}
_ALSO = {
    Also.HOLDS: ngettext_lazy(
        "%(count)s is proven to hold this version already: it is written there once more.",
        "%(count)s are proven to hold this version already: it is written there once more.",
        "count",
    ),
    Also.SUPERSEDES: ngettext_lazy(
        "%(count)s has an open push of an earlier rollout, which this one supersedes.",
        "%(count)s have an open push of an earlier rollout, which this one supersedes.",
        "count",
    ),
    Also.REPLACES: ngettext_lazy(
        "%(count)s uses another account now, which this one replaces.",
        "%(count)s use another account now, which this one replaces.",
        "count",
    ),
    Also.FAILED: ngettext_lazy(
        "%(count)s of those that are pushed failed at the last push: if nobody has fixed the cause, it "
        "fails again.",
        "%(count)s of those that are pushed failed at the last push: if nobody has fixed the cause, they "
        "fail again.",
        "count",
    ),
}
_KEYS = {
    NO_HOST_KEY: gettext_lazy("no approved host key"),
    HOST_KEY_UNEXPECTED: gettext_lazy(
        "the server showed a different host key from the one given in the inventory file"
    ),
}
_NO_KEY = gettext_lazy(
    "Nobody has confirmed yet that these servers really are the containers. Until an admin has scanned and "
    "approved their keys, each push ends before login."
)
NO_WORKER = gettext_lazy("No worker has been seen recently: nothing starts until one is there.")
_waits: dict[str, tuple[Promise, Promise]] = {}


def register_wait(code: str, reason: Promise, details: Promise) -> None:
    """Add the words of a room above for what a push waits for: of a group, and of one with its details."""
    _waits[code] = reason, details


def reason(why: str) -> str:
    """Return why something happens, as it follows a colon; empty for no reason."""
    if why in _KEYS:
        return str(_KEYS[why])
    if why in _waits:
        return str(_waits[why][0])
    if why in OBSTACLES:
        return str(OBSTACLES[why]).rstrip(".")
    return str(Code(why).label) if why in Code.values else why


def advice(group: Group) -> str:
    """Return what helps where a group of pushes would fail; empty where nothing has to be mended."""
    if group.fate == Fate.FAILS:
        return str(_NO_KEY)
    if group.fate != Fate.LIKELY_FAILS:
        return ""
    code = Code.HOST_KEY_CHANGED if group.why == HOST_KEY_UNEXPECTED else group.why
    return _("What to do if it fails: %s") % explain(code).next_step


def headline(group: Group, total: int) -> str:
    """Return what happens to a group: `4 of 14 will fail: no approved host key`."""
    text = str(_FATES[group.fate] % {"count": group.count, "total": total})
    return labelled(text, why) if (why := reason(group.why)) else text


def also(preview: Preview) -> list[str]:
    """Return what else happens to those that are pushed."""
    return [also_of(each, rows) for each, rows in preview.also]


def also_of(each: Also, rows: Collection[Row]) -> str:
    """Return one thing that else happens, at these installations."""
    return str(_ALSO[each] % {"count": len(rows)})


def does(preview: Preview) -> str:
    """Return what a push does on Campaign besides the file; empty where nothing is pushed."""
    if not preview.pushed:
        return ""
    sentences = [_("Each push has Campaign reload its configuration there.")]
    if count := sum(row.restarts_pipelined for row in preview.pushed):
        restarts = ngettext(
            "On %(count)s installation, a push also restarts pipelined, because the instance uses Adobe "
            "Triggers.",
            "On %(count)s installations, a push also restarts pipelined, because the instances use Adobe "
            "Triggers.",
            count,
        )
        sentences.append(restarts % {"count": count})
    return " ".join(sentences)


def in_words(row: Row) -> str:
    """Return what happens at one installation: `will fail: no approved host key`."""
    why = reason(row.why)
    text = labelled(_ONE[row.fate], why) if why else str(_ONE[row.fate])
    return with_semicolons([text, *further(row)])


def further(row: Row) -> Iterator[str]:
    """Yield what else there is to say of one installation than what its group says."""
    if row.later and row.later.code in _waits:
        yield str(_waits[row.later.code][1]) % row.later.details
    if row.why == Code.BUILD_TOO_OLD:
        yield _("build %s") % row.build
    if Also.HOLDS in row.also:
        yield _("already holds this version")
    if row.rollout:
        yield _("supersedes the open push of rollout %s") % row.rollout
    if row.failed:
        yield labelled(_("the last push there failed"), Code(row.failed).label)
    if row.account:
        yield _("replaces the account %s") % row.account


def duration(estimate: Estimate) -> str:
    """Return how long it takes, no more precisely than is known: `1 to 3 min`."""
    if estimate.high < MINUTE:
        return _("less than 1 min")
    unit = HOUR if estimate.high >= EXACT_HOURS else MINUTE
    low, high = int(estimate.low // unit), math.ceil(estimate.high / unit)
    text = _("%s h") if unit == HOUR else _("%s min")
    if low == 0:
        return _("up to %s") % (text % high)
    return text % (high if low == high else _("%(low)s to %(high)s") % {"low": low, "high": high})


def basis(estimate: Estimate) -> str:
    """Return what an estimate is judged by."""
    text = ngettext("judged by the last push", "judged by the last %(count)s pushes", estimate.judged_by)
    return text % {"count": estimate.judged_by}


def how_long(preview: Preview) -> str:
    """Return how long it takes, and what that is judged by."""
    found = preview.estimate
    if not preview.pushed:
        return ""
    if found is None:
        return _("How long it takes is not known yet: no push has been made so far.")
    text = _("It takes %(time)s, %(judged)s, if nothing else is under way.")
    sentences = [text % {"time": duration(found), "judged": basis(found)}]
    if not found.workers:
        sentences.append(str(NO_WORKER))
    if any(explain(row.why).retries for row in preview.pushed if row.why in Code.values):
        again = math.ceil(found.tries_last / MINUTE)
        sentences.append(_("Anything that does not answer is tried again for up to %s min.") % again)
    return " ".join(sentences)


def judged_by(preview: Preview) -> str:
    """Return what a preview is worth: when what it is judged by was seen."""
    if preview.sights is None:
        return _("Nothing has been seen on these containers yet: every push first looks at what is there.")
    first, last = (f"{timezone.localtime(each):%Y-%m-%d %H:%M}" for each in preview.sights)
    between = _("between %(first)s and %(last)s") % {"first": first, "last": last}
    seen = _("on %s") % last if first == last else between
    return _("Based on what was last seen, %s. Every push looks again at what is there.") % seen
