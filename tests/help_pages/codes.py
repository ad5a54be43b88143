"""The page of all failure codes: every table that people meet, with cause, remedy and who can mend it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from django.utils.functional import Promise

from credentials.adobe.ims import NEXT_STEPS, TokenVerdict
from credentials.rollouts.services import _OBSTACLES as OBSTACLES
from credentials.rotation.standing import WHY, Why
from credentials.rotation.waits import EXPLANATIONS as WAITS
from credentials.rotation.waits import Wait
from instances.failures import EXPLANATIONS, Code
from instances.menders import ALL_NEEDED, MENDERS
from portal.audit.chain.findings import PROBLEMS
from portal.notices.codes import Code as NoticeCode

_PARAMETER = re.compile(r"%\(\w+\)[sd]|%[sd]")


class Who(Enum):
    """Who can mend the cause of a failure; in English and in French."""

    ADMIN = ("an admin", "un administrateur")
    HELPDESK = ("helpdesk (by a retry)", "le support (par un nouvel essai)")
    SERVER = ("the server team", "l'équipe serveurs")
    NETWORK = ("the network team", "l'équipe réseau")
    CAMPAIGN = ("the Campaign team", "l'équipe Campaign")
    OPERATORS = ("the people who run the portal", "l'équipe d'exploitation du portail")
    NOBODY = ("nobody has to", "personne n'a rien à faire")

    def shown(self, language: str) -> str:
        return self.value[language == "fr"]


A, H, S, N, C, O, NO = Who  # noqa: E741  # one letter each keeps the table readable

GROUPS: tuple[tuple[str, str, tuple[Code, ...]], ...] = (
    (
        "Pushes: reaching the container",
        "Envois : atteindre le conteneur",
        (
            Code.NAME_NOT_RESOLVED,
            Code.ADDRESS_NOT_ALLOWED,
            Code.CONNECTION_REFUSED,
            Code.HOST_UNREACHABLE,
            Code.TIMED_OUT,
            Code.SSH_SILENT,
            Code.NOT_SSH,
            Code.TURNED_AWAY,
            Code.SSH_TOO_OLD,
            Code.NO_COMMON_ALGORITHM,
            Code.CONNECTION_LOST,
        ),
    ),
    (
        "Pushes: jump hosts",
        "Envois : serveurs de rebond",
        (
            Code.JUMP_HOST_UNREACHABLE,
            Code.JUMP_HOST_NOT_ALLOWED,
            Code.JUMP_HOST_KEY_CHANGED,
            Code.JUMP_HOST_TOO_OLD,
            Code.JUMP_HOST_NO_ALGORITHM,
            Code.JUMP_HOST_LOGIN_REFUSED,
            Code.JUMP_HOST_FORBIDS,
            Code.JUMP_HOST_NO_WAY,
        ),
    ),
    (
        "Pushes: host keys and login",
        "Envois : clés d'hôte et connexion",
        (
            Code.HOST_KEY_UNKNOWN,
            Code.HOST_KEY_CHANGED,
            Code.LOGIN_REFUSED,
            Code.LOGIN_BARRED,
            Code.PASSWORD_EXPIRED,
            Code.SSH_KEY_UNUSABLE,
            Code.SESSION_REFUSED,
            Code.SCRIPT_NOT_RUN,
            Code.BECOME_REFUSED,
            Code.SHELL_UNUSABLE,
            Code.USER_MISSING,
            Code.WRONG_USER,
        ),
    ),
    (
        "Pushes: before the secret is sent",
        "Envois : avant l'envoi du secret",
        (
            Code.TOOLS_MISSING,
            Code.NLSERVER_NOT_FOUND,
            Code.INSTANCE_NOT_FOUND,
            Code.NOT_WRITABLE,
            Code.BUILD_UNKNOWN,
            Code.BUILD_TOO_OLD,
            Code.INPUT_NOT_PRIVATE,
            Code.BUSY,
            Code.NEWER_PUSH,
            Code.OTHER_PORTAL,
            Code.TOO_LATE,
            Code.NOT_HANDED_OVER,
        ),
    ),
    (
        "Pushes: nlserver and the file",
        "Envois : nlserver et le fichier",
        (
            Code.REFUSED_BY_NLSERVER,
            Code.NOT_APPLIED,
            Code.NOT_PROVEN,
            Code.NOT_COMPARABLE,
            Code.CHANGED_AGAIN,
            Code.OTHER_VERSION,
            Code.DIGEST_AMBIGUOUS,
            Code.SEVERAL_SECRETS,
            Code.ORGANIZATION_EMPTY,
            Code.FILE_UNREADABLE,
            Code.ANSWER_MALFORMED,
            Code.JOURNAL_NOT_UNDERSTOOD,
            Code.CHANGED_BY_OTHERS,
            Code.RELOAD_FAILED,
            Code.RELOAD_NOT_CONFIRMED,
            Code.WRITE_NOT_CONFIRMED,
            Code.STOPPED_BY_LIMIT,
            Code.KILLED,
        ),
    ),
    (
        "Pushes: what nobody saw end, and the portal itself",
        "Envois : fin non observée, et le portail lui-même",
        (
            Code.NO_REPORT,
            Code.INTERRUPTED,
            Code.SECRET_UNREADABLE,
            Code.WORKER_LOST,
            Code.PORTAL_ERROR,
            Code.NO_LONGER_WANTED,
            Code.RETIRED,
            Code.BY_HAND,
        ),
    ),
)
"""Every code of pushes by what it is about."""

SENT_ONCE_MORE = frozenset({Code.WRITE_NOT_CONFIRMED})
"""What the portal sends once more by itself, though it is none of the codes that it tries again and again."""
FOR_ADMINS = frozenset({Wait.STILL_USED, Wait.NOT_STARTABLE})
"""Waits that go on by themselves, and may go on sooner, or at all, if an admin does something about them."""

NETWORKS = (NoticeCode.NAME_NOT_FOUND, NoticeCode.NO_CONNECTION, NoticeCode.REFUSED, NoticeCode.TIMED_OUT)
NOTICES: Mapping[str, tuple[Who, ...]] = {
    **dict.fromkeys(NoticeCode, (A,)),
    **dict.fromkeys(NETWORKS, (N, A)),
    NoticeCode.ADDRESS_NOT_ALLOWED: (O, A),
    NoticeCode.TLS: (O,),
    NoticeCode.MAIL_OFF: (O,),
    NoticeCode.MAIL_LOGIN: (O,),
    NoticeCode.INTERNAL: (O,),
}
PAGES = {
    "account_rollout": ("the page of the account, Roll out", "la page du compte, déploiement"),
    "container": ("the page of the container", "la page du conteneur"),
    "host_keys": ("the page of the container, Host keys", "la page du conteneur, clés d'hôte"),
    "instance": ("the page of the instance", "la page de l'instance"),
    "": ("", ""),
}
ADOBES: Mapping[str, tuple[Who, ...]] = {
    **dict.fromkeys(TokenVerdict, (A,)),
    TokenVerdict.VALID: (NO,),
    TokenVerdict.UNREACHABLE: (N,),
    TokenVerdict.NOT_ASKED: (O,),
}


@dataclass(frozen=True)
class Words:
    """What the page says itself, in one language."""

    title: str
    summary: str
    how_to_read: str
    pushes: str
    what: str
    who: str
    again: str
    yes: str
    no: str
    one_of_them: str
    all_needed: str
    retries: str
    retries_about: str
    mended_at: str
    rotations: str
    rotations_about: str
    policies: str
    policies_about: str
    adobe: str
    adobe_about: str
    notices: str
    notices_about: str
    history: str
    history_about: str
    history_what: str
    colon: str = ":"


ENGLISH = Words(
    title="Failure codes",
    summary="Every code that the portal shows when something failed or waits: what it means, why, what to "
    "do, and who can do it.",
    how_to_read="Look for the code as the page, an export or a command shows it: the search of your browser "
    "finds it here. Codes stay the same in every language and in later releases. A blank of an explanation, "
    "such as a name or a number, is written here as “…”.",
    pushes="Readings of containers and scans of host keys use the same codes as pushes.",
    what="What to do",
    who="Who can mend it",
    again="The portal tries again by itself",
    yes="yes",
    no="no",
    one_of_them="or",
    all_needed="and",
    retries="Why a push cannot be retried",
    retries_about="These are no failures of their own: they say why Retry is not offered. "
    "Commands show them as `no_retry` and in `preview`.",
    mended_at="Look at",
    rotations="What a rotation waits for",
    rotations_about="The page of a rotation shows one of these, and its buttons answer it. Where a text says "
    "“here” or “below”, it means that page.",
    policies="What keeps a policy from starting a rotation",
    policies_about="A policy that is due and starts nothing says one of these on the page of its account.",
    adobe="Adobe's answers about a secret",
    adobe_about="A worker asks Adobe for a token with the secret; the token itself is thrown away.",
    notices="Notices that were not sent",
    notices_about="A message is tried again for a while, more and more rarely, and then given up: "
    "Send again on its page sends it once more.",
    history="What a verification of the history finds",
    history_about="Each of them means that the database was changed by hand, restored from another time, or "
    "is verified with another key.",
    history_what="Tell the people who run the portal and an auditor, and leave the database as it is. "
    "The page Verify the history names the entries.",
)
FRENCH = Words(
    title="Codes d'échec",
    summary="Tous les codes que le portail affiche quand quelque chose a échoué ou attend : leur sens, la "
    "cause, la marche à suivre et qui peut intervenir.",
    how_to_read="Cherchez le code tel que l'affiche la page, une exportation ou une commande : la recherche "
    "de votre navigateur le trouve ici. Les codes restent les mêmes dans toutes les langues et dans les "
    "versions suivantes du portail. Ce qu'une explication complète au cas par cas, un nom ou un nombre "
    "par exemple, est noté ici « … ».",
    pushes="Les relevés de conteneurs et les analyses de clés d'hôte emploient les mêmes codes que les "
    "envois.",
    what="Que faire",
    who="Qui peut y remédier",
    again="Le portail réessaie de lui-même",
    yes="oui",
    no="non",
    one_of_them="ou",
    all_needed="et",
    retries="Pourquoi un envoi ne peut pas être réessayé",
    retries_about="Ce ne sont pas des échecs à part entière : ces codes disent pourquoi le nouvel essai "
    "n'est pas proposé. Les commandes les affichent dans `no_retry` et dans `preview`.",
    mended_at="Voir",
    rotations="Ce qu'une rotation attend",
    rotations_about="La page d'une rotation affiche l'un de ces codes, et ses boutons y répondent. Quand un "
    "texte dit « ici » ou « ci-dessous », il parle de cette page.",
    policies="Ce qui empêche une règle de rotation de démarrer une rotation",
    policies_about="Une règle de rotation arrivée à échéance qui ne démarre rien affiche l'un de ces codes "
    "sur la page de son compte.",
    adobe="Réponses d'Adobe au sujet d'un secret",
    adobe_about="Un worker demande un jeton à Adobe avec le secret ; le jeton lui-même est jeté.",
    notices="Notifications qui n'ont pas été envoyées",
    notices_about="L'envoi d'un message est réessayé pendant un temps, de plus en plus rarement, puis "
    "abandonné : sa page permet de l'envoyer une nouvelle fois.",
    history="Ce que trouve une vérification de l'historique",
    history_about="Chacun de ces codes signifie que la base de données a été modifiée à la main, "
    "restaurée à un autre moment, ou qu'elle est vérifiée avec une autre clé.",
    history_what="Prévenez l'équipe d'exploitation du portail et un auditeur, et laissez la base de données "
    "telle quelle. La page de vérification de l'historique nomme les entrées concernées.",
    colon=" :",
)


def page(language: str) -> str:
    """Return the page; codes' own texts are in the language that is active."""
    words = FRENCH if language == "fr" else ENGLISH
    return "\n\n".join(_blocks(words, language)) + "\n"


def _blocks(words: Words, language: str) -> Iterator[str]:
    yield f"# {words.title}"
    yield words.summary
    yield words.how_to_read
    yield words.pushes
    for english, french, codes in GROUPS:
        yield f"## {french if language == 'fr' else english}"
        for code in codes:
            who = tuple(Who[mender.name] for mender in MENDERS[code])
            known = EXPLANATIONS[code]
            yield from _entry(code, code.label, known.cause)
            again = words.yes if known.retries or code in SENT_ONCE_MORE else words.no
            are_all = code in ALL_NEEDED
            yield _facts(words, language, what=known.next_step, who=who, again=again, are_all=are_all)
    yield f"## {words.retries}"
    yield words.retries_about
    for code_of, obstacle in OBSTACLES.items():
        yield f"### retry {code_of}"
        yield str(obstacle.text)
        if place := PAGES[obstacle.page][language == "fr"]:
            yield f"* {words.mended_at}{words.colon} {place}."
    yield from _rotations(words, language)
    yield from _others(words, language)


def _rotations(words: Words, language: str) -> Iterator[str]:
    yield f"## {words.rotations}"
    yield words.rotations_about
    for wait in (each for each in Wait if each != Wait.ENDED):
        known = WAITS[wait]
        yield from _entry(f"rotation {wait}", wait.label, known.cause)
        again = words.yes if known.by_itself or wait == Wait.PORTAL_ERROR else words.no
        who = (NO,) if known.by_itself and wait not in FOR_ADMINS else (A,)
        if wait in {Wait.UNREADABLE, Wait.PORTAL_ERROR}:
            who = (O,)
        yield _facts(words, language, what=known.next_step, who=who, again=again)
    yield f"## {words.policies}"
    yield words.policies_about
    for why in Why:
        yield from _entry(f"policy {why}", why.label, WHY[why])
        yield _facts(words, language, who=(A,))


def _others(words: Words, language: str) -> Iterator[str]:
    yield f"## {words.adobe}"
    yield words.adobe_about
    for verdict in TokenVerdict:
        yield from _entry(f"adobe {verdict}", verdict.label, NEXT_STEPS[verdict])
        yield _facts(words, language, who=ADOBES[verdict])
    yield f"## {words.notices}"
    yield words.notices_about
    for notice in NoticeCode:
        yield f"### notice {notice}"
        yield str(notice.label)
        yield _facts(words, language, who=NOTICES[notice])
    yield f"## {words.history}"
    yield words.history_about
    yield words.history_what
    for problem, text in PROBLEMS.items():
        yield f"### history {problem}"
        yield _sentence(text)


def _entry(code: str, label: object, cause: object) -> Iterator[str]:
    yield f"### {code}"
    yield f"**{_sentence(label)}** {_plain(cause)}"


def _sentence(label: object) -> str:
    text = _plain(label)
    text = text[:1].upper() + text[1:]
    return text if text[-1:] in ".?!" else f"{text}."


def _facts(
    words: Words,
    language: str,
    *,
    who: tuple[Who, ...],
    what: object = "",
    again: str = "",
    are_all: bool = False,
) -> str:
    joint = words.all_needed if are_all else words.one_of_them
    named = f" {joint} ".join(each.shown(language) for each in who)
    lines = [
        (words.what, _plain(what)),
        (words.who, f"{named}."),
        (words.again, f"{again}." if again else ""),
    ]
    return "\n".join(f"* {label}{words.colon} {text}" for label, text in lines if text)


class _Some(int):
    """A number that is written as a blank."""

    def __str__(self) -> str:
        return "…"


class _Blanks(dict[str, _Some]):
    """Values for whatever a text would name: several of it."""

    def __missing__(self, name: str) -> _Some:
        return _Some(2)


def _plain(text: object) -> str:
    """Return a text with a sign for what it would name, and nothing that Markdown takes for a mark."""
    if isinstance(text, Promise) and not str(text):  # singular and plural: it has no words without a number
        text = text % _Blanks()  # a lazy plural
    shown = _PARAMETER.sub("…", str(text)).replace("%%", "%")
    return re.sub(r"([*_<>\[\]`|])", r"\\\1", shown)
