"""What `docs/monitoring.md` offers for copying."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.services.portal import ROOT

TEXT = (ROOT / "docs" / "monitoring.md").read_text()


def documents() -> list[dict[str, object]]:
    """The YAML that the page offers for copying."""
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]


def rules() -> Iterator[dict[str, Any]]:  # Any: labels and annotations are mappings
    for document in documents():
        groups = document.get("groups", [])
        assert isinstance(groups, list)
        for group in groups:
            yield from group["rules"]
