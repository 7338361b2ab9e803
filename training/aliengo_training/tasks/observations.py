"""The observation of the policy, term by term, and what only the critic sees.

The runtime on the robot builds the same 45 numbers from `LowState` messages; a test compares the two.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aliengo_training.contract import OBSERVATION_TERMS
from aliengo_training.tasks.config import NoiseConfig

OBSERVATION_SIZE = sum(term.size for term in OBSERVATION_TERMS)
COMMAND_SLICE = slice(6, 9)
COMMAND_SCALE = OBSERVATION_TERMS[2].scale
ACTION_CLIP = 100.0


class ObservationBuilder:
    """Scales, clips and, for the actor, disturbs the observation.

    Args:
        noise: Half widths before scaling.
        device: Where the constants live.
    """

    def __init__(self, noise: NoiseConfig, device: torch.device) -> None:
        self._scale = torch.tensor(
            [factor for term in OBSERVATION_TERMS for factor in term.scale], device=device
        )
        half_widths = {
            "base_angular_velocity": noise.angular_velocity,
            "projected_gravity": noise.gravity,
            "joint_position_error": noise.joint_positions,
            "joint_velocity": noise.joint_velocities,
        }
        self._noise = torch.tensor(
            [
                half_widths.get(term.name, 0.0)
                for term in OBSERVATION_TERMS
                for _ in range(term.size)
            ],
            device=device,
        )
        self._enabled = noise.enabled
        self._low, self._high = OBSERVATION_TERMS[0].clip

    def clean(
        self,
        angular_velocity_b: Tensor,
        gravity_b: Tensor,
        command: Tensor,
        joint_error: Tensor,
        joint_velocities: Tensor,
        last_action: Tensor,
    ) -> Tensor:
        """The noise-free, unscaled observation, (N, 45).

        Args:
            angular_velocity_b: (N, 3) [rad/s].
            gravity_b: (N, 3) unit vector, (0, 0, -1) upright.
            command: (N, 3) [m/s, m/s, rad/s].
            joint_error: (N, 12) q - q_default [rad].
            joint_velocities: (N, 12) [rad/s].
            last_action: (N, 12) raw output of the policy after its clip.
        """
        return torch.cat(
            [angular_velocity_b, gravity_b, command, joint_error, joint_velocities, last_action],
            dim=-1,
        )

    def actor(self, clean: Tensor) -> Tensor:
        """What the policy sees: with noise if enabled, scaled and clipped."""
        if self._enabled:
            clean = clean + self._noise * (2.0 * torch.rand_like(clean) - 1.0)
        return self.scaled(clean)

    def scaled(self, clean: Tensor) -> Tensor:
        """Scale and clip without noise."""
        return (clean * self._scale).clamp(self._low, self._high)
