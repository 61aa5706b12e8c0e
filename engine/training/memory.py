"""Memory that a training on a CPU gives back is kept by the process, for the next step.

A tensor of some megabytes comes from the system else, page by page, and a step makes hundreds: a
fifth of the time of a step in float32 went into that, at 128 x 128 on two cores of an EPYC.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # glibc's malloc.h
_MOST = 2**31 - 1
_AT_ONCE = 1 << 28  # bytes that the heap grows by


def keep_memory() -> bool:
    """Whether it could be told to: glibc is. For the rest of the process's life."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    asked = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _MOST), (_TOP_PAD, _AT_ONCE))
    return all(mallopt(name, value) == 1 for name, value in asked)
