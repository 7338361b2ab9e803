"""Videos of recorded rollouts, alone or side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

import numpy as np

from aliengo_description import robot
from aliengo_training.evaluation.rollouts import Trajectory

__all__ = ["VideoError", "render", "write_video"]

_WIDTH, _HEIGHT = 480, 360


class VideoError(RuntimeError):
    """A video cannot be made here; the message says what is missing."""


def render(
    trajectory: Trajectory, frames_per_second: float, seconds: float = math.inf
) -> Iterator[np.ndarray]:
    """Yield images (360, 480, 3) uint8 of the first rollout in real time, up to a fall.

    Raises:
        VideoError: If there is no OpenGL.
    """
    import mujoco

    model = mujoco.MjModel.from_xml_path(str(robot.mjcf_path(scene=True)))
    data = mujoco.MjData(model)
    camera = mujoco.MjvCamera()
    camera.distance, camera.azimuth, camera.elevation = 2.0, 120.0, -15.0
    try:
        renderer = mujoco.Renderer(model, _HEIGHT, _WIDTH)
    except Exception as error:  # each OpenGL library fails in its own way
        raise VideoError(
            f"no image could be rendered ({error}); without a screen set MUJOCO_GL=egl (GPU or "
            "Mesa) or MUJOCO_GL=osmesa"
        ) from error
    steps = min(int(trajectory.alive[0].sum()), seconds / trajectory.period_s)
    stride = 1.0 / (frames_per_second * trajectory.period_s)
    try:
        for step in np.arange(0.0, steps, stride).astype(int):
            data.qpos[:3] = trajectory.base_position_w[0, step]
            data.qpos[3:7] = trajectory.base_quaternion[0, step]
            data.qpos[7:] = trajectory.joint_positions[0, step]
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            camera.lookat[:] = (*data.qpos[:2], 0.25)
            renderer.update_scene(data, camera)
            yield renderer.render()
    finally:
        renderer.close()


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
    try:
        import imageio.v2 as imageio
    except ImportError as error:
        raise VideoError(
            "imageio is not installed; pip install 'aliengo-training[video]'"
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    clips = [_titled(title, list(render(t, frames_per_second, seconds))) for title, t in panels]
    length = max(len(clip) for clip in clips)
    options: Dict[str, Any] = {"fps": frames_per_second}
    if path.suffix == ".gif":
        options = {"duration": 1000.0 / frames_per_second, "loop": 0}
    try:
        with imageio.get_writer(str(path), **options) as writer:
            for index in range(length):
                images = [clip[min(index, len(clip) - 1)] for clip in clips]
                image = _grid(images, columns or len(images))
                writer.append_data(image)  # type: ignore[attr-defined]
    except ValueError as error:
        raise VideoError(f"{path} could not be written ({error}); try another ending") from error
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
