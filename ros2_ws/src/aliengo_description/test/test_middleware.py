from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aliengo_description import middleware
from aliengo_description.middleware import avoid_shared_memory, stay_local

DISCOVERY = ("ROS_LOCALHOST_ONLY", "ROS_AUTOMATIC_DISCOVERY_RANGE")
PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
NAMES = (
    *DISCOVERY,
    *PROFILES,
    "FASTDDS_BUILTIN_TRANSPORTS",
    "ROS_DISTRO",
    "RMW_IMPLEMENTATION",
)
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
LOCAL = {RANGE: "SYSTEM_DEFAULT"}


@pytest.fixture
def environment(monkeypatch):
    """Sets what a process starts with; what it has afterwards is read from `os.environ`."""

    def start(values: dict[str, str]) -> None:
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return start


def now(names: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}


@pytest.mark.parametrize(
    ("before", "after", "profile"),
    [
        ({}, {}, "subnet"),
        ({"RMW_IMPLEMENTATION": "rmw_fastrtps_dynamic_cpp"}, {}, "subnet"),
        ({RANGE: "SUBNET"}, {RANGE: "SUBNET"}, "subnet"),
        ({RANGE: "LOCALHOST"}, LOCAL, "localhost"),
        ({"ROS_LOCALHOST_ONLY": "1"}, LOCAL, "localhost"),
    ],
)
def test_fast_dds_gets_the_profile_of_the_same_reach(environment, before, after, profile):
    environment(before)
    avoid_shared_memory()
    assert now(DISCOVERY) == after
    assert {Path(path).stem for path in now(PROFILES).values()} == {profile}


def test_a_process_inherits_the_reach_or_narrows_it(environment):
    environment({RANGE: "LOCALHOST"})
    avoid_shared_memory()
    inherited = now(NAMES)
    avoid_shared_memory()
    assert now(NAMES) == inherited
    environment({})
    avoid_shared_memory()
    os.environ[RANGE] = "LOCALHOST"
    avoid_shared_memory()
    assert now(NAMES) == inherited


@pytest.mark.parametrize(
    ("release", "names"),
    [("humble", PROFILES), ("jazzy", PROFILES), ("kilted", PROFILES[:1]), ("", PROFILES[:1])],
)
def test_the_profile_is_given_by_the_names_that_the_release_knows(environment, release, names):
    environment({"ROS_DISTRO": release})
    avoid_shared_memory()
    assert tuple(now(PROFILES)) == names


@pytest.mark.parametrize(
    "before",
    [
        {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp", RANGE: "LOCALHOST"},
        {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA", RANGE: "LOCALHOST"},
        {"FASTRTPS_DEFAULT_PROFILES_FILE": "/mine.xml"},
        {"FASTDDS_DEFAULT_PROFILES_FILE": "/mine.xml"},
    ],
)
def test_a_choice_that_the_user_made_stays(environment, before):
    environment(before)
    avoid_shared_memory()
    assert now(NAMES) == before


@pytest.mark.parametrize(
    ("before", "profile"),
    [
        ({}, "localhost"),
        ({"ROS_DISTRO": "jazzy"}, "localhost"),
        ({"ROS_DISTRO": "humble"}, "localhost"),
        ({"ROS_DISTRO": "humble", "ROS_LOCALHOST_ONLY": "0"}, "subnet"),
        ({RANGE: "SUBNET"}, "subnet"),
    ],
)
def test_a_private_graph_stays_on_this_machine(environment, before, profile):
    environment(before)
    stay_local()
    assert {Path(path).stem for path in now(PROFILES).values()} == {profile}


@pytest.mark.parametrize("local", [False, True])
def test_the_middleware_itself_maps_no_shared_memory(environment, local):
    pytest.importorskip("rclpy", reason="the middleware comes with ROS 2")
    environment({RANGE: "LOCALHOST"} if local else {})
    source = f"""
import sys
sys.path.insert(0, {str(Path(middleware.__file__).parents[1])!r})
from aliengo_description.middleware import avoid_shared_memory
if sys.argv[1] == "yes":
    avoid_shared_memory()
import rclpy
rclpy.init()
node = rclpy.create_node("probe")
if rclpy.get_rmw_implementation_identifier().startswith("rmw_fastrtps"):
    print("mapped:", "/dev/shm/fast" in open("/proc/self/maps").read())
"""

    def run(avoided: str) -> str:
        line = [sys.executable, "-c", source, avoided]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout

    without = run("no")
    if not without:
        pytest.skip("this ROS 2 uses another middleware than Fast DDS")
    assert without == "mapped: True\n", "the test does not see the memory that it looks for"
    assert run("yes") == "mapped: False\n"
