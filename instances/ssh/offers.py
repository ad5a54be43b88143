"""Which of the portal's keys a server is offered, over one connection after another, and which it took.

While the portal's key is replaced there are two: the newest is offered first, then the former one. Some
servers do not wait for the second: they hang up on the first key that they do not know (`MaxAuthTries 1`), or
never answer. The former key then gets a connection of its own, so that a new key keeps the portal out of no
server that the former one opens.
"""

from dataclasses import dataclass
from typing import TypeVar

from instances.ssh.errors import KeyRefused, LoginBarred, LoginRefused, SSHError
from instances.ssh.host_keys import fingerprint
from instances.ssh.keys import PrivateKey
from instances.ssh.link import Link

E = TypeVar("E", bound=Exception)


@dataclass(frozen=True)
class Login:
    """How a server answered: fingerprints (`SHA256:…`) of keys, empty where there is none."""

    taken: str
    """The key that it let in."""
    refused: str
    """The newest key, if it was offered and not let in."""
    hung_up: bool = False
    """Whether the former key took a connection of its own: the server does not wait for a second one."""


REFUSED = "was refused"
HUNG_UP = "was not answered: the server hung up"
NO_ANSWER = "was not answered"
OF_NO_USE = "was taken, but is not allowed what the portal needs"


class Offer:
    """The keys for one server: the newest, and the former one as long as that is in use too.

    For one visit: what the server took is all that it is offered over later connections. With `former_first`
    the newest one is kept for a server that does not take the former one any more.
    """

    def __init__(
        self, key: PrivateKey, former: PrivateKey | None = None, *, former_first: bool = False
    ) -> None:
        self._keys: tuple[PrivateKey, ...] = (key,) if former is None else (key, former)
        self._next: tuple[PrivateKey, ...] = self._keys[::-1] if former_first else self._keys
        self._taken: PrivateKey | None = None
        self._said: dict[str, str] = {}
        self._failed: tuple[PrivateKey, SSHError] | None = None
        self._barred: list[PrivateKey] = []
        self._hung_up = False
        self._let_down: Exception | None = None
        self._turns = False

    @classmethod
    def of(cls, key: "PrivateKey | Offer") -> "Offer":
        """Return an offer as it is, or one of this key alone."""
        return key if isinstance(key, Offer) else cls(key)

    @property
    def login(self) -> Login | None:
        """How the server answered; None if that says nothing about the newest key.

        So it is where that was not offered, or left without an answer by a server that took no key; and where
        it was taken, then let us down, and the former one was not taken.
        """
        newest, last = name_of(self._keys[0]), name_of(self._keys[-1])
        if self._taken is self._keys[0]:
            return None if self._let_down else Login(newest, "")
        if self._taken is not None:
            return Login(last, newest, self._hung_up) if newest in self._said else None
        answers = {self._said.get(name, NO_ANSWER) for name in (newest, last)}
        is_no = REFUSED in answers and NO_ANSWER not in answers
        return Login("", newest, self._hung_up) if is_no else None

    def over(self, link: Link, login: str) -> None:
        """Log in over this connection with the first key that the server takes, or raise an `SSHError`.

        If the newest key `let_down` and the former one fails, that error is raised again.
        """
        self._failed, self._turns = None, False
        try:
            self._offer_each(link, login)
        except SSHError:
            if self._let_down is None or self._next != self._keys[1:]:
                raise
            self._failed, self._taken, self._next = None, self._keys[0], self._keys[:1]
            raise self._in_words(self._let_down) from None

    def let_down(self, error: Exception) -> bool:
        """Note that the server forbids what is needed to who logs in with the newest key: `error` says so.

        Its line may have other options than the former one's. True if the former key has not been tried:
        the next connection offers that alone.
        """
        if self._taken is not self._keys[0] or name_of(self._keys[-1]) in self._said or len(self._keys) < 2:
            return False
        self._said[name_of(self._keys[0])] = OF_NO_USE
        self._let_down, self._taken, self._next, self._turns = error, None, self._keys[1:], True
        return True

    def _offer_each(self, link: Link, login: str) -> None:
        for key in self._next:
            try:
                link.log_in(login, key)
            except KeyRefused:
                self._said[name_of(key)] = REFUSED
            except SSHError as error:
                self._note_failure(key, error)
                raise self._in_words(error) from None
            else:
                self._taken, self._next = key, (key,)
                return
        refused = LoginRefused(*link.words)
        if len(self._next) == 1:
            self._failed = self._next[0], refused
        raise self._in_words(refused)

    def goes_on(self) -> bool:
        """Whether a further connection may end otherwise, after one at whose end `over` failed.

        That an account is barred is said only when a second connection ends in the same way, since a
        breaking one can look like it.
        """
        if self._failed is None:
            turns, self._turns = self._turns, False
            return turns
        (key, error), self._failed = self._failed, None
        doubted, is_barred = list(self._barred), isinstance(error, LoginBarred)
        if is_barred:
            self._barred.append(key)
        if len(self._next) > 1:
            self._hung_up, self._next = True, self._next[1:]
        elif is_barred and not doubted:
            self._next = (key,)
        elif type(error) is LoginRefused and doubted and key not in doubted:
            self._next = (doubted[0],)
        else:
            return False
        return True

    def _note_failure(self, key: PrivateKey, error: SSHError) -> None:
        """Note what was no plain no. The end of a connection is one only to a key that was alone on it."""
        self._failed = key, error
        is_plain = len(self._next) == 1 and not isinstance(error, LoginBarred)
        ending = REFUSED if is_plain else HUNG_UP
        self._said[name_of(key)] = ending if isinstance(error, LoginRefused) else NO_ANSWER

    def _in_words(self, error: E) -> E:
        """Add what became of each of two keys: who looks for the cause has to know which one was meant."""
        if len(self._keys) > 1 and isinstance(error, SSHError):
            names = zip(("newest", "former"), map(name_of, self._keys), strict=True)
            said = [
                f"The portal's {which} key {name} {self._said.get(name, NO_ANSWER)}." for which, name in names
            ]
            error.details = (*error.details, *said)
        return error


def name_of(key: PrivateKey) -> str:
    """Return the fingerprint of a key's public half, as `ssh-keygen -l` prints it."""
    return fingerprint(key.asbytes())
