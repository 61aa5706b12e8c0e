"""OSC from a desk, over UDP. The only importer of pythonosc.

The receiving thread only checks the sender and queues; the frame reads what waits, twice and for
1 ms at most each. Of python-osc only its messages are used. Its bundles are not: a negative element
size sends them into an endless loop (1.10.2), and they nest without bound. Its dispatcher is not
either: it sleeps on time tags from the future. Bundles are obeyed at once here, whatever their time
tag.
"""

from __future__ import annotations

import logging
import selectors
import socket
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import NamedTuple

from pythonosc import osc_message, osc_message_builder

from live.addresses import ADDRESSES, Message, Value, coerce
from live.control import apply, value_of
from live.endpoint import contains, default_allow, networks, open_socket, parse_endpoint
from live.inbox import Datagram, Inbox, Sender
from live.patterns import is_pattern, matching
from live.show import Programme, Show
from live.subscribers import Subscribers

log = logging.getLogger(__name__)

BUDGET_NS = 1_000_000
"""Reading may take this long at a time, and a turn of the stage reads twice: 2 ms of a frame. The
rest waits."""

LARGEST_DATAGRAM = 65_507
LARGEST_MESSAGE = 2048
"""Bytes of one message, also within a bundle. python-osc reads strings byte by byte and copies the
rest of the message for every number: 65 kB of floats take it 0.2 s, 2 kB of anything 0.2 ms."""
MOST_ARGUMENTS = 32
DEEPEST_BUNDLE = 8
WHOLE = 1472
"""Bytes: what fits one Ethernet frame takes effect in one frame of the show, whatever the budget;
only larger bundles may be torn apart by it. At 15 us a message this is within 1 ms."""

_READABLE = b"ihfdsSbrmtTFNIc"
# How python-osc is made to read them. It skips I, S and c, data and all, but an impulse is a press,
# a symbol a string, a char a code. A float whose bytes are missing it reads as 0, which as a master
# would be dark: as an integer it is refused, and made a float here.
_READ_AS = bytes.maketrans(b"IScf", b"Tsii")
_MOST_LOGGED = 100


@dataclass(frozen=True, slots=True)
class Counts:
    """Messages so far; a bundle counts as those in it, a pattern as the addresses it means.

    `received` is the sum of the others and of what still waits:
    `applied`: handed to the show, questions and the releases of buttons included;
    `merged`: replaced, before the show saw it, by a newer value for the same address;
    `refused`: from a sender that is not allowed, to an address unknown here, or one too many;
    `malformed`: not OSC, or with arguments that the address cannot take.
    """

    received: int = 0
    applied: int = 0
    merged: int = 0
    refused: int = 0
    malformed: int = 0

    def asdict(self) -> dict[str, int]:
        """As the statistics write them."""
        return asdict(self)


class Received(NamedTuple):
    """A message and who sent it."""

    message: Message
    sender: Sender


class _Tally:
    """Counts that one thread adds to."""

    def __init__(self) -> None:
        self.received = self.applied = self.merged = self.refused = self.malformed = 0


class _MalformedError(Exception):
    """What arrived is not OSC, or not as we take it."""


def encode(address: str, *args: float | int | str) -> bytes:
    """The datagram of one message."""
    builder = osc_message_builder.OscMessageBuilder(address)
    for arg in args:
        builder.add_arg(arg)
    return builder.build().dgram


class OscServer:
    """Hears a desk. Constructing it checks the arguments; `with`, or `start`, opens the socket.

    `listen` is HOST:PORT; port 0 takes a free one. `allow` lists networks (CIDR) of senders; None
    or empty allows loopback when listening there, and else private networks. `prefix` begins every
    address. Raises UserError for arguments that cannot be, and for a port that is taken.
    """

    def __init__(
        self,
        listen: str = "127.0.0.1:9000",
        allow: Sequence[str] | None = None,
        prefix: str = "/anthesis",
    ) -> None:
        self._listen = listen
        self._host, self._port = parse_endpoint(listen)
        self._allow_given = bool(allow)
        self._allow = networks(allow or default_allow(self._host))
        self._prefix = "/" + prefix.strip("/") if prefix.strip("/") else ""
        self._names = {f"{self._prefix}/{name}": name for name in ADDRESSES}
        self._addresses = tuple(self._names)
        self._values = {
            full.encode() for full, name in self._names.items() if ADDRESSES[name].kind == "value"
        }
        self._inbox = Inbox()
        self._subscribers = Subscribers()
        self._heard = _Tally()  # by the receiving thread
        self._read = _Tally()  # by the frame
        self._open: _Opened | None = None
        self._allowed: dict[str, bool] = {}
        self._logged: set[str] = set()
        self._socket: socket.socket | None = None

    # Opening and closing

    def start(self) -> None:
        """Open the socket and begin to receive. Raises UserError when it cannot be opened."""
        self._socket = open_socket(self._listen)
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._receive, name="osc", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and give the port back; what waits can still be drained."""
        if self._socket is not None:
            self._wake.close()  # the other end becomes readable
            self._thread.join()
            self._woken.close()
            self._socket.close()
            self._socket = None

    def __enter__(self) -> OscServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> Sender:
        """Host and port it listens on. Only while open."""
        assert self._socket is not None
        host, port = self._socket.getsockname()[:2]
        return host, port

    def describe(self) -> str:
        """Where it listens and to whom, in one line."""
        host, port = self.address if self._socket is not None else (self._host, self._port)
        allowed = ", ".join(map(str, self._allow))
        if not self._allow_given:
            local = all(network.is_loopback for network in self._allow)
            allowed = "this machine only" if local else f"private networks only ({allowed})"
        return f"OSC: listening on {host}:{port} for {self._prefix or '/'}, to {allowed}"

    # What the frame does

    @property
    def counts(self) -> Counts:
        """What has become of everything so far."""
        heard, read = self._heard, self._read
        return Counts(
            heard.received + read.received,
            heard.applied + read.applied,
            heard.merged + read.merged,
            heard.refused + read.refused,
            heard.malformed + read.malformed,
        )

    def wait(self, timeout: float) -> bool:
        """Wait until there is something to drain, `timeout` seconds at most."""
        return self._open is not None or self._inbox.wait(timeout)

    def messages(self, show: Show, at: int, programme: Programme) -> list[Message]:
        """What the show is to obey in this frame; pings and questions are answered on the way.

        A question is answered as if the messages before it had been obeyed already.
        """
        messages: list[Message] = []
        untold: list[Message] = []  # before the next question; obeying costs, so only for one
        for message, sender in self.drain():
            if message.address == "ping":
                self.reply(sender, "pong")
            elif message.address == "subscribe":
                self._subscribe(sender, message.args, at)
            elif not message.args and ADDRESSES[message.address].kind == "value":
                show = _told(show, untold, at, programme)
                untold.clear()
                self.reply(sender, message.address, value_of(show, message.address, at, programme))
            else:
                messages.append(message)
                untold.append(message)
        return messages

    def publish(self, address: str, args: Sequence[Value], at: int) -> None:
        """Tell those who have subscribed, at show time `at` (ns); may be called in every frame."""
        for who in self._subscribers.due(f"{self._prefix}/{address}", args, at):
            self.reply(who, address, args)

    def _subscribe(self, sender: Sender, args: Sequence[Value], at: int) -> None:
        port, pattern = int(args[0]), str(args[1]) if len(args) > 1 else ""
        try:
            self._subscribers.add((sender[0], port), pattern, at)
        except ValueError as error:
            self._log_once(f"{sender[0]} cannot subscribe: {error}")

    def drain(
        self, budget_ns: int = BUDGET_NS, now: Callable[[], int] = time.perf_counter_ns
    ) -> list[Received]:
        """Read what waits, until the budget is used up; at least one message.

        In the order of arrival, but a value (with arguments) that is followed by another for the
        same address is left out. Never raises: what cannot be read is counted.
        """
        until = now() + budget_ns
        found: OrderedDict[object, Received] = OrderedDict()
        while self._open is not None or self._take():
            assert self._open is not None
            whole = self._open.whole
            self._read_next(self._open, found)
            if (self._open is None or not whole) and now() >= until:
                break
        self._read.applied += len(found)
        return list(found.values())

    def reply(self, sender: Sender, address: str, args: Sequence[float | int | str] = ()) -> None:
        """Send a message back to where one came from, if that takes no waiting."""
        if self._socket is not None:
            with suppress(OSError):  # nobody there any more, or no room just now
                self._socket.sendto(encode(f"{self._prefix}/{address}", *args), sender)

    def _take(self) -> bool:
        datagram = self._inbox.take()
        if datagram is not None:
            self._open = _Opened(datagram)
        return datagram is not None

    def _read_next(self, opened: _Opened, found: OrderedDict[object, Received]) -> None:
        """Read the next message of a datagram, or find that there is none."""
        data = next(opened.messages, None)
        if data is None:
            self._read.applied += opened.empty  # a bundle of nothing is easily obeyed
            self._open = None
            return
        opened.count(self._read)
        try:
            for received in self._understood(data, opened.sender):
                self._add(received, found)
        except _MalformedError as error:
            self._read.malformed += 1
            self._log_once(f"malformed message from {opened.sender[0]}: {error}")

    def _add(self, received: Received, found: OrderedDict[object, Received]) -> None:
        message = received.message
        value = bool(message.args) and ADDRESSES[message.address].kind == "value"
        key = message.address if value else object()
        if found.pop(key, None) is not None:
            self._read.merged += 1
        found[key] = received

    def _understood(self, data: bytes | _MalformedError, sender: Sender) -> Iterator[Received]:
        """The messages that one OSC message means; counts those that are to be ignored."""
        if isinstance(data, _MalformedError):
            raise data
        address, args = _parse(data)
        names = self._meant(address)
        if not names:
            self._read.refused += 1
            self._log_once(f"no such address: {address:.80}")
        self._read.received += max(len(names) - 1, 0)
        for name in names:
            try:
                message = coerce(ADDRESSES[name], args)
            except ValueError as error:
                self._read.malformed += 1
                self._log_once(str(error))
                continue
            if message is None:
                self._read.applied += 1
            else:
                yield Received(message, sender)

    def _meant(self, address: str) -> list[str]:
        if address in self._names:
            return [self._names[address]]
        if not is_pattern(address):
            return []
        try:
            return [self._names[full] for full in matching(address, self._addresses)]
        except ValueError as error:
            raise _MalformedError(f"pattern {address!r:.80}: {error}") from None

    def _log_once(self, text: str) -> None:
        if text not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(text)
            log.warning("OSC: %s", text)

    # What the receiving thread does

    def _receive(self) -> None:
        assert self._socket is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while all(key.fileobj is self._socket for key, _ in selector.select()):
                # Windows reports here that an earlier reply reached nobody.
                with suppress(OSError):
                    self._queue(*self._socket.recvfrom(LARGEST_DATAGRAM))

    def _queue(self, data: bytes, sender: Sender) -> None:
        self._heard.received += 1
        sender = sender[0], sender[1]
        if not self._is_allowed(sender[0]):
            self._heard.refused += 1
            return
        value = self._value_in(data)
        lost = self._inbox.put(Datagram(data, sender), value)
        if lost is None:
            return
        if value is not None:
            self._heard.merged += 1
        else:
            self._heard.refused += 1
            self._log_once("more messages than can be read, the newest are refused")

    def _is_allowed(self, host: str) -> bool:
        allowed = self._allowed.get(host)
        if allowed is None:
            allowed = contains(self._allow, host)
            if len(self._allowed) < 4096:  # senders can be invented, memory cannot
                self._allowed[host] = allowed
            if not allowed:
                self._log_once(f"refused a message from {host}, which is not in allow")
        return allowed

    def _value_in(self, data: bytes) -> bytes | None:
        """The address if this sets a value, read off the raw bytes: what may be merged unread."""
        end = data.find(0)
        address = data[: max(end, 0)]
        if address not in self._values or len(data) > LARGEST_MESSAGE:
            return None
        tags = data[(end + 4) & ~3 :][:2]
        asks = not tags.strip(b"\0,")  # no tags, or none after the comma: a question
        return None if asks else address


def _told(show: Show, messages: Sequence[Message], at: int, programme: Programme) -> Show:
    """The show as it will be; what cannot be obeyed is said where it is obeyed in earnest."""
    for message in messages:
        with suppress(ValueError):
            show = apply(show, message, at, programme)
    return show


class _Opened:
    """A datagram that is being read, perhaps over several frames."""

    def __init__(self, datagram: Datagram) -> None:
        self.sender = datagram.sender
        self.messages = _messages(datagram.data)
        self.whole = len(datagram.data) <= WHOLE
        self.empty = True

    def count(self, tally: _Tally) -> None:
        """One message more: the first was counted when the datagram came in."""
        tally.received += not self.empty
        self.empty = False


def _messages(data: bytes, depth: int = 0) -> Iterator[bytes | _MalformedError]:
    """The messages in a datagram, in order, those of bundles within bundles too.

    Where a bundle is damaged comes the error instead, and what is left of it is passed over.
    """
    if not data.startswith(b"#bundle\0"):
        yield data
        return
    if depth == DEEPEST_BUNDLE:
        yield _MalformedError(f"bundles nested deeper than {DEEPEST_BUNDLE}")
        return
    if len(data) < 16:
        yield _MalformedError("a bundle without time tag")
    at = 16
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        at += 4
        if size == 0 or size % 4 or size > len(data) - at:
            yield _MalformedError(f"a bundle element of {size} bytes with {len(data) - at} left")
            return
        yield from _messages(data[at : at + size], depth + 1)
        at += size


def _parse(data: bytes) -> tuple[str, list[object]]:
    """Address and arguments of one message. Raises _MalformedError."""
    if not data.startswith(b"/"):
        raise _MalformedError(f"it begins with {data[:8]!r}")
    if len(data) > LARGEST_MESSAGE:
        raise _MalformedError(f"{len(data)} bytes, {LARGEST_MESSAGE} at most")
    start = (data.find(0) + 4) & ~3
    tags = data[start : max(data.find(0, start), start)]
    if len(tags) > 1 + MOST_ARGUMENTS:
        raise _MalformedError(f"{len(tags) - 1} arguments, {MOST_ARGUMENTS} at most")
    unknown = tags[1:].translate(None, _READABLE)
    if unknown:
        raise _MalformedError(f"type tags unknown here: {unknown!r}")
    known = tags.translate(_READ_AS)
    try:
        message = osc_message.OscMessage(data[:start] + known + data[start + len(tags) :])
        read = zip(tags[1:].decode(), message.params, strict=True)
        args = [
            struct.unpack(">f", struct.pack(">i", arg))[0] if t == "f" else arg for t, arg in read
        ]
        return message.address, args
    except (osc_message.ParseError, ValueError, ArithmeticError, LookupError, TypeError) as error:
        raise _MalformedError(f"{error}") from None
