"""The form that takes another secret of an account in use."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from credentials import values
from credentials.console_form import RAW, ConsoleFileForm
from credentials.entry import IDS, entered_before, new_secret
from credentials.models import TechnicalAccount
from credentials.values import CLIENT_SECRET, LABELS
from portal.plaintext import Secret


class NewSecretForm(ConsoleFileForm):
    """Another secret of an account in use: typed, or from a console file of the same credential."""

    client_secret = forms.Field(label=_("Client secret"), required=False, widget=forms.PasswordInput(RAW))
    accept = forms.BooleanField(label=_("I compared it with the console: use it anyway"), required=False)

    secret: Secret
    doubt: str = ""

    def __init__(self, *args: Any, account: TechnicalAccount, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account = account

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        typed = str(cleaned.get("client_secret") or "")
        uses_file = not typed and bool(cleaned.get("file") or cleaned.get("text"))
        secret = self._from_file(cleaned) if uses_file else Secret(typed)
        self.data = {}
        if secret and not self.errors:
            self._judge(secret, accepted=bool(cleaned.get("accept")))
        return {}

    @sensitive_variables()
    def _from_file(self, cleaned: dict[str, Any]) -> Secret | None:
        found = self.read_file(cleaned, client_id=self.account.client_id)
        if found is None:
            return None
        differing = [LABELS[name] for name in IDS if getattr(found, name) != getattr(self.account, name)]
        if differing:
            self.add_error(None, _("The file has a different %s from this account.") % differing[0])
        secret = new_secret(found, account=self.account)
        if secret is None:
            self.add_error(
                None, _("The file does not say which secret is the new one. Enter the new secret below.")
            )
        return secret

    @sensitive_variables()
    def _judge(self, plaintext: Secret, *, accepted: bool) -> None:
        checked = values.check(CLIENT_SECRET, plaintext.reveal())
        if checked.problem:
            self.add_error(CLIENT_SECRET, str(checked.problem))
            return
        self.secret = Secret(checked.value)
        self.doubt = self._known() or " ".join(str(caution.message) for caution in checked.cautions)
        if self.doubt and not accepted:
            self.add_error(
                "accept", _("Confirm, and enter the secret again: it is never shown, so it is not kept here.")
            )

    def _known(self) -> str:
        known = entered_before(self.secret, account=self.account)
        if known is None:
            return ""
        return (
            _(
                "This is the secret of version %s, which was entered before. Confirm to continue with that "
                "version, or enter the new secret."
            )
            % known.version
        )
