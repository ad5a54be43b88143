"""Why a message was not sent: codes that are stored, and their words."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Code(models.TextChoices):
    """Those of `portal.calls` by the same names, and the portal's own."""

    ADDRESS_INVALID = "address_invalid", _("The address is not valid.")
    ADDRESS_NOT_ALLOWED = (
        "address_not_allowed",
        _("The name resolves to an address that the portal is not allowed to contact (NOTICE_NETWORKS)."),
    )
    TLS = "tls", _("The TLS certificate was not accepted, or TLS failed.")
    NAME_NOT_FOUND = "name_not_found", _("The name of the server was not found.")
    NO_CONNECTION = "no_connection", _("No connection was made in time.")
    REFUSED = "refused", _("The connection was refused, or there is no route to the server.")
    TIMED_OUT = "timed_out", _("No answer came in time.")
    NOT_IN_TIME = "not_in_time", _("No complete answer came in time.")
    BROKEN_OFF = "broken_off", _("The connection broke off before the answer was complete.")
    NOT_ACCEPTED = "not_accepted", _("The receiver did not accept it.")
    REDIRECTED = "redirected", _("The receiver answered with a redirect, which the portal does not follow.")
    MAIL_OFF = "mail_off", _("The portal has no mail server (EMAIL_HOST).")
    MAIL_LOGIN = "mail_login", _("The mail server refused the portal's login (EMAIL_USER).")
    MAIL_REFUSED = "mail_refused", _("The mail server refused the message.")
    NO_SIGNING_KEY = (
        "no_signing_key",
        _("The audit key that its signing key was made from is missing: make a new signing key."),
    )
    CHANNEL_OFF = "channel_off", _("The channel was switched off or removed.")
    RESTORED = (
        "restored",
        _("The database was restored from a backup in which this message was still waiting."),
    )
    INTERNAL = "internal", _("There was an error in the portal. Its log has the details.")
