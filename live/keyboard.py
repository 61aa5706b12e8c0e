"""What the keys mean. Pure: names of keys in, messages out."""

from __future__ import annotations

from live.addresses import Message
from live.overlay.state import following
from live.show import Show

HELP = """\
space     play, pause              ←  →      cue back, next
1 … 9     go to that cue           T         tap the tempo
+  -      tempo up, down by 1      ↑  ↓      double, half tempo
,  .      nudge back, ahead        B         blackout
P         panic, and back          Z         freeze the picture
O         the next overlay         R         record, stop recording
F         full screen              H         this help
Esc Esc   end the show"""

ESCAPE_WITHIN_NS = 2_000_000_000
NUDGE_BEATS = 1 / 16

_PLAIN = {
    "left": Message("cue/back"),
    "right": Message("cue/next"),
    "t": Message("tempo/tap"),
    "up": Message("tempo/mult", (2.0,)),
    "down": Message("tempo/mult", (0.5,)),
    "comma": Message("tempo/nudge", (-NUDGE_BEATS,)),
    "period": Message("tempo/nudge", (NUDGE_BEATS,)),
    "f": Message("fullscreen"),
    "r": Message("record"),
    "h": Message("help"),
}


_SHOWN = Message("overlay/visible", (1,))


class Keyboard:
    """Translates keys; it remembers only the last Escape, for ending a show takes two."""

    def __init__(self) -> None:
        self._escaped_at: int | None = None

    def read(self, key: str, show: Show, at: int) -> Message | None:
        """The message of a key pressed at `at` (ns); None for a key without a meaning.

        Besides the show's own messages these are "fullscreen", "help", "record" (or stop recording)
        and "quit", for the stage.
        """
        if key == "escape":
            return self._escape(at)
        if key in "123456789" and len(key) == 1:
            return Message("cue/go", (int(key),))
        if key == "space":
            return Message("play", (int(not show.transport.playing),))
        if key == "b":
            return Message("blackout", (int(not show.blackout),))
        if key == "p":
            return Message("panic/undo" if show.panic.on else "panic")
        if key == "z":
            return Message("freeze", (int(not show.frozen),))
        if key == "o":
            overlay = show.overlay
            return _SHOWN if not overlay.visible else Message("overlay", (following(overlay),))
        if key in ("plus", "minus"):
            step = 1.0 if key == "plus" else -1.0
            return Message("tempo/bpm", (show.transport.bpm + step,))
        return _PLAIN.get(key)

    def _escape(self, at: int) -> Message | None:
        if self._escaped_at is not None and at - self._escaped_at <= ESCAPE_WITHIN_NS:
            return Message("quit")
        self._escaped_at = at
        return None
