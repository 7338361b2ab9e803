"""Images of the robot put into given poses, without physics, and video files of them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Dict, Iterator

import numpy as np

from aliengo_description import robot

__all__ = ["FORMATS", "VideoError", "open_video", "render_poses"]

#: Endings of the files that `open_video` makes.
FORMATS = ("mp4", "gif")


class VideoError(RuntimeError):
    """A video cannot be made here; the message says what is missing."""


def render_poses(
    positions: np.ndarray,
    quaternions: np.ndarray,
    joints: np.ndarray,
    width: int,
    height: int,
) -> Iterator[np.ndarray]:
    """Yield images ``(height, width, 3)`` uint8, one per pose, the camera following the trunk.

    Args:
        positions: Trunk origin in the world (T, 3) [m].
        quaternions: Trunk to world (T, 4), wxyz.
        joints: Joint positions (T, 12), policy order [rad].
        width: Of an image [pixels].
        height: Of an image [pixels].

    Raises:
        VideoError: If there is no OpenGL.
    """
    import mujoco

    model = mujoco.MjModel.from_xml_path(str(robot.mjcf_path(scene=True)))
    model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
    model.vis.global_.offheight = max(model.vis.global_.offheight, height)
    data = mujoco.MjData(model)
    columns = [int(model.joint(name).qposadr[0]) for name in robot.JOINT_NAMES]
    root = int(model.joint("root").qposadr[0])
    camera = mujoco.MjvCamera()
    camera.distance, camera.azimuth, camera.elevation = 2.0, 120.0, -15.0
    try:
        renderer = mujoco.Renderer(model, height, width)
    except Exception as error:  # each OpenGL library fails in its own way
        raise VideoError(
            f"no image could be rendered ({error}); without a screen set MUJOCO_GL=egl (GPU or "
            "Mesa) or MUJOCO_GL=osmesa"
        ) from error
    try:
        for position, quaternion, pose in zip(positions, quaternions, joints):
            data.qpos[root : root + 3] = position
            data.qpos[root + 3 : root + 7] = quaternion
            data.qpos[columns] = pose
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            camera.lookat[:] = (*position[:2], 0.25)
            renderer.update_scene(data, camera)
            yield renderer.render()
    finally:
        renderer.close()


@contextlib.contextmanager
def open_video(path: Path, frames_per_second: float) -> Iterator[Any]:
    """Open an .mp4 or .gif whose `append_data` takes images (height, width, 3) uint8.

    Raises:
        ValueError: If the frames per second are none.
        VideoError: If the path has another ending, or there is no writer for it.
    """
    if path.suffix.lstrip(".") not in FORMATS:
        endings = " and ".join(f".{ending}" for ending in FORMATS)
        raise VideoError(f"{path} could not be written: allowed endings are {endings}")
    if not 0.0 < frames_per_second < np.inf:
        raise ValueError(
            f"{path}: frames per second is {frames_per_second}: expected a finite number, more "
            "than 0"
        )
    try:
        import imageio.v2 as imageio
    except ImportError as error:
        raise VideoError(
            "imageio is not installed; pip install 'aliengo-training[video]'"
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    options: Dict[str, Any] = {"fps": frames_per_second}
    if path.suffix == ".gif":
        options = {"duration": 1000.0 / frames_per_second, "loop": 0}
    try:
        writer = imageio.get_writer(str(path), **options)
    except ValueError as error:
        raise VideoError(f"{path} could not be written ({error}); try another ending") from error
    with writer:
        yield writer
