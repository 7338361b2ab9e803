"""What a clip does, in figures: speed, gait period, which feet bear, how steady and how smooth."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Optional

import numpy as np

from aliengo_description import robot
from aliengo_training.motion import rotations
from aliengo_training.motion.clip import MotionClip
from aliengo_training.motion.filters import derivative
from aliengo_training.motion.rhythm import gait_period

__all__ = ["ClipFigures", "analyse", "contacts", "foot_slip"]

#: A foot this near to the ground bears load [m]; the feet of recorded clips jitter by a centimetre.
CONTACT_HEIGHT_M = 0.015
#: A leg that bears load less often than this is carried.
_CARRIED_DUTY = 0.1


@dataclasses.dataclass(frozen=True)
class ClipFigures:
    """Summary of a clip.

    Attributes:
        duration_s: [s].
        mean_velocity_b: Mean forward, left and upward velocity in the trunk frame [m/s].
        mean_yaw_rate: [rad/s].
        gait_period_s: Period of the strongest rhythm of the joints, None if there is none [s].
        duty: Share of the frames in which each foot bears load, by leg name.
        carried: Names of legs that hardly ever bear load.
        foot_slip: Mean speed over the ground of feet that bear load [m/s]; 0 in a perfect clip.
        trunk_height: Mean height over the ground [m].
        joint_speed_rms: [rad/s].
        limit_violation: Furthest that a joint goes beyond its safe range [rad]; 0 if none does.
    """

    duration_s: float
    mean_velocity_b: tuple[float, float, float]
    mean_yaw_rate: float
    gait_period_s: Optional[float]
    duty: Dict[str, float]
    carried: tuple[str, ...]
    foot_slip: float
    trunk_height: float
    joint_speed_rms: float
    limit_violation: float

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain data, for JSON."""
        return dataclasses.asdict(self)


def contacts(clip: MotionClip, height_m: float = CONTACT_HEIGHT_M) -> np.ndarray:
    """Whether each foot bears load in each frame ``(n, 4)``: its sphere is near the ground."""
    return np.asarray(clip.foot_heights() < height_m)


def foot_slip(clip: MotionClip) -> np.ndarray:
    """Horizontal speed of each foot over the ground ``(n, 4)`` [m/s]."""
    feet_w = rotations.rotate(clip.root_quaternion[:, None, :], clip.foot_positions)
    velocity = derivative(feet_w + clip.root_position[:, None, :], clip.frame_duration_s)
    return np.asarray(np.linalg.norm(velocity[..., :2], axis=-1))


def analyse(clip: MotionClip) -> ClipFigures:
    """Measure a clip; heights must be over the ground, as :func:`.load_motion` returns them."""
    bearing = contacts(clip)
    duty = bearing.mean(axis=0)
    slip = foot_slip(clip)[bearing]
    joints = clip.joint_positions
    over = np.maximum(robot.SAFE_JOINT_LOWER - joints, joints - robot.SAFE_JOINT_UPPER)
    forward, left, up = (float(v) for v in clip.linear_velocity_b.mean(axis=0))
    period = gait_period(joints, clip.frame_duration_s)
    names = robot.LEG_NAMES
    return ClipFigures(
        duration_s=clip.duration_s,
        mean_velocity_b=(forward, left, up),
        mean_yaw_rate=float(clip.angular_velocity_b[:, 2].mean()),
        gait_period_s=None if np.isnan(period) else period,
        duty={leg: float(share) for leg, share in zip(names, duty)},
        carried=tuple(leg for leg, share in zip(names, duty) if share < _CARRIED_DUTY),
        foot_slip=float(slip.mean()) if slip.size else 0.0,
        trunk_height=float(clip.root_position[:, 2].mean()),
        joint_speed_rms=float(np.sqrt(np.mean(clip.joint_velocities**2))),
        limit_violation=float(max(0.0, over.max())),
    )
