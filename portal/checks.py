"""System checks that refuse settings under which the portal would not be safe."""

import os
import stat
from dataclasses import dataclass
from ipaddress import ip_network
from logging import getLevelNamesMapping
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004  # Django's name

from portal.calls.mail import PLAIN, SECURITY
from portal.environment import env, misspelled
from portal.keys.registry import configured
from portal.private_files import lines_of

TAG = "portal"
LOOPBACK = {"127.0.0.1", "localhost", "[::1]", "testserver"}


@dataclass(frozen=True)
class Required:
    """A setting that production must give: what its default would do, and the lines to write."""

    why: str
    line: str
    otherwise: str
    """The line that asks for the default by name, or for what is as wide."""


REQUIRED = {
    "DATABASE_URL": Required(
        "the portal would work on an empty SQLite file of its own",
        "DATABASE_URL=postgres://portal:PASSWORD@db.example.com/portal",
        "DATABASE_URL=sqlite:////var/lib/campaign-portal/portal.sqlite3",
    ),
    "BROKER_URL": Required(
        "messages would go into files of this machine, where no other machine's worker sees them",
        "BROKER_URL=rediss://:PASSWORD@redis.example.com:6379/0",
        "BROKER_URL=filesystem://localhost",
    ),
    "TARGET_NETWORKS": Required(
        "the portal would connect to any address that somebody enters",
        "TARGET_NETWORKS=10.0.0.0/8",
        "TARGET_NETWORKS=0.0.0.0/0,::/0",
    ),
    "TRUSTED_PROXY_HOPS": Required(
        "everybody would seem to come from the proxy, and five wrong passwords would lock all of them out",
        "TRUSTED_PROXY_HOPS=1",
        "TRUSTED_PROXY_HOPS=0",
    ),
}
DAY = 86_400
RANGES: dict[str, tuple[str, float, float]] = {
    "DATABASE_POOL": ("DATABASE_POOL", 1, 1000),
    "DIALS_PER_WORKER": ("DIALS_PER_WORKER", 1, 100_000),
    "PUSHES_PER_JUMP_HOST": ("PUSHES_PER_JUMP_HOST", 1, 1000),
    "PUSHES_PER_ROLLOUT": ("PUSHES_PER_ROLLOUT", 1, 5000),
    "PUSHES_PER_WORKER": ("PUSHES_PER_WORKER", 1, 5000),
    "PUSH_COMMAND_LIMIT": ("PUSH_COMMAND_LIMIT", 1, 3600),
    "PUSH_CONNECT_TIMEOUT": ("PUSH_CONNECT_TIMEOUT", 0.1, 600),
    "PUSH_LEASE": ("PUSH_LEASE", 1, DAY),
    "PUSH_LEASE_RENEWAL": ("PUSH_LEASE_RENEWAL", 0.1, DAY),
    "PUSH_READY_TIMEOUT": ("PUSH_READY_TIMEOUT", 0.1, 3600),
    "PUSH_RETRY_DELAYS": ("PUSH_RETRY_DELAYS", 0, 7 * DAY),
    "PUSH_SECOND_LOOK": ("PUSH_SECOND_LOOK", 0, 3600),
    "READ_INTERVAL": ("READ_INTERVAL", 0, 30 * DAY),
    "EMAIL_PORT": ("EMAIL_PORT", 1, 65_535),
    "KEEP_NOTICES_DAYS": ("KEEP_NOTICES_DAYS", 0, 36_500),
    "KEEP_OUTPUT_DAYS": ("KEEP_OUTPUT_DAYS", 0, 36_500),
    "KEEP_READINGS_DAYS": ("KEEP_READINGS_DAYS", 0, 36_500),
    "KEEP_SIGHTS_DAYS": ("KEEP_SIGHTS_DAYS", 0, 36_500),
    "RECONCILE_INTERVAL": ("RECONCILE_INTERVAL", 0.1, 3600),
    "ROTATION_ASK_INTERVAL": ("ROTATION_ASK_INTERVAL", 1, DAY),
    "ROTATION_IDLE": ("ROTATION_IDLE", 1, 30 * DAY),
    "ROTATION_LEASE": ("ROTATION_LEASE", 5, 600),
    "ROTATION_PAUSE": ("ROTATION_PAUSE", 0.1, 600),
    "ROTATION_READ_WITHIN": ("ROTATION_READ_WITHIN", 60, 7 * DAY),
    "SESSION_ABSOLUTE_SECONDS": ("SESSION_ABSOLUTE_SECONDS", 60, 7 * DAY),
    "SESSION_IDLE_SECONDS": ("SESSION_COOKIE_AGE", 60, 7 * DAY),
    "TRUSTED_PROXY_HOPS": ("TRUSTED_PROXY_HOPS", 0, 10),
    "WORKER_SOFT_SHUTDOWN_SECONDS": ("CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT", 0, 3600),
}
"""For each number its name in `django.conf.settings`, and the least and the most that it may be."""


def serves_other_machines() -> bool:
    """Whether this is production: other machines may come, or TLS is on."""
    return bool(settings.HTTPS) or not set(settings.ALLOWED_HOSTS) <= LOOPBACK


@register(TAG)
def safe_settings(**_: object) -> list[CheckMessage]:
    """Return one error for each setting that contradicts safe operation."""
    problems: list[CheckMessage] = []
    if not settings.HTTPS and not set(settings.ALLOWED_HOSTS) <= LOOPBACK:
        problems.append(
            Error(
                "HTTPS is off, but the portal answers to other names than this machine's own.",
                hint="Set HTTPS=True behind a TLS proxy, or leave ALLOWED_HOSTS to localhost.",
                id="portal.E001",
            )
        )
    if settings.HTTPS and not settings.ALLOWED_HOSTS:
        problems.append(
            Error(
                "ALLOWED_HOSTS is empty.",
                hint="Name the portal's host, e.g. portal.example.com.",
                id="portal.E002",
            )
        )
    if settings.HTTPS and settings.ALLOW_LOOPBACK_TARGETS:
        problems.append(
            Error(
                "Pushing to this machine itself is switched on in production.",
                hint="Remove ALLOW_LOOPBACK_TARGETS from the environment.",
                id="portal.E003",
            )
        )
    return [
        *problems,
        *_hosts(),
        *_adobe(),
        *_mail(),
        *_portal_url(),
        *_private_files(),
        *_networks(),
        *_key_lengths(),
        *_metrics_token(),
        *_required(),
        *_not_understood(),
        *_out_of_range(),
        *_unknown_names(),
    ]


@register(TAG, deploy=True)
def settings_of_a_deployment(**_: object) -> list[CheckMessage]:
    """Warn in a deployment check, before a host is named, of what production must set."""
    if serves_other_machines():
        return []  # then these are errors
    return [Warning(each.msg, hint=each.hint, id="portal.W021") for each in _missing()]


def _required() -> list[CheckMessage]:
    return _missing() if serves_other_machines() else []


def _missing() -> list[CheckMessage]:
    """Return an error for each setting that production must give and that is not given."""
    resembles = {near.removesuffix("_FILE"): name for name, near in misspelled().items()}
    return [
        Error(
            f"{name} is not set: {each.why}."
            + (f" Was {resembles[name]} meant to be {name}?" if name in resembles else ""),
            hint=f"Write {each.line} (or its like), or on purpose {each.otherwise}",
            id="portal.E021",
        )
        for name, each in REQUIRED.items()
        if name not in env.given
    ]


def _not_understood() -> list[CheckMessage]:
    hint = ".env.example explains every setting."
    problems: list[CheckMessage] = [Error(text, hint=hint, id="portal.E022") for text in env.problems]
    if settings.LOG_FORMAT not in ("text", "json"):
        problems.append(Error("LOG_FORMAT is neither text nor json.", hint=hint, id="portal.E022"))
    if settings.LOG_LEVEL not in getLevelNamesMapping():
        problems.append(Error("LOG_LEVEL is no level, such as INFO.", hint=hint, id="portal.E022"))
    for name in ("ADOBE_CA_BUNDLE", "NOTICE_CA_BUNDLE"):
        path = getattr(settings, name)
        if path and not os.access(path, os.R_OK):
            problems.append(Error(f"{name} names no file that can be read.", hint=hint, id="portal.E022"))
    return problems


def _out_of_range() -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    for name, (setting, least, most) in RANGES.items():
        value = getattr(settings, setting, least)
        values = value if isinstance(value, list) else [value]
        if not all(least <= each <= most for each in values):
            hint = f"Give {least:g} to {most:g}."
            problems.append(Error(f"{name} is out of range.", hint=hint, id="portal.E023"))
    if 0 < settings.READ_INTERVAL < 3600:
        text = "READ_INTERVAL is less than an hour: containers would have somebody logged in all the time."
        problems.append(Error(text, hint="Give 3600 or more, or 0 for never.", id="portal.E023"))
    if settings.PUSH_LEASE_RENEWAL > settings.PUSH_LEASE / 2:
        text = "PUSH_LEASE_RENEWAL is over half of PUSH_LEASE: one late renewal would lose a container."
        problems.append(Error(text, hint="Renew at least three times in a lease.", id="portal.E023"))
    return problems


def _unknown_names() -> list[CheckMessage]:
    """Name variables that were probably meant for the portal: it would silently go by a default."""
    return [
        Warning(
            f"{name} is no setting of the portal, and is ignored.",
            hint=f"Was {near} meant?" if near else ".env.example explains every setting.",
            id="portal.W024",
        )
        for name, near in misspelled().items()
    ]


def _hosts() -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    if any(host.startswith("*") for host in settings.ALLOWED_HOSTS):
        problems.append(
            Error(
                "ALLOWED_HOSTS lets the portal answer to any name.",
                hint="Name the portal's host, e.g. portal.example.com.",
                id="portal.E008",
            )
        )
    if any("*" in origin for origin in settings.CSRF_TRUSTED_ORIGINS):
        text = "CSRF_TRUSTED_ORIGINS lets other sites send forms in the name of people who are signed in."
        problems.append(Error(text, hint="Name each origin in full.", id="portal.E008"))
    return problems


def _adobe() -> list[CheckMessage]:
    """Only to this machine itself, where stand-ins answer, may a secret go without TLS."""
    address = urlsplit(settings.IMS_BASE_URL)
    is_local = address.scheme == "http" and address.hostname in {"127.0.0.1", "localhost", "::1"}
    if address.scheme == "https" or (is_local and not settings.HTTPS):
        return []
    return [Error("IMS_BASE_URL would send client secrets in clear.", hint="Use https://.", id="portal.E007")]


def _mail() -> list[CheckMessage]:
    """Where mail is on, it has a sender, and no password goes over the network in clear."""
    problems: list[CheckMessage] = []
    if settings.EMAIL_SECURITY not in SECURITY:
        text = f"EMAIL_SECURITY is none of {', '.join(SECURITY)}."
        problems.append(Error(text, hint="starttls is usual, on port 587.", id="portal.E025"))
    if settings.EMAIL_HOST and not settings.DEFAULT_FROM_EMAIL:
        text = "EMAIL_HOST is set, but EMAIL_FROM is not: mail servers refuse mail without a sender."
        problems.append(Error(text, hint="EMAIL_FROM=portal@example.com", id="portal.E025"))
    is_here = settings.EMAIL_HOST in {"127.0.0.1", "localhost", "::1"}
    if settings.EMAIL_HOST_PASSWORD and settings.EMAIL_SECURITY == PLAIN and not is_here:
        text = "EMAIL_SECURITY=none would send EMAIL_PASSWORD in clear."
        problems.append(Error(text, hint="Use starttls or tls.", id="portal.E025"))
    return problems


def _portal_url() -> list[CheckMessage]:
    parts = urlsplit(settings.PORTAL_URL)
    if not settings.PORTAL_URL or (parts.scheme in ("http", "https") and parts.hostname):
        return []
    hint = "Give it as people open it: https://portal.example.com"
    return [Error("PORTAL_URL is no web address.", hint=hint, id="portal.E025")]


def _private_files() -> list[CheckMessage]:
    """Keys, and the database file: it holds sessions, and somebody who copies one can act as that person."""
    keys = [path for path in Path(settings.KEYS).glob("*") if path.suffix != ".pub"]
    database = settings.DATABASES["default"]
    if database["ENGINE"] == "django.db.backends.sqlite3":
        keys.append(Path(database["NAME"]))
    return [
        Error(
            f"The file {path} can be read by other users of this machine.",
            hint=f"chmod 600 {path}",
            id="portal.E004",
        )
        for path in keys
        if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]


def _networks() -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    for name in ("TARGET_NETWORKS", "NOTICE_NETWORKS"):
        for text in getattr(settings, name):
            try:
                ip_network(text)
            except ValueError as error:
                problems.append(Error(f"{name}: {error}", id="portal.E005"))
    return problems


def _key_lengths() -> list[CheckMessage]:
    return [
        Error(
            f"{name} is too short to be a key.",
            hint="Use at least 32 random characters: openssl rand -base64 32",
            id="portal.E006",
        )
        for name in ("SECRET_KEY", "FINGERPRINT_KEY", "AUDIT_KEY")
        if any(
            len(key) < 32 for key in lines_of(configured(name))[:1]
        )  # portal.keys says which one is missing
    ]


def _metrics_token() -> list[CheckMessage]:
    """An empty token is none: then only this machine itself may read the figures."""
    if all(len(token) >= 16 for token in lines_of(settings.METRICS_TOKEN)):
        return []
    hint = "Use at least 16 random characters: openssl rand -base64 32"
    return [Error("METRICS_TOKEN is short enough to be guessed.", hint=hint, id="portal.E010")]
