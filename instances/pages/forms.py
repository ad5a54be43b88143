"""Forms of the inventory: instances, containers, installations, host keys and the import."""

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from instances.inventory.csv_format import (
    clean_address,
    clean_container_name,
    clean_host_key_fingerprint,
    clean_install_root,
    clean_instance_name,
    clean_login,
    readable,
)
from instances.models import Contact, Container, Instance, JumpHost
from instances.reaching.jump_hosts import clean_host_keys
from instances.ssh import PublicHostKey
from portal.no_secrets import Form, ModelForm, without_secret

PASTE_LIMIT = 400_000  # characters; what is longer is better uploaded


class InstanceForm(ModelForm):
    """A new or edited instance."""

    class Meta:
        model = Instance
        fields = ["name", "environment", "deployment", "role", "uses_triggers"]
        labels = {"uses_triggers": _("Uses Adobe Triggers")}
        help_texts = {
            "name": _("The name in config-<name>.xml, exactly as nlserver knows it."),
            "deployment": _(
                "On-premise, hybrid: you reach the servers. Hosted: Adobe sets the account itself."
            ),
            "uses_triggers": _(
                "Campaign receives events of Adobe Experience Cloud Triggers: after a push, the portal also "
                "restarts pipelined of this instance."
            ),
        }

    def clean_name(self) -> str:
        return clean_instance_name(self.cleaned_data["name"])


class ContainerForm(ModelForm):
    """A new or edited container."""

    jump_host = forms.ModelChoiceField(
        label=_("Jump host"),
        required=False,
        queryset=JumpHost.objects.all(),
        empty_label=_("None: reached directly"),
        help_text=_(
            "For containers that the portal cannot reach directly. The jump host resolves the address."
        ),
    )

    class Meta:
        model = Container
        fields = ["name", "address", "port", "jump_host", "login", "become", "install_root"]
        fields += ["is_by_hand", "is_enabled"]
        labels = {
            "become": _("How the login becomes neolane"),
            "is_enabled": _("Push to this container"),
            "is_by_hand": _("By hand: the portal cannot reach this container"),
        }
        help_texts = {
            "name": _("What people call this server. Any short name."),
            "address": _("Host name or IP address, without user name or port."),
            "login": _("The account that the portal logs in to with its SSH key."),
            "install_root": _("The folder above nl6 or nl7."),
            "is_by_hand": _(
                "The portal never connects to it. Its page has a runbook with the commands to run there, and "
                "accepts what the read-back script prints."
            ),
            "is_enabled": _("While this is off, nothing is pushed to it, and queued pushes wait."),
        }
        error_messages = {"name": {"unique": _("Another container has this name.")}}

    def clean_name(self) -> str:
        return clean_container_name(self.cleaned_data["name"])

    def clean_address(self) -> str:
        return clean_address(self.cleaned_data["address"], settings.ALLOW_LOOPBACK_TARGETS)

    def clean_login(self) -> str:
        return clean_login(self.cleaned_data["login"])

    def clean_install_root(self) -> str:
        return clean_install_root(self.cleaned_data["install_root"])

    def clean(self) -> dict[str, Any]:  # Any: Django's own signature
        cleaned = super().clean() or self.cleaned_data
        if "address" in cleaned and "port" in cleaned:
            others = Container.objects.not_retired().exclude(pk=self.instance.pk)
            same = {name: cleaned.get(name) for name in ("jump_host", "address", "port")}
            if taken := others.filter(**same).first():
                self.add_error("address", _("The container %s has this address and port.") % taken.name)
        return cleaned


class ContactForm(ModelForm):
    """The contact of a team."""

    class Meta:
        model = Contact
        fields = ["who", "reach", "hours"]
        help_texts = {
            "who": _("A team or a person, such as “Campaign operations”."),
            "reach": _("Telephone, address or channel. Everybody who can sign in sees it."),
            "hours": _("Such as “weekdays 8 to 18, on call at night”. May be empty."),
        }


class JumpHostForm(ModelForm):
    """A new or edited jump host, with the keys that it must show.

    Key lines are often copied from ssh-keyscan, which believes any machine that answers. So a key that
    replaces others, or is added to them, is taken only with its fingerprint.
    """

    fingerprints = forms.CharField(
        label=_("Fingerprints of the new keys, as the server team gives them"),
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false", "autocomplete": "off"}),
        help_text=_("Needed only if you change the host keys. One per line, as ssh-keygen -l prints them."),
    )

    class Meta:
        model = JumpHost
        fields = ["name", "address", "port", "login", "host_keys"]
        help_texts = {
            "name": _("What people call this server. Any short name; inventory files use it."),
            "address": _("Host name or IP address, without user name or port."),
            "login": _("The account that the portal logs in to with its SSH key. It needs no shell."),
            "host_keys": _(
                "One key per line, as ssh-keyscan prints them, or from /etc/ssh/ssh_host_*_key.pub on the "
                "jump host. Compare them with the team that runs it: the portal trusts no other key."
            ),
        }
        error_messages = {"name": {"unique": _("Another jump host has this name.")}}
        widgets = {
            "host_keys": forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off"})
        }

    def clean_name(self) -> str:
        return clean_container_name(self.cleaned_data["name"])

    def clean_address(self) -> str:
        return clean_address(self.cleaned_data["address"], settings.ALLOW_LOOPBACK_TARGETS)

    def clean_login(self) -> str:
        return clean_login(self.cleaned_data["login"])

    def clean_host_keys(self) -> str:
        return clean_host_keys(self.cleaned_data["host_keys"])

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: Django's own signature
        super().__init__(*args, **kwargs)
        self.pinned = self.instance.key_lines
        if not self.pinned:
            del self.fields["fingerprints"]

    def clean_fingerprints(self) -> set[str]:
        lines = self.cleaned_data["fingerprints"].splitlines()
        return {clean_host_key_fingerprint(line) for line in lines if line.strip()}

    def _check_new_keys(self, cleaned: dict[str, Any]) -> None:  # Any: as `clean` has it
        new = [line for line in cleaned["host_keys"].splitlines() if line not in self.pinned]
        missing = [
            key for key in map(PublicHostKey.parse, new) if key.fingerprint not in cleaned["fingerprints"]
        ]
        if missing:
            types = ", ".join(key.type for key in missing)
            text = _(
                "These do not include the fingerprint of a new key above (%s). Ask the server team for it."
            )
            self.add_error("fingerprints", text % types)

    def clean(self) -> dict[str, Any]:  # Any: Django's own signature
        cleaned = super().clean() or self.cleaned_data
        if self.pinned and "host_keys" in cleaned and "fingerprints" in cleaned:
            self._check_new_keys(cleaned)
        same = {name: cleaned.get(name) for name in ("address", "port")}
        if taken := JumpHost.objects.exclude(pk=self.instance.pk).filter(**same).first():
            self.add_error("address", _("The jump host %s has this address and port.") % taken.name)
        return cleaned


class InstallationForm(Form):
    """On which container an instance is installed, by the container's name."""

    container = forms.CharField(label=_("Container"), max_length=80)

    def clean_container(self) -> Container:
        name: str = self.cleaned_data["container"]
        container = Container.objects.filter(name=name).first()
        if container is None:
            raise ValidationError(_("There is no container with this name. Add it first, under Containers."))
        return container


class HostKeyApproval(Form):
    """The admin's word that the fingerprint was compared."""

    compared = forms.BooleanField(
        label=_("I compared this fingerprint with the server team, or on the server itself."),
        error_messages={"required": _("Compare the fingerprint first, and tick the box next to it.")},
    )


class FingerprintForm(Form):
    """The fingerprint of a key, from somewhere else than the portal's own scan."""

    fingerprint = forms.CharField(
        label=_("Fingerprint of the new key, as the server team gives it"),
        max_length=300,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "size": 60}),
        help_text=_("SHA256: and 43 characters, or the whole line that ssh-keygen -l prints."),
    )

    def clean_fingerprint(self) -> str:
        return clean_host_key_fingerprint(self.cleaned_data["fingerprint"])


class ManyKeysForm(Form):
    """First keys of many containers, with a list of fingerprints from elsewhere."""

    fingerprints = forms.CharField(
        label=_("Fingerprints from elsewhere"),
        required=False,
        max_length=PASTE_LIMIT,
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false", "autocomplete": "off"}),
        help_text=_(
            "One key per line, as ssh-keygen -l or ssh-keyscan print it, or a name and a fingerprint. "
            "Matching keys are ticked. A list from the servers themselves proves more than one from the "
            "network."
        ),
    )
    compared = forms.BooleanField(
        label=_("I compared the chosen fingerprints with what the server teams, or the servers, say."),
        required=False,
    )


class ImportForm(Form):
    """An inventory file, uploaded or pasted."""

    file = forms.FileField(
        label=_("CSV file"),
        required=False,
        help_text=_("Up to 20 MB and 100,000 rows; separated by commas, semicolons or tabs."),
    )
    text = forms.CharField(
        label=_("or paste the rows here, with the line of column names"),
        required=False,
        strip=False,
        max_length=PASTE_LIMIT,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false", "autocomplete": "off"}),
    )

    for_secrets = frozenset({"text"})  # `clean` looks at it, and names the line

    data_bytes: bytes
    """The text that came, as UTF-8, if the form is valid."""

    def clean(self) -> dict[str, Any]:  # Any: Django's own signature
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        file, text = cleaned.get("file"), str(cleaned.get("text", ""))
        if bool(file) == bool(text.strip()):
            raise ValidationError(_("Either choose a file or paste the rows."))
        try:
            self.data_bytes = readable(file.read() if file else text.encode()).encode()
        except ValidationError as error:
            self.add_error("file" if file else "text", error)
            self.data = {"text": without_secret(text)}
        return cleaned
