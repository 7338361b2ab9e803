"""Named 3-D key points of a walking animal, frame by frame, as a video pipeline delivers them."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import numpy as np

from aliengo_description import robot
from aliengo_training.motion import rotations
from aliengo_training.motion.clip import MotionClip

__all__ = [
    "FEET",
    "NAMES",
    "REQUIRED",
    "TRUNK",
    "KeypointError",
    "Keypoints",
    "keypoints_of",
    "read_keypoints",
    "write_keypoints",
]

#: Where the legs join the trunk and where they end, in the order FL, FR, RL, RR.
TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
FEET = ("left_front_foot", "right_front_foot", "left_rear_foot", "right_rear_foot")
REQUIRED = TRUNK + FEET
#: The spine's ends steady the heading where they are given.
NAMES = (*REQUIRED, "neck", "tail_base")


class KeypointError(ValueError):
    """Key points that cannot be used; the message names file, point and what is expected."""


@dataclasses.dataclass(frozen=True)
class Keypoints:
    """Key points over time.

    Attributes:
        points: Name -> ``(n, 3)``, z up, in any unit of length.
        frame_rate: Frames per second.
        name: Where they came from, for messages.
    """

    points: Dict[str, np.ndarray]
    frame_rate: float
    name: str = "key points"

    def __post_init__(self) -> None:
        """Check names, shapes and values."""
        missing = [name for name in REQUIRED if name not in self.points]
        unknown = sorted(set(self.points) - set(NAMES))
        if missing or unknown:
            raise KeypointError(
                f"{self.name}: missing points {missing}, unknown points {unknown}; expected "
                f"{', '.join(REQUIRED)} and optionally neck, tail_base (other names can be mapped)"
            )
        count = len(self.points[REQUIRED[0]])
        for name, values in self.points.items():
            if values.shape != (count, 3) or count < 4:
                raise KeypointError(
                    f"{self.name}: {name} has shape {values.shape}, expected ({count}, 3) with 4 "
                    "or more frames"
                )
            if not np.isfinite(values).all():
                frame = int(np.argwhere(~np.isfinite(values))[0, 0])
                raise KeypointError(
                    f"{self.name}: {name} is not finite in frame {frame}: fill gaps first"
                )
        if not 0.0 < self.frame_rate < np.inf:
            raise KeypointError(
                f"{self.name}: frame rate is {self.frame_rate}, expected more than 0"
            )

    def stack(self, names: tuple[str, ...]) -> np.ndarray:
        """Return the named points as ``(n, len(names), 3)``."""
        return np.stack([self.points[name] for name in names], axis=1)


def read_keypoints(
    path: Path,
    frame_rate: Optional[float] = None,
    names: Optional[Mapping[str, str]] = None,
) -> Keypoints:
    """Read key points from JSON or CSV.

    JSON: ``{"frame_rate": 30, "keypoints": {NAME: [[x, y, z], ...], ...}}``. CSV: a header with
    ``NAME_x, NAME_y, NAME_z`` for each point and one row per frame; the frame rate is an argument.

    Args:
        path: The file, ``.json`` or ``.csv``.
        frame_rate: Frames per second; overrides the file's.
        names: Name in the file -> name in :data:`NAMES`. Points of other names are left out.

    Raises:
        KeypointError: If the file cannot be read or lacks points, or ``names`` has a point that is
            not in the file or not among the known ones.
    """
    if not path.is_file():
        raise KeypointError(f"key point file {path} does not exist")
    readers = {".json": _read_json, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise KeypointError(f"{path}: allowed are {', '.join(sorted(readers))} files")
    try:
        rate, found = readers[path.suffix.lower()](path)
    except (ValueError, KeyError, TypeError) as error:
        raise KeypointError(f"{path}: cannot be read as key points ({error})") from error
    rate = frame_rate if frame_rate is not None else rate
    if rate is None:
        raise KeypointError(f"{path}: no frame rate in the file, and none given")
    names = names or {}
    _check_names(path, names, found)
    points = {name: found[name] for name in found if name in NAMES and name not in names}
    points.update({name: found[source] for source, name in names.items()})
    if not points:
        raise KeypointError(f"{path}: has the points {sorted(found)}; expected {', '.join(NAMES)}")
    return Keypoints(points, float(rate), path.name)


def _check_names(path: Path, names: Mapping[str, str], found: Mapping[str, Any]) -> None:
    """Refuse a mapping of points that are not there, to unknown ones, or of two to one."""
    for source, name in names.items():
        if source not in found:
            raise KeypointError(
                f"{path}: has no point {source!r} to take as {name!r}; it has {sorted(found)}"
            )
        if name not in NAMES:
            raise KeypointError(
                f"{path}: {source!r} cannot be {name!r}; allowed are {', '.join(NAMES)}"
            )
        if list(names.values()).count(name) > 1:
            raise KeypointError(f"{path}: more than one point is to be {name!r}; expected one")


def write_keypoints(keypoints: Keypoints, path: Path) -> None:
    """Write key points as JSON with four decimals."""
    points = {name: np.round(values, 4).tolist() for name, values in keypoints.points.items()}
    document = {"frame_rate": keypoints.frame_rate, "keypoints": points}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")


def keypoints_of(clip: MotionClip, scale: float = 1.0) -> Keypoints:
    """Return the key points of an animal ``scale`` times the robot's size in this motion."""
    count = len(clip)
    trunk = np.tile(robot.HIP_POSITIONS, (count, 1, 1))
    spine = np.tile(np.array([[0.3, 0.0, 0.08], [-0.3, 0.0, 0.05]]), (count, 1, 1))
    local = np.concatenate([trunk, clip.foot_positions, spine], axis=1)
    world = rotations.rotate(clip.root_quaternion[:, None, :], local)
    world = scale * (world + clip.root_position[:, None, :])
    points = {name: world[:, index] for index, name in enumerate(NAMES)}
    return Keypoints(points, 1.0 / clip.frame_duration_s, clip.name)


def _read_json(path: Path) -> tuple[Optional[float], Dict[str, np.ndarray]]:
    document = json.loads(path.read_text(encoding="utf-8"))
    points = document["keypoints"]
    rate = document.get("frame_rate")
    rate = None if rate is None else float(rate)
    return rate, {name: np.array(values, dtype=np.float64) for name, values in points.items()}


def _read_csv(path: Path) -> tuple[Optional[float], Dict[str, np.ndarray]]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows: List[Dict[str, Any]] = list(csv.DictReader(stream))
    if not rows:
        raise ValueError("no rows")
    found = {}
    for column in rows[0]:
        if column.endswith("_x"):
            name = column[:-2]
            axes = [[float(row[f"{name}_{axis}"]) for axis in "xyz"] for row in rows]
            found[name] = np.array(axes)
    return None, found
