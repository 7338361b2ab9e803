"""Joint trajectories of standing up and sitting down, smooth and limited in speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from aliengo_description import robot

# Peak speed of a minimum-jerk motion over its mean speed.
_PEAK_OVER_MEAN = 1.875
_PATH_POINTS = 101
# Height of the hips above the feet with the legs tucked [m]; at 0.0905 the calf meets its limit.
TUCKED_HEIGHT = 0.105
# Largest joint difference of a pose that counts as lying on the path [rad].
_ON_PATH = 0.3


def minimum_jerk(phase: float) -> float:
    """Smooth step from 0 to 1, at rest at both ends; constant outside [0, 1]."""
    s = min(max(phase, 0.0), 1.0)
    return s * s * s * (10.0 + s * (6.0 * s - 15.0))


class StandPath:
    """Joint positions on the way from tucked legs (0) to the stand (1).

    The feet move on vertical lines in the body frame: they do not slide while the body rises.
    """

    def __init__(self) -> None:
        feet = robot.foot_positions(robot.STAND_JOINT_POSITIONS)
        heights = np.linspace(0.0, 1.0, _PATH_POINTS)[:, None]
        path = np.repeat(feet[None], _PATH_POINTS, axis=0)
        path[:, :, 2] = -TUCKED_HEIGHT + heights * (feet[None, :, 2] + TUCKED_HEIGHT)
        self._points = robot.leg_inverse_kinematics(path)
        self._points[-1] = robot.STAND_JOINT_POSITIONS

    def at(self, position: float) -> np.ndarray:
        """(12,) joint positions at ``position`` in [0, 1] along the path."""
        scaled = min(max(position, 0.0), 1.0) * (_PATH_POINTS - 1)
        index = min(int(scaled), _PATH_POINTS - 2)
        part = scaled - index
        point: np.ndarray = (1.0 - part) * self._points[index] + part * self._points[index + 1]
        return point

    def nearest(self, joint_positions: np.ndarray) -> tuple[float, float]:
        """Nearest position on the path, and the largest joint difference to it [rad]."""
        distances = np.abs(self._points - joint_positions).max(axis=1)
        index = int(distances.argmin())
        return index / (_PATH_POINTS - 1), float(distances[index])

    def longest_move(self, start: float, end: float) -> float:
        """Largest joint motion between two positions of the path [rad]."""
        return float(np.abs(self.at(end) - self.at(start)).max())


@lru_cache(maxsize=1)
def stand_path() -> StandPath:
    """The one path; it depends on the robot alone."""
    return StandPath()


@dataclass(frozen=True)
class Segment:
    """A smooth motion: ``point`` maps a phase in [0, 1] to (12,) joint positions."""

    point: Callable[[float], np.ndarray]
    duration_s: float


class Trajectory:
    """Segments one after the other."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = tuple(segments)
        self.duration_s = sum(segment.duration_s for segment in segments)

    def sample(self, time_s: float) -> np.ndarray:
        """(12,) joint positions [rad]; before the start and after the end those of the ends."""
        for segment in self._segments[:-1]:
            if time_s < segment.duration_s:
                return segment.point(minimum_jerk(time_s / segment.duration_s))
            time_s -= segment.duration_s
        last = self._segments[-1]
        return last.point(minimum_jerk(time_s / last.duration_s))


def move(start: np.ndarray, end: np.ndarray, max_speed: float, min_duration_s: float) -> Segment:
    """Straight line in joint space, no joint faster than ``max_speed`` [rad/s]."""
    start, end = np.array(start), np.array(end)
    duration = _PEAK_OVER_MEAN * float(np.abs(end - start).max()) / max_speed
    return Segment(lambda phase: start + phase * (end - start), max(duration, min_duration_s))


def along_path(start: float, end: float, max_speed: float, min_duration_s: float) -> Segment:
    """Motion along :class:`StandPath` between two of its positions."""
    path = stand_path()
    duration = _PEAK_OVER_MEAN * path.longest_move(start, end) / max_speed
    return Segment(
        lambda phase: path.at(start + phase * (end - start)), max(duration, min_duration_s)
    )


def stand_up(start: np.ndarray, max_speed: float) -> Trajectory:
    """From any pose: fold the calves, tuck the legs, rise. On the path already: only rise."""
    path = stand_path()
    position, distance = path.nearest(start)
    if distance <= _ON_PATH:
        joining = [move(start, path.at(position), max_speed, 0.5)]
    else:
        # Calves first: a stretched leg that swings under the body would lift and tilt it.
        position, folded = 0.0, np.array(start)
        folded[2::3] = path.at(0.0)[2::3]
        joining = [move(start, folded, max_speed, 0.3), move(folded, path.at(0.0), max_speed, 0.5)]
    return Trajectory([*joining, along_path(position, 1.0, max_speed, 0.5)])


def sit_down(start: np.ndarray, max_speed: float) -> Trajectory:
    """From any pose: join the path at its nearest point, then sink to the tucked legs."""
    position, _ = stand_path().nearest(start)
    return Trajectory(
        [
            move(start, stand_path().at(position), max_speed, 0.3),
            along_path(position, 0.0, max_speed, 0.5),
        ]
    )
