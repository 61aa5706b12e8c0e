"""From what a desk means to what the show is told: everything that depends on the show's state.

Pure but for who has picked up what. A change becomes the value that comes of it, a slew's beats
become seconds of the present tempo, and a fader that has not picked its parameter up yet does
nothing. So what is told, and logged in a take, is complete in itself: a replay needs no desk.
"""

from __future__ import annotations

from contextlib import suppress

from live.addresses import ADDRESSES, OF_THE_STAGE, Message, coerce
from live.control import apply, target_of
from live.routes import Meant
from live.show import Programme, Show
from live.takeover import Pickups
from live.trace import Heard

_ELSEWHERE = (*OF_THE_STAGE, "record/start", "record/stop", "record/marker")


class Course:
    """A show as it will be once it has obeyed what it is told in this frame.

    Obeying costs, so it is only done when somebody looks.
    """

    def __init__(self, show: Show, at: int, programme: Programme) -> None:
        self.at = at
        self.programme = programme
        self._show = show
        self._untold: list[Message] = []

    def tell(self, message: Message) -> None:
        """The show will obey this, too; what it cannot obey is said where it does in earnest."""
        self._untold.append(message)

    @property
    def show(self) -> Show:
        """What comes of all that was told."""
        for message in self._untold:
            with suppress(ValueError):
                self._show = apply(self._show, message, self.at, self.programme)
        self._untold.clear()
        return self._show

    def tried(self, message: Message) -> str:
        """What the show will say to a message: itself, or why it cannot be obeyed.

        What is no part of the show's state is passed on, and said where the show runs.
        """
        said = str(Heard(message.address, message.args))
        if message.address in _ELSEWHERE:
            return f"passed on, the show's terminal says what comes of it: {said}"
        try:
            apply(self.show, message, self.at, self.programme)
        except ValueError as error:
            return f"cannot: {error}"
        return said

    def value(self, address: str) -> float:
        """What a level was last set to."""
        return float(target_of(self.show, address, self.at, self.programme)[0])


def settled(meant: Meant, course: Course, pickups: Pickups) -> Message | None:
    """What the show is to be told; None while the parameter is not picked up.

    Raises ValueError for a change that leads nowhere.
    """
    message, manner = meant.message, meant.manner
    known = ADDRESSES[message.address]
    if meant.change is not None:
        changed = meant.change.after(course.value(known.name))
        again = coerce(known, (changed, *meant.change.rest))
        assert again is not None
        message = again
    elif manner.pickup is not None:
        span = known.arguments[0].high - known.arguments[0].low
        value = course.value(known.name)
        if not pickups.takes(manner.pickup, float(message.args[0]), value, span):
            return None
    if manner.slew is not None and known.slews and len(message.args) == 1:
        seconds = manner.slew.seconds(course.show.transport.bpm)
        message = Message(known.name, (*message.args, seconds))
    return message
