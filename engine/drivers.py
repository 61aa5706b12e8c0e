"""Which NVIDIA driver a version of CUDA needs. Known to the session and to `doctor`; no torch."""

from __future__ import annotations

import sys

_OLDEST = {
    11: ("450.80.02", "452.39"),
    12: ("525.60.13", "528.33"),
    13: ("580.65.06", "580"),
}
"""By the major version of CUDA, for Linux and Windows: the oldest driver that runs all of them
(NVIDIA, "CUDA compatibility", minor version compatibility)."""


def oldest_driver(cuda: str | None) -> str | None:
    """The oldest driver for a version of CUDA such as "12.8"; None where that is not known."""
    major = (cuda or "").partition(".")[0]
    both = _OLDEST.get(int(major)) if major.isdecimal() else None
    return both[sys.platform == "win32"] if both else None
