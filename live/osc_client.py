"""The other end: a show that is performed somewhere is told something, asked, or watched."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

from engine.errors import UserError
from live.endpoint import parse_endpoint
from live.osc import encode, read_message
from live.osc_packets import MalformedError
from live.trace import Heard, Line

ANSWER_S = 1.0  # for which an answer is waited for
SUBSCRIBE_EVERY_S = 20.0  # subscriptions last a minute, and a datagram can be lost


class Client:
    """Speaks to HOST:PORT over UDP; `with` closes it. Raises UserError for what is no address."""

    def __init__(self, endpoint: str) -> None:
        host, port = parse_endpoint(endpoint)
        # Listening on all addresses is nothing that can be sent to.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
            self._socket.connect(address)
        except (OSError, UnicodeError) as error:
            raise UserError(f"OSC address {endpoint}: {error}") from error

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def port(self) -> int:
        """Where answers come to."""
        return int(self._socket.getsockname()[1])

    def send(self, address: str, *args: float | int | str) -> None:
        """Send a message; nobody may be there. Raises UserError for what cannot be sent."""
        try:
            with suppress(ConnectionError):  # an earlier one reached nobody
                self._socket.send(encode(address, *args))
        except ValueError as error:
            raise UserError(str(error)) from error
        except OSError as error:
            raise UserError(f"{address}: cannot be sent: {error.strerror or error}") from error

    def receive(self, timeout: float) -> Heard | None:
        """The next message that comes within so many seconds."""
        until = time.monotonic() + timeout
        while (remaining := until - time.monotonic()) > 0:
            self._socket.settimeout(remaining)
            try:
                return Heard(*read_message(self._socket.recv(65_507)))
            except TimeoutError:
                return None
            except ConnectionError:  # nobody is there: nor will there be an answer
                return None
            except MalformedError:
                continue
        return None

    def ask(self, address: str) -> Heard | None:
        """The answer to a question, or None."""
        self.send(address)
        return self.receive(ANSWER_S)

    def watch(self, prefix: str) -> Iterator[Line | None]:
        """What a show hears, without end; None where nothing came for a tenth of a second."""
        address = f"{prefix}/out/heard"
        asked, known = -SUBSCRIBE_EVERY_S, None
        while True:
            if time.monotonic() - asked >= SUBSCRIBE_EVERY_S:
                asked = time.monotonic()
                self.send(f"{prefix}/subscribe", self.port, address)
            heard = self.receive(0.1)
            if heard is None or heard.address != address or len(heard.args) < 4:
                yield None
                continue
            host, outcome, lost, sent, *args = heard.args
            if known is not None and lost != known:
                yield Line(str(host), Heard("..."), "more came than can be told, some is left out")
            known = lost
            yield Line(str(host), Heard(str(sent), args), str(outcome))
