"""Words of the history about notices, and of the states of messages."""

from django.utils.translation import gettext_lazy as _

from portal.audit import labels
from portal.notices.models import Message
from portal.web.icons import name_icons
from portal.web.tags import word_states

labels.register(
    groups={"notice_channel": _("Notice channels"), "notice": _("Notices")},
    labels={
        "notice_channel.created": _("Notice channel created"),
        "notice_channel.changed": _("Notice channel changed"),
        "notice_channel.removed": _("Notice channel removed"),
        "notice_channel.key_made": _("New signing key for a channel"),
        "notice_channel.test_asked": _("Test message requested"),
        "notice.resent": _("Notice sent again"),
    },
)
word_states({Message.State.SENT.value: _("Sent"), Message.State.GAVE_UP.value: _("Gave up")})
name_icons(succeeded="sent", failed="gave_up")
