"""A technical account as the Adobe Developer Console makes it: four values, and its files for download."""

import json
import secrets
import uuid
from dataclasses import dataclass, field

from portal.plaintext import PREFIX, Secret

HEX_ID_BYTES = 12
SCOPES = ("openid", "AdobeID", "read_organizations", "additional_info.projectedProductContext")


def _upper_hex() -> str:
    return secrets.token_hex(HEX_ID_BYTES).upper()


def make_secret() -> Secret:
    """Return a new client secret of the shape that the console shows."""
    return Secret(f"{PREFIX}{secrets.token_urlsafe(24)}")


@dataclass(frozen=True)
class ConsoleAccount:
    """One OAuth Server-to-Server credential with random values; `secrets` has the newest last."""

    organization_id: str = field(default_factory=lambda: f"{_upper_hex()}@AdobeOrg")
    client_id: str = field(default_factory=lambda: secrets.token_hex(16))
    technical_account_id: str = field(default_factory=lambda: f"{_upper_hex()}@techacct.adobe.com")
    technical_account_email: str = field(default_factory=lambda: f"{uuid.uuid4()}@techacct.adobe.com")
    secrets: tuple[Secret, ...] = field(default_factory=lambda: (make_secret(),))
    numeric_organization_id: str = "1234567"
    credential_id: str = "413927"

    def download_json(self, *, version: int = -1) -> str:
        """Return the file behind *Download JSON*; it contains one of the secrets in clear."""
        values = {
            "CLIENT_SECRETS": [self.secrets[version].reveal()],
            "ORG_ID": self.organization_id,
            "CLIENT_ID": self.client_id,
            "TECHNICAL_ACCOUNT_ID": self.technical_account_id,
            "TECHNICAL_ACCOUNT_EMAIL": self.technical_account_email,
            "SCOPES": list(SCOPES),
        }
        return json.dumps(values, indent=2)

    def workspace_json(self, *, version: int = -1) -> str:
        """Return the file of the whole workspace; it contains one of the secrets in clear."""
        oauth = {
            "client_id": self.client_id,
            "client_secrets": [self.secrets[version].reveal()],
            "technical_account_email": self.technical_account_email,
            "technical_account_id": self.technical_account_id,
            "scopes": list(SCOPES),
        }
        kind = "oauth_server_to_server"
        credential = {"id": self.credential_id, "name": "Campaign", "integration_type": kind}
        workspace = {
            "id": "4566206088345031254",
            "name": "Production",
            "title": "Production",
            "details": {"credentials": [{**credential, "oauth_server_to_server": oauth}]},
        }
        number = self.numeric_organization_id
        organization = {"id": number, "name": "Acme", "ims_org_id": self.organization_id}
        project = {"id": "4566206088345030932", "name": "Campaign", "title": "Campaign"}
        return json.dumps({"project": {**project, "org": organization, "workspace": workspace}}, indent=2)
