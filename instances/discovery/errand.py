"""The errand of reading: tells what every instance of a container holds, and changes nothing there."""

import logging
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from django.conf import settings
from django.db import OperationalError
from django.db.models import F, OuterRef, Q, Subquery, UUIDField, Value
from django.db.models.functions import Now

from instances import nlserver, ssh
from instances.discovery.models import Observation, Reading
from instances.discovery.observing import Sight, observe
from instances.failures import Code
from instances.models import Container, Installation
from instances.visits import errands
from instances.visits.lease import Lease, LeaseLost
from instances.visits.line import Line
from portal.plaintext import cut_out
from portal.processes import database

logger = logging.getLogger(__name__)
GROUP = uuid.UUID("00000000-0000-0000-0000-00000000ead5")
"""All readings are one group of the fair queue, so that they share what places they get."""
SHARE = 8
"""Readings take at most an eighth of a worker's places."""
READ_SECONDS = 60
"""For the conversation. A push that becomes due there meanwhile ends it early."""


class GaveWay(Exception):
    """Something that comes before readings became due on the container."""


class ReadErrand:
    """Reading what people, or the schedule, asked for."""

    rank = 10

    def due(self) -> Q:
        """Return the condition on containers that wait to be read, or whose reading was left running."""
        left_running = Reading.objects.filter(state=Reading.State.RUNNING)
        return Q(pk__in=Reading.objects.due().values("container")) | Q(
            pk__in=left_running.values("container")
        )

    def group(self) -> Subquery:
        """Return an annotation for containers: the group of readings, where one is due."""
        due = Reading.objects.due().filter(container=OuterRef("pk"))
        return Subquery(due.values(group=Value(GROUP, output_field=UUIDField()))[:1])

    def limits(self, places: int) -> Mapping[uuid.UUID, int]:
        """Return how many places of a worker each of its groups gets, where that is not the usual number."""
        return {GROUP: max(1, places // SHARE)}

    def begin(self, container_id: uuid.UUID, lease: Lease) -> "ReadJob | None":
        """Mark the reading of a container as running; None if none is due. In a transaction.

        One that runs already was left by a holder that vanished: it changed nothing, and begins again.
        """
        reading = _first_at_hand(container_id)
        if reading and reading.state == Reading.State.RUNNING:
            if reading.tries >= Reading.MOST_TRIES:
                _finish(reading, Code.INTERRUPTED)
            else:
                Reading.objects.filter(pk=reading.pk).update(state=Reading.State.QUEUED)
            reading = _first_at_hand(container_id)
        if reading is None:
            return None
        reading.state, reading.tries = Reading.State.RUNNING, reading.tries + 1
        reading.lease_token, reading.worker = lease.token, lease.owner
        reading.save(update_fields=["state", "tries", "lease_token", "worker"])
        Reading.objects.filter(pk=reading.pk).update(started=Now())
        return ReadJob(reading)

    def is_more(self, container_id: uuid.UUID) -> bool:
        """Tell whether a reading is due there."""
        return Reading.objects.due().filter(container=container_id).exists()


@dataclass
class ReadJob:
    """One reading; its row was written before this exists."""

    reading: Reading

    def run(self, line: Line) -> None:
        """Read, and store what was seen. Only a lost lease or a database failure is raised.

        Where a push becomes due on the container meanwhile, the reading waits again instead, and the visit
        goes on with the push.
        """
        line.watch = self._watch
        try:
            found, code = self._read(line)
        except GaveWay:
            with line.lease.held():
                _put_back(self.reading)
            logger.info("the reading gave way")
            return
        finally:
            line.watch = None
        with line.lease.held():
            if found:
                self._store(found)
            _finish(self.reading, code)
        fields = {"code": code, "instances": len(found.files) if found else 0}
        logger.info("the reading ended", extra=fields)

    def _read(self, line: Line) -> tuple[nlserver.Reading | None, str]:
        container = self.reading.container
        try:
            return line.in_session(lambda: self._speak(line, container)), ""
        except ssh.SSHError as error:
            line.drop()
            return None, error.code
        except nlserver.Refused as error:
            line.heed(error)
            if error.code == Code.BECOME_REFUSED:
                return None, line.why_silent(container, _job(container))
            return None, error.code
        except (LeaseLost, OperationalError, GaveWay):
            line.drop()
            raise
        except Exception:  # the worker's boundary: the defect of one reading must not stop the others
            logger.exception("Reading %s: error inside the portal", self.reading.pk)
            line.drop()
            return None, Code.PORTAL_ERROR

    def _watch(self) -> None:
        """End the conversation if something comes first here; without the database nobody knows."""
        with suppress(OperationalError):
            if errands.is_more(self.reading.container_id, ReadErrand.rank - 1):
                raise GaveWay
        database.rest()

    @staticmethod
    def _speak(line: Line, container: Container) -> nlserver.Reading:
        return nlserver.read(line.open(container), _job(container), READ_SECONDS)

    def _store(self, found: nlserver.Reading) -> None:
        self.reading.build = found.ready.build or None
        self.reading.found = {each.instance: each.unread for each in found.files}
        self.reading.strange, self.reading.further = found.strange, found.further
        seen = {each.instance: each for each in found.files if not each.unread and each.state.read}
        rows = Installation.objects.filter(container=self.reading.container_id, instance__name__in=seen)
        observations = [
            observe(
                installation_id=installation.pk,
                sight=Sight.of(seen[installation.instance.name].state, cut_out, build=self.reading.build),
                source=Observation.Source.READ,
                source_id=str(self.reading.pk),
            )
            for installation in rows.select_related("instance")
        ]
        self.reading.seen = [each.pk for each in observations]


def _first_at_hand(container_id: uuid.UUID) -> Reading | None:
    """Return the reading of a container that was left running, or is due; locked."""
    mine = Reading.objects.at_hand().filter(container=container_id)
    return mine.select_related("container__jump_host").select_for_update(of=("self",)).first()


def _put_back(reading: Reading) -> None:
    """Let a reading that has begun wait again, as if it had not, in the caller's transaction."""
    Reading.objects.filter(pk=reading.pk).update(
        state=Reading.State.QUEUED, tries=F("tries") - 1, lease_token=None, worker="", started=None
    )


def _job(container: Container) -> nlserver.Job:
    return nlserver.read_job(
        install_root=container.install_root,
        become=cast("nlserver.Become", container.become),  # the model's choices are the same three
        user=settings.CAMPAIGN_USER,
    )


def _finish(reading: Reading, code: str) -> None:
    """End a reading, in the caller's transaction; `code` is empty if it succeeded."""
    reading.state = Reading.State.FAILED if code else Reading.State.SUCCEEDED
    reading.code = code
    reading.save(update_fields=["state", "code", "build", "found", "strange", "further", "seen"])
    Reading.objects.filter(pk=reading.pk).update(finished=Now())


errands.register(ReadErrand())
