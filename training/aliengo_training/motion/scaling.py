"""One clip at other speeds: legs that sweep further, so that feet on the ground stand still.

A foot on the ground moves backwards under the trunk as fast as the trunk moves forward. Clips from
video seldom keep this (their feet slide), and no clip does at a speed that it was not recorded at.
Stretching the feet's paths along the trunk repairs both: a walk at the speed v whose rate is r
times the clip's must sweep its feet at v / r in the clip's own time.

Only what repeats from stride to stride is stretched. The rest of a recording (drift, and strides
that differ) stays as large as it is.
"""

from __future__ import annotations

import dataclasses
from typing import Tuple

import numpy as np

from aliengo_description import robot
from aliengo_training.motion.clip import MotionClip
from aliengo_training.motion.retarget import into_reach
from aliengo_training.motion.rhythm import fit_cycle, gait_period

__all__ = ["ClipScaler", "ScalingConfig", "forward_speed"]

#: A leg that sweeps less than this share of the fastest leg's speed is carried: it bears nothing.
_CARRIED_SHARE = 0.5
#: Steps that a stride is cut into to measure how fast its feet move.
_CYCLE_STEPS = 64


@dataclasses.dataclass(frozen=True)
class ScalingConfig:
    """How a clip is brought to another speed v.

    Attributes:
        rate_exponent: k in the factor (v / v_clip)^k on the clip's rate: how much of a change of
            speed comes from quicker steps. The rest comes from longer ones.
        rate_range: Bounds of that factor.
        sweep: Mean speed of the bearing feet while they move backwards, over v. Feet that come to the
            ground before they sweep and leave it after, so that they bear for longer, need more than 1.
        stretch_range: Bounds of the factor on the feet's paths along the trunk.
    """

    rate_exponent: float = 0.4
    rate_range: Tuple[float, float] = (0.85, 1.4)
    sweep: float = 1.0
    stretch_range: Tuple[float, float] = (0.4, 4.0)


class ClipScaler:
    """Brings a clip to other speeds; see the module.

    Args:
        clip: The motion.
        config: How.

    Attributes:
        speed: Mean forward speed of the clip [m/s].
        sweep: ``(4,)`` mean speed of each foot along the trunk while it moves backwards [m/s].
        bearing: ``(4,)`` bool, legs that are not carried; only these are stretched.
    """

    def __init__(self, clip: MotionClip, config: ScalingConfig) -> None:
        self._clip, self._config = clip, config
        self.speed = forward_speed(clip)
        periodic, cycle, step = _cycle(clip)
        self._feet = robot.foot_positions(periodic)
        speeds = np.diff(robot.foot_positions(cycle)[..., 0], axis=0) / step
        backwards = speeds < 0.0
        total = -np.where(backwards, speeds, 0.0).sum(axis=0)
        self.sweep = total / np.maximum(backwards.sum(axis=0), 1)
        self.bearing = self.sweep >= _CARRIED_SHARE * self.sweep.max()

    def rate(self, speed: float) -> float:
        """Factor on the clip's rate at a speed [m/s]."""
        config = self._config
        return float(np.clip((speed / self.speed) ** config.rate_exponent, *config.rate_range))

    def stretch(self, speed: float) -> np.ndarray:
        """Factors ``(4,)`` on the feet's paths along the trunk at a speed [m/s]."""
        wanted = self._config.sweep * speed / self.rate(speed) / np.maximum(self.sweep, 1e-6)
        return np.where(self.bearing, np.clip(wanted, *self._config.stretch_range), 1.0)

    def at(self, speed: float) -> MotionClip:
        """The clip at a speed [m/s]: stretched, quicker or slower, and moving forward as fast.

        Feet stay in the legs' reach and joints within their safe limits, or as far outside as they
        were.
        """
        clip, rate = self._clip, self.rate(speed)
        moved = self._feet.copy()
        middle = self._feet[..., 0].mean(axis=0)
        moved[..., 0] = middle + self.stretch(speed) * (self._feet[..., 0] - middle)
        before, after = (
            robot.leg_inverse_kinematics(into_reach(feet)[0]) for feet in (self._feet, moved)
        )
        joints = clip.joint_positions
        scaled = np.clip(
            joints + (after - before),
            np.minimum(robot.SAFE_JOINT_LOWER, joints),
            np.maximum(robot.SAFE_JOINT_UPPER, joints),
        )
        position = clip.root_position.copy()
        position[:, :2] *= speed / (rate * self.speed)
        return MotionClip.from_pose(
            position,
            clip.root_quaternion,
            scaled,
            **dict(clip.attributes(), frame_duration_s=clip.frame_duration_s / rate),
        )


def forward_speed(clip: MotionClip) -> float:
    """Mean forward speed of a clip in its own body frame [m/s], at least 0.05."""
    return max(0.05, float(np.mean(clip.linear_velocity_b[:, 0])))


def _cycle(clip: MotionClip) -> Tuple[np.ndarray, np.ndarray, float]:
    """What the joints repeat from stride to stride, or all of their motion without a rhythm.

    Returns:
        It at the clip's frames ``(n, 12)``, over one stride ``(M, 12)`` [rad], and the time between
        the latter's rows [s].
    """
    joints, step = clip.joint_positions, clip.frame_duration_s
    stride = gait_period(joints, step)
    if np.isnan(stride) or len(joints) * step < 1.5 * stride:
        return joints, joints, step
    phase, cycle = fit_cycle(joints, stride, step)
    grid = np.linspace(0.0, 2.0 * np.pi, _CYCLE_STEPS + 1)
    return cycle(phase), cycle(grid), stride / _CYCLE_STEPS
