"""ROS's recorder is used where it is complete, and records what ours would."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("ament_index_python", reason="packages of ROS 2 are found through ament")
from ament_index_python.packages import PackageNotFoundError
from recorded_runs import Walk, write_walk

from aliengo_policy.bags.read import Bag
from aliengo_policy.bags.rosbag import (
    add_files,
    is_recorded,
    record_command,
    recording_folder,
    rosbag_lacks,
)

TOPICS = (
    "/low_state", "/policy/step", "/robot1/low_state", "/robot1/policy/step", "/robot12/low_state",
    "/diagnostics", "/tf", "/tf_static", "/rosout", "/rosout2", "/robot1/camera/image_raw",
    "/robot1/points", "/camera/compressed", "/x/robot1/low_state", "/robot1", "/robot1/tf",
)  # fmt: skip


def index(*names: str) -> Callable[[str], str]:
    """An ament index with these packages."""

    def find(name: str) -> str:
        if name not in names:
            raise PackageNotFoundError(name)
        return "/opt/ros/jazzy"

    return find


def test_ros2_bag_is_used_where_it_is_complete() -> None:
    present = index("ros2bag", "rosbag2_storage_mcap", "rclpy")
    assert rosbag_lacks(lambda name: f"/opt/ros/jazzy/bin/{name}", present) == ""


@pytest.mark.parametrize(
    ("program", "packages", "named"),
    [
        (None, ("ros2bag", "rosbag2_storage_mcap"), "program ros2 is"),
        ("/bin/ros2", ("ros2bag",), "package rosbag2_storage_mcap is"),
        ("/bin/ros2", ("rosbag2_storage_mcap",), "package ros2bag is"),
        (None, (), "program ros2 is"),
    ],
)
def test_our_recorder_is_used_where_something_is_missing(
    program: str | None, packages: tuple[str, ...], named: str
) -> None:
    assert named in rosbag_lacks(lambda name: program, index(*packages))


@pytest.mark.parametrize("namespace", ["", "/", "robot1", "/robot1/"])
@pytest.mark.parametrize("match", [re.fullmatch, re.search])
def test_both_record_the_same_topics(
    namespace: str, match: Callable[[str, str], re.Match[str] | None]
) -> None:
    command = record_command(Path("logs/bags/run"), namespace)
    regex = command[command.index("--regex") + 1]
    ours = [topic for topic in TOPICS if is_recorded(topic, namespace)]
    assert [topic for topic in TOPICS if match(regex, topic)] == ours
    assert {"/diagnostics", "/tf", "/tf_static", "/rosout"} <= set(ours)
    assert ("/robot12/low_state" in ours) == (namespace in ("", "/"))
    assert not any("image" in topic or "points" in topic for topic in ours)


def test_ros2_bag_writes_mcap_into_the_same_folder() -> None:
    folder = recording_folder("logs/bags/run")
    command = record_command(folder, "")
    assert command[:3] == ["ros2", "bag", "record"]
    assert command[command.index("-s") + 1] == "mcap"
    assert command[command.index("-o") + 1] == "logs/bags/run"
    assert re.fullmatch(r"logs/bags/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", str(recording_folder("")))


def test_a_policy_beside_the_recording_is_found_like_an_attached_one(tmp_path: Path) -> None:
    folder = write_walk(tmp_path / "run", Walk(seconds=0.5))
    policy = tmp_path / "base.onnx"
    policy.write_bytes(b"weights")
    assert add_files(folder, [policy, tmp_path / "gone.onnx"]) == [tmp_path / "gone.onnx"]
    assert Bag(folder).attachments == {"base.onnx": b"weights"}
