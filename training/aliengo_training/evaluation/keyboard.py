"""Velocity commands from keys typed into a terminal."""

from __future__ import annotations

import select
import sys
from types import TracebackType
from typing import Any, Dict, Optional, Tuple, Type

import numpy as np

__all__ = ["HELP", "KeyboardCommand", "TerminalKeys"]

HELP = "keys: w/s speed, a/d turn, q/e sideways, space stop, p push, r start again, x or Esc end"
#: Key -> axis of the command, step [m/s or rad/s].
_STEPS: Dict[str, Tuple[int, float]] = {
    "w": (0, 0.1),
    "s": (0, -0.1),
    "q": (1, 0.1),
    "e": (1, -0.1),
    "a": (2, 0.2),
    "d": (2, -0.2),
}


class KeyboardCommand:
    """A velocity command that keys move within the policy's ranges.

    Args:
        ranges: Lowest and highest vx, vy [m/s] and wz [rad/s], as in the policy file.

    Attributes:
        command: (3,) vx, vy, wz.
    """

    def __init__(self, ranges: Dict[str, Tuple[float, float]]) -> None:
        limits = np.array([ranges[axis] for axis in ("vx", "vy", "wz")], dtype=np.float64)
        self._low, self._high = limits[:, 0], limits[:, 1]
        self.command = np.zeros(3)

    def press(self, key: str) -> bool:
        """Take a key; returns whether it changed or stopped the command."""
        if key == " ":
            self.command = np.zeros(3)
            return True
        if key.lower() not in _STEPS:
            return False
        axis, step = _STEPS[key.lower()]
        moved = self.command.copy()
        # Rounded, so that ten steps up and ten down end at exactly zero, which means standing.
        moved[axis] = round(moved[axis] + step, 6)
        self.command = np.clip(moved, self._low, self._high)
        return True


class TerminalKeys:
    """Reads single keys from the terminal without waiting; the terminal is restored at the end.

    Raises:
        OSError: On entering, if standard input is no terminal.
    """

    def __enter__(self) -> TerminalKeys:
        """Switch the terminal to single keys."""
        if not sys.stdin.isatty():
            raise OSError("standard input is no terminal: commands cannot be typed, use --headless")
        import termios
        import tty

        self._settings: Any = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Restore the terminal."""
        import termios

        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._settings)

    def read(self) -> str:
        """Next key, or an empty text if none was pressed."""
        ready, _, _ = select.select([sys.stdin], [], [], 0.0)
        return sys.stdin.read(1) if ready else ""
