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


def keep_memory() -> None:
    """For the rest of the process's life, where the C library is glibc; else nothing changes."""
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    for name, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _MOST), (_TOP_PAD, _AT_ONCE)):
        mallopt(name, value)
