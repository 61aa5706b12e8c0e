"""A session with one network on one device: W+ in, RGBA pixels out.

The reference network does the work, in float32, channels last (with the bundled network on one
core a fifth faster than channels first). Faster ways to the same picture have their place here,
and are measured against it.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import UserError
from engine.networks.stylegan2 import StyleGAN2
from engine.weights import load_network

Precision = Literal["float32"]


class Generator:
    """Performs a network. Not for several threads at once.

    net: the network, which the session takes over (it moves it), or the path of a checkpoint.
    device: "auto" (CUDA, else Apple's GPU, else the CPU), or torch's name of one.
    Raises UserError for a device that is not there and a file or network that cannot be performed.
    """

    def __init__(
        self, net: StyleGAN2 | Path | str, device: str = "auto", precision: Precision = "float32"
    ) -> None:
        if precision != "float32":
            raise ValueError(f"precision is {precision!r}; there is only float32")
        self.device = choose_device(device)
        if not isinstance(net, StyleGAN2):
            net = load_network(net)
        if net.img_channels not in (1, 3):
            raise UserError(f"a network of {net.img_channels} channels: 1 or 3 can be shown")
        if self.device.type == "cpu":
            torch.set_num_threads(_cpu_threads())
        self.resolution = net.resolution
        self.z_dim, self.w_dim, self.num_ws = net.z_dim, net.w_dim, net.num_ws
        self.num_classes = net.num_classes
        # Seeds are mapped on the CPU whatever the device, so that a show is the same on any.
        self._mapping = copy.deepcopy(net.mapping).cpu()
        self._net = net.to(self.device)
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # The bundled network's strengths are all 0, and adding nothing to 11 layers takes time.
        self._noisy = net.config.use_noise and any(
            bool(layer.noise_strength) for layer in net.synthesis.layers()
        )
        self._frame = np.full((self.resolution, self.resolution, 4), 255, np.uint8)
        self._shown: tuple[bytes, float] | None = None

    @property
    def device_name(self) -> str:
        """What renders, in words."""
        if self.device.type == "cuda":
            return f"{self.device} ({torch.cuda.get_device_name(self.device)})"
        return "cpu" if self.device.type == "cpu" else f"{self.device} (Apple GPU)"

    def map(self, seed: int, class_index: int | None = None) -> NDArray[np.float32]:
        """A seed's W+ [num_ws, w_dim], not truncated: z is RandomState(seed).randn(1, z_dim).

        class_index: 0 to num_classes - 1, for a conditional network, and only for one.
        Raises UserError for a seed or a class that there is not.
        """
        if not 0 <= seed < 2**32:
            raise UserError(f"seed {seed}: seeds go from 0 to {2**32 - 1}")
        z = torch.from_numpy(np.random.RandomState(seed).randn(1, self.z_dim)).float()
        with torch.inference_mode():
            # One at a time: a batch is another multiplication, with other bits.
            w = self._mapping(z, self._one_hot(class_index))
        return np.repeat(w.numpy(), self.num_ws, axis=0)

    def _one_hot(self, class_index: int | None) -> Tensor | None:
        if self.num_classes == 0:
            if class_index is not None:
                raise UserError(f"class {class_index}: the network has no classes")
            return None
        if class_index is None or not 0 <= class_index < self.num_classes:
            wanted = "no class given" if class_index is None else f"class {class_index}"
            raise UserError(f"{wanted}: the network's classes are 0 to {self.num_classes - 1}")
        return torch.nn.functional.one_hot(torch.tensor([class_index]), self.num_classes).float()

    def render(
        self,
        ws: NDArray[np.float32],
        noise_strength: float = 1.0,
        out: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """W+ [num_ws, w_dim] to pixels [R, R, 4], opaque, rows from the top.

        [-1, 1] becomes 0 to 255, rounded and clamped; a grey network gives equal R, G and B.
        The same W+ and noise as last time give the same frame, without another rendering.
        out: where to put the pixels, such as a view of shared memory; it is also returned.
        """
        if ws.shape != (self.num_ws, self.w_dim):
            raise ValueError(f"ws is {ws.shape}, where ({self.num_ws}, {self.w_dim}) was expected")
        ws = np.array(ws, dtype=np.float32)  # a copy: shared memory may change meanwhile
        asked = (ws.tobytes(), noise_strength)
        if asked != self._shown:
            self._shown = None
            self._frame[..., :3] = self._synthesize(ws, noise_strength)
            self._shown = asked
        if out is None:
            return self._frame.copy()
        np.copyto(out, self._frame)
        return out

    def _synthesize(self, ws: NDArray[np.float32], noise_strength: float) -> NDArray[np.uint8]:
        """[num_ws, w_dim] -> [R, R, 1 or 3]."""
        noisy = self._noisy and noise_strength != 0
        with torch.inference_mode():
            img = self._net.synthesize(
                torch.from_numpy(ws)[None].to(self.device),
                noise="const" if noisy else "none",
                noise_strength=noise_strength,
            )
            # Adding 128 and cutting off the fraction rounds (x + 1) * 127.5.
            pixels = img[0].mul(127.5).add_(128).clamp_(0, 255).to(torch.uint8)
            frame: NDArray[np.uint8] = pixels.permute(1, 2, 0).cpu().numpy()
        return frame

    def warm_up(self) -> None:
        """Render twice and forget it: libraries load, kernels are chosen, memory is claimed."""
        for value in (0.0, 1.0):
            self.render(np.full((self.num_ws, self.w_dim), value, np.float32))
        self._shown = None


def choose_device(name: str) -> torch.device:
    """The device of that name. Raises UserError if there is none, or no such name."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or not (index == "" or index.isdecimal()):
        raise UserError(f"device {name}: devices are auto, cpu, cuda, cuda:N and mps")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"device {name}: torch sees no NVIDIA GPU; "
            "install its driver and a CUDA build of torch, or use cpu"
        )
    if kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise UserError(f"device {name}: there are {torch.cuda.device_count()}, counted from 0")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"device {name}: torch sees no Apple GPU; use cpu")
    return torch.device(name)


def _cpu_threads() -> int:
    """Half the cores; the others are the stage's.

    With the bundled network two threads on two cores take 11 ms a frame against 13 while nothing
    else runs, and 200 to 900 against 20 while something does: they wait for each other.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // 2)
