"""A photo into W+ on the GPU: is the recorded step the plain one, and how long takes a photo."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from gpu_lines import Line, Told, at_most
from gpu_networks import config_f
from torch import Tensor

from engine.networks.stylegan2 import StyleGAN2
from engine.perceptual import VGG16, Perceptual
from engine.projection.objective import Eager, Graph, Objective, tensor_cores
from engine.projection.presets import BEST, VIDEO, Preset
from engine.projection.search import Search

A_PHOTO_S = 20.0  # as asked
CLOSE = 1e-3  # of a gradient's length


def projection(told: Told) -> Iterator[Line]:
    """VGG16 has random weights here: what it takes is the same, what it sees is not."""
    net = config_f(told)[0].cuda().requires_grad_(False)
    perceptual = _vgg().cuda()
    with tensor_cores():
        yield _equal(net, perceptual)
        for preset, photos in ((BEST, 1), (BEST, 4), (VIDEO, 1)):
            yield from _timed(net, perceptual, preset, photos)


def _equal(net: StyleGAN2, perceptual: Perceptual) -> Line:
    """A recorded step at another place than it was recorded at, beside the plain one."""
    objective = Objective(net, _pictures(net, 1), "lpips", perceptual)
    ws = net.w_avg.expand(1, net.num_ws, -1).contiguous()
    graph, eager = Graph(objective, ws, []), Eager(objective)
    elsewhere = ws + 0.1 * torch.randn_like(ws)
    plain = eager(elsewhere, [])[1]
    recorded = graph(elsewhere, [])[1]
    off = float((plain - recorded).norm() / plain.norm())
    return at_most("projection", "gradient, recorded against plain", off, "", CLOSE)


def _timed(net: StyleGAN2, perceptual: Perceptual, preset: Preset, photos: int) -> Iterator[Line]:
    """A whole search, its preparation included; it may not stop before its end."""
    kind = "video" if preset is VIDEO else "lpips"
    torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    objective = Objective(net, _pictures(net, photos), kind, perceptual)
    whole = replace(preset, patience=None)
    searches = [Search(whole, preset.steps, net.w_avg[None], net.num_ws) for _ in range(photos)]
    graph = Graph(objective, torch.stack([search.ws for search in searches]), [])
    while searches[0].left:
        losses, of_ws, _ = graph(torch.stack([search.ws for search in searches]), [])
        for search, loss, slope in zip(searches, losses.tolist(), of_ws, strict=True):
            search.step(loss, slope)
    took = (time.perf_counter() - began) / photos
    what = f"1024 f, {preset.name}, {preset.steps} steps, {photos} at once"
    if preset is BEST:
        yield at_most("projection", f"{what}, a photo", took, " s", A_PHOTO_S)
    else:
        yield Line("projection", f"{what}, a photo", f"{took:.4g} s")
    peak = torch.cuda.max_memory_allocated() / 1e9
    yield Line("projection", f"{what}, memory at most", f"{peak:.3g} GB")


def _pictures(net: StyleGAN2, count: int) -> Tensor:
    """The network's own."""
    z = torch.randn(
        count, net.z_dim, device="cuda", generator=torch.Generator("cuda").manual_seed(1)
    )
    with torch.no_grad():
        return net.synthesize(net.map(z, psi=0.8)).clamp(-1, 1)


def _vgg() -> Perceptual:
    torch.manual_seed(0)
    vgg = VGG16()
    for parameter in vgg.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
        else:
            torch.nn.init.zeros_(parameter)
    return Perceptual(vgg)
