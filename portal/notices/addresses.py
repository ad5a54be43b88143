"""Which mail and web addresses a channel may have."""

from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from portal.calls.addresses import AddressRules, is_address
from portal.notices.models import Channel


def address_rules() -> AddressRules:
    """Return which web addresses may be contacted: by the rules of containers, in networks of their own."""
    return AddressRules(
        allow_loopback=settings.ALLOW_LOOPBACK_TARGETS,
        networks=tuple(ip_network(network) for network in settings.NOTICE_NETWORKS),
    )


def refusal(way: str, address: str) -> str:
    """Return why this cannot be the address of a channel, for the person who enters it; or an empty text.

    No name is looked up: where it leads to is judged when something is sent.
    """
    return _refusal_of_mail(address) if way == Channel.Way.MAIL else _refusal_of_url(address)


def _refusal_of_mail(address: str) -> str:
    try:
        validate_email(address)
    except ValidationError:
        return _("This is not a mail address, such as team@example.com. Make a channel for each address.")
    return ""


def _refusal_of_url(address: str) -> str:
    try:
        parts = urlsplit(address)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", SplitResult("", "", "", "", "")
    if not host or parts.scheme not in ("https", "http") or any(not " " < each <= "~" for each in address):
        return _("This is not a web address, such as https://chat.example.com/hooks/portal.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        return _("A web address must not contain a user name, a password or a fragment (#).")
    if is_address(host) and not address_rules().allowed([host]):
        return _("The portal is not allowed to contact this address (NOTICE_NETWORKS).")
    if parts.scheme == "http" and not is_local(host):
        return _("Use https://: messages name servers, and anyone on the network path could change them.")
    return ""


def is_local(host: str) -> bool:
    """Whether this is this machine itself, where the settings allow it; only to it goes http://."""
    is_here = host == "localhost" or (is_address(host) and ip_address(host).is_loopback)
    return is_here and bool(settings.ALLOW_LOOPBACK_TARGETS)


def shown(channel: Channel) -> str:
    """Return an address for pages and the history: of a web address no path, which may hold a token."""
    if channel.way == Channel.Way.MAIL:
        return channel.address
    try:
        parts = urlsplit(channel.address)
    except ValueError:
        return "…"
    return f"{parts.scheme}://{parts.netloc}/…"
