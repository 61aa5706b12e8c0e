"""The life of the terminal: it types, prints what a frame says of itself, and pauses.

Everything that happens has its moment, which follows from the moment before by the program's rates
alone: the same captions give the same lines, however often anybody looks. The numbers are those of
the frame on screen when its block begins, to the last line of the block.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from live.overlay import tensor
from live.overlay.graphs import bar
from live.overlay.programs import PROMPT, Fields, Program
from live.overlay.screen import Screen
from live.overlay.text import Line, Span

MOST_MESSAGES = 200  # that wait to be printed; the newest are kept
STALL_NS = 500_000_000  # what is later than this is not made up for: at most 500 lines a call
BLINK_NS = 1_200_000_000  # GNOME's; the cursor is on in the first half

_BEFORE_TYPING_NS = 600_000_000
_BEFORE_ENTER_NS = 300_000_000
_BAR_CELLS = 20
_MOST_ARGUMENTS = 16


@dataclass(frozen=True, slots=True)
class Identity:
    """Who plays what: the fields of a script. The path at the prompt is always "~"."""

    user: str
    host: str
    setlist: str
    cue: str
    network: str
    title: str
    program: str | None = None  # that the cue calls for


@dataclass(frozen=True, slots=True)
class Caption:
    """What a frame says of itself."""

    number: int
    time_s: float  # show time
    cue: str
    cue_number: int  # from 1
    cues: int
    beat: float
    bpm: float
    psi: float
    weights: tuple[tuple[str, float], ...]  # of the keys, by what they are called
    ws: NDArray[np.float32]  # [num_ws, w_dim]
    w_avg: NDArray[np.float32]  # [w_dim]
    device: str  # torch's name of it: "cpu", "cuda:0"
    resolution: int


class _Message(NamedTuple):
    at: int  # show time (ns)
    address: str
    arguments: str


class Stream:
    """A program that runs on a screen."""

    def __init__(self, program: Program, identity: Identity, screen: Screen, at: int) -> None:
        """Start at show time `at` (ns)."""
        self._screen = screen
        self._messages: deque[_Message] = deque(maxlen=MOST_MESSAGES)
        self._prompting = False  # whether a prompt waits, with nothing typed after it
        self._start(program, identity, at)

    def begin(self, program: Program, at: int, identity: Identity | None = None) -> None:
        """Run another program from show time `at` (ns) on; what is on screen stays.

        What was running is seen to be interrupted. `identity` is None where it stays, too.
        """
        untouched = self._screen.cursor == (0, 0)
        if not (untouched or self._prompting):
            self._screen.type(Span("^C"))
            self._screen.end_line()
        self._start(program, identity or self._identity, at)

    def hear(self, at: int, address: str, args: Sequence[object]) -> None:
        """A message came at show time `at` (ns). Its text is data, whatever it holds."""
        if self._program.message.source:
            self._messages.append(_Message(at, address[:100], _arguments(args)))

    def advance(self, at: int, caption: Callable[[], Caption | None]) -> None:
        """Bring the screen to show time `at` (ns).

        `caption` is that of the frame on screen, None while there is none. It is asked for only
        where a block begins. After a stall the program goes on from where it was.
        """
        due = self._due()
        if due is not None and at - due > STALL_NS:
            self._free = due = at
        while due is not None and due <= at:
            self._act(due, caption)
            due = self._due()

    def cursor_on(self, at: int) -> bool:
        """Whether the cursor is seen at show time `at` (ns): it blinks when nothing happens."""
        return self._work is not None or (at - self._acted) % BLINK_NS < BLINK_NS // 2

    def _start(self, program: Program, identity: Identity, at: int) -> None:
        self._program = program
        self._identity = identity
        self._line_ns = round(1e9 / program.rate)
        self._free = at  # when it can type or print next
        self._block_at = at  # when the next block begins at the earliest
        self._acted = at  # when it typed or printed last
        self._messages.clear()
        self._work: Iterator[int] | None = self._script()

    def _due(self) -> int | None:
        """When something happens next; None if nothing will before a message comes."""
        if self._work is not None:
            return self._free
        times = [max(self._block_at, self._free)] if self._program.prints_frames else []
        if self._messages:
            times.append(max(self._messages[0].at, self._free))
        return min(times, default=None)

    def _act(self, due: int, caption: Callable[[], Caption | None]) -> None:
        """Do the next thing, whose moment is `due`."""
        if self._work is not None:
            wait = next(self._work, None)
            if wait is None:
                self._work = None
            else:
                self._free, self._acted = due + wait, due
        elif self._messages and max(self._messages[0].at, self._free) <= due:
            self._print(_reported(self._program, self._messages.popleft()))
            self._free, self._acted = due + self._line_ns, due
        else:
            self._block_at = due + self._line_ns  # where there is no frame, or no line of it
            frame = caption()
            if frame is not None:
                self._free = due
                self._work = self._block(block(self._program, frame, self._screen.columns))

    def _script(self) -> Iterator[int]:
        """Perform the script; yields how long (ns) everything takes once it is done."""
        fields = asdict(self._identity)
        for line in self._program.script:
            text = line.template.line(fields)
            if line.typed:
                yield from self._typing(text)
            else:
                self._print(text)
                yield self._line_ns
        if not (self._program.prints_frames or self._program.message.source):
            self._prompt()
            yield 0

    def _typing(self, line: Line) -> Iterator[int]:
        self._prompt()
        yield _BEFORE_TYPING_NS
        keys = [span._replace(text=key) for span in line for key in span.text]
        for i, key in enumerate(keys):
            self._prompting = False
            self._screen.type(key)
            yield _hesitation(i, self._program.typing)
        yield _BEFORE_ENTER_NS
        self._prompting = False
        self._screen.end_line()
        yield self._line_ns

    def _block(self, lines: Iterator[Line]) -> Iterator[int]:
        for line in lines:
            self._print(line)
            yield self._line_ns
        pause = round(self._program.pause * 1e9)
        self._block_at = max(self._block_at, self._free + pause)

    def _print(self, line: Line) -> None:
        if self._prompting:
            self._prompting = False
            self._screen.end_line()
        self._screen.write(line)

    def _prompt(self) -> None:
        if self._prompting:
            return
        self._prompting = True
        who = self._identity
        self._screen.type(Span(f"{who.user}@{who.host}", "bright_green", bold=True))
        self._screen.type(Span(":"))
        self._screen.type(Span("~", "bright_blue", bold=True))
        self._screen.type(Span(PROMPT))


def block(program: Program, caption: Caption, columns: int) -> Iterator[Line]:
    """What a program prints for a frame, as wide as the screen; keeps a copy of the frame's W+."""
    first, last = program.span
    chosen = slice(first, None if last is None else last + 1)
    ws = caption.ws[chosen].copy()
    fields = _fields(caption)
    layers: list[Fields] = []
    if program.layer.source:
        layers = [{**fields, **layer} for layer in _layers(caption)[chosen]]

    def numbers() -> Iterator[str]:
        threshold = 1000 if program.summarise else math.inf
        return tensor.lines(ws, caption.device, linewidth=columns, threshold=threshold)

    in_frame = (template.lines(fields, numbers) for template in program.frame)
    return chain(chain.from_iterable(in_frame), map(program.layer.line, layers))


def _fields(caption: Caption) -> Fields:
    return {
        "frame": int(caption.number),
        "time": float(caption.time_s),
        "cue": caption.cue,
        "number": int(caption.cue_number),
        "cues": int(caption.cues),
        "beat": float(caption.beat),
        "bpm": float(caption.bpm),
        "psi": float(caption.psi),
        "keys": "  ".join(f"{name} {weight:.2f}" for name, weight in caption.weights),
        "device": caption.device,
        "resolution": int(caption.resolution),
    }


def _layers(caption: Caption) -> list[Fields]:
    """Fields of every layer of the frame."""
    ws = caption.ws.astype(np.float64)
    norms = np.linalg.norm(ws, axis=1).tolist()
    distances = np.linalg.norm(ws - caption.w_avg, axis=1).tolist()
    most = max(distances, default=0.0) or 1.0
    return [
        {
            "layer": i,
            "norm": norm,
            "distance": distance,
            "bar": bar(100.0 * distance / most, _BAR_CELLS),
        }
        for i, (norm, distance) in enumerate(zip(norms, distances, strict=True))
    ]


def _reported(program: Program, message: _Message) -> Line:
    fields: Fields = {
        "time": message.at / 1e9,
        "address": message.address,
        "arguments": message.arguments,
    }
    return program.message.line(fields)


def _arguments(args: Sequence[object]) -> str:
    """Arguments of a message in one line, of which a desk can send any number and length."""
    shown = [_argument(arg) for arg in args[:_MOST_ARGUMENTS]]
    return " ".join(shown + ["…"] * (len(args) > len(shown)))


def _argument(arg: object) -> str:
    if isinstance(arg, float):
        return f"{arg:g}"
    if isinstance(arg, bytes):
        return f"({len(arg)} bytes)"
    if isinstance(arg, (str, bool, int)):
        return f"{arg!s:.80}"
    return f"({type(arg).__name__})"


def _hesitation(key: int, per_second: float) -> int:
    """How long (ns) after a key the next one is hit: uneven as by hand, even on average.

    Multiples of the golden ratio fall evenly everywhere between 0.5 and 1.5.
    """
    return round((0.5 + (key * 0.6180339887) % 1.0) * 1e9 / per_second)
