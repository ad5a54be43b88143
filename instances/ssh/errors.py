"""What can go wrong on the way to a host. An error carries a code and never a word of the other side."""

from typing import ClassVar


class SSHError(Exception):
    """The conversation did not take place or broke; `code` is the failure code that people see explained."""

    code: ClassVar[str]

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


class SSHTooOld(SSHError):
    code = "ssh_too_old"


class LoginRefused(SSHError):
    code = "login_refused"


class CommandRefused(SSHError):
    """Logged in, but the server opens no session or runs no command."""

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


class JumpHostLoginRefused(JumpHostError):
    code = "jump_host_login_refused"


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
