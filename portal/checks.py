"""System checks that refuse settings under which the portal would not be safe."""

import stat
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from portal.keys.registry import configured

LOOPBACK = {"127.0.0.1", "localhost", "[::1]", "testserver"}


@register()
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
        *_private_files(),
        *_networks(),
        *_key_lengths(),
        *_metrics_token(),
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
    if settings.TRUSTED_PROXY_HOPS < 0:
        problems.append(Error("TRUSTED_PROXY_HOPS is negative.", hint="Use 0 or more.", id="portal.E009"))
    return problems


def _adobe() -> list[CheckMessage]:
    """Only to this machine itself, where stand-ins answer, may a secret go without TLS."""
    address = urlsplit(settings.IMS_BASE_URL)
    is_local = address.scheme == "http" and address.hostname in {"127.0.0.1", "localhost", "::1"}
    if address.scheme == "https" or (is_local and not settings.HTTPS):
        return []
    return [Error("IMS_BASE_URL would send client secrets in clear.", hint="Use https://.", id="portal.E007")]


def _private_files() -> list[CheckMessage]:
    """Keys, and the database file: it holds sessions, and whoever copies one is that person."""
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
    for text in settings.TARGET_NETWORKS:
        try:
            ip_network(text)
        except ValueError as error:
            problems.append(Error(f"TARGET_NETWORKS: {error}", id="portal.E005"))
    return problems


def _key_lengths() -> list[CheckMessage]:
    return [
        Error(
            f"{name} is too short to be a key.",
            hint="Use at least 32 random characters: openssl rand -base64 32",
            id="portal.E006",
        )
        for name in ("SECRET_KEY", "FINGERPRINT_KEY", "AUDIT_KEY")
        if 0 < len(configured(name)) < 32  # portal.keys says which one is missing
    ]


def _metrics_token() -> list[CheckMessage]:
    """An empty token is none: then only this machine itself may read the figures."""
    if not settings.METRICS_TOKEN or len(settings.METRICS_TOKEN) >= 16:
        return []
    hint = "Use at least 16 random characters: openssl rand -base64 32"
    return [Error("METRICS_TOKEN is short enough to be guessed.", hint=hint, id="portal.E010")]
