"""The form of a channel."""

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from portal.no_secrets import ModelForm
from portal.notices.addresses import refusal
from portal.notices.kinds import kinds
from portal.notices.models import Channel


class ChannelForm(ModelForm):
    """Which messages go where. Only cleans: the service saves."""

    way = forms.ChoiceField(label=_("Sent by"), choices=Channel.Way.choices, widget=forms.RadioSelect)
    language = forms.ChoiceField(label=_("Language of the messages"), choices=lambda: settings.LANGUAGES)
    kinds = forms.MultipleChoiceField(
        label=_("Kinds"),
        required=False,
        choices=lambda: [(each.code, each.label) for each in kinds()],
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = Channel
        fields = ("name", "way", "address", "language", "wants_all", "kinds", "is_on")
        labels = {
            "address": _("Mail address or web address"),
            "wants_all": _("Everything, including kinds that later releases add"),
            "is_on": _("On"),
        }
        help_texts = {
            "name": _("A name your team will recognize, such as “Chat of the operators”."),
            "address": _(
                "A web address begins with https:// and receives a POST with JSON. It is stored unencrypted; "
                "lists show only its server."
            ),
            "is_on": _("If you switch a channel off, messages that still wait for it are given up."),
        }

    def clean(self) -> dict[str, Any]:  # Any: Django's own signature
        cleaned = super().clean() or {}
        way, address = cleaned.get("way"), cleaned.get("address")
        if way and address and (text := refusal(way, address)):
            self.add_error("address", text)
        if not cleaned.get("wants_all") and not cleaned.get("kinds") and "kinds" not in self.errors:
            self.add_error("kinds", _("Choose at least one kind, or everything."))
        return cleaned
