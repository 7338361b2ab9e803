"""The frames that go to tf agree with the robot's kinematics and with its URDF."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from aliengo_description import robot
from aliengo_policy.link_frames import LinkFrame, fixed_frames, moving_frames


def matrix(frame: LinkFrame) -> np.ndarray:
    w, x, y, z = frame.rotation
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = frame.translation
    return pose


def position(link: str, frames: list[LinkFrame]) -> np.ndarray:
    """Of a link in base_link, by walking up the tree."""
    by_child = {frame.child: frame for frame in frames}
    pose = np.eye(4)
    while link != "base_link":
        pose = matrix(by_child[link]) @ pose
        link = by_child[link].parent
    return pose[:3, 3]


@pytest.mark.parametrize("seed", range(20))
def test_the_feet_are_where_the_kinematics_says(seed: int) -> None:
    q = np.random.default_rng(seed).uniform(robot.JOINT_LOWER, robot.JOINT_UPPER)
    frames = fixed_frames() + moving_frames(q)
    feet = np.array([position(f"{leg}_foot", frames) for leg in robot.LEG_NAMES])
    np.testing.assert_allclose(feet, robot.foot_positions(q), atol=1e-12)


def test_the_tree_and_the_zero_pose_are_those_of_the_urdf() -> None:
    found = {
        f.child: (f.parent, f.translation) for f in fixed_frames() + moving_frames(np.zeros(12))
    }
    joints = ElementTree.parse(robot.urdf_path()).getroot().findall("joint")
    assert len(joints) == len(found)
    for joint in joints:
        child, parent = (joint.find(tag).get("link") for tag in ("child", "parent"))
        place = [float(part) for part in joint.find("origin").get("xyz").split()]
        assert found[child][0] == parent
        np.testing.assert_allclose(found[child][1], place, atol=1e-9)
