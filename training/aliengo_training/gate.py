"""How far the residual is let in: closed where the base was trained, open beyond it.

The gate looks only at the commanded velocity. It measures how far the command lies outside the box
of the base's commands, as a speed: the length of (over_x, over_y, lever * over_yaw), where the yaw
rate counts with about the distance of the feet from the trunk's centre. It then opens smoothly:
``g = 3 t^2 - 2 t^3`` with ``t = clamp((excess - speed) / width, 0, 1)``. Inside the box g is 0, so
the policy is exactly the base there, and its slope is 0 at both ends: no command makes a jump.
"""

from __future__ import annotations

import dataclasses
from typing import Dict, Optional, Tuple

import torch

__all__ = ["COMMAND_AXES", "ResidualGate"]

COMMAND_AXES = ("vx", "vy", "wz")


@dataclasses.dataclass(frozen=True)
class ResidualGate:
    """The gate of a residual policy.

    Attributes:
        base_ranges: Lowest and highest vx, vy [m/s] and wz [rad/s] of the base's commands.
        speed: Excess speed at which it starts to open [m/s].
        width: Further excess over which it opens fully [m/s].
        yaw_lever_m: Speed [m/s] that one rad/s of yaw rate counts for [m].
    """

    base_ranges: Dict[str, Tuple[float, float]] = dataclasses.field(
        default_factory=lambda: {"vx": (0.0, 1.1), "vy": (-0.3, 0.3), "wz": (-1.0, 1.0)}
    )
    speed: float = 0.0
    width: float = 0.2
    yaw_lever_m: float = 0.3

    def __post_init__(self) -> None:
        """Check the figures; ValueError names the wrong one."""
        if set(self.base_ranges) != set(COMMAND_AXES):
            raise ValueError(
                f"base_ranges names {sorted(self.base_ranges)}: expected {sorted(COMMAND_AXES)}"
            )
        for axis, (low, high) in self.base_ranges.items():
            if not low <= high:
                raise ValueError(f"base_ranges[{axis!r}] is [{low}, {high}]: expected low <= high")
        if self.speed < 0.0:
            raise ValueError(f"speed is {self.speed}: expected 0 or more")
        for name in ("width", "yaw_lever_m"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} is {getattr(self, name)}: expected more than 0")

    @property
    def lower(self) -> tuple[float, float, float]:
        """Lowest command of the base in the order of COMMAND_AXES."""
        vx, vy, wz = (float(self.base_ranges[axis][0]) for axis in COMMAND_AXES)
        return vx, vy, wz

    @property
    def upper(self) -> tuple[float, float, float]:
        """Highest command of the base in the order of COMMAND_AXES."""
        vx, vy, wz = (float(self.base_ranges[axis][1]) for axis in COMMAND_AXES)
        return vx, vy, wz

    @property
    def axis_scale(self) -> tuple[float, float, float]:
        """What one unit outside the box counts for on each axis [m/s]."""
        return 1.0, 1.0, float(self.yaw_lever_m)

    def constants(self, device: torch.device) -> torch.Tensor:
        """Lowest and highest commands and scales of the axes as one ``(3, 3)`` tensor."""
        return torch.tensor([self.lower, self.upper, self.axis_scale], device=device)

    def excess(
        self, command: torch.Tensor, constants: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Speed by which commands ``(..., 3)`` lie outside the base's box ``(..., 1)`` [m/s].

        ``constants`` saves copying them from the host, which a captured CUDA graph cannot do.
        """
        if constants is None:
            constants = self.constants(command.device)
        lower, upper, scale = constants.to(command.dtype).unbind(0)
        outside = torch.relu(torch.maximum(lower - command, command - upper)) * scale
        return outside.norm(dim=-1, keepdim=True)

    def opening(
        self, command: torch.Tensor, constants: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Share of the residual let in for commands ``(..., 3)``: ``(..., 1)`` from 0 to 1."""
        excess = self.excess(command, constants)
        t = torch.clamp((excess - self.speed) / self.width, 0.0, 1.0)
        return t * t * (3.0 - 2.0 * t)

    def to_metadata(self) -> dict[str, object]:
        """Return the contract's ``residual_gate``; speed is the forward command where it opens."""
        return {
            "speed": self.upper[0] + float(self.speed),
            "width": float(self.width),
            "yaw_lever_m": float(self.yaw_lever_m),
            "base_ranges": {axis: list(self.base_ranges[axis]) for axis in COMMAND_AXES},
        }
