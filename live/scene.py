"""The program picture of a moment: the networks' pictures, their cross-fades, what lies over them.

The stage composes with it before an audience, and `live.offline` for a film; what both see at the
same show time of the same show is the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

import moderngl
import numpy as np

from live.captions import Captions, identity
from live.compositor import Compositor, Layer, Look
from live.control import Message
from live.mixer import Mix, Mixer
from live.overlay.overlay import Overlay, View
from live.overlay.state import arranged
from live.setlist import SetList, programme
from live.show import Show
from live.succession import Succession
from live.texture import Picture

FADE_IN = 1_000_000_000  # ns, from black, or the holding picture, to the first frame


class Scene:
    """Composes the show's picture into `compositor.target`; all on the render thread.

    `holding` is a picture, uint8 [height, width, 4], shown until the first frame. `cue` is the one
    with which the overlay begins, `at` the show time (ns) from which cross-fades count, and
    `fade_in` how long (ns) the first picture takes to come.
    """

    def __init__(
        self,
        ctx: moderngl.Context,
        size: tuple[int, int],
        setlist: SetList,
        captions: Captions,
        *,
        overlay: Overlay | None = None,
        holding: np.ndarray | None = None,
        cue: int = 0,
        at: int = 0,
        fade_in: int = FADE_IN,
    ) -> None:
        self.compositor = Compositor(ctx, size)
        self.pictures: dict[Path, Succession] = {}
        self.view: View | None = None  # what the overlay is to show in this picture...
        self._plain: tuple[list[Layer], Look] = ([], Look())  # ...and the picture without it
        self._ctx = ctx
        self._setlist = setlist
        self._programme = programme(setlist)
        self._captions = captions
        self._overlay = overlay
        self._holding = _picture(ctx, holding)
        self._mixer = Mixer()
        self._fade_in = fade_in
        self._prefix = setlist.osc.prefix.rstrip("/")  # of the desk that is listened to
        self._told_cue: int | None = cue  # that the overlay knows of
        self._composed_at = at
        self.mixed_for = 0  # ns of show time that cross-fades have run

    @property
    def shown(self) -> tuple[Path, ...]:
        """The networks whose pictures are visible; none before the first."""
        return self._mixer.shown

    def frozen(self, show: Show) -> bool:
        """Whether the picture is to stay; there has to be one first."""
        return show.still and bool(self.shown)

    @property
    def monitored(self) -> bool:
        """Whether the last picture had a GPU monitor."""
        return self.view is not None and any(
            window.pane == "monitor" for window in self.view.arrangement.windows
        )

    def hear(self, message: Message, at: int) -> None:
        """The desk said something that the show obeyed, for overlays that print it."""
        if self._overlay is not None:
            self._overlay.hear(at, f"{self._prefix}/{message.address}", message.args)

    def relist(self, setlist: SetList) -> None:
        """Another set list is performed from the next picture on."""
        self._setlist, self._programme = setlist, programme(setlist)
        self._told_cue = None
        if self._overlay is not None:
            self._overlay.learn(setlist.overlay)

    def tend(self, show: Show, at: int) -> None:
        """Once a frame, before it is composed: the cue may be another."""
        cue = show.voice.cue
        if cue != self._told_cue:
            self._told_cue = cue
            if self._overlay is not None:
                self._overlay.play(identity(self._setlist, cue), at)
        for network in self.pictures.keys() - {self._network(show), *self.shown}:
            self.pictures.pop(network).release()

    def picture(self, network: Path) -> Succession:
        """Where frames of a network go: what it has, or a new one that is to be kept in `pictures`
        once it has a frame."""
        return self.pictures.get(network) or Succession(self._ctx)

    def compose(
        self,
        show: Show,
        at: int,
        *,
        now: int,
        curtain: float = 1.0,
        bare: bool = False,
    ) -> None:
        """Compose the pictures of show time `at` (ns), and see what `lay_over` is to lay over them.

        now: the clock, as the overlay's gauges have it. curtain: 0 to 1, multiplies the brightness.
        bare: draw the pictures even where the overlay will cover them all.
        """
        self.view = None  # what goes wrong here leaves the last picture as it was, overlay and all
        mix, look = self._follow(show, at, self.pictures), self._look(show, at, curtain)
        layers = self._layers(mix.first, 1.0 - mix.amount) + self._layers(mix.second, mix.amount)
        self._plain = (layers, look)
        view = self._seen_over(mix, layers, show, look, at, now)
        covered = self._overlay is not None and self._overlay.covers(view) and not bare
        self.compositor.compose(self._holding_alone(mix) if covered else layers, look)
        self.view = view
        if self._holding is not None and len(self.shown) == 1 and mix.first is not None:
            self._holding.release()  # it has had its time
            self._holding = None

    def lay_over(self) -> None:
        """Draw the overlay over what was composed; if that fails, leave the picture without it."""
        try:
            if self._overlay is not None and self.view is not None:
                self._overlay.draw(self.compositor, self.view)
        except Exception:
            self.compositor.compose(*self._plain)  # the show goes on without what is over it
            raise

    def skim(
        self, show: Show, at: int, there: Collection[Path], *, now: int, curtain: float
    ) -> None:
        """Pass over a moment that nobody will see: all that later moments depend on is done.

        `there` are the networks that would have a picture.
        """
        mix = self._follow(show, at, there)
        if self._overlay is not None:
            view = self._seen_over(mix, [], show, self._look(show, at, curtain), at, now)
            self._overlay.skim(self.compositor.size, view)

    def _follow(self, show: Show, at: int, there: Collection[Path]) -> Mix:
        if not self.frozen(show):  # a frozen cross-fade goes on from where it stands
            self.mixed_for += at - self._composed_at
        self._composed_at = at
        fade = self._programme[show.voice.cue].fade_ns(show.transport.bpm)
        if not self.shown:
            fade = self._fade_in
        return self._mixer.follow(self._network(show), there, fade, self.mixed_for)

    def _look(self, show: Show, at: int, curtain: float) -> Look:
        return Look(fit=self._setlist.show.fit, master=show.level(at) * curtain)

    def _network(self, show: Show) -> Path:
        return self._setlist.cues[show.voice.cue].network

    def _layers(self, network: Path | None, share: float) -> list[Layer]:
        if network is not None:
            picture = self.pictures.get(network)
            return [] if picture is None else picture.layers(self.mixed_for, share)
        return [] if self._holding is None else [Layer(self._holding, share)]

    def _holding_alone(self, mix: Mix) -> list[Layer]:
        """What lies behind an overlay that covers the show's pictures and may still fade in."""
        return self._layers(None, 1.0 - mix.amount) if mix.first is None else []

    def _seen_over(
        self, mix: Mix, layers: Sequence[Layer], show: Show, look: Look, at: int, now: int
    ) -> View:
        """What the overlay shows; before the first picture nothing, and with that it fades in."""
        pictures, reveal = layers, 1.0
        if mix.first is None:  # there is nothing yet, or the holding picture, which has no window
            pictures = [] if mix.second is None else self._layers(mix.second, 1.0)
            reveal = mix.amount
        return View(
            at=at,
            now=now,
            arrangement=arranged(show.overlay, at),
            level=look.master,
            reveal=reveal,
            pictures=pictures,
            caption=partial(self._captions.newest, mix.second if mix.amount > 0.5 else mix.first),
        )


def _picture(ctx: moderngl.Context, pixels: np.ndarray | None) -> Picture | None:
    if pixels is None:
        return None
    picture = Picture(ctx)
    picture.upload(pixels, pixels.shape[1], pixels.shape[0])
    return picture
