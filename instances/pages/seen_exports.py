"""The lists of what was seen on containers as files: readings, observations, proposals, builds, host keys."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from instances.discovery.migration_progress import PLACES, builds_of, progress
from instances.discovery.models import Dismissal, Observation, Reading
from instances.discovery.proposal_list import listed
from instances.discovery.proposals import Proposal
from instances.models import Container, Installation, Instance
from instances.pages import key_lists, migration
from instances.pages.moments import AsOf
from instances.pages.proposals import ProposalFilter, wanted_by, with_decisions
from instances.pages.readings import entered_on, newest_of_each, strays_of
from portal.web.exports import Export, Row, in_order, register, values

READING = ("state", "asked", "asked_by", "started", "finished", "code", "build")
SIGHT = (
    *("at", "last_seen", "ended", "sights", "source", "source_id", "last_source", "last_source_id"),
    *("build", "client_id", "account_id", "organization_id", "digest", "is_jwt"),
)
PROPOSAL_COLUMNS = (
    *("proposal", "kind", "instance", "container", "builds", "hosted", "applicable", "at", "reading"),
    *("left", "left_by", "left_reason"),
)
MIGRATION_COLUMNS = (
    *("instance", "environment", "stage", "containers", "on_jwt", "below_9383", "never_seen", "builds"),
    "last_seen",
)
KEY_COLUMNS = (
    *("container", "address", "port", "jump_host", "instances", "type", "fingerprint", "last_shown"),
    "doubt",
)


def _reading_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    readings = in_order(Reading.objects.select_related("container"), keys)
    here = [reading.container_id for reading in readings]
    entered = entered_on(Installation.objects.filter(container__in=here))
    for reading in readings:
        yield {
            "container": reading.container.name,
            "reading": reading.pk,
            **values(reading, READING),
            "found": sorted(reading.found),
            "not_in_inventory": strays_of(reading, entered),
        }


register(
    Export(
        name="readings",
        title=gettext_lazy("Readings"),
        permission="instances.view_container",
        columns=("container", "reading", *READING, "found", "not_in_inventory"),
        select=lambda _form: newest_of_each(),
        rows=_reading_rows,
    )
)


class SightsOf(AsOf):
    """The installation, container or instance whose observations are wanted, and until when."""

    installation = forms.ModelChoiceField(Installation.objects.all(), required=False)
    container = forms.ModelChoiceField(Container.objects.all(), required=False)
    instance = forms.ModelChoiceField(Instance.objects.all(), required=False)

    def clean(self) -> None:
        super().clean()
        named = ("installation", "container", "instance")
        if not self.errors and sum(bool(self.cleaned_data.get(name)) for name in named) != 1:
            raise ValidationError(
                _("Name an installation, a container or an instance, and no more than one.")
            )


def _sights(form: SightsOf) -> QuerySet[Observation]:
    wanted = form.cleaned_data
    if wanted["installation"]:
        found = Observation.objects.filter(installation=wanted["installation"].pk)
    else:
        of = {name: wanted[name] for name in ("container", "instance") if wanted[name]}
        found = Observation.objects.filter(installation__in=Installation.objects.filter(**of).values("pk"))
    if wanted["at"]:
        found = found.filter(at__lte=wanted["at"])
    return found.order_by("-pk")


def _sight_rows(keys: Sequence[int]) -> Iterator[Row]:
    rows = Observation.objects.select_related("installation__instance", "installation__container")
    for sight in in_order(rows, keys):
        yield {
            "observation": sight.pk,
            "instance": sight.installation.instance.name,
            "container": sight.installation.container.name,
            **values(sight, SIGHT),
        }


register(
    Export(
        name="observations",
        title=gettext_lazy("Observations"),
        permission="instances.view_instance",
        columns=("observation", "instance", "container", *SIGHT),
        filters=SightsOf,
        select=_sights,
        rows=_sight_rows,
    )
)


def _proposal_rows(found: Sequence[tuple[Proposal, Dismissal | None]]) -> Iterator[Row]:
    for each, left in found:
        yield {
            "proposal": each.key,
            **values(each, ("kind", "instance", "container", "builds", "at", "reading")),
            "hosted": each.is_hosted,
            "applicable": each.can_be_applied,
            "left": left and left.at,
            "left_by": left.left_by if left else "",
            "left_reason": left.reason if left else "",
        }


register(
    Export(
        name="proposals",
        title=gettext_lazy("Proposals"),
        permission="instances.view_container",
        columns=PROPOSAL_COLUMNS,
        filters=ProposalFilter,
        select=lambda form: with_decisions(listed(wanted_by(form))[:]),
        rows=_proposal_rows,
    )
)


def _migration_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    builds = builds_of(keys)
    for row in in_order(progress().filter(pk__in=keys), keys):
        yield {
            "instance": row.name,
            "environment": row.environment,
            "stage": PLACES[row.place].value,
            "containers": row.containers,
            "on_jwt": row.on_jwt,
            "below_9383": row.below,
            "never_seen": row.not_known,
            "builds": builds[row.pk],
            "last_seen": row.last_seen,
        }


register(
    Export(
        name="jwt_and_builds",
        title=gettext_lazy("JWT and builds"),
        permission="instances.view_instance",
        columns=MIGRATION_COLUMNS,
        filters=migration.MigrationFilters,
        orders=migration.ORDERS,
        rows=_migration_rows,
    )
)


def _key_rows(keys: Sequence[UUID]) -> Iterator[Row]:
    for line in key_lists.lines_of(keys):
        container = line.container
        for each in line.keys:
            yield {
                "container": container.name,
                "address": container.address,
                "port": container.port,
                "jump_host": container.jump_host.name if container.jump_host else "",
                "instances": line.instances,
                "type": each.key.type,
                "fingerprint": each.key.fingerprint,
                "last_shown": each.key.seen,
                "doubt": each.code,
            }


register(
    Export(
        name="host_keys",
        title=gettext_lazy("Host keys"),
        permission="instances.approve_host_key",
        columns=KEY_COLUMNS,
        select=lambda _form: key_lists.offered().order_by("name"),
        rows=_key_rows,
    )
)
