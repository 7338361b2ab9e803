"""From key points of an animal to a motion of the Aliengo.

The legs' roots and feet are what is taken from the animal: its trunk gives the robot's root, and
each foot's offset from its own shoulder or hip, scaled, gives the robot's foot below its own hip
joint. A leg has three joints and a foot three coordinates: inverse kinematics is exact and
closed; what the legs cannot reach or the joints do not allow is cut off and reported.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Optional

import numpy as np

from aliengo_description import robot
from aliengo_training.motion import rotations
from aliengo_training.motion.alignment import lift
from aliengo_training.motion.analysis import foot_slip
from aliengo_training.motion.clip import MotionClip
from aliengo_training.motion.filters import derivative, lowpass
from aliengo_training.motion.keypoints import FEET, TRUNK, Keypoints

__all__ = ["RetargetConfig", "RetargetReport", "into_reach", "retarget"]

#: Legs are never stretched further than this share of their length: at 1 the knee has no velocity.
_LONGEST_REACH = 0.99


@dataclasses.dataclass(frozen=True)
class RetargetConfig:
    """How key points become a motion.

    Attributes:
        scale: Robot metres per unit of the key points; None fits the distance of shoulders to hips.
        leg_scale: Further factor on the legs, for animals with other proportions, more than 0.
        widen_m: Lateral shift of the feet outwards, for animals that put them on one line [m].
        lowpass_hz: Zero-phase low-pass of the key points [Hz], None or 0 for none.
        lock_feet: Hold feet still on the ground while they bear load.
        contact_height_m: A foot bears load if it is nearer to its ground level than this [m] ...
        contact_speed: ... and slower than this [m/s].
    """

    scale: Optional[float] = None
    leg_scale: float = 1.0
    widen_m: float = 0.0
    lowpass_hz: Optional[float] = 8.0
    lock_feet: bool = True
    contact_height_m: float = 0.03
    contact_speed: float = 0.3


@dataclasses.dataclass(frozen=True)
class RetargetReport:
    """What the retargeting had to give up.

    Attributes:
        scale: Robot metres per unit of the key points.
        duty: Share of the frames in which each foot bears load, by leg name.
        foot_slip: Mean speed over the ground of feet that bear load [m/s].
        tracking_error_mean: Distance of the robot's feet from their scaled key points [m].
        tracking_error_max: The largest [m].
        unreachable: Share of feet that were out of the leg's reach.
        limit_violations: Share of joint angles that were cut off at the joint's safe limits.
        limit_violation_max: Furthest beyond them [rad].
    """

    scale: float
    duty: Dict[str, float]
    foot_slip: float
    tracking_error_mean: float
    tracking_error_max: float
    unreachable: float
    limit_violations: float
    limit_violation_max: float

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON."""
        return dataclasses.asdict(self)


def retarget(
    keypoints: Keypoints, config: Optional[RetargetConfig] = None
) -> tuple[MotionClip, RetargetReport]:
    """Make a motion of the Aliengo, on the ground, with a report.

    Raises:
        ValueError: If a setting is out of range, or the low-pass does not fit the frame rate.
    """
    config = config or RetargetConfig()
    _check(config)
    step = 1.0 / keypoints.frame_rate
    points = {
        name: lowpass(values, step, config.lowpass_hz) if config.lowpass_hz else values
        for name, values in keypoints.points.items()
    }
    smooth = dataclasses.replace(keypoints, points=points)
    scale = _body_scale(smooth) if config.scale is None else config.scale
    position, quaternion = _fit_trunk(smooth, scale)
    wanted = _feet_in_trunk(smooth, quaternion, scale, config)
    feet_w = rotations.rotate(quaternion[:, None, :], wanted) + position[:, None, :]
    bearing = _contacts(feet_w, step, config)
    if config.lock_feet:
        feet_w = _lock(feet_w, bearing)
    target = rotations.rotate_inverse(quaternion[:, None, :], feet_w - position[:, None, :])
    reachable, out_of_reach = into_reach(target)
    joints = robot.leg_inverse_kinematics(reachable)
    allowed = np.clip(joints, robot.SAFE_JOINT_LOWER, robot.SAFE_JOINT_UPPER)
    beyond = np.abs(joints - allowed)
    clip = lift(MotionClip.from_pose(position, quaternion, allowed, step, name=keypoints.name))
    slip = foot_slip(clip)[bearing]
    error = np.linalg.norm(clip.foot_positions - wanted, axis=-1)
    report = RetargetReport(
        scale=scale,
        duty={leg: float(d) for leg, d in zip(robot.LEG_NAMES, bearing.mean(axis=0))},
        foot_slip=float(slip.mean()) if slip.size else 0.0,
        tracking_error_mean=float(error.mean()),
        tracking_error_max=float(error.max()),
        unreachable=float(out_of_reach.mean()),
        limit_violations=float((beyond > 1e-9).mean()),
        limit_violation_max=float(beyond.max()),
    )
    return clip, report


def _check(config: RetargetConfig) -> None:
    """Refuse settings that no animal needs: they would turn or collapse the legs."""
    for name in ("scale", "leg_scale", "contact_height_m", "contact_speed"):
        value = getattr(config, name)
        if value is not None and not 0.0 < value < np.inf:
            raise ValueError(f"{name} is {value}: expected a finite number, more than 0")
    if not np.isfinite(config.widen_m):
        raise ValueError(f"widen_m is {config.widen_m}: expected a finite number [m]")


def _body_scale(keypoints: Keypoints) -> float:
    """Robot metres per unit: the ratio of the distances between front and rear leg roots."""
    roots = keypoints.stack(TRUNK)
    length = np.linalg.norm(roots[:, :2].mean(axis=1) - roots[:, 2:].mean(axis=1), axis=-1)
    return float(2.0 * robot.HIP_JOINT_X / np.median(length))


def _fit_trunk(keypoints: Keypoints, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Position ``(n, 3)`` [m] and orientation ``(n, 4)`` of the trunk.

    The trunk points from between the hips to between the shoulders, and to the left from the right
    ones to the left ones. Neck and tail base, where given, count for half of the heading.
    """
    roots = scale * keypoints.stack(TRUNK)
    front, rear = roots[:, :2].mean(axis=1), roots[:, 2:].mean(axis=1)
    forward = front - rear
    if "neck" in keypoints.points and "tail_base" in keypoints.points:
        spine = keypoints.points["neck"] - keypoints.points["tail_base"]
        forward = _turned_half_way(forward, spine)
    x = _unit(forward)
    left = roots[:, [0, 2]].mean(axis=1) - roots[:, [1, 3]].mean(axis=1)
    y = _unit(left - np.sum(left * x, axis=-1, keepdims=True) * x)
    rotation = np.stack([x, y, np.cross(x, y)], axis=-1)
    return 0.5 * (front + rear), _quaternions(rotation)


def _turned_half_way(forward: np.ndarray, spine: np.ndarray) -> np.ndarray:
    """Turn ``forward`` about the vertical half of the way to the heading of ``spine``."""
    between = np.arctan2(spine[:, 1], spine[:, 0]) - np.arctan2(forward[:, 1], forward[:, 0])
    half = 0.5 * ((between + np.pi) % (2.0 * np.pi) - np.pi)
    zero = np.zeros_like(half)
    return rotations.rotate(rotations.from_roll_pitch_yaw(zero, zero, half), forward)


def _feet_in_trunk(
    keypoints: Keypoints, quaternion: np.ndarray, scale: float, config: RetargetConfig
) -> np.ndarray:
    """Where the robot's feet are wanted, ``(n, 4, 3)`` in the trunk frame [m]."""
    offset = scale * config.leg_scale * (keypoints.stack(FEET) - keypoints.stack(TRUNK))
    wanted = robot.HIP_POSITIONS + rotations.rotate_inverse(quaternion[:, None, :], offset)
    wanted[..., 1] += config.widen_m * robot.LEG_SIDE
    return np.asarray(wanted)


def _contacts(feet_w: np.ndarray, step: float, config: RetargetConfig) -> np.ndarray:
    """Whether each foot bears load ``(n, 4)``: low over the ground and slow."""
    speed = np.linalg.norm(derivative(feet_w, step), axis=-1)
    ground = np.quantile(feet_w[..., 2], 0.05)
    low = feet_w[..., 2] - ground < config.contact_height_m
    return np.asarray(low & (speed < config.contact_speed))


def _lock(feet_w: np.ndarray, bearing: np.ndarray) -> np.ndarray:
    """Hold each foot at its mean place while it bears load, easing in and out of it over a swing.

    The correction at the ends of a stance fades linearly over the swing, so that nothing jumps.
    """
    locked = feet_w.copy()
    frames = np.arange(len(feet_w))
    for leg in range(4):
        on = bearing[:, leg]
        if not on.any():
            continue
        shift = np.zeros((len(feet_w), 2))
        edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(int), [0]])))
        for start, end in zip(edges[::2], edges[1::2]):
            path = feet_w[start:end, leg, :2]
            shift[start:end] = path.mean(axis=0) - path
        for axis in range(2):
            fade = np.interp(frames, frames[on], shift[on, axis])
            locked[:, leg, axis] += fade
    return locked


def into_reach(target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pull feet ``(n, 4, 3)`` into the legs' reach; also which ones ``(n, 4)`` were outside."""
    hips = robot.HIP_POSITIONS
    offset = target - hips
    across = np.hypot(offset[..., 1], offset[..., 2])
    nearest = 1.02 * robot.HIP_OFFSET_Y
    down = np.sqrt(np.maximum(across**2 - robot.HIP_OFFSET_Y**2, 0.0))
    length = np.hypot(offset[..., 0], down)
    longest = _LONGEST_REACH * (robot.THIGH_LENGTH + robot.CALF_LENGTH)
    outside = (length > longest) | (across < nearest)
    shrink = np.where(length > longest, longest / np.maximum(length, 1e-9), 1.0)
    # Shorten in the leg's own plane, which leaves the hip angle alone.
    new_across = np.maximum(np.sqrt((shrink * down) ** 2 + robot.HIP_OFFSET_Y**2), nearest)
    ratio = np.where(outside, new_across / np.maximum(across, 1e-9), 1.0)
    moved = np.stack([offset[..., 0] * shrink, offset[..., 1] * ratio, offset[..., 2] * ratio], -1)
    return np.where(outside[..., None], hips + moved, target), outside


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors ``(n, 3)`` to length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _quaternions(rotation: np.ndarray) -> np.ndarray:
    """Quaternions ``(n, 4)`` of matrices ``(n, 3, 3)`` whose columns are the body's axes."""
    pitch = np.arcsin(np.clip(-rotation[:, 2, 0], -1.0, 1.0))
    roll = np.arctan2(rotation[:, 2, 1], rotation[:, 2, 2])
    yaw = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
    return rotations.continuous(rotations.from_roll_pitch_yaw(roll, pitch, yaw))
