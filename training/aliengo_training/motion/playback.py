"""Kinematic playback of a clip to a video: the robot is put into each pose, no physics."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import numpy as np

from aliengo_description import robot
from aliengo_training.motion.clip import MotionClip, sample

__all__ = ["render_frames", "write_video"]


def render_frames(
    clip: MotionClip, frames_per_second: float = 30.0, width: int = 640, height: int = 480
) -> Iterator[np.ndarray]:
    """Yield images ``(height, width, 3)`` uint8 of the clip in real time, seen from the right.

    Rendering needs OpenGL; on a machine without a screen set ``MUJOCO_GL=egl`` or ``osmesa``.
    """
    import mujoco

    model = mujoco.MjModel.from_xml_path(str(robot.mjcf_path(scene=True)))
    model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
    model.vis.global_.offheight = max(model.vis.global_.offheight, height)
    data = mujoco.MjData(model)
    joints = [int(model.joint(name).qposadr[0]) for name in robot.JOINT_NAMES]
    root = int(model.joint("root").qposadr[0])
    camera = mujoco.MjvCamera()
    camera.distance, camera.azimuth, camera.elevation = 1.8, 120.0, -12.0
    poses = sample(clip, np.arange(0.0, clip.duration_s, 1.0 / frames_per_second))
    renderer = mujoco.Renderer(model, height, width)
    try:
        for index in range(len(poses)):
            data.qpos[root : root + 3] = poses.root_position[index]
            data.qpos[root + 3 : root + 7] = poses.root_quaternion[index]
            data.qpos[joints] = poses.joint_positions[index]
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            camera.lookat[:] = poses.root_position[index]
            camera.lookat[2] = 0.25
            renderer.update_scene(data, camera)
            yield renderer.render()
    finally:
        renderer.close()


def write_video(clip: MotionClip, path: Path, frames_per_second: float = 30.0) -> int:
    """Write a clip as .mp4 or .gif and return the number of images."""
    import imageio.v2 as imageio

    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with imageio.get_writer(str(path), fps=frames_per_second) as writer:
        for image in render_frames(clip, frames_per_second):
            writer.append_data(image)  # type: ignore[attr-defined]
            count += 1
    return count
