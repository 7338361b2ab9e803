"""Import of Isaac Gym, which insists on coming before torch."""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any, Sequence

__all__ = ["IsaacGymMissingError", "before_torch", "import_isaac_gym"]


class IsaacGymMissingError(ValueError):
    """Isaac Gym is not installed, or not usable by this Python."""


def before_torch(arguments: Sequence[str]) -> None:
    """Import Isaac Gym if the command line asks for it; scripts call this before torch is imported.

    Where that fails nothing is said yet: building the simulator fails too, with the script's own
    way of reporting errors.
    """
    wanted = "--sim=isaacgym" in arguments or any(
        (flag, value) == ("--sim", "isaacgym") for flag, value in zip(arguments, arguments[1:])
    )
    if wanted:
        with contextlib.suppress(IsaacGymMissingError):
            import_isaac_gym()


def import_isaac_gym() -> tuple[Any, Any]:
    """Return Isaac Gym's modules ``gymapi`` and ``gymtorch``.

    Isaac Gym refuses to be imported after torch. Where torch is already there (a notebook, the
    tests), it is hidden during the import, which is known to work but not how NVIDIA means it:
    scripts call :func:`before_torch` first.

    Raises:
        IsaacGymMissingError: With what to do about it.
    """
    hidden = sys.modules.pop("torch", None)
    try:
        gymapi = importlib.import_module("isaacgym.gymapi")
    except ImportError as error:
        raise IsaacGymMissingError(
            f"--sim isaacgym needs Isaac Gym Preview 4 in Python 3.8; here is Python "
            f"{sys.version_info[0]}.{sys.version_info[1]} and the import failed with: {error}. "
            "See docs/isaac_gym.md, or use --sim mujoco_warp"
        ) from error
    finally:
        if hidden is not None:
            sys.modules["torch"] = hidden
    return gymapi, importlib.import_module("isaacgym.gymtorch")
