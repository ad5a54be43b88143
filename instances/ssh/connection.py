"""One logged-in SSH connection, which carries one command after another."""

from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from instances.ssh.addresses import AddressPolicy
from instances.ssh.dials import Dial
from instances.ssh.errors import SSHError
from instances.ssh.host_keys import PublicHostKey, check_host_key, preference
from instances.ssh.jump import Jump, reach
from instances.ssh.keys import PrivateKey
from instances.ssh.link import Link
from instances.ssh.offers import Offer
from instances.ssh.talk import Talk
from instances.ssh.waits import Deadlines, Pulse, Tick


@dataclass(frozen=True)
class Target:
    """The server to reach, and the jump host on the way; `host_keys`: pinned, each `<type> <base64>`."""

    host: str
    port: int
    login: str
    host_keys: tuple[str, ...]
    jump: Jump | None = None


class Connection:
    """One logged-in SSH connection, for one thread; carries one command after another."""

    def __init__(self, link: Link, host_key: PublicHostKey) -> None:
        self._link = link
        self._host_key = host_key

    @classmethod
    def open(
        cls,
        target: Target,
        *,
        key: PrivateKey | Offer,
        policy: AddressPolicy,
        deadlines: Deadlines | None = None,
        tick: Tick = lambda: None,
        dialed: Dial | None = None,
    ) -> Self:
        """Resolve, vet, connect, check the host key and log in, or raise an `SSHError`.

        `tick` is called about every second during this and every later wait; what it raises ends the
        connection and reaches the caller. `dialed` is a dial to this target, or to its jump host, that is
        over: its socket is used, or what it failed with is raised. Connects again, with the same deadlines,
        as long as an `Offer` goes on: three times for each server at most, and once if all is well.
        """
        limits, pulse = deadlines or Deadlines(), Pulse(tick)
        offer, jump = Offer.of(key), target.jump and target.jump.remembering()
        target = replace(target, jump=jump)
        while True:
            try:
                return cls._open(target, offer, policy, limits, pulse, dialed)
            except SSHError:
                if not (offer.goes_on() or (jump and jump.offer.goes_on())):
                    raise
            dialed = None

    @classmethod
    def _open(
        cls,
        target: Target,
        offer: Offer,
        policy: AddressPolicy,
        limits: Deadlines,
        pulse: Pulse,
        dialed: Dial | None,
    ) -> Self:
        pinned = tuple(PublicHostKey.parse(line) for line in target.host_keys)
        link = reach(
            target.host,
            target.port,
            target.jump,
            policy=policy,
            deadlines=limits,
            pulse=pulse,
            dialed=dialed,
        )
        try:
            offered = link.negotiate(preference(pinned))
            check_host_key(offered, pinned)
            offer.over(link, target.login)
        except BaseException:
            link.close()
            raise
        return cls(link, offered)

    @property
    def host_key(self) -> str:
        """Fingerprint of the host key that this connection was checked against."""
        return self._host_key.fingerprint

    @property
    def has_carried(self) -> bool:
        """Whether a command was started on it before, which may still hold a session."""
        return self._link.has_carried

    def talk(self, command: str) -> "Talk":
        """Start a command and return the conversation with it; earlier ones must have ended."""
        return Talk(self._link, self._link.start(command))

    def close(self) -> None:
        """Close the socket and end Paramiko's threads. May be called again."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
