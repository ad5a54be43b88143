"""The line to a container: one SSH connection for everything that is done during a visit."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from instances import nlserver, ssh
from instances.failures import Code
from instances.models import Container, JumpHost
from instances.reaching import host_keys, jump_hosts, policy
from instances.reaching.taken_keys import Asking
from instances.visits.lease import Lease
from portal.audit.trail import PORTAL
from portal.processes import database

Result = TypeVar("Result")


@dataclass
class Line:
    """The one SSH connection of a visit, opened when it is first needed."""

    lease: Lease
    dialed: ssh.Dial | None = None
    connection: ssh.Connection | None = None
    failure: ssh.SSHError | None = None
    watch: Callable[[], None] | None = None
    """Called about once a second while a job waits for the container; what it raises ends the wait.

    Not while the connection is made, which the next job needs as well.
    """
    _asked: dict[UUID, Asking] = field(default_factory=dict)

    def _tick(self) -> None:
        self.lease.tick()
        if self.watch and self.connection:
            self.watch()

    def open(self, container: Container) -> ssh.Connection:
        """Return the connection; raise the same `ssh.SSHError` again each time if it cannot be had."""
        if self.failure:
            raise self.failure
        if self.connection is None:
            try:
                self.connection = self._connect(container)
            except ssh.SSHError as error:
                self.failure = error
                raise
        return self.connection

    def _connect(self, container: Container) -> ssh.Connection:
        """Connect; keep an unapproved key for an admin, or trust it if one gave its fingerprint before."""
        try:
            return self._connect_pinned(container)
        except ssh.HostKeyUnknown as error:
            shown = ssh.Shown((error.offered,))
            scan = host_keys.store_scan(container=container, shown=shown, actor=PORTAL)
            if scan.approved:
                return self._connect_pinned(container)
            raise ssh.HostKeyChanged(error.offered) if scan.is_expected_missing else error from None
        except ssh.HostKeyChanged as error:
            key = error.offered
            host_keys.note_offered(
                container=container, type=key.type, base64=key.base64, fingerprint=key.fingerprint
            )
            raise

    def _connect_pinned(self, container: Container) -> ssh.Connection:
        dialed, self.dialed = self.dialed, None
        keys, host = host_keys.approved_lines(container), container.jump_host
        here, there = self._asking(container), host and self._asking(host)
        jump = jump_hosts.jump_to(host, there.offer) if host and there else None
        database.rest()
        try:
            return ssh.Connection.open(
                ssh.Target(container.address, container.port, container.login, keys, jump),
                key=here.offer,
                policy=policy.address_policy(),
                deadlines=policy.deadlines(),
                tick=self._tick,
                dialed=dialed,
            )
        finally:
            if not here.is_new:
                here.note(token=self.lease.token)
            if there:
                there.note()
            database.rest()

    def _asking(self, hop: Container | JumpHost) -> Asking:
        """Return what a server is offered: during one visit, over every connection what it took before."""
        if hop.pk not in self._asked:
            self._asked[hop.pk] = Asking.of(hop)
        return self._asked[hop.pk]

    def in_session(self, act: Callable[[], Result]) -> Result:
        """Do what opens a session; over a new connection if an earlier conversation holds the only one.

        A server may allow only a few sessions at once (`MaxSessions`), and refuses before it reads anything.
        So does one whose line of the portal's new key has options that the former key's line has not.
        """
        try:
            return self._run(act)
        except ssh.SessionRefused:
            if self.connection is None or not self.connection.has_carried:
                raise
        except (ssh.CommandRefused, nlserver.Refused) as error:
            asked = self._asked.get(self.lease.container_id)
            if error.code != Code.SCRIPT_NOT_RUN or asked is None or not asked.offer.let_down(error):
                raise
        self.drop()
        return self._run(act)

    def _run(self, act: Callable[[], Result]) -> Result:
        """Do it, and note which key opened the container, once the script ran: a login alone is little."""
        try:
            result = act()
        except nlserver.Refused as error:
            if error.code != Code.SCRIPT_NOT_RUN:
                self._note_key()
            raise
        self._note_key()
        return result

    def _note_key(self) -> None:
        if asked := self._asked.get(self.lease.container_id):
            asked.note(token=self.lease.token)
            database.rest()

    def heed(self, refused: nlserver.Refused) -> None:
        """Keep the connection after a refusal, unless that was a silence: then the deadline closed it."""
        if refused.code in {Code.BECOME_REFUSED, Code.INPUT_NOT_PRIVATE}:
            self.drop()

    def why_silent(self, container: Container, job: nlserver.Job) -> str:
        """Ask over a new connection why the login could not become neolane: a deadline closed the old one."""
        self.drop()
        try:
            return nlserver.why_silent(self.open(container), job)
        except ssh.SSHError:
            self.failure = None  # of a question that the next errand does not ask
            return Code.BECOME_REFUSED
        finally:
            self.drop()

    def drop(self) -> None:
        """Close a connection that broke, so that the next errand opens a new one."""
        if self.dialed:
            self.dialed.close()
            self.dialed = None
        if self.connection:
            self.connection.close()
            self.connection = None
