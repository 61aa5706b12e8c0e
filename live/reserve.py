"""The room on a disk that a film leaves free for everything else."""

from __future__ import annotations

import shutil
from collections import deque
from pathlib import Path

_MOST = 256 << 20  # bytes
_SHARE = 20  # of a small disk one part in so many, else it could not be recorded to at all


class Reserve:
    """Watches the disk of a file or folder that grows: 256 MB stay free, or a twentieth of it.

    rate: how often a second of the film `check` is called. Asking costs microseconds.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._folder = path if path.is_dir() else path.parent
        self._seen: deque[int] = deque(maxlen=max(1, round(rate)))  # bytes free, of a second

    def check(self) -> None:
        """Raise OSError, one line, if the room is used up, or would be in another such second.

        The second ahead is for what is written after the last picture: what waits in the encoder,
        and the index of a film of hours.
        """
        usage = shutil.disk_usage(self._folder)
        floor = min(_MOST, usage.total // _SHARE)
        self._seen.append(usage.free)
        if usage.free < floor:
            raise OSError(f"less than {_told(floor)} are left on the disk")
        if usage.free - (self._seen[0] - usage.free) < floor:
            raise OSError(f"in a second less than {_told(floor)} would be left on the disk")


def _told(size: int) -> str:
    return f"{size >> 20} MB" if size >= 1 << 20 else f"{size >> 10} kB"
