"""Whether Apple's GPU plays a network: tried on a small picture, compared with the CPU's.

PyTorch's operations there are younger than elsewhere. One may be missing, and some versions have
computed wrong pictures without a word. It has not run on such a machine.
"""

from __future__ import annotations

import torch

from engine.inference.folded import Folded
from engine.inference.plain import frame
from engine.networks.stylegan2 import StyleGAN2

SMALL = 64  # pixels a side: hardly any work, and every operation is in it
CLOSE = 2.0  # levels of 255 on average


def why_not(net: StyleGAN2, device: torch.device) -> str:
    """What is wrong with the network's pictures on that device; nothing if they are the CPU's."""
    ws = torch.zeros(net.num_ws, net.w_dim)
    frames = []
    try:
        for where in (torch.device("cpu"), device):
            folded = Folded(net, where)
            sizes = folded.pictures()
            size = next((size for size in sizes if size >= SMALL), sizes[-1])
            with torch.inference_mode():
                one = torch.ones((), device=where)
                frames.append(frame(folded, ws.to(where), one, size).cpu().float())
    except (RuntimeError, NotImplementedError, TypeError) as error:
        return " ".join(str(error).split())[:200]
    off = float(frames[0].sub(frames[1]).abs().mean())
    return "" if off <= CLOSE else f"its picture of {size}x{size} is off by {off:.0f} levels"
