"""What Campaign does with its account: now and then it asks IMS for a token, with whatever its file holds."""

import threading
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol, Self
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from portal.sandbox.container import Container, read_account
from portal.sandbox.ims import TOKEN_PATH

PAUSE = 4.0
"""Seconds from one token to the next. The real ones live for a day; a demo is shorter."""
TIMEOUT = 5.0


class HasContainers(Protocol):
    """The fleet, as far as it is asked here."""

    containers: dict[str, Container]


class Campaign:
    """All Campaign servers of a fleet; a context manager that has them ask for tokens meanwhile."""

    def __init__(self, fleet: HasContainers, ims_url: str) -> None:
        self._fleet, self._url = fleet, ims_url + TOKEN_PATH
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox-campaign", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(PAUSE):
            self.sign_in()

    def sign_in(self) -> None:
        """Let every instance of every container ask for a token once; a refusal changes nothing."""
        for container in list(self._fleet.containers.values()):
            for path in container.conf.glob("config-*.xml"):
                # A file may just be written anew, hold no account, or one that another container encrypted.
                with suppress(OSError, ET.ParseError, ValueError):
                    self._ask(container, path.stem.removeprefix("config-"))

    def _ask(self, container: Container, instance: str) -> None:
        account = read_account(container, instance)
        if not (account.client_id and account.secret):
            return
        form: Mapping[str, str] = {
            "client_id": account.client_id,
            "client_secret": account.secret.reveal(),
            "grant_type": "client_credentials",
            "scope": "openid,AdobeID",
        }
        request = urllib.request.Request(self._url, urlencode(form).encode())  # noqa: S310  # the stand-in
        urllib.request.urlopen(request, timeout=TIMEOUT).close()  # noqa: S310  # likewise
