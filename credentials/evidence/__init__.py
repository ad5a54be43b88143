"""Evidence packs: what the portal knows of an account, a rotation or a period, for an auditor outside."""
