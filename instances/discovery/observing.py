"""Keeps what was seen of an installation: by a push, a look or a reading."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Self
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Now

from instances import nlserver
from instances.discovery.models import EMPTY_ORGANIZATION, Observation
from instances.models import Installation


@dataclass(frozen=True)
class Sight:
    """What one look at an installation's file showed; of the secret only a digest of its encrypted form.

    `stamp` tells whether the file was written since; empty where it is not known, as of a push that was
    refused before it wrote. `build`: None if unknown.
    """

    client_id: str
    account_id: str
    organization_id: str
    digest: str
    is_jwt: bool
    build: int | None = None
    stamp: str = ""

    @classmethod
    def of(
        cls,
        file: nlserver.FileState,
        clean: Callable[[str], str],
        *,
        build: int | None = None,
    ) -> Self:
        """Return the sight of a file. Its ids become text for people, from which `clean` cuts secrets out.

        A container may have mixed up what it was sent. An organization that is there and empty becomes
        `EMPTY_ORGANIZATION`: it is not the same as none.
        """

        def text(values: Iterable[str]) -> str:
            return clean(", ".join(sorted(set(values))))[:200]

        return cls(
            client_id=text(file.client_ids),
            account_id=text(file.technical_account_ids),
            organization_id=text(each or EMPTY_ORGANIZATION for each in file.organization_ids),
            digest=file.digest,
            is_jwt=file.jwt,
            build=build,
            stamp=file.stamp,
        )


@dataclass(frozen=True)
class Earlier:
    """What a push saw of the file before it wrote, and a moment of the database's clock before it looked."""

    sight: Sight
    at: datetime


def observe(
    *, installation_id: UUID, sight: Sight, source: str, source_id: str, earlier: Earlier | None = None
) -> Observation:
    """Note a sight in the caller's transaction, which holds the container, and return what it belongs to.

    An equal sight goes on with the open observation, another one ends it. A file that was written anew with
    the same content is another sight: nobody knows what it held in between. So is one without a stamp.
    What was seen `earlier` only says how long the observation lasted that this sight ends.
    """
    values: dict[str, object] = {
        "observed_client_id": sight.client_id,
        "observed_account_id": sight.account_id,
        "observed_digest": sight.digest,
        "observed_jwt": sight.is_jwt,
    }
    values |= {"observed_build": sight.build} if sight.build else {}
    Installation.objects.filter(pk=installation_id).update(observed=Now(), **values)
    open_rows = Observation.objects.select_for_update().filter(installation=installation_id, ended=None)
    known = open_rows.first()
    if known and _is_equal(known, sight):
        changes: dict[str, object] = {"last_seen": Now(), "sights": F("sights") + 1}
        changes |= {"last_source": source, "last_source_id": source_id}
        if source != Observation.Source.READ:
            changes["is_only_read"] = False
        if sight.build and known.build is None:
            changes |= {"build": sight.build, "is_milestone": True}
        Observation.objects.filter(pk=known.pk).update(**changes)
        return known
    if known:
        lasted = _lasted(known, earlier, source, source_id)
        Observation.objects.filter(pk=known.pk).update(ended=Now(), **lasted)
    return Observation.objects.create(
        installation_id=installation_id,
        source=source,
        source_id=source_id,
        last_source=source,
        last_source_id=source_id,
        is_only_read=source == Observation.Source.READ,
        is_milestone=known is None or (known.is_jwt, known.build) != (sight.is_jwt, sight.build),
        **asdict(sight),
    )


def _lasted(known: Observation, earlier: Earlier | None, source: str, source_id: str) -> dict[str, object]:
    """Return what changes of an observation that ends, where the file was seen once more before its end."""
    if earlier is None or earlier.at < known.last_seen or not _is_equal(known, earlier.sight):
        return {}
    changes: dict[str, object] = {"last_seen": earlier.at, "sights": F("sights") + 1, "is_only_read": False}
    return changes | {"last_source": source, "last_source_id": source_id}


def _is_equal(known: Observation, sight: Sight) -> bool:
    """Whether the file is as it was and was not written in between, which takes both stamps to know."""
    if known.build and sight.build and known.build != sight.build:
        return False
    values = asdict(replace(sight, build=known.build))
    return bool(sight.stamp) and all(getattr(known, name) == value for name, value in values.items())
