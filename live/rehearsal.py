"""A set list without an audience: is it right, and what does it look like."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.errors import UserError
from engine.link import Floats, Pixels
from engine.path import Path as Morph
from engine.weights import read_network
from live import keys
from live.desks import patch_of
from live.ensemble import Ensemble
from live.outfile import check_writable
from live.setlist import Cue, SetList, bundled, load_setlist
from live.source import Request, Supervised

BETWEEN = 3  # pictures of the path between two keys
COLUMNS = 9  # two keys, their way, and one more of each
PICTURE, GAP, CAPTION, HEADING, MARGIN = 160, 10, 24, 44, 28  # pixels
LINE = 16  # pixels, of a caption that takes more than one
NAMED = 4  # photos of a cue that `check` tells
PAPER, INK, FAINT, MARKED = (24, 24, 26), (240, 240, 240), (150, 150, 156), (233, 84, 32)
PATIENCE_S = 180.0


def check(path: Path) -> str:
    """Validate a set list and everything it names; what it holds, in words.

    Raises UserError in one line with file, table and key. No network is run; of a checkpoint every
    tensor is read and accounted for.
    """
    setlist = load_setlist(path)
    patch_of(setlist.osc, setlist.osc.desk, path.parent)
    shapes = {network: _shape(network) for network in {cue.network for cue in setlist.cues}}
    lines = [f"{path}: {setlist.show.title}, {setlist.show.tempo:g} BPM"]
    for number, cue in enumerate(setlist.cues, start=1):
        keys.fit(cue, shapes[cue.network])
        follow = "" if cue.follow is None else f", the next after {cue.follow:g}"
        lines.append(
            f"  {number}  {cue.name}: {len(cue.keys)} keys{_photos(cue)}, {cue.duration:g} beats, "
            f"{cue.path}, {cue.ending}{follow}; {cue.network.name}"
        )
    return "\n".join(lines)


def _photos(cue: Cue) -> str:
    """The photos among a cue's keys, in brackets; of many the first, and how many more."""
    parts = (part for key in cue.keys for part in (key, key.mix))
    faces = {(part.photo, part.face): part.called for part in parts if part and part.photo}
    if not faces:
        return ""
    told = [*faces.values()][:NAMED]
    if len(faces) > NAMED:
        told.append(f"{len(faces) - NAMED} more")
    return f" (photos: {'; '.join(told)})"


@dataclass(frozen=True, slots=True)
class _Shape:
    """See `keys.NetworkShape`."""

    name: str
    num_ws: int
    w_dim: int
    num_classes: int


def _shape(network: Path) -> _Shape:
    """Of a network, from its file alone."""
    config = read_network(network).config
    return _Shape(network.name, config.num_ws, config.w_dim, config.num_classes)


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """A picture of the sheet: a key, or a place between two."""

    ws: Floats
    caption: str
    is_key: bool


def sheet(path: Path | None, output: Path, device: str) -> str:
    """Draw the contact sheet of a set list (None: the bundled one) to a file. Raises UserError."""
    _check_output(output)
    setlist = bundled() if path is None else load_setlist(path)
    rows = []
    with ExitStack() as closing:
        ensemble = Ensemble(setlist, partial(Supervised, device))
        closing.callback(ensemble.close)
        for number, cue in enumerate(setlist.cues):
            moments = _moments(cue, _path(ensemble, setlist, number))
            pictures = [_picture(ensemble, cue.network, moment.ws) for moment in moments]
            rows.append((cue, moments, pictures))
    drawn = _draw(setlist, rows)
    try:
        drawn.save(output)
    except (OSError, ValueError) as error:
        raise UserError(f"-o {output}: the sheet cannot be written: {error}") from error
    return f"{output}: {len(rows)} cues, {sum(len(row[1]) for row in rows)} pictures"


def _check_output(output: Path) -> None:
    if Image.registered_extensions().get(output.suffix.lower()) not in Image.SAVE:
        raise UserError(f"-o {output}: not a kind of picture; name a .png or .jpg")
    check_writable("-o", output)


def _path(ensemble: Ensemble, setlist: SetList, cue: int) -> Morph:
    network = setlist.cues[cue].network
    deadline = time.monotonic() + PATIENCE_S
    while (path := ensemble.path(cue)) is None:
        _tend(ensemble, network, deadline)
    return path


def _picture(ensemble: Ensemble, network: Path, ws: Floats) -> Pixels:
    """The picture of W+ [num_ws, w_dim]; asked for again and again, for an engine may be lost."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        if (source := ensemble.source(network)) is not None:
            source.ask(Request(0, ws))
            frame = source.latest()
            if frame is not None and np.array_equal(frame.ws, ws):  # else: of the picture before
                return frame.pixels.copy()
        _tend(ensemble, network, deadline)


def _tend(ensemble: Ensemble, network: Path, deadline: float) -> None:
    """Look after the engine and give it a moment. Raises UserError when it is of no use."""
    ensemble.tend(network, (), network, time.perf_counter_ns())
    if network in ensemble.refused:
        raise UserError(ensemble.refused[network])
    if time.monotonic() > deadline:
        raise UserError(f"{network}: no picture within {PATIENCE_S:.0f} s; try --device cpu")
    time.sleep(0.005)


def _moments(cue: Cue, path: Morph) -> list[_Moment]:
    """The keys that the path passes, and what lies between them."""
    passed = list(cue.keys[1:-1] if cue.ends == "guide" else cue.keys)
    if cue.ending == "loop":
        passed.append(passed[0])
    beats = [0.0, *np.cumsum(cue.segments)]
    moments = []
    for number, key in enumerate(passed):
        what = key.called if key.mix is None else f"{key.called} + {key.mix.called}"
        moments.append(_Moment(path.at(_inside(beats[number], path)), _wrapped(what), True))
        if number + 1 < len(passed):
            for step in range(1, BETWEEN + 1):
                beat = np.interp(step / (BETWEEN + 1), (0, 1), beats[number : number + 2])
                moments.append(_Moment(path.at(float(beat)), f"beat {beat:.2f}", False))
    return moments


def _wrapped(caption: str) -> str:
    """A caption in as many lines as it takes below its picture, broken at spaces if it has any."""
    font = _caption_font()
    lines = [""]
    for word in caption.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= PICTURE:
            lines[-1] = longer
            continue
        lines.append("")
        for letter in word:
            if font.getlength(lines[-1] + letter) > PICTURE:
                lines.append("")
            lines[-1] += letter
    return "\n".join(filter(None, lines))


@cache
def _caption_font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(13)


def _inside(beat: float, path: Morph) -> float:
    return min(float(beat), path.duration)


def _draw(setlist: SetList, rows: list[tuple[Cue, list[_Moment], list[Pixels]]]) -> Image.Image:
    breaks = max(moment.caption.count("\n") for _, moments, _ in rows for moment in moments)
    step, line = PICTURE + GAP, PICTURE + CAPTION + breaks * LINE + GAP
    lines = [-(-len(moments) // COLUMNS) for _, moments, _ in rows]
    width = 2 * MARGIN + COLUMNS * step - GAP
    height = 2 * MARGIN + HEADING + sum(HEADING + count * line for count in lines)
    drawn = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(drawn)
    heading, caption = ImageFont.load_default(22), _caption_font()
    pen.text((MARGIN, MARGIN), setlist.show.title, INK, heading)
    top = MARGIN + HEADING
    for (cue, moments, pictures), count in zip(rows, lines, strict=True):
        about = f"{cue.path}, {cue.duration:g} beats, {cue.ending}"
        pen.text((MARGIN, top + 8), cue.name, MARKED, heading)
        pen.text((MARGIN + 16 + pen.textlength(cue.name, heading), top + 16), about, FAINT, caption)
        for number, (moment, pixels) in enumerate(zip(moments, pictures, strict=True)):
            left = MARGIN + number % COLUMNS * step
            above = top + HEADING + number // COLUMNS * line
            _draw_moment(drawn, (left, above), moment, pixels)
        top += HEADING + count * line
    return drawn


def _draw_moment(
    drawn: Image.Image, corner: tuple[int, int], moment: _Moment, pixels: Pixels
) -> None:
    """A picture with its caption; keys are framed."""
    left, above = corner
    pen = ImageDraw.Draw(drawn)
    picture = Image.fromarray(pixels[..., :3])
    drawn.paste(picture.resize((PICTURE, PICTURE), Image.Resampling.BICUBIC), corner)
    if moment.is_key:
        frame = (left - 2, above - 2, left + PICTURE + 1, above + PICTURE + 1)
        pen.rectangle(frame, outline=MARKED, width=2)
    colour = INK if moment.is_key else FAINT
    for number, words in enumerate(moment.caption.split("\n")):
        pen.text((left, above + PICTURE + 4 + number * LINE), words, colour, _caption_font())
