"""Where the ground is under a clip, and where it is heading.

Motions recovered from one camera float, sink and tilt: in the limp clip the front foot that bears
load is 7 cm below the rear ones on average. Episodes start in the clip's
states, and no walking robot stands like that.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from aliengo_training.motion import rotations
from aliengo_training.motion.clip import MotionClip
from aliengo_training.motion.filters import derivative, lowpass

__all__ = ["align_heading", "level", "lift", "plant"]

#: The height at this quantile over a clip is a foot's ground level: low enough for a leg that is on
#: the ground in a quarter of the frames, high enough to pass over single bad frames.
_GROUND_QUANTILE = 0.15

#: Below this mean speed [m/s] the direction of travel is noise.
_SLOWEST_HEADING = 0.05


def lift(clip: MotionClip) -> MotionClip:
    """Shift a clip vertically by a constant so that its lowest foot just touches the ground."""
    position = clip.root_position.copy()
    position[:, 2] -= clip.foot_heights().min()
    return dataclasses.replace(clip, root_position=position)


def level(clip: MotionClip) -> MotionClip:
    """Pitch the trunk by a constant so that front and rear legs bear on level ground, and lift.

    The lower foot of each pair counts, since the other one may be carried. Roll is left alone: the
    feet of a walking dog are close to one line, from which it cannot be told.
    """
    heights = np.quantile(clip.foot_heights(), _GROUND_QUANTILE, axis=0)
    front, rear = int(np.argmin(heights[:2])), 2 + int(np.argmin(heights[2:]))
    run = clip.foot_positions[:, front, 0].mean() - clip.foot_positions[:, rear, 0].mean()
    # Positive pitch lowers the nose: ground that rises forwards is level for a trunk pitched more.
    pitch = np.arctan((heights[front] - heights[rear]) / run)
    zero = np.zeros_like(pitch)
    return lift(_turn_trunk(clip, rotations.from_roll_pitch_yaw(zero, pitch, zero)))


def plant(clip: MotionClip, lowpass_hz: float | None = None) -> MotionClip:
    """Level a clip and set the height of every frame so that its lowest foot is on the ground.

    Right for gaits that always have a foot on the ground. The vertical velocity follows from the
    new heights, which are smoothed with ``lowpass_hz`` if it is given.
    """
    clip = level(clip)
    position = clip.root_position.copy()
    position[:, 2] -= clip.foot_heights().min(axis=1)
    if lowpass_hz is not None:
        position[:, 2] = lowpass(position[:, 2], clip.frame_duration_s, lowpass_hz)
    velocity = rotations.rotate(clip.root_quaternion, clip.linear_velocity_b)
    velocity[:, 2] = derivative(position[:, 2], clip.frame_duration_s)
    return dataclasses.replace(
        clip,
        root_position=position,
        linear_velocity_b=rotations.rotate_inverse(clip.root_quaternion, velocity),
    )


def align_heading(clip: MotionClip) -> MotionClip:
    """Turn the trunk by a constant yaw so that the clip's mean velocity has no sideways part.

    For a dog filmed walking straight whose estimated heading is off (29 degrees in the limp clip).

    Raises:
        ValueError: If the clip hardly moves, so that its direction says nothing.
    """
    forward, left = clip.linear_velocity_b[:, :2].mean(axis=0)
    speed = float(np.hypot(forward, left))
    if speed < _SLOWEST_HEADING:
        raise ValueError(
            f"{clip.name}: mean speed is {speed:.3f} m/s, too slow to tell where it is heading: "
            f"{_SLOWEST_HEADING} m/s or more is needed"
        )
    yaw = np.arctan2(left, forward)
    zero = np.zeros_like(yaw)
    return _turn_trunk(clip, rotations.from_roll_pitch_yaw(zero, zero, yaw))


def _turn_trunk(clip: MotionClip, correction: np.ndarray) -> MotionClip:
    """Turn the trunk by ``correction`` (wxyz, in its own frame); the path in the world stays."""
    return dataclasses.replace(
        clip,
        root_quaternion=rotations.continuous(rotations.multiply(clip.root_quaternion, correction)),
        linear_velocity_b=rotations.rotate_inverse(correction, clip.linear_velocity_b),
        angular_velocity_b=rotations.rotate_inverse(correction, clip.angular_velocity_b),
    )
