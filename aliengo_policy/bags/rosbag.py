"""What is recorded and where, and how `ros2 bag record` is asked for the same as our own recorder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from aliengo_policy.bags.namespaces import namespace_prefix

__all__ = [
    "EXCLUDED",
    "GLOBAL_TOPICS",
    "add_files",
    "is_recorded",
    "record_command",
    "recording_folder",
    "rosbag_lacks",
]

GLOBAL_TOPICS = ("/diagnostics", "/tf", "/tf_static", "/rosout")
"""Topics that are shared by all robots, and recorded with each."""
EXCLUDED = "(image|points|compressed)"
"""Topics that are not recorded (regular expression): they would fill the disk in minutes."""
EXECUTABLE = "ros2"
PACKAGES = ("ros2bag", "rosbag2_storage_mcap")


def rosbag_lacks(
    find_executable: Callable[[str], str | None] = shutil.which,
    find_package: Callable[[str], str] = get_package_prefix,
) -> str:
    """What `ros2 bag record -s mcap` lacks on this machine; empty if it can be used.

    Args:
        find_executable: Returns the path of a program, or None.
        find_package: Returns the prefix of a ROS package, or raises `PackageNotFoundError`.
    """
    if find_executable(EXECUTABLE) is None:
        return f"the program {EXECUTABLE} is not installed"
    for package in PACKAGES:
        try:
            find_package(package)
        except PackageNotFoundError:
            return f"the package {package} is not installed"
    return ""


def recording_folder(output: str) -> Path:
    """Folder of a new recording: `output`, or one named after date and time."""
    return Path(output or f"logs/bags/{datetime.now():%Y-%m-%d_%H-%M-%S}")


def is_recorded(topic: str, namespace: str, excluded: str = EXCLUDED) -> bool:
    """Whether a topic belongs into the recording of the robot in a namespace.

    Args:
        topic: Absolute name.
        namespace: Of the robot, with or without slashes; empty for none.
        excluded: Regular expression of topics to leave out.
    """
    ours = topic.startswith(namespace_prefix(namespace)) or topic in GLOBAL_TOPICS
    return ours and re.search(excluded, topic) is None


def record_command(folder: Path, namespace: str) -> list[str]:
    """Command line that makes `ros2 bag` record the topics of :func:`is_recorded`.

    A single `--regex` says it all: the options that exclude topics have other names in each release.
    Some releases match the whole name and some search in it; anchored, both find the same.
    """
    names = "|".join([f"{re.escape(namespace_prefix(namespace))}.*", *GLOBAL_TOPICS])
    regex = f"^(?!.*{EXCLUDED})({names})$"
    return [EXECUTABLE, "bag", "record", "-s", "mcap", "-o", str(folder), "--regex", regex]


def add_files(folder: Path, files: Sequence[Path]) -> list[Path]:
    """Copies files, such as the policy that ran, into a recording; returns those that do not exist.

    Our own recorder attaches them inside the file, which `ros2 bag` cannot.

    Raises:
        OSError: If there is no recording or it cannot be written to.
    """
    for path in files:
        if path.is_file():
            shutil.copy2(path, folder / path.name)
    return [path for path in files if not path.is_file()]
