"""Standard normals by number: the same on every machine, whichever of them are asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WORDS = 64  # 64-bit words of Philox set apart for each row
BLOCK = 4  # words that Philox makes a step of its counter


def normals(seed: int, first: int, count: int, width: int) -> NDArray[np.float64]:
    """Rows first .. first + count - 1 of the endless table `seed`: [count, width], width <= 64.

    Philox's words are the same for ever, whereas numpy may change what its `Generator` makes of
    them; Box and Muller's transform turns them into normals here.
    """
    if width > WORDS:
        raise ValueError(f"a row has at most {WORDS} normals, not {width}")
    if seed < 0 or first < 0 or count < 0:
        raise ValueError(f"seed {seed}, first {first} and count {count} must not be negative")
    words = np.random.Philox(key=seed, counter=first * (WORDS // BLOCK)).random_raw(count * WORDS)
    uniform = ((words >> np.uint64(11)) + 0.5) * 2.0**-53  # inside (0, 1)
    pairs = uniform.reshape(count, 2, WORDS // 2)
    radius = np.sqrt(-2 * np.log(pairs[:, 0]))
    angle = 2 * np.pi * pairs[:, 1]
    both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return both[:, :width]
