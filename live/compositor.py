"""Composes the program picture: what the audience sees and the recorder keeps.

Frames of any size are enlarged with a bicubic kernel in two passes, along x into a strip of 8 bits,
then along y into the target: that is also how Pillow does it, whose BICUBIC the result equals
within 0.01/255 on average. All blending is of sRGB-encoded values, as the pictures come.

Two passes of 4 taps are the cheapest of what was tried, also on software GL. One 128x128 picture
contained in 1280x720, llvmpipe on two cores, side by side in one run (median ms, CPU ms of all
threads, mean difference from Pillow's BICUBIC in 1/255):

    two passes, 8-bit strip        5.8  11.0   0.008
    one pass, 16 fetches           9.1  17.6   0.17
    two passes, half-float strip  11.6  21.9   0.17
    one pass, 9 bilinear samples  15.0  29.3   0.25

Coordinates interpolated from the vertices, in place of arithmetic on gl_FragCoord, have since taken
more than a third off the first: 13.1 to 8.3 ms of CPU, old and new side by side on a busy machine.
So every device takes the same passes. A strip is made anew only when its picture or its place has
changed: a repeated frame costs the second pass alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import moderngl
import numpy as np
from numpy.typing import NDArray

import shaders
from live.texture import Picture, new_texture

Fit: TypeAlias = Literal["contain", "cover", "mirror"]
Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Look:
    """How the pictures are shown.

    fit: contain (whole, black beside it), cover (fills the output, cut off) or mirror (whole, and
    repeated mirrored beside itself). master: brightness, 0 is black; outside 0..1 it counts as 0
    or 1.
    """

    fit: Fit = "contain"
    master: float = 1.0


class Layer(NamedTuple):
    """A picture and its share of the program picture, 0 to 1; the shares add up to 1 at most."""

    picture: Picture
    weight: float = 1.0


class Rectangle(NamedTuple):
    """A rectangle of the output in pixels, from its top left; it may reach beyond the output."""

    left: int
    top: int
    width: int
    height: int

    def within(self, size: Size) -> Rectangle:
        """Return the part of it that lies in an output of `size`."""
        left, top = max(self.left, 0), max(self.top, 0)
        right = min(self.left + self.width, size[0])
        bottom = min(self.top + self.height, size[1])
        return Rectangle(left, top, right - left, bottom - top)


def placed(picture: Size, output: Size, fit: Fit) -> Rectangle:
    """Return where the whole picture lies in the output: centred, its aspect ratio kept."""
    ratios = (output[0] / picture[0], output[1] / picture[1])
    scale = max(ratios) if fit == "cover" else min(ratios)
    width, height = (max(1, round(side * scale)) for side in picture)
    return Rectangle((output[0] - width) // 2, (output[1] - height) // 2, width, height)


class Compositor:
    """Draws a picture, or the cross-fade of several, into `target`; all on the render thread.

    `target` is an RGBA8 framebuffer of the output's size, alpha 1, in GL's orientation (its row 0
    is the bottom row).
    """

    def __init__(self, ctx: moderngl.Context, size: Size) -> None:
        self._ctx = ctx
        self._reduce = _quad(ctx, "reduce.frag")
        self._widen = _quad(ctx, "widen.frag")
        self._draw = _quad(ctx, "picture.frag", "picture.vert")
        self._full: dict[Picture, _Strip] = {}
        self._inset: dict[Picture, _Strip] = {}
        self._drawn: set[_Strip] = set()  # since the last picture was begun
        self.target = new_canvas(ctx, size)

    @property
    def size(self) -> Size:
        """Width and height of the output in pixels."""
        return self.target.size

    def resize(self, size: Size) -> None:
        """Give the output another size; the target is another, black framebuffer then.

        Raises moderngl.Error if there is no memory for it; the target then stays as it was.
        """
        if size == self.size or min(size) < 1:  # a minimised window has no pixels: keep the last
            return
        before, self.target = self.target, new_canvas(self._ctx, size)
        release(before)

    def rehearse(self) -> None:
        """Draw with every program once, black on black.

        A driver finishes a program where it is first used, which would be in the show: 5 ms more
        for its first picture with llvmpipe on two cores.
        """
        picture = Picture(self._ctx)
        picture.upload(np.zeros((8, 8, 4), np.uint8), 8, 8)
        self.compose([Layer(picture)], Look())
        self.inset([Layer(picture)], Rectangle(0, 0, 4, 4), 0.5, 1.0)  # reduced, and blended
        self.target.clear(0.0, 0.0, 0.0, 1.0)
        self._ctx.finish()
        picture.release()

    def compose(self, layers: Iterable[Layer], look: Look) -> None:
        """Draw the program picture into `target`: the weighted sum of the pictures.

        A picture without pixels, and what the weights lack of 1, is black. The target is all black,
        without exception, where master or the weight of every picture is 0.
        """
        self._tidy()
        weights = _weights(layers, look.master)
        whole = Rectangle(0, 0, *self.size)
        places = self._widened(self._full, weights, whole, look.fit)
        self.target.use()
        self.target.clear(0.0, 0.0, 0.0, 1.0)
        self._lay(self._full, weights, places, whole, look.fit, 1.0)

    def inset(
        self, layers: Iterable[Layer], within: Rectangle, opacity: float, master: float
    ) -> None:
        """Lay the whole pictures into a rectangle, over what was composed.

        They cover it by `opacity`, 0 to 1, as far as they fill it with their own shape.
        """
        weights = _weights(layers, opacity * master)
        places = self._widened(self._inset, weights, within, "contain")
        self._lay(self._inset, weights, places, within, "contain", opacity)

    def show(self, screen: moderngl.Framebuffer) -> None:
        """Copy the program picture to the window's framebuffer, of the same size."""
        self._ctx.copy_framebuffer(screen, self.target)

    def read(self) -> NDArray[np.uint8]:
        """Return the program picture, uint8 [height, width, 4], the top row first; it waits."""
        width, height = self.size
        rows = np.frombuffer(self.target.read(components=4), np.uint8)
        return rows.reshape(height, width, 4)[::-1].copy()

    def release(self) -> None:
        """Free what was made on the GPU, the target too."""
        self._drawn = set()
        self._tidy()
        release(self.target)

    def _tidy(self) -> None:
        """Free the strips that the last picture did without."""
        for strips in (self._full, self._inset):
            for picture in [one for one, strip in strips.items() if strip not in self._drawn]:
                strips.pop(picture).release()
        self._drawn = set()

    def _lay(
        self,
        strips: dict[Picture, _Strip],
        weights: dict[Picture, float],
        places: dict[Picture, Rectangle],
        within: Rectangle,
        fit: Fit,
        opacity: float,
    ) -> None:
        """Draw pictures into a part of the target; the first covers what was there, by `opacity`.

        The others are added to it: each is rounded to 8 bits by itself, which costs at most 1/510,
        and two draws are 15 to 20 % cheaper on llvmpipe than one with 8 taps.
        """
        size = (within.width, within.height)
        self.target.use()
        self.target.viewport = (
            within.left,
            self.size[1] - within.top - within.height,
            within.width,
            within.height,
        )
        self._ctx.blend_func = (moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA)
        covers = opacity
        for picture, weight in weights.items():
            self._ctx.enable_only(moderngl.NOTHING if covers == 1.0 else moderngl.BLEND)
            self._add(strips[picture], places[picture], size, fit, weight, covers)
            covers = 0.0
        self._ctx.enable_only(moderngl.NOTHING)
        self.target.viewport = (0, 0, *self.size)

    def _widened(
        self,
        strips: dict[Picture, _Strip],
        pictures: Iterable[Picture],
        within: Rectangle,
        fit: Fit,
    ) -> dict[Picture, Rectangle]:
        """Have what the second pass reads; where each picture is to be seen in the rectangle."""
        size = (within.width, within.height)
        places = {picture: placed(picture.size, size, fit) for picture in pictures}
        for picture, place in places.items():
            if picture not in strips:
                strips[picture] = _Strip(self._ctx, self._reduce, self._widen)
            self._drawn.add(strips[picture])
            strips[picture].follow(picture, place, place.within(size))
        return places

    def _add(
        self, strip: _Strip, place: Rectangle, size: Size, fit: Fit, weight: float, covers: float
    ) -> None:
        uniforms = self._draw.program
        uniforms["screen"] = size
        uniforms["place"] = place
        uniforms["rows"] = strip.rows
        uniforms["begin"] = strip.begin
        uniforms["weight"] = weight
        uniforms["covers"] = covers
        strip.texture.use(0)
        spare = (size[0] - place.width, size[1] - place.height)
        along = 0 if spare[0] > 0 else 1
        uniforms["beside"] = (1 - along, along)
        beside = (spare[along] + 1) // 2 if fit == "mirror" else 0  # pixels, on the wider side
        copies = -(-beside // (place.width, place.height)[along])
        # Only where the picture is: the bars beside it cost nothing but the clearing.
        self._draw.render(moderngl.TRIANGLE_STRIP, vertices=4, instances=1 + 2 * copies)


class _Strip:
    """A picture with the columns of the output and rows of its own: what the second pass reads.

    A picture larger than its place is first reduced to that place, by a kernel as wide as the
    ratio, so that nothing aliases; both passes of enlargement then copy it as it is.
    """

    def __init__(
        self, ctx: moderngl.Context, reduce: moderngl.VertexArray, widen: moderngl.VertexArray
    ) -> None:
        self._ctx, self._reduce, self._widen = ctx, reduce, widen
        self._canvases: dict[str, moderngl.Framebuffer] = {}
        self._made_of: object = None
        self.begin = 0  # the column of the enlarged picture at which the strip begins
        self.rows = 0

    @property
    def texture(self) -> moderngl.Texture:
        """The strip's texture, its row 0 the picture's top row."""
        return _texture(self._canvases["strip"])

    def follow(self, picture: Picture, place: Rectangle, visible: Rectangle) -> None:
        """Make the strip of the visible columns of a picture at `place`, unless it already is."""
        made_of = (picture.uploads, picture.size, place, visible)
        if made_of == self._made_of:
            return
        assert picture.texture is not None
        self._ctx.enable_only(moderngl.NOTHING)
        source = picture.texture
        if place.width < source.width:
            source = self._reduced(source, 0, (place.width, source.height))
        if place.height < source.height:
            source = self._reduced(source, 1, (source.width, place.height))
        canvas = self._canvas("strip", (visible.width, source.height + 4))
        # From here on nothing fails: without memory for the canvas the strip stays what it was.
        self.begin, self.rows = visible.left - place.left, source.height
        self._widen.program["ratio"] = source.width / place.width
        self._widen.program["last"] = (source.width - 1, source.height - 1)
        self._widen.program["begin"] = self.begin
        self._draw(self._widen, source, canvas)
        self._made_of = made_of

    def release(self) -> None:
        for canvas in self._canvases.values():
            release(canvas)
        self._canvases = {}
        self._made_of = None

    def _reduced(self, source: moderngl.Texture, axis: int, size: Size) -> moderngl.Texture:
        self._reduce.program["axis"] = (1 - axis, axis)
        self._reduce.program["ratio"] = source.size[axis] / size[axis]
        self._reduce.program["last"] = source.size[axis] - 1
        canvas = self._canvas(f"reduced along {axis}", size)
        self._draw(self._reduce, source, canvas)
        return _texture(canvas)

    def _draw(
        self, quad: moderngl.VertexArray, source: moderngl.Texture, canvas: moderngl.Framebuffer
    ) -> None:
        source.use(0)
        canvas.use()
        quad.render(moderngl.TRIANGLE_STRIP, vertices=4)

    def _canvas(self, name: str, size: Size) -> moderngl.Framebuffer:
        before = self._canvases.get(name)
        if before is not None and before.size == size:
            return before
        canvas = self._canvases[name] = new_canvas(self._ctx, size)
        if before is not None:
            release(before)
        return canvas


def _weights(layers: Iterable[Layer], master: float) -> dict[Picture, float]:
    """Return the pictures that are seen and the factor each is multiplied with, above 0."""
    master = min(max(master, 0.0), 1.0)
    weights: dict[Picture, float] = {}
    for picture, weight in layers:
        if picture.texture is not None and weight * master > 0.0:
            weights[picture] = weights.get(picture, 0.0) + weight * master
    return weights


def _quad(ctx: moderngl.Context, fragment: str, vertex: str = "quad.vert") -> moderngl.VertexArray:
    return ctx.vertex_array(shaders.build(ctx, vertex, fragment), [])


def new_canvas(ctx: moderngl.Context, size: Size) -> moderngl.Framebuffer:
    """An RGBA8 framebuffer of its own texture, black. Raises moderngl.Error without memory."""
    texture = new_texture(ctx, size)
    try:
        canvas = ctx.framebuffer([texture])
    except moderngl.Error:
        texture.release()
        raise
    canvas.clear(0.0, 0.0, 0.0, 1.0)
    return canvas


def _texture(canvas: moderngl.Framebuffer) -> moderngl.Texture:
    texture = canvas.color_attachments[0]
    assert isinstance(texture, moderngl.Texture)
    return texture


def release(canvas: moderngl.Framebuffer) -> None:
    """Free a canvas and its texture."""
    texture = _texture(canvas)
    canvas.release()
    texture.release()
