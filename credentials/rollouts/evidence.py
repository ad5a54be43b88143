"""What an attempt gathers on its way, and what of that is kept about the installation."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from django.db.models.functions import Now

from credentials.rollouts.models import Attempt, Push
from credentials.rollouts.notes import Note, note
from instances import nlserver, other_portals, ssh
from instances.discovery.models import Observation
from instances.discovery.observing import Earlier, Sight, observe
from instances.models import Installation
from instances.reaching import redaction
from portal.plaintext import Secret


@dataclass
class Evidence:
    """What an attempt gathers on its way, to be written down with its outcome."""

    exit_codes: dict[str, int] = field(default_factory=dict)
    output: str = ""
    held: Sight | None = None
    sight: Sight | None = None
    after_digest: str = ""
    build: int = 0
    host_key: str = ""
    notes: list[Note] = field(default_factory=list)
    other_portal: str = ""
    via: Note = ""

    def say(self, output: bytes, secrets: Iterable[Secret]) -> None:
        """Keep what the container said, without these secrets; nothing if none of them could be opened."""
        known = list(secrets)
        self.output = redaction.redact(output, known) if known else ""

    def note(self, error: ssh.SSHError, secrets: Iterable[Secret] = ()) -> None:
        """Remember what an error says beyond its code.

        A jump host's key is kept nowhere else: it does not belong to the container's keys.
        """
        known = list(secrets)
        self.notes = [redaction.redact(detail.encode(), known) for detail in error.details]
        if isinstance(error, ssh.JumpHostKeyChanged):
            self.notes = [note("jump_host_showed", fingerprint=error.offered.fingerprint)]

    def meet(self, last: str) -> None:
        """Remember who else pushed to the installation, if anybody did."""
        if last:
            self.other_portal = last
            self.notes = [*self.notes, note("last_push_by", last=last)]

    def keep(self, state: nlserver.FileState, secrets: Iterable[Secret] = ()) -> None:
        """Remember the file as it was at the end, if it was read at all."""
        if state.read:
            self.see(state, secrets)
            self.after_digest = state.digest

    def find(self, state: nlserver.FileState, secrets: Iterable[Secret]) -> None:
        """Remember the file as it was just before nlserver ran, if it was read."""
        self.held = _sight(state, secrets)

    def see(self, state: nlserver.FileState, secrets: Iterable[Secret] = ()) -> None:
        """Remember what a file shows, if it was read; what was seen before is forgotten."""
        self.sight = _sight(state, secrets)


def _sight(state: nlserver.FileState, secrets: Iterable[Secret]) -> Sight | None:
    def clean(text: str) -> str:
        return redaction.redact(text.encode(), secrets)

    return Sight.of(state, clean) if state.read else None


def observe_seen(push: Push, attempt: Attempt, evidence: Evidence) -> None:
    """Keep what was last seen on the installation, and name it in the attempt."""
    if evidence.sight:
        is_look = attempt.kind == Attempt.Kind.LOOK
        observation = observe(
            installation_id=push.installation_id,
            sight=replace(evidence.sight, build=evidence.build or None),
            source=Observation.Source.LOOK if is_look else Observation.Source.PUSH,
            source_id=str(attempt.pk),
            # It began before it looked; the container was its own from then on.
            earlier=Earlier(evidence.held, attempt.started) if evidence.held else None,
        )
        attempt.observation_id = observation.pk
    elif evidence.build:
        rows = Installation.objects.filter(pk=push.installation_id)
        rows.update(observed=Now(), observed_build=evidence.build)
    if evidence.other_portal:
        other_portals.note(push.installation, evidence.other_portal)
    elif evidence.exit_codes and hasattr(push.installation, "other_portal"):
        other_portals.forget(push.installation)
