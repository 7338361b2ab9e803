"""Task reward: one small function per term, weighted by the fields of `RewardConfig` that bear their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Tuple

import torch
from torch import Tensor

from aliengo_description import robot
from aliengo_training.sim.simulator import NUM_FEET
from aliengo_training.tasks.config import RewardConfig


@dataclass
class Signals:
    """What the reward terms look at after a control step; N rows each.

    Attributes:
        linear_velocity_b: (N, 3) base velocity, body frame [m/s].
        angular_velocity_b: (N, 3) [rad/s].
        vertical_velocity_w: (N,) base vertical velocity, world frame [m/s].
        gravity_b: (N, 3) unit gravity direction, body frame.
        command: (N, 3) [m/s, m/s, rad/s].
        standing: (N,) bool, command to stand still.
        joint_error: (N, 12) q - q_default [rad].
        joint_positions: (N, 12) [rad].
        joint_velocities: (N, 12) [rad/s].
        previous_joint_velocities: (N, 12) one control step earlier [rad/s].
        joint_torques: (N, 12) delivered [N m].
        joint_targets: (N, 12) [rad].
        demanded_targets: (N, 12) the same before they were held to the largest step [rad].
        previous_targets: (N, 12) [rad].
        foot_contact: (N, 4) bool.
        foot_speed: (N, 4) planar speed in the world [m/s].
        touchdown: (N, 4) bool, come to the ground in this step.
        stride_time_s: (N, 4) since the foot came to the ground before, this step included; long before its first [s].
        reference_stride_s: (N,) the reference's at the commanded speed, 0 without one [s].
        fallen: (N,) bool.
        control_period_s: [s].
    """

    linear_velocity_b: Tensor
    angular_velocity_b: Tensor
    vertical_velocity_w: Tensor
    gravity_b: Tensor
    command: Tensor
    standing: Tensor
    joint_error: Tensor
    joint_positions: Tensor
    joint_velocities: Tensor
    previous_joint_velocities: Tensor
    joint_torques: Tensor
    joint_targets: Tensor
    demanded_targets: Tensor
    previous_targets: Tensor
    foot_contact: Tensor
    foot_speed: Tensor
    touchdown: Tensor
    stride_time_s: Tensor
    reference_stride_s: Tensor
    fallen: Tensor
    control_period_s: float


class TaskReward:
    """Weighted sum of the terms.

    Args:
        config: Weights and widths.
        device: Where the constants live.

    Attributes:
        names: Terms with a weight other than 0, in the order of `terms`' columns.
    """

    def __init__(self, config: RewardConfig, device: torch.device) -> None:
        self._config = config
        self._lower = torch.as_tensor(
            robot.SAFE_JOINT_LOWER.copy(), dtype=torch.float32, device=device
        )
        self._upper = torch.as_tensor(
            robot.SAFE_JOINT_UPPER.copy(), dtype=torch.float32, device=device
        )
        self._torque_limit = torch.as_tensor(
            robot.TORQUE_LIMITS.copy(), dtype=torch.float32, device=device
        )
        self._kp = torch.as_tensor(robot.KP.copy(), dtype=torch.float32, device=device)
        self._kd = torch.as_tensor(robot.KD.copy(), dtype=torch.float32, device=device)
        if not 0 <= config.carried_leg < NUM_FEET:
            raise ValueError(
                f"reward.carried_leg is {config.carried_leg}, allowed are 0 FL, 1 FR, 2 RL, 3 RR"
            )
        bearing = torch.ones(NUM_FEET, device=device)
        if config.carried_foot != 0.0:  # else the gait has four legs
            bearing[config.carried_leg] = 0.0
        self._bearing = bearing / bearing.sum()
        functions: Dict[str, Callable[[Signals], Tensor]] = {
            "linear_velocity": self._linear_velocity,
            "linear_velocity_fine": self._linear_velocity_fine,
            "linear_velocity_slope": self._linear_velocity_slope,
            "yaw_rate": self._yaw_rate,
            "yaw_rate_fine": self._yaw_rate_fine,
            "yaw_rate_slope": self._yaw_rate_slope,
            "stand_still": self._stand_still,
            "stand_contact": self._stand_contact,
            "torque": self._torque,
            "joint_acceleration": self._joint_acceleration,
            "action_rate": self._action_rate,
            "target_step": self._target_step,
            "torque_saturation": self._torque_saturation,
            "power": self._power,
            "joint_limit": self._joint_limit,
            "foot_slip": self._foot_slip,
            "vertical_velocity": self._vertical_velocity,
            "roll_pitch_rate": self._roll_pitch_rate,
            "tilt": self._tilt,
            "carried_foot": self._carried_foot,
            "bearing_feet": self._bearing_feet,
            "cadence": self._cadence,
            "termination": self._termination,
        }
        weights = {name: getattr(config, name) for name in functions}
        self.names: Tuple[str, ...] = tuple(name for name in functions if weights[name] != 0.0)
        self._functions = [functions[name] for name in self.names]
        self._weights = torch.tensor([weights[name] for name in self.names], device=device)

    def terms(self, signals: Signals) -> Tensor:
        """Weighted terms, (N, len(names)); their sum is the task reward."""
        return torch.stack([function(signals) for function in self._functions], -1) * self._weights

    @staticmethod
    def _planar_error(s: Signals) -> Tensor:
        return (s.command[:, :2] - s.linear_velocity_b[:, :2]).square().sum(-1)

    def _linear_velocity(self, s: Signals) -> Tensor:
        return torch.exp(-self._planar_error(s) / self._config.linear_velocity_width)

    def _linear_velocity_fine(self, s: Signals) -> Tensor:
        """Mean over the axes, so that swaying sideways does not blunt what forward speed pays."""
        errors = (s.command[:, :2] - s.linear_velocity_b[:, :2]).square()
        return torch.exp(-errors / self._config.linear_velocity_fine_width).mean(-1)

    def _linear_velocity_slope(self, s: Signals) -> Tensor:
        """1 at no error, falling linearly with |error| / max(|command|, 1 m/s): never flat, unlike a Gaussian."""
        error = torch.sqrt(self._planar_error(s) + 1e-8)
        scale = s.command[:, :2].norm(dim=-1).clamp(min=1.0)
        return 1.0 - (error / scale).clamp(max=1.5)

    @staticmethod
    def _yaw_error(s: Signals) -> Tensor:
        return (s.command[:, 2] - s.angular_velocity_b[:, 2]).square()

    def _yaw_rate(self, s: Signals) -> Tensor:
        return torch.exp(-self._yaw_error(s) / self._config.yaw_rate_width)

    def _yaw_rate_fine(self, s: Signals) -> Tensor:
        return torch.exp(-self._yaw_error(s) / self._config.yaw_rate_fine_width)

    def _yaw_rate_slope(self, s: Signals) -> Tensor:
        error = torch.sqrt(self._yaw_error(s) + 1e-8)
        return 1.0 - (error / s.command[:, 2].abs().clamp(min=1.0)).clamp(max=1.5)

    def _stand_still(self, s: Signals) -> Tensor:
        offset = s.joint_error.square().mean(-1) * 4.0 + s.joint_velocities.square().mean(-1) * 0.05
        return -offset.clamp(max=4.0) * s.standing

    def _stand_contact(self, s: Signals) -> Tensor:
        return s.foot_contact.float().mean(-1) * s.standing

    def _torque(self, s: Signals) -> Tensor:
        return -s.joint_torques.square().sum(-1)

    def _joint_acceleration(self, s: Signals) -> Tensor:
        change = (s.joint_velocities - s.previous_joint_velocities) / s.control_period_s
        return -change.square().sum(-1).clamp(max=1e7)

    def _action_rate(self, s: Signals) -> Tensor:
        return -(s.joint_targets - s.previous_targets).square().sum(-1).clamp(max=10.0)

    def _target_step(self, s: Signals) -> Tensor:
        step = (s.demanded_targets - s.previous_targets).abs()
        return -(step - self._config.target_step_limit).clamp(min=0.0, max=2.0).sum(-1)

    def _torque_saturation(self, s: Signals) -> Tensor:
        demand = self._kp * (s.joint_targets - s.joint_positions) - self._kd * s.joint_velocities
        excess = demand.abs() / self._torque_limit - 0.9
        return -excess.clamp(min=0.0, max=2.0).sum(-1)

    def _power(self, s: Signals) -> Tensor:
        """As the bridge measures it, which lets the robot down when it stays too large."""
        power = (s.joint_torques * s.joint_velocities).abs().sum(-1)
        return -1e-3 * (power - self._config.power_limit).clamp(min=0.0)

    def _joint_limit(self, s: Signals) -> Tensor:
        below = (self._lower - s.joint_positions).clamp(min=0.0)
        above = (s.joint_positions - self._upper).clamp(min=0.0)
        return -(below + above).sum(-1)

    def _foot_slip(self, s: Signals) -> Tensor:
        return -(s.foot_speed.square().clamp(max=9.0) * s.foot_contact).sum(-1)

    def _vertical_velocity(self, s: Signals) -> Tensor:
        return -s.vertical_velocity_w.square().clamp(max=9.0)

    def _roll_pitch_rate(self, s: Signals) -> Tensor:
        return -s.angular_velocity_b[:, :2].square().sum(-1).clamp(max=50.0)

    def _tilt(self, s: Signals) -> Tensor:
        return -s.gravity_b[:, :2].square().sum(-1)

    def _carried_foot(self, s: Signals) -> Tensor:
        return -(s.foot_contact[:, self._config.carried_leg] & ~s.standing).float()

    def _bearing_feet(self, s: Signals) -> Tensor:
        """Share of the feet that bear the gait; against flight, which speed alone would end in."""
        return (s.foot_contact * self._bearing).sum(-1) * ~s.standing

    def _cadence(self, s: Signals) -> Tensor:
        """At each touchdown -(1 - T / T_reference), or 0: in a second, the steps too many in units of the reference's.

        A foot that bounces or scuffs comes down twice, and pays nearly the whole for it.
        """
        reference = s.reference_stride_s.unsqueeze(-1)
        short = (1.0 - s.stride_time_s / reference.clamp(min=1e-6)).clamp(min=0.0)
        return -(short * s.touchdown * (self._bearing > 0.0)).sum(-1) * ~s.standing

    def _termination(self, s: Signals) -> Tensor:
        return -s.fallen.float()
