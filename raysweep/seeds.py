"""The seed tree: every random number of a sweep comes from its one seed and a path of names.

`generator` gives numpy generators (plan, bootstrap); `number` and `uniform` give plain Python numbers without
importing numpy (trial seeds, the simulated sandbox).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def text(*path: str | int) -> str:
    """A path as one name, which stands in a longer path for its parts."""
    return "\x1f".join(map(str, path))


def _hash(seed: int, path: tuple[str | int, ...]) -> bytes:
    return hashlib.sha256(text(seed, *path).encode()).digest()


def number(seed: int, *path: str | int) -> int:
    """A 31-bit non-negative integer (fits every shell and language) for this place of the tree."""
    return int.from_bytes(_hash(seed, path)[:4], "big") >> 1


def uniform(seed: int, *path: str | int) -> float:
    """A float in [0, 1) for this place of the tree (53 bits)."""
    return (int.from_bytes(_hash(seed, path)[:8], "big") >> 11) / float(1 << 53)


def sequence(seed: int, *path: str | int) -> np.random.SeedSequence:
    """Numpy SeedSequence for this place of the tree; children come from its own `spawn`."""
    import numpy as np  # noqa: PLC0415 - numpy is not needed to check a config

    return np.random.SeedSequence(int.from_bytes(_hash(seed, path)[:16], "big"))


def generator(seed: int, *path: str | int) -> np.random.Generator:
    """Numpy Generator (PCG64) for this place of the tree."""
    import numpy as np  # noqa: PLC0415 - as above

    return np.random.Generator(np.random.PCG64(sequence(seed, *path)))
