"""Who can mend what a push failed for: the likeliest first. Every code has its line."""

from collections.abc import Mapping

from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from instances.failures import Code


class Mender(models.TextChoices):
    """Who can mend the cause of a failure."""

    ADMIN = "admin", _("an admin")
    HELPDESK = "helpdesk", _("helpdesk (by a retry)")
    SERVER = "server", _("the server team")
    NETWORK = "network", _("the network team")
    CAMPAIGN = "campaign", _("the Campaign team")
    OPERATORS = "operators", _("the people who run the portal")
    NOBODY = "nobody", _("nobody has to")


A, H, S, N, C, O, NO = Mender  # noqa: E741  # one letter each keeps the table readable

MENDERS: Mapping[str, tuple[Mender, ...]] = {
    Code.NAME_NOT_RESOLVED: (A, N),
    Code.ADDRESS_NOT_ALLOWED: (A, O),
    Code.CONNECTION_REFUSED: (S,),
    Code.HOST_UNREACHABLE: (N,),
    Code.TIMED_OUT: (S, N),
    Code.SSH_SILENT: (S, A),
    Code.NOT_SSH: (A, S),
    Code.TURNED_AWAY: (S,),
    Code.SSH_TOO_OLD: (S,),
    Code.NO_COMMON_ALGORITHM: (S,),
    Code.CONNECTION_LOST: (S, N),
    Code.JUMP_HOST_UNREACHABLE: (N,),
    Code.JUMP_HOST_NOT_ALLOWED: (A, O),
    Code.JUMP_HOST_KEY_CHANGED: (A, N),
    Code.JUMP_HOST_TOO_OLD: (N,),
    Code.JUMP_HOST_NO_ALGORITHM: (N,),
    Code.JUMP_HOST_LOGIN_REFUSED: (N,),
    Code.JUMP_HOST_FORBIDS: (N,),
    Code.JUMP_HOST_NO_WAY: (S, N),
    Code.HOST_KEY_UNKNOWN: (A,),
    Code.HOST_KEY_CHANGED: (A, S),
    Code.LOGIN_REFUSED: (S,),
    Code.LOGIN_BARRED: (S,),
    Code.PASSWORD_EXPIRED: (S,),
    Code.SSH_KEY_UNUSABLE: (O,),
    Code.SESSION_REFUSED: (S,),
    Code.SCRIPT_NOT_RUN: (S,),
    Code.BECOME_REFUSED: (S,),
    Code.SHELL_UNUSABLE: (S, A),
    Code.USER_MISSING: (A, O),
    Code.WRONG_USER: (A,),
    Code.TOOLS_MISSING: (S,),
    Code.NLSERVER_NOT_FOUND: (A,),
    Code.INSTANCE_NOT_FOUND: (A,),
    Code.NOT_WRITABLE: (S,),
    Code.BUILD_UNKNOWN: (C,),
    Code.BUILD_TOO_OLD: (C,),
    Code.INPUT_NOT_PRIVATE: (S,),
    Code.BUSY: (H,),
    Code.NEWER_PUSH: (NO,),
    Code.OTHER_PORTAL: (A,),
    Code.TOO_LATE: (H,),
    Code.NOT_HANDED_OVER: (S,),
    Code.REFUSED_BY_NLSERVER: (C,),
    Code.NOT_APPLIED: (C,),
    Code.NOT_PROVEN: (H, A),
    Code.NOT_COMPARABLE: (H,),
    Code.CHANGED_AGAIN: (H, C),
    Code.OTHER_VERSION: (H, C),
    Code.DIGEST_AMBIGUOUS: (A,),
    Code.SEVERAL_SECRETS: (C,),
    Code.ORGANIZATION_EMPTY: (C,),
    Code.FILE_UNREADABLE: (C,),
    Code.ANSWER_MALFORMED: (S,),
    Code.JOURNAL_NOT_UNDERSTOOD: (A,),
    Code.CHANGED_BY_OTHERS: (C, H),
    Code.RELOAD_FAILED: (H, C),
    Code.RELOAD_NOT_CONFIRMED: (H,),
    Code.WRITE_NOT_CONFIRMED: (C, H),
    Code.STOPPED_BY_LIMIT: (C,),
    Code.KILLED: (S,),
    Code.NO_REPORT: (NO,),
    Code.INTERRUPTED: (N,),
    Code.SECRET_UNREADABLE: (O, A),
    Code.WORKER_LOST: (H,),
    Code.PORTAL_ERROR: (O,),
    Code.NO_LONGER_WANTED: (NO,),
    Code.RETIRED: (A,),
    Code.BY_HAND: (A,),
}


AFTER_RETRY: Mapping[str, tuple[Mender, ...]] = {
    Code.BUSY: (C,),
    Code.TOO_LATE: (O,),
    Code.NOT_COMPARABLE: (C,),
    Code.RELOAD_NOT_CONFIRMED: (C,),
    Code.WORKER_LOST: (O,),
}
"""Who is asked once a retry has failed for the same reason, where helpdesk alone could mend it before."""

ALL_NEEDED = frozenset({Code.HOST_KEY_CHANGED, Code.JUMP_HOST_KEY_CHANGED})
"""What nobody mends alone: one knows whether the key is right, another one approves it."""


SECURITY_IS_TOLD = frozenset({*ALL_NEEDED, Code.ANSWER_MALFORMED})
"""What may be an attack: the advice sends people to the security team, which mends nothing."""


def menders(code: str, *, is_alike: bool = False) -> tuple[Mender, ...]:
    """Return who can mend what a push failed for; nobody that is known without a code.

    `is_alike`: a retry has failed for the same reason, so another one by helpdesk mends nothing.
    """
    known = MENDERS.get(code, ())
    if not is_alike or Mender.HELPDESK not in known:
        return known
    return AFTER_RETRY.get(code) or tuple(each for each in known if each != Mender.HELPDESK)


def in_words(code: str, *, is_alike: bool = False) -> str:
    """Return who can mend it, as a sentence has it: `helpdesk (by a retry) or the Campaign team`."""
    first, *others = [str(each.label) for each in menders(code, is_alike=is_alike)] or [""]
    for other in others:
        words = (
            gettext("%(first)s and %(second)s") if code in ALL_NEEDED else gettext("%(first)s or %(second)s")
        )
        first = words % {"first": first, "second": other}
    return first


def mended_by(mender: str, *, is_alike: bool = False) -> list[str]:
    """Return the codes that somebody can mend, alone or with others; see `menders`."""
    return [str(code) for code in MENDERS if mender in menders(code, is_alike=is_alike)]
