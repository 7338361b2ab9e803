"""Velocity commands, resampled per environment with shapes that a captured CUDA graph can replay."""

from __future__ import annotations

import torch
from torch import Tensor

from aliengo_training.tasks.config import CommandConfig


class VelocityCommands:
    """Holds and resamples the commanded velocity of every environment.

    Args:
        config: Ranges.
        num_envs: Number of environments, N.
        control_period_s: Time between two calls of `advance` [s].
        device: Where the tensors live.

    Raises:
        ValueError: If the shares of the draws add up to more than 1.

    Attributes:
        command: (N, 3) vx, vy [m/s], wz [rad/s], body frame.
        fixed: Whether the command is set from outside and never resampled.
    """

    def __init__(
        self, config: CommandConfig, num_envs: int, control_period_s: float, device: torch.device
    ) -> None:
        shares = ("standing", "straight", "lateral", "turning")
        total = sum(getattr(config, f"{name}_fraction") for name in shares)
        if not total <= 1.0:
            raise ValueError(
                f"commands: {', '.join(shares)}_fraction add up to {total:g}, expected at most 1"
            )
        self._config = config
        self._period = control_period_s
        ranges = torch.tensor([config.vx, config.vy, config.wz], device=device)
        self._low, self._high = ranges[:, 0], ranges[:, 1]
        self.command = torch.zeros(num_envs, 3, device=device)
        self._remaining_s = torch.zeros(num_envs, device=device)
        self.fixed = False

    @property
    def standing(self) -> Tensor:
        """(N,) bool, where the command is to stand still."""
        return self.command.abs().amax(-1) == 0.0

    def advance(self, reset: Tensor) -> None:
        """Count time down and resample where it ran out or where an episode began.

        Args:
            reset: (N,) bool.
        """
        if self.fixed:
            return
        self._remaining_s.sub_(self._period)
        due = reset | (self._remaining_s <= 0.0)
        self.command.copy_(torch.where(due.unsqueeze(-1), self._draw(), self.command))
        low, high = self._config.resample_s
        fresh = low + (high - low) * torch.rand_like(self._remaining_s)
        self._remaining_s.copy_(torch.where(due, fresh, self._remaining_s))

    def set_fixed(self, command: Tensor) -> None:
        """Command every environment from outside from now on, (N, 3) or (3,)."""
        self.fixed = True
        self.command.copy_(command.expand_as(self.command))

    def _draw(self) -> Tensor:
        draw = self._low + (self._high - self._low) * torch.rand_like(self.command)
        kind = torch.rand_like(self._remaining_s).unsqueeze(-1)
        standing = kind < self._config.standing_fraction
        # From the top down: straight ahead, without yaw command, without lateral command.
        config = self._config
        straight = 1.0 - config.straight_fraction
        lateral = straight - config.lateral_fraction
        turning = lateral - config.turning_fraction
        without_vy = (kind > straight) | ((kind > turning) & (kind <= lateral))
        keep = torch.ones_like(draw)
        keep[:, 1:2] = (~without_vy).float()
        keep[:, 2:3] = (kind <= lateral).float()
        draw = draw * keep
        if config.max_lateral_acceleration > 0.0:
            # A turn that friction cannot hold would teach not to turn at all.
            speed = draw[:, :2].norm(dim=-1, keepdim=True).clamp(min=1e-6)
            limit = config.max_lateral_acceleration / speed
            draw[:, 2:3] = draw[:, 2:3].clamp(-limit, limit)
        tiny = (draw.abs() < self._config.dead_zone).all(-1, keepdim=True)
        return torch.where(standing | tiny, torch.zeros_like(draw), draw)
