"""What the discriminator compares, and the reference motion scaled to every commanded speed.

The clip shows one speed. Its base velocities and heights come from a single camera and contradict its own legs (its
feet sweep at half the speed of its trunk, and one front foot is 8 cm below the others), so that they cannot all be
imitated; the joints can. The discriminator therefore sees joint positions, foot positions in the base frame and joint
velocities, but nothing of the base. To give it a gait at every speed that a robot can walk without sliding, the clip is
scaled (`motion.scaling`): quicker by part of the change of speed, and the paths of the feet that bear load stretched
along the trunk until they sweep as fast as the trunk moves. Both sides are told the speed, so that a slow walk cannot
be imitated by a quick one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from aliengo_training.motion.clip import MotionClip, MotionSample, sample
from aliengo_training.motion.rhythm import gait_period
from aliengo_training.motion.scaling import ClipScaler, ScalingConfig
from aliengo_training.sim.simulator import RobotState
from aliengo_training.tasks.geometry import LegGeometry

STYLE_STATE_SIZE = 36
# Share of the table that rows of "nearly the same speed" are drawn from.
_SPEED_WINDOW = 0.01


@dataclass(frozen=True)
class StyleConfig:
    """How reference motions become expert data.

    Attributes:
        lowpass_hz: Zero-phase low-pass of the clips [Hz]; 0 leaves them as they are.
        speed_range: Speeds that the clip is scaled to [m/s].
        speeds: How many speeds of that range the clip is scaled to.
        scaling: How.
        table_size: Expert transitions drawn in advance.
    """

    lowpass_hz: float = 6.0
    speed_range: Tuple[float, float] = (0.1, 1.5)
    speeds: int = 140
    scaling: ScalingConfig = field(default_factory=ScalingConfig)
    table_size: int = 200_000


def style_state(joint_positions: Tensor, feet_b: Tensor, joint_velocities: Tensor) -> Tensor:
    """Style features (N, 36): joints [rad], feet in the base frame [m], a tenth of the joint velocities [rad/s]."""
    return torch.cat([joint_positions, feet_b.flatten(1), 0.1 * joint_velocities], dim=-1)


def gait_speed(command: Tensor) -> Tensor:
    """Speed (N,) that a gait is conditioned on [m/s]: the planar command, yaw counted at 0.25 m.

    Args:
        command: (N, 3) vx, vy [m/s], wz [rad/s].
    """
    return command[:, :2].norm(dim=-1) + 0.25 * command[:, 2].abs()


class StyleReference:
    """Reference motion at every speed: expert transitions and states to start episodes from.

    The rows are sorted by speed, so that those of nearly a given speed lie side by side.

    Args:
        clips: Reference motions, already low-passed as wanted.
        config: Scaling.
        control_period_s: Time between the two states of a transition [s].
        device: Where the tables live.
        seed: Of the draw.

    Attributes:
        first: (M, 36) expert style states.
        second: (M, 36) the states one control period later.
        speed: (M,) speed that the row was scaled to, ascending [m/s].

    A clip's chance is its weight over the sum of weights, whatever its length.

    Raises:
        ValueError: If there is no clip, or the weights are no chances.
    """

    def __init__(
        self,
        clips: Sequence[MotionClip],
        config: StyleConfig,
        control_period_s: float,
        device: torch.device,
        seed: int = 0,
    ) -> None:
        if not clips:
            raise ValueError("no reference motion given, expected at least one clip")
        self.config = config
        self._device = device
        self._legs = LegGeometry(device)
        scalers = [ClipScaler(clip, config.scaling) for clip in clips]
        rng = np.random.default_rng(seed)
        weights = np.array([clip.weight for clip in clips])
        if (weights < 0.0).any() or weights.sum() <= 0.0:
            raise ValueError(
                f"clip weights are {weights.tolist()}: none may be negative, one must be positive"
            )
        counts = rng.multinomial(config.table_size, weights / weights.sum())
        rows = [
            self._draw(rng, scaler, int(count), control_period_s)
            for scaler, count in zip(scalers, counts)
            if count
        ]
        table = [torch.cat(columns) for columns in zip(*rows)]
        order = torch.argsort(table[2], stable=True)
        self.first, self.second, self.speed, *states = (column[order] for column in table)
        self._states = tuple(states)
        self._window = max(1, round(_SPEED_WINDOW * len(self.speed)))
        self._strides = torch.tensor(
            [_shortest_stride(clips, scalers, speed) for speed in self._speeds()],
            dtype=torch.float32,
            device=device,
        )

    def _speeds(self) -> List[float]:
        return [float(v) for v in np.linspace(*self.config.speed_range, self.config.speeds)]

    def _draw(
        self,
        rng: np.random.Generator,
        scaler: ClipScaler,
        count: int,
        period: float,
    ) -> Tuple[Tensor, ...]:
        # Rows of one clip share out the speeds; what is left over goes to the slowest.
        sizes = [len(part) for part in np.array_split(np.arange(count), self.config.speeds)]
        rows = [
            self._rows_at(rng, scaler.at(speed), speed, size, period)
            for speed, size in zip(self._speeds(), sizes)
            if size
        ]
        return tuple(torch.cat(columns) for columns in zip(*rows))

    def _rows_at(
        self, rng: np.random.Generator, clip: MotionClip, speed: float, count: int, period: float
    ) -> Tuple[Tensor, ...]:
        """Random transitions of a clip that has been brought to a speed."""
        start = rng.uniform(0.0, clip.duration_s - period, count)
        first, second = sample(clip, start), sample(clip, start + period)

        def tensor(array: np.ndarray) -> Tensor:
            return torch.as_tensor(array, dtype=torch.float32, device=self._device)

        def state(sampled: MotionSample) -> Tuple[Tensor, Tensor, Tensor]:
            q, qd = tensor(sampled.joint_positions), tensor(sampled.joint_velocities)
            return style_state(q, self._legs.positions(q)[1], qd), q, qd

        style, q, qd = state(first)
        following, _, _ = state(second)
        told = torch.full((count,), speed, device=self._device)
        quaternion = tensor(_without_yaw(first.root_quaternion))
        angular = tensor(first.angular_velocity_b)
        return style, following, told, q, qd, quaternion, angular

    def sample_states(self, command: Tensor) -> RobotState:
        """Draw start states of the commanded speed's gait, whose base already moves along as commanded.

        The base turns with a part of the clip's own rates; the commanded yaw rate is not in it.

        Args:
            command: (N, 3) vx, vy [m/s], wz [rad/s], body frame.

        Returns:
            N states at the world's origin; their height is for the caller to set.
        """
        rows = self._rows(gait_speed(command))
        joints, velocities, quaternion, angular = (table[rows] for table in self._states)
        linear = torch.zeros_like(command)
        linear[:, :2] = command[:, :2]
        return RobotState(
            base_position_w=torch.zeros_like(command),
            base_quaternion=quaternion,
            base_linear_velocity_w=linear,
            base_angular_velocity_b=0.3 * angular,
            joint_positions=joints,
            joint_velocities=velocities,
        )

    def sample_transitions(self, speed: Tensor) -> Tuple[Tensor, Tensor]:
        """Draw expert transitions of nearly the given speeds.

        Args:
            speed: (N,) [m/s]; beyond the table's range its slowest or fastest rows are drawn.

        Returns:
            First and second style state, (N, 36) each.
        """
        rows = self._rows(speed)
        return self.first[rows], self.second[rows]

    def stride_time(self, speed: Tensor) -> Tensor:
        """Time of a stride at the given speeds (N,) [s], of several clips the shortest; 0 where none has a rhythm.

        Args:
            speed: (N,) [m/s]; beyond the range of speeds its slowest or fastest stride is meant.
        """
        low, high = self.config.speed_range
        last = self._strides.shape[0] - 1
        share = (speed.clamp(low, high) - low) / max(high - low, 1e-9)
        return self._strides[(share * last).round().long()]

    def _rows(self, speed: Tensor) -> Tensor:
        """Random rows (N,) among those next to the given speeds, every one of a window as likely."""
        last = self.speed.shape[0] - self._window
        middle = torch.searchsorted(self.speed, speed.contiguous())
        # At the table's ends the window stays whole, or one row there would be drawn again and again.
        start = (middle - self._window // 2).clamp(0, last)
        return start + torch.randint(0, self._window, speed.shape, device=self._device)


def _shortest_stride(
    clips: Sequence[MotionClip], scalers: Sequence[ClipScaler], speed: float
) -> float:
    periods = [
        gait_period(clip.joint_positions, clip.frame_duration_s) / scaler.rate(speed)
        for clip, scaler in zip(clips, scalers)
        if clip.weight > 0.0
    ]
    return min((period for period in periods if not np.isnan(period)), default=0.0)


def _without_yaw(quaternion: np.ndarray) -> np.ndarray:
    """Remove the heading from quaternions (M, 4) wxyz, keeping roll and pitch."""
    w, x, y, z = quaternion.T
    half_yaw = 0.5 * np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    cos, sin = np.cos(half_yaw), np.sin(half_yaw)
    # Product of the inverse yaw rotation (cos, 0, 0, -sin) with the quaternion.
    return np.stack(
        [cos * w + sin * z, cos * x + sin * y, cos * y - sin * x, cos * z - sin * w], axis=-1
    )
