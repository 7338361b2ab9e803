"""Motion files: JSON with 61 numbers per frame, as AMP users have them, checked when read."""

from __future__ import annotations

import glob
import json
from pathlib import Path
from typing import Any, Mapping, Union

import numpy as np

from aliengo_description import robot
from aliengo_training.motion import alignment, rotations
from aliengo_training.motion.clip import MotionClip
from aliengo_training.motion.filters import lowpass

__all__ = [
    "FRAME_WIDTH",
    "JOINT_ORDERS",
    "MissingMotionError",
    "MotionFileError",
    "find_motions",
    "load_motion",
    "write_motion",
]

#: Root position 3, quaternion xyzw 4, joints 12, feet 12, linear 3 and angular 3 velocity, joint
#: velocity 12, foot velocity 12.
FRAME_WIDTH = 61

#: Order of the legs in a file -> row of each policy leg (FL, FR, RL, RR) in it.
JOINT_ORDERS = {"policy": [0, 1, 2, 3], "sdk": [1, 0, 3, 2]}
_LEGS_IN_ORDER = {"policy": "FL, FR, RL, RR", "sdk": "FR, FL, RR, RL"}

#: A foot is this near to where the joint angles put it [m]; files carry five decimals.
_FOOT_TOLERANCE_M = 2e-3
_GROUND_MODES = ("lift", "level", "plant", "none")

#: Frame durations and weights lie between 0 and this; beyond it they are in another unit.
_LARGEST_NUMBER = 1e6

#: Vertical part of the trunk's z axis (1 upright, -1 upside down), on average over a clip: less than
#: the first where quaternions read in the other order have more than the second is no coincidence.
_TILTED, _UPRIGHT = 0.5, 0.9

PathLike = Union[str, Path]


class MotionFileError(ValueError):
    """A motion file that cannot be used; the message names file, value and what is allowed."""


class MissingMotionError(MotionFileError):
    """No motion file was found where the user said there are some."""


def find_motions(pattern: PathLike) -> list[Path]:
    """Files that a name or a glob pattern stands for, sorted.

    A file of just this name is taken as it is, so that a name may hold brackets.

    Raises:
        MissingMotionError: If there are none.
    """
    if Path(pattern).is_file():
        return [Path(pattern)]
    paths = sorted(Path(path) for path in glob.glob(str(pattern)))
    if not paths:
        raise MissingMotionError(
            f"no motion files match {str(pattern)!r}; give a file or a quoted glob pattern "
            "('motions/*.txt'), or make some with training/scripts/motion.py synthesize"
        )
    return paths


def load_motion(
    path: PathLike,
    joint_order: str = "policy",
    lowpass_hz: float | None = None,
    ground: str = "lift",
    heading: bool = False,
    check_kinematics: bool = True,
) -> MotionClip:
    """Read a motion file.

    Args:
        path: The file.
        joint_order: Order of the legs in the file: "policy" (FL, FR, RL, RR) or "sdk" (FR, FL, RR,
            RL, as in files made for the A1). It is checked against the sides of the feet.
        lowpass_hz: Zero-phase low-pass of the pose [Hz] (see :mod:`.filters`); None or 0 for none.
            With it velocities are recomputed from the smooth pose; without it they are those of the
            file, which are forward differences.
        ground: "lift" shifts the clip by a constant so that its lowest foot touches the ground;
            "level" also takes out a constant pitch of the ground; "plant" also puts the lowest foot
            of every frame on the ground; "none" leaves the heights (see :mod:`.alignment`).
        heading: Turn the trunk by a constant yaw so that the mean velocity points straight ahead.
        check_kinematics: Require that the Aliengo's forward kinematics reproduces the feet of the
            file. Switch it off for files made for another robot: their feet are then recomputed.

    Raises:
        MotionFileError: If the file is missing, not JSON, of another width, not finite, in another
            leg order, upside down, or made for another robot.
    """
    path = Path(path)
    lowpass_hz = lowpass_hz or None
    if joint_order not in JOINT_ORDERS:
        raise ValueError(f"joint_order is {joint_order!r}: allowed are {sorted(JOINT_ORDERS)}")
    if ground not in _GROUND_MODES:
        raise ValueError(f"ground is {ground!r}: allowed are {list(_GROUND_MODES)}")
    document = _read_document(path)
    frames = _frames(path, document)
    legs = JOINT_ORDERS[joint_order]
    joints = _by_leg(frames[:, 7:19], legs).reshape(-1, 12)
    feet = _by_leg(frames[:, 19:31], legs)
    _check_upright(path, frames[:, 3:7])
    _check_sides(path, feet, joint_order)
    if check_kinematics:
        _check_feet(path, feet, joints)
    clip = _clip(path, document, frames, joints, legs, lowpass_hz)
    if heading:
        clip = alignment.align_heading(clip)
    if ground == "plant":
        return alignment.plant(clip, lowpass_hz)
    if ground == "level":
        return alignment.level(clip)
    return alignment.lift(clip) if ground == "lift" else clip


def write_motion(clip: MotionClip, path: PathLike) -> None:
    """Write a clip as a motion file, in policy order with quaternions xyzw, five decimals.

    Raises:
        MotionFileError: If weight, frame duration or a frame is nothing that can be read again;
            nothing is written then.
    """
    path = Path(path)
    count = len(clip)
    foot_velocity = np.gradient(clip.foot_positions, clip.frame_duration_s, axis=0)
    frames = np.concatenate(
        [
            clip.root_position,
            clip.root_quaternion[:, [1, 2, 3, 0]],
            clip.joint_positions,
            clip.foot_positions.reshape(count, 12),
            clip.linear_velocity_b,
            clip.angular_velocity_b,
            clip.joint_velocities,
            foot_velocity.reshape(count, 12),
        ],
        axis=-1,
    )
    header = {
        "LoopMode": "Wrap" if clip.loop else "Clamp",
        "FrameDuration": clip.frame_duration_s,
        "EnableCycleOffsetPosition": True,
        "EnableCycleOffsetRotation": True,
        "MotionWeight": clip.weight,
    }
    _check_header(path, header)
    _check_finite(path, frames)
    rows = ",\n".join("  [" + ", ".join(f"{v:.5f}" for v in row) + "]" for row in frames)
    text = json.dumps(header, indent=0)[:-2] + ',\n"Frames":\n[\n' + rows + "\n]\n}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _read_document(path: Path) -> dict[str, Any]:
    """Parse the file and check its header."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise MotionFileError(f"motion file {path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise MotionFileError(f"motion file {path}: not a text file ({error.reason})") from error
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise MotionFileError(
            f"motion file {path}: not JSON at line {error.lineno} ({error.msg})"
        ) from error
    if not isinstance(document, dict):
        raise MotionFileError(f"motion file {path}: expected a JSON object with 'Frames'")
    for key in ("FrameDuration", "Frames"):
        if key not in document:
            raise MotionFileError(
                f"motion file {path}: key '{key}' is missing; found {sorted(document)}"
            )
    _check_header(path, document)
    return document


def _check_header(path: Path, header: Mapping[str, Any]) -> None:
    """Refuse a frame duration or weight that is no number in range."""
    for key in ("FrameDuration", "MotionWeight"):
        value: Any = header.get(key, 1.0)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0.0 < value < _LARGEST_NUMBER:
            raise MotionFileError(
                f"motion file {path}: {key} is {value!r}, expected a positive number below "
                f"{_LARGEST_NUMBER:g}"
            )


def _frames(path: Path, document: dict[str, Any]) -> np.ndarray:
    """Frames of the document as ``(n, 61)``, width and values checked."""
    rows = document["Frames"]
    if not isinstance(rows, list) or len(rows) < 3:
        found = f"{len(rows)}" if isinstance(rows, list) else type(rows).__name__
        raise MotionFileError(f"motion file {path}: Frames: found {found}, expected 3 or more rows")
    for index, row in enumerate(rows):
        width = len(row) if isinstance(row, list) else 0
        if width != FRAME_WIDTH:
            raise MotionFileError(
                f"motion file {path}: frame {index} has {width} numbers, expected {FRAME_WIDTH}"
            )
    try:
        frames = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MotionFileError(
            f"motion file {path}: a frame holds something that is not a number ({error})"
        ) from error
    _check_finite(path, frames)
    norm = np.linalg.norm(frames[:, 3:7], axis=1)
    worst = int(np.argmax(np.abs(norm - 1.0)))
    if abs(norm[worst] - 1.0) > 0.1:
        raise MotionFileError(
            f"motion file {path}: frame {worst} has a quaternion of norm {norm[worst]:.4f}, "
            "expected 1 +- 0.1"
        )
    return frames


def _check_finite(path: Path, frames: np.ndarray) -> None:
    """Refuse frames that hold NaN or infinity, naming the first."""
    bad = np.argwhere(~np.isfinite(frames))
    if len(bad):
        row, column = bad[0]
        raise MotionFileError(
            f"motion file {path}: frame {row}, column {column} is {frames[row, column]}, expected "
            f"finite numbers ({len(bad)} such values)"
        )


def _by_leg(values: np.ndarray, legs: list[int]) -> np.ndarray:
    """Reorder ``(n, 12)`` to ``(n, 4, 3)`` in policy order."""
    return values.reshape(len(values), 4, 3)[:, legs]


def _check_upright(path: Path, quaternions: np.ndarray) -> None:
    """Refuse a trunk that is mostly upside down, as one is whose quaternions are wxyz."""
    squares = rotations.normalize(quaternions) ** 2
    # The vertical part of the turned z axis is 1 - 2 (x^2 + y^2).
    up = 1.0 - 2.0 * (squares[:, 0] + squares[:, 1])
    up_if_wxyz = 1.0 - 2.0 * (squares[:, 1] + squares[:, 2])
    looks_wxyz = up.mean() < _TILTED and up_if_wxyz.mean() > _UPRIGHT
    if up.mean() >= 0.0 and not looks_wxyz:
        return
    advice = (
        "read as wxyz it would be upright, so the file seems to have w first"
        if looks_wxyz
        else "the world's z axis and the trunk's point up"
    )
    tilt = np.degrees(np.arccos(np.clip(up, -1.0, 1.0))).mean()
    raise MotionFileError(
        f"motion file {path}: the trunk is tilted by {tilt:.0f} degrees on average (0 is upright, "
        f"180 upside down) and upside down in {np.mean(up < 0.0):.0%} of the frames. The order of "
        f"quaternions in a file is xyzw; {advice}"
    )


def _check_sides(path: Path, feet: np.ndarray, joint_order: str) -> None:
    """Refuse a file whose feet are on the wrong sides for the declared order."""
    y = feet[..., 1].mean(axis=0)
    x = feet[..., 0].mean(axis=0)
    if np.all(y[[0, 2]] > y[[1, 3]]) and np.all(x[:2] > x[2:]):
        return
    swapped = np.all(y[[0, 2]] < y[[1, 3]]) and np.all(x[:2] > x[2:])
    other = "sdk" if joint_order == "policy" else "policy"
    advice = (
        f"the file looks like joint_order '{other}' ({_LEGS_IN_ORDER[other]})"
        if swapped
        else f"known orders are {_LEGS_IN_ORDER}"
    )
    raise MotionFileError(
        f"motion file {path}: wrong leg order: read as '{joint_order}' "
        f"({_LEGS_IN_ORDER[joint_order]}), the mean foot positions of FL, FR, RL, RR are "
        f"x = {np.round(x, 3).tolist()}, y = {np.round(y, 3).tolist()} m; left feet must have the "
        f"larger y and front feet the larger x. {advice}"
    )


def _check_feet(path: Path, feet: np.ndarray, joints: np.ndarray) -> None:
    """Refuse a file whose feet are not where the Aliengo's kinematics puts them."""
    error = np.linalg.norm(feet - robot.foot_positions(joints), axis=-1)
    frame, leg = np.unravel_index(int(np.argmax(error)), error.shape)
    if error[frame, leg] > _FOOT_TOLERANCE_M:
        raise MotionFileError(
            f"motion file {path}: the Aliengo's kinematics puts {robot.LEG_NAMES[leg]}_foot of "
            f"frame {frame} {error[frame, leg]:.4f} m away from where the file has it; allowed is "
            f"{_FOOT_TOLERANCE_M} m. Joints in another order, or a file for another robot: "
            "convert that with motion.py mirror and --read.no_check_kinematics, which computes its "
            "feet anew from the joint angles (docs/motions.md, Before training)"
        )


def _clip(
    path: Path,
    document: dict[str, Any],
    frames: np.ndarray,
    joints: np.ndarray,
    legs: list[int],
    lowpass_hz: float | None,
) -> MotionClip:
    """Assemble the clip in policy order, smoothed if asked."""
    frame_duration = float(document["FrameDuration"])
    attributes: dict[str, Any] = {
        "loop": document.get("LoopMode") == "Wrap",
        "weight": float(document.get("MotionWeight", 1.0)),
        "name": path.name,
    }
    position = frames[:, 0:3]
    quaternion = rotations.continuous(rotations.normalize(frames[:, [6, 3, 4, 5]]))
    if lowpass_hz is not None:
        return MotionClip.from_pose(
            lowpass(position, frame_duration, lowpass_hz),
            lowpass(quaternion, frame_duration, lowpass_hz),
            lowpass(joints, frame_duration, lowpass_hz),
            frame_duration,
            **attributes,
        )
    return MotionClip(
        root_position=position,
        root_quaternion=quaternion,
        joint_positions=joints,
        foot_positions=robot.foot_positions(joints),
        linear_velocity_b=frames[:, 31:34],
        angular_velocity_b=frames[:, 34:37],
        joint_velocities=_by_leg(frames[:, 37:49], legs).reshape(-1, 12),
        frame_duration_s=frame_duration,
        **attributes,
    )
