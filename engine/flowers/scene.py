"""What a flower is: 55 standard normals become named parameters, with their units and ranges.

    latents 0-17    weights of the species, softmax(4.2 z): mostly one or two of them
            18-28   weights of the backgrounds, softmax(4 z)
            29-54   single traits, as `scene` spells out

Chance, such as where a petal strays from its place, is a smooth function of the latents too: the
standard normal distribution of a projection of them onto a fixed, random direction, which is
uniform in 0..1. So a picture is a continuous function of its latents, but for the number of petals,
and neighbours in latents are neighbours to the eye.

Every field is a tensor with one entry per flower in its last dimension: [N], colours [3, N],
linear light. Lengths are halves of the picture's side, angles radians counter-clockwise from the
right. Ranges are those of 99.9 % of flowers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from engine.flowers.chance import normals
from engine.flowers.species import BACKGROUNDS, SPECIES

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TRAITS = 26
LATENTS = len(SPECIES) + len(BACKGROUNDS) + TRAITS  # 55
LARGEST_LATENT = 6.0  # none of a billion normals is beyond; keeps every exponential finite

Mixed = dict[str, Tensor]  # the numbers of the species, mixed: [N] each

MAX_LAYERS = 4
MAX_PETALS = 22  # of a layer
MAX_STAMENS = 28
MAX_FLORETS = 110
DISCS = 9  # of light out of focus, behind the flower
CELLS = 5  # of the cloud that mottles the background, in each direction


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the flower is and how it is turned."""

    x: Tensor  # of the centre, to the right of the picture's: +-0.12
    y: Tensor  # of the centre, above the picture's: +-0.12
    radius: Tensor  # of the outer petals: 0.6..0.98
    rotation: Tensor  # of the first petal: +- half the angle between petals
    tilt_direction: Tensor  # where the flower leans away to
    tilt: Tensor  # how far: 0..0.75


@dataclass(frozen=True, slots=True)
class Petals:
    """Outline and relief. A petal is u = 0..1 long and its half width goes as u^a (1 - u)^b."""

    count: Tensor  # of the outer layers, whole: 4..21
    layers: Tensor  # 1..4; its fraction is how far the innermost one has come out
    layer_ratio: Tensor  # length of each layer to the one outside it: 0.7..0.94
    width: Tensor  # to what would just fill the circle: 0.9..2.2
    base_taper: Tensor  # a above, 0.35..1.4: larger is narrower at the base
    tip_taper: Tensor  # b above, 0.15..1.2: larger is more pointed
    notch: Tensor  # cut in the middle of the tip, of the petal's length: 0..0.3
    frill: Tensor  # waves of the margin, of the half width: 0.02..0.14
    frill_frequency: Tensor  # their radians along a sixth of the petal: 5..9
    cup: Tensor  # how far margins rise, as a slope across: 0.15..1.8
    slope: Tensor  # along the petal, at its base: 0.15..2
    slope_change: Tensor  # from there to the tip: -2..-0.25
    uprightness: Tensor  # more slope for every layer further in: 0.3..0.9
    bend: Tensor  # sideways, of the length: +-0.25; what makes a pinwheel
    irregularity: Tensor  # of angle and length from petal to petal: 0.06..1


@dataclass(frozen=True, slots=True)
class Surface:
    """Colour and gloss of the petals."""

    base: Tensor  # colours, [3, N]
    main: Tensor
    tip: Tensor
    edge: Tensor
    mark: Tensor  # of veins, blotch and speckles
    margin: Tensor  # how much of `edge` the margin takes: 0.2..0.5
    tip_start: Tensor  # where the tip's colour begins, of the length: 0.6
    vein: Tensor  # strength, in colour and relief: 0.04..0.7
    vein_frequency: Tensor  # radians across half a petal: 5..24
    blotch: Tensor  # at the base: 0..0.85
    blotch_reach: Tensor  # of the length: 0.34..0.4
    speckle: Tensor  # 0, or 0.01..0.9
    translucency: Tensor  # light through the petal from behind: 0.4..0.7
    sheen: Tensor  # highlight: 0.3


@dataclass(frozen=True, slots=True)
class Centre:
    """Disc, florets in a sunflower's spiral, stamens."""

    inner: Tensor  # colours, [3, N]: of the disc's middle
    rim: Tensor
    anther: Tensor
    filament: Tensor
    disc: Tensor  # radius: 0.03..0.55
    dome: Tensor  # how round, as a slope at the rim: 0.6..0.8
    florets: Tensor  # how much they cover the disc: 0.4..0.95
    floret_count: Tensor  # 12..108
    stamens: Tensor  # how visible: 0..1
    stamen_count: Tensor  # 7..27
    stamen_length: Tensor  # 0.19..0.34


@dataclass(frozen=True, slots=True)
class Backdrop:
    """Light, and what is behind the flower, out of focus."""

    light: Tensor  # where the light comes from: pi / 2 (above) +- 2.9
    dark: Tensor  # colours, [3, N]: where the gradient begins
    mid: Tensor  # where it ends
    drift: Tensor  # what mottles it
    gradient: Tensor  # its direction: pi / 2 (upwards) +- 4
    brightness: Tensor  # 0.5..1.7


@dataclass(frozen=True, slots=True)
class Chance:
    """What differs without a reason, 0..1."""

    petals: Tensor  # [3, MAX_LAYERS * MAX_PETALS, N]: each one's angle, length and bend
    stamens: Tensor  # [3, MAX_STAMENS, N]: angle, length, size
    discs: Tensor  # [7, DISCS, N]: x, y, radius, softness, tint, brightness, opacity
    cloud: Tensor  # [2, CELLS, CELLS, N]: lattice of the gradient's shift and of the mottling


Part = TypeVar("Part", bound="DataclassInstance")


def each(part: Part, function: Callable[[Tensor], Tensor]) -> Part:
    """The same part of a scene with `function` applied to every field."""
    return type(part)(*(function(getattr(part, field.name)) for field in fields(part)))


def pick(part: Part, flower: Tensor) -> Part:
    """The part's fields for every entry of `flower` [M]: [N] -> [M].

    Of a single flower they stay [1], which broadcasts and needs no gathering.
    """
    if getattr(part, fields(part)[0].name).shape[-1] == 1:
        return part
    return each(part, lambda field: field.index_select(-1, flower))


def pick_field(field: Tensor, flower: Tensor) -> Tensor:
    """The same of one field: [..., N] -> [..., M], or as it is if N is 1."""
    return field if field.shape[-1] == 1 else field.index_select(-1, flower)


@dataclass(frozen=True, slots=True)
class Scene:
    """N flowers."""

    pose: Pose
    petals: Petals
    surface: Surface
    centre: Centre
    backdrop: Backdrop
    chance: Chance

    def __len__(self) -> int:
        return len(self.pose.x)

    def map(self, function: Callable[[Tensor], Tensor]) -> Scene:
        """The scene with `function` applied to every field of every part."""
        return Scene(
            each(self.pose, function),
            each(self.petals, function),
            each(self.surface, function),
            each(self.centre, function),
            each(self.backdrop, function),
            each(self.chance, function),
        )

    def some(self, first: int, last: int) -> Scene:
        """Flowers `first` up to, not including, `last`."""
        return self.map(lambda t: t[..., first:last])


def scene(latents: Tensor) -> Scene:
    """Latents [N, 55], standard normals, to N flowers, in float32 on the latents' device.

    Values beyond +-6 count as +-6. ValueError for another shape or NaN.
    """
    if latents.ndim != 2 or latents.shape[1] != LATENTS:
        raise ValueError(f"latents are [N, {LATENTS}], not {list(latents.shape)}")
    if bool(latents.isnan().any()):
        raise ValueError("latents hold NaN")
    # In float64 on the CPU: a few hundred numbers a flower, and the same ones on every machine.
    z = latents.detach().to("cpu", torch.float64).clamp(-LARGEST_LATENT, LARGEST_LATENT)
    kinds, grounds, traits = z.tensor_split([len(SPECIES), len(SPECIES) + len(BACKGROUNDS)], dim=1)
    t = list(traits.unbind(dim=1))
    species = (4.2 * kinds).softmax(dim=1)
    mixed = {name: species @ column for name, column in _species_numbers().items()}
    colours = torch.einsum("ns,skc->kcn", species, _species_colours())
    petal_colours = _varied(colours[:5], t)
    ground = torch.einsum("ns,skc->kcn", (4.0 * grounds).softmax(dim=1), _background_colours())
    made = Scene(
        _pose(mixed, t),
        _petals(mixed, t),
        _surface(mixed, petal_colours, t),
        _centre(mixed, t, colours[5:], petal_colours[0]),
        _backdrop(ground, t),
        _chance(z),
    )
    return made.map(lambda field: field.to(latents.device, torch.float32).contiguous())


def _pose(mixed: Mixed, t: list[Tensor]) -> Pose:
    count = _count(mixed, t)
    layers = _layers(mixed, t)
    # Few wide petals fill more of the picture than many: they are drawn a little smaller.
    few = mixed["width"] * torch.exp(0.10 * t[2]) * (7.5 - count).clamp(0, 1)
    shrunk = (1.10 - 0.075 * few - 0.02 * layers).clamp(0.85, 1.0)
    lean_x, lean_y = 0.17 * t[21], 0.17 * t[22] - 0.12
    return Pose(
        x=0.035 * t[18],
        y=0.035 * t[19],
        radius=(mixed["radius"] * torch.exp(0.055 * t[10])).clamp(max=0.98) * shrunk,
        rotation=(torch.special.ndtr(t[20]) - 0.5) * (2 * math.pi) / count,
        tilt_direction=torch.atan2(lean_y, lean_x),
        tilt=(torch.hypot(lean_x, lean_y) * 1.6).clamp(max=0.75),
    )


def _count(mixed: Mixed, t: list[Tensor]) -> Tensor:
    return (mixed["count"] * torch.exp(0.13 * t[0])).clamp(4, 21)


def _layers(mixed: Mixed, t: list[Tensor]) -> Tensor:
    return (mixed["layers"] + 0.45 * t[1]).clamp(1, MAX_LAYERS)


def _petals(mixed: Mixed, t: list[Tensor]) -> Petals:
    return Petals(
        count=(_count(mixed, t) + 0.5).floor(),
        layers=_layers(mixed, t),
        layer_ratio=(mixed["layer_ratio"] + 0.03 * t[11]).clamp(0.7, 0.94),
        width=mixed["width"] * torch.exp(0.10 * t[2]),
        base_taper=mixed["base_taper"] * torch.exp(0.12 * t[3]),
        tip_taper=mixed["tip_taper"] * torch.exp(0.16 * t[4]),
        notch=(mixed["notch"] + 0.03 * t[5]).clamp(0, 0.3),
        frill=mixed["frill"],
        frill_frequency=mixed["frill_frequency"],
        cup=mixed["cup"] * torch.exp(0.25 * t[6]),
        slope=mixed["slope"] * torch.exp(0.25 * t[7]),
        slope_change=mixed["slope_change"] * torch.exp(0.2 * t[7]),
        uprightness=mixed["uprightness"],
        bend=mixed["bend"] + 0.06 * t[13],
        irregularity=mixed["irregularity"] * torch.exp(0.3 * t[14]),
    )


def _surface(mixed: Mixed, colours: Tensor, t: list[Tensor]) -> Surface:
    base, main, tip, edge, mark = colours
    speckle = mixed["speckle"]
    return Surface(
        base=base,
        main=main,
        tip=tip,
        edge=edge,
        mark=mark,
        margin=mixed["margin"],
        tip_start=mixed["tip_start"],
        vein=mixed["vein"] * torch.exp(0.3 * t[12]),
        vein_frequency=mixed["vein_frequency"],
        blotch=mixed["blotch"],
        blotch_reach=mixed["blotch_reach"],
        # Every mixture holds a trace of speckled species; what cannot be seen is not computed.
        speckle=torch.where(speckle < 0.01, 0.0, speckle),
        translucency=mixed["translucency"],
        sheen=mixed["sheen"],
    )


def _centre(mixed: Mixed, t: list[Tensor], colours: Tensor, base: Tensor) -> Centre:
    inner, rim, anther = colours
    return Centre(
        inner=inner,
        rim=rim,
        anther=anther,
        filament=0.4 * anther + 0.6 * base,
        disc=mixed["disc"] * torch.exp(0.14 * t[8]),
        dome=mixed["dome"],
        florets=mixed["florets"],
        floret_count=mixed["floret_count"],
        stamens=(mixed["stamens"] + 0.12 * t[9]).clamp(0, 1),
        stamen_count=mixed["stamen_count"].floor(),
        stamen_length=mixed["stamen_length"],
    )


def _backdrop(ground: Tensor, t: list[Tensor]) -> Backdrop:
    return Backdrop(
        light=math.pi / 2 + 0.9 * t[23],
        dark=ground[0],
        mid=ground[1],
        drift=ground[2],
        gradient=math.pi / 2 + 1.2 * t[24],
        brightness=0.95 * torch.exp(0.18 * t[25]),
    )


def _varied(colours: Tensor, t: list[Tensor]) -> Tensor:
    """Petal colours [5, 3, N] turned about the grey axis, lightened, saturated."""
    angle = 0.30 * t[15]
    k = math.sqrt(1 / 3)
    third, cosine, sine = (1 - angle.cos()) / 3, angle.cos(), angle.sin()
    own, next_, last = cosine + third, third - k * sine, third + k * sine
    red, green, blue = colours.unbind(dim=1)
    turned = torch.stack(
        [
            own * red + next_ * green + last * blue,
            last * red + own * green + next_ * blue,
            next_ * red + last * green + own * blue,
        ],
        dim=1,
    )
    lit = (turned.clamp(0, 1) * torch.exp(0.06 * t[16])).clamp(0, 1)
    grey = lit.mean(dim=1, keepdim=True)
    return (grey + (lit - grey) * (1.12 + 0.10 * t[17])).clamp(0, 1)


def _chance(z: Tensor) -> Chance:
    """Numbers uniform in 0..1 that vary smoothly with the latents z [N, 55]."""
    shapes = [(3, MAX_LAYERS * MAX_PETALS), (3, MAX_STAMENS), (7, DISCS), (2, CELLS, CELLS)]
    sizes = [math.prod(shape) for shape in shapes]
    uniform = torch.special.ndtr(_directions(sum(sizes)) @ z.T)
    parts = zip(torch.split(uniform, sizes), shapes, strict=True)
    return Chance(*(part.view(*shape, -1) for part, shape in parts))


@lru_cache
def _directions(count: int) -> Tensor:
    """Fixed random unit vectors [count, 55] in the space of latents."""
    directions = normals(seed=55, first=0, count=count, width=LATENTS)
    return torch.from_numpy(directions / np.linalg.norm(directions, axis=1, keepdims=True))


@lru_cache
def _species_numbers() -> dict[str, Tensor]:
    """Every number of the table of species, [S] each."""
    names = [field.name for field in fields(SPECIES[0]) if field.name not in ("name", "colours")]
    return {
        name: torch.tensor([getattr(kind, name) for kind in SPECIES], dtype=torch.float64)
        for name in names
    }


@lru_cache
def _species_colours() -> Tensor:
    return _linear([kind.colours for kind in SPECIES])


@lru_cache
def _background_colours() -> Tensor:
    return _linear(list(BACKGROUNDS))


def _linear(rows: list[str]) -> Tensor:
    """Rows of hex colours to linear light [rows, colours, 3]; a gamma of 2 stands in for sRGB's."""
    values = [[list(bytes.fromhex(colour)) for colour in row.split()] for row in rows]
    return (torch.tensor(values, dtype=torch.float64) / 255).square()
