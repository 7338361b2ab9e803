"""Videos of recorded rollouts, alone or side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence, Tuple

import numpy as np

from aliengo_training.evaluation.rollouts import Trajectory
from aliengo_training.rendering import open_video, render_poses

__all__ = ["render", "write_video"]


_WIDTH, _HEIGHT = 480, 360


def render(
    trajectory: Trajectory, frames_per_second: float, seconds: float = math.inf
) -> Iterator[np.ndarray]:
    """Yield images (360, 480, 3) uint8 of the first rollout in real time, up to a fall.

    Raises:
        VideoError: If there is no OpenGL.
    """
    length = min(int(trajectory.alive[0].sum()), seconds / trajectory.period_s)
    stride = 1.0 / (frames_per_second * trajectory.period_s)
    steps = np.arange(0.0, length, stride).astype(int)
    yield from render_poses(
        trajectory.base_position_w[0, steps],
        trajectory.base_quaternion[0, steps],
        trajectory.joint_positions[0, steps],
        _WIDTH,
        _HEIGHT,
    )


def write_video(
    panels: Sequence[Tuple[str, Trajectory]],
    path: Path,
    frames_per_second: float = 25.0,
    seconds: float = math.inf,
    columns: Optional[int] = None,
) -> int:
    """Write rollouts side by side as .mp4 or .gif; a panel whose robot fell stays still.

    Args:
        panels: Title and rollout of each panel, left to right, then down.
        path: Ends in .mp4 or .gif.
        frames_per_second: Of the video.
        seconds: Longest video [s].
        columns: Panels in a row, by default all; what the last row lacks stays black.

    Returns:
        The number of images.

    Raises:
        VideoError: If there is no OpenGL, or no writer for the format.
    """
    with open_video(path, frames_per_second) as writer:
        clips = [_titled(title, list(render(t, frames_per_second, seconds))) for title, t in panels]
        length = max(len(clip) for clip in clips)
        for index in range(length):
            images = [clip[min(index, len(clip) - 1)] for clip in clips]
            writer.append_data(_grid(images, columns or len(images)))
    return length


def _grid(images: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Images of one size in rows of so many."""
    missing = -len(images) % columns
    filled = [*images, *[np.zeros_like(images[0])] * missing]
    rows = [filled[start : start + columns] for start in range(0, len(filled), columns)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)


def _titled(title: str, images: Sequence[np.ndarray]) -> Any:
    """Images with a line of text above them."""
    if not images:
        return [np.zeros((_HEIGHT + 24, _WIDTH, 3), np.uint8)]
    banner = _text_banner(title)
    return [np.concatenate([banner, image], axis=0) for image in images]


def _text_banner(title: str) -> np.ndarray:
    """White text on black, (24, 480, 3) uint8, drawn by matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH / 100.0, 0.24), dpi=100, facecolor="black")
    canvas = FigureCanvasAgg(figure)
    figure.text(0.01, 0.2, title, color="white", fontsize=9)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
