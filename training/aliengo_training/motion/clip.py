"""Reference motions in memory: a clip at its frame times, and samples of clips at any time.

Everything is in policy order (legs FL, FR, RL, RR; hip, thigh, calf), SI units, quaternions wxyz.
The suffix ``_b`` marks the frame of the trunk, whose origin is the trunk's centre.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from aliengo_description import robot
from aliengo_training.motion import rotations
from aliengo_training.motion.filters import derivative

__all__ = ["MotionClip", "MotionSample", "mirror", "sample"]

#: The legs and joints that the mirror image takes from the other side.
_MIRROR_LEGS = [1, 0, 3, 2]
_MIRROR_JOINTS = [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]
#: Reflection at the x-z plane: hips turn the other way, vectors flip y, rotations flip x and z.
_MIRROR_JOINT_SIGNS = np.tile([-1.0, 1.0, 1.0], 4)
_MIRROR_VECTOR = np.array([1.0, -1.0, 1.0])
_MIRROR_AXIAL = np.array([-1.0, 1.0, -1.0])
_MIRROR_QUATERNION = np.array([1.0, -1.0, 1.0, -1.0])


@dataclasses.dataclass(frozen=True)
class MotionSample:
    """States of the robot, one per row; M is any number of rows.

    Attributes:
        root_position: ``(M, 3)`` trunk in the world [m]; z is the height over flat ground.
        root_quaternion: ``(M, 4)`` orientation of the trunk, wxyz.
        joint_positions: ``(M, 12)`` [rad].
        foot_positions: ``(M, 4, 3)`` centres of the foot spheres in the trunk frame [m].
        linear_velocity_b: ``(M, 3)`` of the trunk, in its own frame [m/s].
        angular_velocity_b: ``(M, 3)`` of the trunk, in its own frame [rad/s].
        joint_velocities: ``(M, 12)`` [rad/s].
    """

    root_position: np.ndarray
    root_quaternion: np.ndarray
    joint_positions: np.ndarray
    foot_positions: np.ndarray
    linear_velocity_b: np.ndarray
    angular_velocity_b: np.ndarray
    joint_velocities: np.ndarray

    def __len__(self) -> int:
        """Return the number of states."""
        return len(self.root_position)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the named arrays of the sample."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(MotionSample)}


@dataclasses.dataclass(frozen=True)
class MotionClip(MotionSample):
    """A reference motion: a sample whose rows are the frames, ``frame_duration_s`` apart.

    Attributes:
        frame_duration_s: Time between frames [s].
        loop: Whether the file declares that the end joins the beginning (``LoopMode`` "Wrap"). The
            recorded clips say so and do not close: nothing here interpolates across the end.
        weight: Share of this clip when several are sampled, relative to the others.
        name: Where it came from, for messages.
    """

    frame_duration_s: float
    loop: bool = False
    weight: float = 1.0
    name: str = "clip"

    @property
    def duration_s(self) -> float:
        """Time from the first frame to the last [s]: one step less than there are frames."""
        return (len(self) - 1) * self.frame_duration_s

    @property
    def times_s(self) -> np.ndarray:
        """Times of the frames ``(n,)`` [s]."""
        return np.arange(len(self)) * self.frame_duration_s

    @classmethod
    def from_pose(
        cls,
        root_position: np.ndarray,
        root_quaternion: np.ndarray,
        joint_positions: np.ndarray,
        frame_duration_s: float,
        **attributes: Any,
    ) -> MotionClip:
        """Build a clip from poses alone; feet by kinematics, velocities by central differences."""
        q = rotations.continuous(rotations.normalize(root_quaternion))
        return cls(
            root_position=np.asarray(root_position, dtype=np.float64),
            root_quaternion=q,
            joint_positions=np.asarray(joint_positions, dtype=np.float64),
            foot_positions=robot.foot_positions(joint_positions),
            linear_velocity_b=rotations.rotate_inverse(
                q, derivative(root_position, frame_duration_s)
            ),
            angular_velocity_b=_angular_velocity(q, frame_duration_s),
            joint_velocities=derivative(joint_positions, frame_duration_s),
            frame_duration_s=frame_duration_s,
            **attributes,
        )

    def foot_heights(self) -> np.ndarray:
        """Height of each foot sphere's lowest point over the ground ``(n, 4)`` [m]."""
        feet = rotations.rotate(self.root_quaternion[:, None, :], self.foot_positions)
        heights = feet[..., 2] + self.root_position[:, None, 2] - robot.FOOT_RADIUS
        return np.asarray(heights)

    def attributes(self) -> dict[str, Any]:
        """Return what is not an array: frame duration, loop, weight, name."""
        names = ("frame_duration_s", "loop", "weight", "name")
        return {name: getattr(self, name) for name in names}


def _angular_velocity(q: np.ndarray, frame_duration_s: float) -> np.ndarray:
    """Angular velocity in the body frame ``(n, 3)`` [rad/s] from orientations ``(n, 4)``."""
    steps = rotations.logarithm(rotations.multiply(rotations.conjugate(q[:-1]), q[1:]))
    velocity = np.concatenate([steps[:1], 0.5 * (steps[:-1] + steps[1:]), steps[-1:]])
    return velocity / frame_duration_s


def sample(clip: MotionClip, times_s: npt.ArrayLike) -> MotionSample:
    """Interpolate a clip at times ``(M,)`` from 0 to its duration [s].

    Orientations are interpolated along the arc and the rest linearly; the feet follow from the
    interpolated joints, so that a sample is a pose that the robot can take.

    Raises:
        ValueError: If a time lies outside the clip.
    """
    times = np.asarray(times_s, dtype=np.float64)
    slack = 1e-9 * max(1.0, clip.duration_s)
    if times.size and (times.min() < -slack or times.max() > clip.duration_s + slack):
        raise ValueError(
            f"{clip.name}: time {times.min():.4f}..{times.max():.4f} s is outside the clip "
            f"(0..{clip.duration_s:.4f} s)"
        )
    position = np.clip(times / clip.frame_duration_s, 0.0, len(clip) - 1)
    low = np.minimum(position.astype(np.int64), max(len(clip) - 2, 0))
    high = np.minimum(low + 1, len(clip) - 1)
    fraction = position - low

    def blend(values: np.ndarray) -> np.ndarray:
        share = fraction.reshape((-1,) + (1,) * (values.ndim - 1))
        return np.asarray(values[low] * (1.0 - share) + values[high] * share)

    blended = {name: blend(array) for name, array in clip.arrays().items()}
    blended["root_quaternion"] = rotations.slerp(
        clip.root_quaternion[low], clip.root_quaternion[high], fraction
    )
    blended["foot_positions"] = robot.foot_positions(blended["joint_positions"])
    return MotionSample(**blended)


def mirror(clip: MotionClip) -> MotionClip:
    """Reflect a clip at its x-z plane: left legs become right legs, left turns right turns.

    A clip in which the front right leg is carried becomes one that carries the front left leg.
    """
    return MotionClip(
        root_position=clip.root_position * _MIRROR_VECTOR,
        root_quaternion=clip.root_quaternion * _MIRROR_QUATERNION,
        joint_positions=clip.joint_positions[:, _MIRROR_JOINTS] * _MIRROR_JOINT_SIGNS,
        foot_positions=clip.foot_positions[:, _MIRROR_LEGS] * _MIRROR_VECTOR,
        linear_velocity_b=clip.linear_velocity_b * _MIRROR_VECTOR,
        angular_velocity_b=clip.angular_velocity_b * _MIRROR_AXIAL,
        joint_velocities=clip.joint_velocities[:, _MIRROR_JOINTS] * _MIRROR_JOINT_SIGNS,
        **dict(clip.attributes(), name=clip.name + " (mirrored)"),
    )
