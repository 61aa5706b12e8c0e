"""Which network a file holds, told by its keys and never by a class's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.weights import nvidia, rosinality, tensorflow
from engine.weights.containers import ACCEPTED, Contents
from engine.weights.found import Found
from engine.weights.inert import Leaf, Module, TFNetwork, UnreadableError, shown

# Networks that are known but are not StyleGAN2, by a key (or its beginning) that only they have.
_FOREIGN = (
    ("synthesis.input.freqs", "a StyleGAN3 network"),
    ("g_mapping.map.", "a StyleGAN1 network of huangzh13/StyleGAN.pytorch"),
    ("progression.0.", "a StyleGAN1 network of rosinality/style-based-gan-pytorch"),
    ("4x4/Const/StyleMod/", "a StyleGAN1 network of NVIDIA's TensorFlow code"),
    ("GE.initial_", "a network of lucidrains/stylegan2-pytorch"),
    ("GE.to_initial_block.", "a network of lucidrains/stylegan2-pytorch"),
)

# Where files keep the averaged generator, the best picture first.
_PLACES = ("G_ema", "g_ema", "g_running", "GAN")


def find(contents: Contents) -> Found:
    """The StyleGAN2 generator in a file. Raises UnreadableError: what else it looked like."""
    looks: list[str] = []
    for place, candidate in _candidates(contents.tree):
        found = _identify(place, candidate, contents)
        if isinstance(found, Found):
            return found
        looks.append(found)
    look = looks[0] if looks else _describe(contents.tree)
    raise UnreadableError(f"looks like {look}; accepted: {ACCEPTED}")


def _candidates(tree: object) -> Iterator[tuple[str, object]]:
    """Parts of the tree that may be a generator, and where they are."""
    if isinstance(tree, tuple | list) and len(tree) == 3 and isinstance(tree[2], TFNetwork):
        yield "Gs", tree[2]
    if isinstance(tree, Module | TFNetwork):
        yield "", tree
    if not isinstance(tree, dict):
        return
    for place in _PLACES:
        if place in tree:
            yield place, tree[place]
    encoder = tree.get("state_dict")
    if isinstance(encoder, dict):
        yield "decoder", _below(encoder, "decoder.")
    yield "", tree


def _below(names: Mapping[object, object], prefix: str) -> dict[object, object]:
    return {
        key.removeprefix(prefix): value
        for key, value in names.items()
        if isinstance(key, str) and key.startswith(prefix)
    }


def _identify(place: str, candidate: object, contents: Contents) -> Found | str:
    """The generator, or in words what this is."""
    if isinstance(candidate, TFNetwork):
        names: Mapping[str, object] = tensorflow.variables(candidate)
        if look := _foreign(names):
            return look
        return tensorflow.translate(candidate, f"TensorFlow {place}".rstrip())
    if isinstance(candidate, Module):
        leaves = nvidia.flatten(candidate)
        if nvidia.is_canonical(leaves):
            return nvidia.translate_module(candidate, f"NVIDIA {place or 'module'}")
        return _foreign(leaves) or f"an NVIDIA network without a generator ({_names(leaves)})"
    if not isinstance(candidate, dict):
        return _describe(candidate)
    leaves = {k: v for k, v in candidate.items() if isinstance(k, str) and isinstance(v, Leaf)}
    if rosinality.is_rosinality(leaves):
        root = contents.tree if isinstance(contents.tree, dict) else {}
        return rosinality.translate(leaves, root.get("latent_avg"), f"rosinality {place}".rstrip())
    if nvidia.is_canonical(leaves):
        own = contents.container == "safetensors"
        dialect = "Anthesis" if own else f"NVIDIA {place}".rstrip()
        return nvidia.translate(leaves, dialect, contents.metadata)
    return _foreign(leaves) or _describe(candidate)


def _foreign(names: Mapping[str, object]) -> str | None:
    for start, look in _FOREIGN:
        if any(name.startswith(start) for name in names):
            return f"{look}, which is not supported yet"
    return None


def _describe(tree: object) -> str:
    if isinstance(tree, Leaf):
        return f"a tensor of shape {shown(tree.shape)}, a latent perhaps, not a network"
    if isinstance(tree, dict):
        return f"a dictionary of {len(tree)} entries ({_names(tree)})"
    return f"a {type(tree).__name__} without a network in it"


def _names(tree: Mapping[object, object] | Mapping[str, object]) -> str:
    names = [shown(key) for key in list(tree)[:4]]
    return ", ".join(names) + (", ..." if len(tree) > 4 else "")
