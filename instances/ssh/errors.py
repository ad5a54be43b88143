"""What can go wrong on the way to a host: a code, and what helps a person to find the cause."""

from typing import ClassVar


class SSHError(Exception):
    """The conversation did not take place or broke; `code` is the failure code that people see explained.

    `details` are lines for people about this one time. They may quote the other side, cleaned and cut by
    `greeting.quoted`, so they are never logged, and redacted before they are stored.
    """

    code: ClassVar[str]

    def __init__(self, *details: str) -> None:
        super().__init__()
        self.details = details

    def __str__(self) -> str:
        return self.code


class NameNotResolved(SSHError):
    code = "name_not_resolved"


class AddressNotAllowed(SSHError):
    code = "address_not_allowed"


class ConnectionRefused(SSHError):
    code = "connection_refused"


class HostUnreachable(SSHError):
    code = "host_unreachable"


class TimedOut(SSHError):
    code = "timed_out"


class Silent(TimedOut):
    """Connected, but the other side said nothing."""

    code = "ssh_silent"


class NotSSH(SSHError):
    """Something answers on the port, but it is no SSH server."""

    code = "not_ssh"


class TurnedAway(SSHError):
    """The connection was closed before SSH began, without a word or with words of refusal."""

    code = "turned_away"


class SSHTooOld(SSHError):
    """The server offers nothing but what is known to be weak."""

    code = "ssh_too_old"


class NoCommonAlgorithm(SSHError):
    """The server offers good algorithms, but none that we have."""

    code = "no_common_algorithm"


class LoginRefused(SSHError):
    code = "login_refused"


class KeyRefused(LoginRefused):
    """The server said no to one key, and waits for another."""


class LoginBarred(LoginRefused):
    """The server hung up when it had seen the key: it knows the key and bars the account."""

    code = "login_barred"


class SessionRefused(SSHError):
    """Logged in, but the server opens no session."""

    code = "session_refused"


class CommandRefused(SSHError):
    """Logged in, but the server runs no command."""

    code = "script_not_run"


class JumpHostError(SSHError):
    """The way through the jump host is not there; the host behind it was not spoken to."""


class JumpHostUnreachable(JumpHostError):
    """It does not answer, or broke off before it connected us."""

    code = "jump_host_unreachable"


class JumpHostNotAllowed(JumpHostError):
    """The address policy does not let us contact it."""

    code = "jump_host_not_allowed"


class JumpHostTooOld(JumpHostError):
    code = "jump_host_too_old"


class JumpHostNoAlgorithm(JumpHostError):
    """It offers good algorithms, but none that we have."""

    code = "jump_host_no_algorithm"


class JumpHostLoginRefused(JumpHostError):
    code = "jump_host_login_refused"


class JumpHostLoginBarred(JumpHostLoginRefused):
    """It hung up when it had seen the key."""


class ForwardingForbidden(JumpHostError):
    """The jump host lets us in, but connects us to nobody."""

    code = "jump_host_forbids"


class NoWayBehind(JumpHostError):
    """The jump host tried, and cannot reach the host behind it."""

    code = "jump_host_no_way"


class ConnectionLost(SSHError):
    code = "connection_lost"


class TooMuchOutput(ConnectionLost):
    """The other side did not stop talking; the connection was closed by us."""
