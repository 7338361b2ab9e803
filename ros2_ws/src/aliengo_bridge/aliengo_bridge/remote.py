"""The vendor's hand-held remote, as 40 bytes in every state.

There is no validity flag: a remote that is off, or out of reach, reads as all zeros, which is a
remote with nothing pressed and its sticks centred.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

__all__ = ["BUTTONS", "STOP_BUTTONS", "Remote", "decode_remote"]

BUTTONS = (
    "R1",
    "L1",
    "start",
    "select",
    "R2",
    "L2",
    "F1",
    "F2",
    "A",
    "B",
    "X",
    "Y",
    "up",
    "right",
    "down",
    "left",
)
"""Names of the buttons; the place in this tuple is the bit in the remote's button word."""
STOP_BUTTONS = frozenset({"L2", "B"})
"""Held together they mean damping, as in the vendor's own controllers."""

_BLOCK = struct.Struct("<2xH5f")
_MASKS = {name: 1 << bit for bit, name in enumerate(BUTTONS)}
_STOP_MASK = sum(_MASKS[name] for name in STOP_BUTTONS)


@dataclass(frozen=True)
class Remote:
    """The remote's sticks in -1..1 and its buttons."""

    buttons: int = 0
    lx: float = 0.0
    ly: float = 0.0
    rx: float = 0.0
    ry: float = 0.0
    l2: float = 0.0

    @property
    def pressed(self) -> frozenset[str]:
        """The names of the buttons that are held."""
        return frozenset(name for name, mask in _MASKS.items() if self.buttons & mask)

    @property
    def stop(self) -> bool:
        """Whether the operator asks for damping."""
        return self.buttons & _STOP_MASK == _STOP_MASK


def decode_remote(block: np.ndarray) -> Remote:
    """Return what the remote's 40 bytes say; a stick that is not finite counts as centred.

    Args:
        block: The bytes, (40,) uint8.
    """
    buttons, lx, rx, ry, l2, ly = _BLOCK.unpack_from(block.tobytes())
    sticks = {"lx": lx, "ly": ly, "rx": rx, "ry": ry, "l2": l2}
    bounded = {k: min(1.0, max(-1.0, v)) if math.isfinite(v) else 0.0 for k, v in sticks.items()}
    return Remote(buttons=buttons, **bounded)
