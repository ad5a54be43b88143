"""Reaching a host by SSH, with an end to every wait. The only importer of Paramiko.

Paramiko's own timeouts do not bound a conversation (they restart with every byte, or are missing), so the
calling thread waits with a monotonic deadline while another one makes the blocking call, and closes the
socket when time is up. Errors carry a code, and lines for people that quote the other side cleaned and cut.
"""

from instances.ssh.addresses import ADDRESS_TRIES, AddressPolicy, resolve
from instances.ssh.connection import Connection, Target
from instances.ssh.dials import Dial, dial, look_up
from instances.ssh.errors import (
    AddressNotAllowed,
    CommandRefused,
    ConnectionLost,
    ConnectionRefused,
    ForwardingForbidden,
    HostUnreachable,
    JumpHostError,
    JumpHostLoginBarred,
    JumpHostLoginRefused,
    JumpHostNoAlgorithm,
    JumpHostNotAllowed,
    JumpHostTooOld,
    JumpHostUnreachable,
    LoginBarred,
    LoginRefused,
    NameNotResolved,
    NoCommonAlgorithm,
    NotSSH,
    NoWayBehind,
    SessionRefused,
    Silent,
    SSHError,
    SSHTooOld,
    TimedOut,
    TooMuchOutput,
    TurnedAway,
)
from instances.ssh.host_keys import (
    HOST_KEY_TYPES,
    HostKeyChanged,
    HostKeyUnknown,
    JumpHostKeyChanged,
    PublicHostKey,
    fingerprint,
)
from instances.ssh.jump import Jump
from instances.ssh.keys import (
    PrivateKey,
    UnusableKey,
    generate_private_key,
    load_private_key,
    load_private_keys,
    public_line,
    write_private_key,
)
from instances.ssh.offers import Login, Offer, name_of
from instances.ssh.scans import Shown, scan
from instances.ssh.talk import LINE_LIMIT, Excerpt, Talk
from instances.ssh.waits import Deadlines, Tick
from portal.calls.addresses import is_address

__all__ = [
    "ADDRESS_TRIES",
    "HOST_KEY_TYPES",
    "LINE_LIMIT",
    "AddressNotAllowed",
    "AddressPolicy",
    "CommandRefused",
    "Connection",
    "ConnectionLost",
    "ConnectionRefused",
    "Deadlines",
    "Dial",
    "Excerpt",
    "ForwardingForbidden",
    "HostKeyChanged",
    "HostKeyUnknown",
    "HostUnreachable",
    "Jump",
    "JumpHostError",
    "JumpHostKeyChanged",
    "JumpHostLoginBarred",
    "JumpHostLoginRefused",
    "JumpHostNoAlgorithm",
    "JumpHostNotAllowed",
    "JumpHostTooOld",
    "JumpHostUnreachable",
    "Login",
    "LoginBarred",
    "LoginRefused",
    "NameNotResolved",
    "NoCommonAlgorithm",
    "NoWayBehind",
    "NotSSH",
    "Offer",
    "PrivateKey",
    "PublicHostKey",
    "SSHError",
    "SSHTooOld",
    "SessionRefused",
    "Shown",
    "Silent",
    "Talk",
    "Target",
    "Tick",
    "TimedOut",
    "TooMuchOutput",
    "TurnedAway",
    "UnusableKey",
    "dial",
    "fingerprint",
    "generate_private_key",
    "is_address",
    "load_private_key",
    "load_private_keys",
    "look_up",
    "name_of",
    "public_line",
    "resolve",
    "scan",
    "write_private_key",
]
