"""OSC from a desk, over UDP and TCP. The only importer of pythonosc.

The receiving thread only checks the sender and queues; the frame reads what waits, twice and for
1 ms at most each. What could not be read in time waits, and of several values for one address that
wait only the newest is kept, unread. Of python-osc only its messages are used. Its bundles are not:
a negative element size sends them into an endless loop (1.10.2), and they nest without bound. Its
dispatcher is not either: it sleeps on time tags from the future. A bundle's messages wait here in a
schedule until its time; what is late is obeyed at once.
"""

from __future__ import annotations

import logging
import math
import selectors
import socket
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple, Self

from pythonosc import osc_message, osc_message_builder

from live import osc_stamps
from live.addresses import ADDRESSES, OF_THE_STAGE, Message, Value
from live.control import value_of
from live.endpoint import (
    contains,
    default_allow,
    networks,
    open_listener,
    open_socket,
    parse_endpoint,
)
from live.inbox import Datagram, Inbox, Sender
from live.osc_packets import DEEPEST_BUNDLE as DEEPEST_BUNDLE
from live.osc_packets import LARGEST_MESSAGE, Element, MalformedError, elements, parse
from live.osc_schedule import FURTHEST_NS, IMMEDIATELY, Schedule, unix_ns
from live.osc_tcp import Caller, Line, Lines
from live.osc_wire import FramingError
from live.routes import Meant, Patch, Routes
from live.settling import Course, settled
from live.show import Programme, Show
from live.subscribers import Subscribers
from live.takeover import Pickups
from live.tally import Counts as Counts
from live.tally import Malformation, Tally, total
from live.trace import ANSWERED, SUBSCRIBED, Heard, Trace
from live.trace import Line as TraceLine

log = logging.getLogger(__name__)

BUDGET_NS = 1_000_000
"""Reading may take this long at a time, and a turn of the stage reads twice: 2 ms of a frame. The
rest waits."""

LARGEST_DATAGRAM = 65_507
WHOLE = 1472
"""Bytes: what fits one Ethernet frame takes effect in one frame of the show, whatever the budget;
only larger bundles may be torn apart by it. At 15 us a message this is within 1 ms."""
OVERRUN_NS = 4_000_000
"""Of this thread's own work, no more than this for all that: a bundle can be full of patterns that
are made to take long. A machine that is busy with something else tears none apart."""
AT_ONCE = 64
"""Datagrams that are taken from the system before the receiving thread looks at anything else."""
_SYSTEM_BUFFER = 4 << 20  # bytes of datagrams; systems give what they allow

# How python-osc is made to read them. It skips I, S and c, data and all, but an impulse is a press,
# a symbol a string, a char a code. A float whose bytes are missing it reads as 0, which as a master
# would be dark: as an integer it is refused, and made a float here.
_READ_AS = bytes.maketrans(b"IScf", b"Tsii")
_VALUES = {bytes((tag,)) for tag in b"ifdhTFIc"}
_MOST_LOGGED = 100
_LARGEST_FLOAT = 3.4028234e38  # of 32 bits
_HEARD = "out/heard"
_HEARD_A_FRAME = 4  # lines that are told to those who watch


class Received(NamedTuple):
    """What a message means, who sent it, and how it came."""

    meant: Meant
    sender: Sender
    heard: Heard
    age_ns: int = 0  # since it came, or was due

    @property
    def message(self) -> Message:
        """What it says; of a change, by how much."""
        return self.meant.message


def encode(address: str, *args: float | int | str) -> bytes:
    """The datagram of one message: floats of 32 bits, integers of 32 or, if need be, 64.

    Raises ValueError for a number that is larger, and for text that is no Unicode.
    """
    try:
        builder = osc_message_builder.OscMessageBuilder(address)
        for arg in args:
            builder.add_arg(arg)
        return builder.build().dgram
    except (osc_message_builder.BuildError, OverflowError) as error:
        raise ValueError(f"{address}: cannot be sent: {error}") from error


def read_message(data: bytes) -> tuple[str, list[object]]:
    """Address and arguments of one message, not of a bundle. Raises MalformedError."""
    return parse(data, _unusual)


def _unusual(address: bytes, tags: bytes, rest: bytes) -> list[object]:
    """The arguments of a message that has blobs, arrays, time tags and the like."""
    try:
        message = osc_message.OscMessage(address + tags.translate(_READ_AS) + rest)
        read = zip(tags[1:].decode(), message.params, strict=True)
        return [
            struct.unpack(">f", struct.pack(">i", arg))[0] if t == "f" else arg for t, arg in read
        ]
    except (osc_message.ParseError, ValueError, ArithmeticError, LookupError, TypeError) as error:
        raise MalformedError("damaged", f"{error}") from None
    except struct.error as error:
        raise MalformedError("damaged", f"{error}") from None


class OscServer:
    """Hears a desk. Constructing it checks the arguments; `with`, or `start`, opens the sockets.

    `listen` is HOST:PORT, for UDP and TCP; port 0 takes a free one. `allow` lists networks (CIDR)
    of senders; None or empty allows loopback when listening there, and else private networks.
    `prefix` begins every address of the namespace, `patch` says what other messages mean. `wall` is
    the time of day in ns since 1970, for bundles with a time. Raises UserError for arguments that
    cannot be, and for a port that is taken.

    `answers` are those to questions that the show's state cannot answer.
    """

    def __init__(
        self,
        listen: str = "127.0.0.1:9000",
        allow: Sequence[str] | None = None,
        prefix: str = "/anthesis",
        patch: Patch | None = None,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self._listen = listen
        self._host, self._port = parse_endpoint(listen)
        self._allow_given = bool(allow)
        self._allow = networks(allow or default_allow(self._host))
        self._prefix = "/" + prefix.strip("/") if prefix.strip("/") else ""
        self._routes = Routes(self._prefix, patch or Patch())
        self._wall = wall
        self._inbox = Inbox()
        self._schedule = Schedule()
        self._pickups = Pickups()
        self._subscribers = Subscribers()
        self.answers: dict[str, Callable[[], tuple[Value, ...]]] = {}
        self.trace: Trace | None = None  # for somebody who watches here, ...
        self._told: Trace | None = None  # ...and for those who do from elsewhere
        self._heard = Tally()  # by the receiving thread
        self._read = Tally()  # by the frame
        self._open: _Opened | None = None
        self._allowed: dict[str, bool] = {}
        self._logged: set[object] = set()
        self._socket: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._lines = Lines()

    # Opening and closing

    def start(self) -> None:
        """Open the sockets and begin to receive. Raises UserError when UDP cannot be heard."""
        self._socket = open_socket(self._listen)
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SYSTEM_BUFFER)
        osc_stamps.stamp(self._socket)
        self._listener = open_listener(self._socket)
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
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            self._lines.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on. Only while open."""
        assert self._socket is not None
        host, port = self._socket.getsockname()[:2]
        return host, port

    def describe(self) -> str:
        """Where it listens and to whom, in one line."""
        is_open = self._socket is not None
        host, port = self.address if is_open else (self._host, self._port)
        allowed = ", ".join(map(str, self._allow))
        if not self._allow_given:
            local = all(network.is_loopback for network in self._allow)
            allowed = "this machine only" if local else f"private networks only ({allowed})"
        tcp = " (UDP alone, TCP is taken)" if is_open and self._listener is None else ""
        return f"OSC: listening on {host}:{port}{tcp} for {self._prefix or '/'}, to {allowed}"

    # What the frame does

    @property
    def counts(self) -> Counts:
        """What has become of everything so far."""
        return total(self._heard, self._read)

    def wait(self, timeout: float) -> bool:
        """Wait until there is something to drain, `timeout` seconds at most."""
        return self._open is not None or self._inbox.wait(timeout)

    def messages(self, show: Show, at: int, programme: Programme) -> list[Message]:
        """What the show is to obey in this frame; pings and questions are answered on the way.

        A question is answered as if the messages before it had been obeyed already.
        """
        messages: list[Message] = []
        course = Course(show, at, programme)
        for received in self.drain():
            message, sender = received.message, received.sender
            if message.address == "ping":
                self._note(sender, received.heard, ANSWERED)
                self.reply(sender, "pong")
            elif message.address == "subscribe":
                self._note(sender, received.heard, SUBSCRIBED)
                self._subscribe(sender, message.args, at)
            elif not message.args and ADDRESSES[message.address].kind == "value":
                self._answer(received, course)
            elif (told := self._settle(received, course)) is not None:
                if told.address.startswith("tempo/"):  # what follows a desk's clock
                    told = replace(told, age_ns=max(received.age_ns, 0))
                messages.append(told)
                course.tell(told)
        self._tell_heard(at)
        return messages

    def publish(self, address: str, args: Sequence[Value], at: int) -> None:
        """Tell those who have subscribed, at show time `at` (ns); may be called in every frame."""
        for who in self._subscribers.due(f"{self._prefix}/{address}", args, at):
            self.reply(who, address, args)

    def drain(
        self,
        budget_ns: int = BUDGET_NS,
        now: Callable[[], int] = time.perf_counter_ns,
        worked: Callable[[], int] = time.thread_time_ns,
    ) -> list[Received]:
        """Read what waits, until the budget is used up; at least one message.

        In the order of arrival, but a value (with arguments) that is followed by another for the
        same address is left out. Never raises: what cannot be read is counted.
        """
        began, work = now(), worked()
        found: OrderedDict[object, Received] = OrderedDict()
        while self._open is not None or self._take(began):
            assert self._open is not None
            whole = self._open.whole
            self._read_next(self._open, found, began)
            if self._open is not None and whole and worked() - work < OVERRUN_NS:
                continue
            if now() >= began + budget_ns:
                break
        self._read.applied += len(found)
        return list(found.values())

    def reply(self, sender: Sender, address: str, args: Sequence[float | int | str] = ()) -> None:
        """Send a message back to where one came from, if that takes no waiting."""
        try:
            packet = encode(f"{self._prefix}/{address}", *args)
        except ValueError as error:  # a file's name that is no Unicode: the frame goes on
            self._log_once(str(error), address)
            return
        if isinstance(sender, Caller):
            line = self._lines.to(sender)
            if line is not None:
                line.send(packet)
        elif self._socket is not None:
            with suppress(OSError):  # nobody there any more, or no room just now
                self._socket.sendto(packet, sender)

    def _answer(self, received: Received, course: Course) -> None:
        address = received.message.address
        if address in OF_THE_STAGE:
            value = self.answers[address]() if address in self.answers else ()
        else:
            value = value_of(course.show, address, course.at, course.programme)
        self._note(received.sender, received.heard, ANSWERED)
        if value:
            self.reply(received.sender, address, value)

    def _settle(self, received: Received, course: Course) -> Message | None:
        """See `live.settling.settled`; what comes to nothing is counted again as what it was."""
        try:
            told = settled(received.meant, course, self._pickups)
        except ValueError as error:
            self._read.applied -= 1
            self._malformed("argument", str(error), received.sender, received.heard)
            return None
        if told is None:
            self._read.applied -= 1
            self._read.refused += 1
            value = course.value(received.message.address)
            self._note(received.sender, received.heard, f"not picked up yet: it is at {value:g}")
        elif self.watched:
            self._note(received.sender, received.heard, course.tried(told))
        return told

    def _subscribe(self, sender: Sender, args: Sequence[Value], at: int) -> None:
        port, pattern = int(args[0]), str(args[1]) if len(args) > 1 else ""
        try:
            self._subscribers.add((sender[0], port), pattern, at)
        except ValueError as error:
            self._log_once(f"{sender[0]} cannot subscribe: {error}")

    def _tell_heard(self, at: int) -> None:
        """Tell those who watch what arrived and what it did."""
        watchers = self._subscribers.asking(f"{self._prefix}/{_HEARD}", at)
        if not watchers:
            self._told = None  # to trace costs, and the next one is not to see what is long past
            return
        self._told = self._told or Trace()  # the first one sees what comes from here on
        for line in self._told.take(_HEARD_A_FRAME):
            args = map(_sendable, line.heard.args)
            said = (line.host, line.outcome, self._told.lost, line.heard.address, *args)
            for who in watchers:
                self.reply(who, _HEARD, said)

    @property
    def watched(self) -> bool:
        """Whether somebody wants to know what arrives and what it does."""
        return self.trace is not None or self._told is not None

    def _note(self, sender: Sender, heard: Heard, outcome: str) -> None:
        for trace in (self.trace, self._told):
            if trace is not None:
                trace.add(TraceLine(sender[0], heard, outcome))

    def _take(self, now: int) -> bool:
        datagram = self._schedule.take(now) or self._inbox.take()
        if datagram is not None:
            self._open = _Opened(datagram)
        return datagram is not None

    def _read_next(self, opened: _Opened, found: OrderedDict[object, Received], now: int) -> None:
        """Read the next message of a datagram, or find that there is none."""
        element = next(opened.elements, None)
        if element is None:
            self._read.applied += opened.read == 0  # a bundle of nothing is easily obeyed
            self._open = None
            return
        opened.count(self._read)
        if isinstance(element.data, MalformedError):
            self._malformed(element.data.kind, str(element.data), opened.sender)
        elif element.tag in IMMEDIATELY or not self._puts_off(element, opened.sender, now):
            for received in self._understood(element.data, opened.sender):
                self._add(received._replace(age_ns=now - opened.came_ns), found)

    def _puts_off(self, element: Element, sender: Sender, now: int) -> bool:
        """Whether a message of a bundle with a time is not for now."""
        assert isinstance(element.data, bytes)
        wait = unix_ns(element.tag) - self._wall()
        if wait <= 0:
            self._read.late += 1
            return False
        if wait > FURTHEST_NS:
            self._read.refused += 1
            early = f"a bundle from {sender[0]} is {wait // 10**9} s early: whose clock?"
            self._log_once(early, ("early", sender[0]))
        elif not self._schedule.put(now + wait, Datagram(element.data, sender, now + wait)):
            self._read.refused += 1
            self._log_once("more messages are scheduled than can be kept, the newest are refused")
        return True

    def _add(self, received: Received, found: OrderedDict[object, Received]) -> None:
        message = received.message
        merges = bool(message.args) and ADDRESSES[message.address].merges
        # A fader that is yet to pick the value up replaces nothing of one that has it.
        own = (message.address, received.meant.manner.pickup)
        key = own if merges and received.meant.change is None else object()
        replaced = found.pop(key, None)
        if replaced is not None:
            self._read.merged += 1
            self._note(replaced.sender, replaced.heard, "merged with the next")
        found[key] = received

    def read(self, data: bytes, sender: Sender) -> list[Received]:
        """What one OSC message, not a bundle, means."""
        return list(self._understood(data, sender))

    def _understood(self, data: bytes, sender: Sender) -> Iterator[Received]:
        """What one OSC message means; counts what is to be ignored."""
        try:
            address, args = read_message(data)
        except MalformedError as error:
            self._malformed(error.kind, str(error), sender)
            return
        heard = Heard(address, args)
        try:
            routes = self._routes.meant(address, args)
        except ValueError as error:
            self._malformed("pattern", f"pattern {address!r:.80}: {error}", sender, heard)
            return
        if not routes:
            self._read.refused += 1
            self._note(sender, heard, "refused: no such address")
            self._log_once(f"no such address: {address:.80}")
        self._read.received += max(len(routes) - 1, 0)
        for one, route in routes:
            try:
                meant = self._routes.read(route, one, args, sender[0])
            except ValueError as error:
                self._malformed("argument", str(error), sender, heard)
                continue
            if meant is None:
                self._read.applied += 1
                self._note(sender, heard, f"{route.target.name}: released, or repeated")
            else:
                yield Received(meant, sender, heard)

    def _malformed(
        self, kind: Malformation, text: str, sender: Sender, heard: Heard | None = None
    ) -> None:
        self._read.kinds[kind] += 1
        self._note(sender, heard or Heard("?"), f"malformed: {text}")
        where = text.partition(":")[0] if kind == "argument" else sender[0]
        self._log_once(f"malformed message from {sender[0]}: {text}", (kind, where))

    def _log_once(self, text: str, about: object = None) -> None:
        about = about or text
        if about not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(about)
            # Strangers write addresses: what would steer the operator's terminal is spelt out.
            log.warning("OSC: %s", text if text.isprintable() else repr(text)[1:-1])

    # What the receiving thread does

    def _receive(self) -> None:
        assert self._socket is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ, self._hear_udp)
            selector.register(self._woken, selectors.EVENT_READ)
            if self._listener is not None:
                selector.register(
                    self._listener, selectors.EVENT_READ, lambda: self._hear_call(selector)
                )
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        return
                    key.data()

    def _hear_udp(self) -> None:
        assert self._socket is not None
        # Windows reports here that an earlier reply reached nobody; EAGAIN is the end of what came.
        with suppress(OSError):
            for _ in range(AT_ONCE):
                data, sender, waited = osc_stamps.receive(self._socket, LARGEST_DATAGRAM)
                self._queue(data, sender, waited)

    def _hear_call(self, selector: selectors.BaseSelector) -> None:
        """Somebody opens a connection. Who is not allowed hears nothing but its end."""
        assert self._listener is not None
        line = self._lines.accept(self._listener)
        if line is None:
            return
        allowed = self._is_allowed(line.caller.host)
        if not allowed or not self._lines.keep(line):
            self._heard.received += 1
            self._heard.refused += 1
            line.socket.close()
            if allowed:
                self._log_once(f"too many connections, one from {line.caller.host} is refused")
            return
        selector.register(
            line.socket, selectors.EVENT_READ, lambda: self._hear_line(line, selector)
        )

    def _hear_line(self, line: Line, selector: selectors.BaseSelector) -> None:
        packets = line.read()
        for packet in packets or ():
            if isinstance(packet, FramingError):
                self._heard.received += 1
                self._heard.kinds["framing"] += 1
                self._log_once(f"malformed stream from {line.caller.host}: {packet}")
            else:
                self._queue(packet, line.caller)
        if packets is None or line.broken:
            selector.unregister(line.socket)
            self._lines.end(line)

    def _queue(self, data: bytes, sender: Sender, waited: int = 0) -> None:
        """Put what came in where the frame finds it; `waited`: ns since it reached the machine."""
        self._heard.received += 1
        if not self._is_allowed(sender[0]):
            self._heard.refused += 1
            return
        value, came = self._value_in(data), time.perf_counter_ns() - waited
        lost = self._inbox.put(Datagram(data, sender, came), value)
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
        """The address if this sets a value, read off the raw bytes: what may be merged unread.

        Only with a number first: a string may be a change, and of two of those none is enough, N
        may be a question, and the rest is no value.
        """
        end = data.find(0)
        address = data[: max(end, 0)]
        if len(data) > LARGEST_MESSAGE or not self._routes.merges(address):
            return None
        tags = data[(end + 4) & ~3 :][:2]
        return address if tags[:1] == b"," and tags[1:] in _VALUES else None


def _sendable(arg: object) -> float | int | str:
    """An argument as it came, as far as every receiver can take it."""
    wide = isinstance(arg, int) and not -(2**31) <= arg < 2**31
    if wide or (isinstance(arg, float) and _LARGEST_FLOAT < abs(arg) < math.inf):
        return str(arg)
    return arg if isinstance(arg, (float, int, str)) else str(arg)


class _Opened:
    """A datagram that is being read, perhaps over several frames."""

    def __init__(self, datagram: Datagram) -> None:
        self.sender = datagram.sender
        self.came_ns = datagram.came_ns
        self.elements = elements(datagram.data)
        self.whole = len(datagram.data) <= WHOLE
        self.read = 0  # messages

    def count(self, tally: Tally) -> None:
        """One message more: the first was counted when the datagram came in."""
        tally.received += self.read > 0
        self.read += 1
