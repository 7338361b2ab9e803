"""Kinematic playback of a clip to a video: the robot is put into each pose, no physics."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import numpy as np

from aliengo_training.motion.clip import MotionClip, sample
from aliengo_training.rendering import open_video, render_poses

__all__ = ["render_frames", "write_video"]


def render_frames(
    clip: MotionClip, frames_per_second: float = 30.0, width: int = 640, height: int = 480
) -> Iterator[np.ndarray]:
    """Yield images ``(height, width, 3)`` uint8 of the clip in real time, seen from the right.

    Raises:
        VideoError: If there is no OpenGL.
    """
    poses = sample(clip, np.arange(0.0, clip.duration_s, 1.0 / frames_per_second))
    yield from render_poses(
        poses.root_position, poses.root_quaternion, poses.joint_positions, width, height
    )


def write_video(clip: MotionClip, path: Path, frames_per_second: float = 30.0) -> int:
    """Write a clip as .mp4 or .gif and return the number of images.

    Raises:
        ValueError: If the frames per second are none.
        VideoError: If there is no OpenGL, or no writer for the format.
    """
    count = 0
    with open_video(path, frames_per_second) as writer:
        for image in render_frames(clip, frames_per_second):
            writer.append_data(image)
            count += 1
    return count
