"""The launch files start the graph; needs the `launch` packages of a system ROS 2."""

from pathlib import Path
from typing import Any

import pytest

from aliengo_policy.graph import REAL_ARGUMENTS, SIM_ARGUMENTS, Argument

pytest.importorskip("launch_ros", reason="ros2 launch is not installed: it is not on PyPI")
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.utilities import perform_substitutions
from launch_ros.actions import Node

from aliengo_policy import launching
from aliengo_policy.bags.rosbag import record_command
from aliengo_policy.launching import convert
from launch import LaunchContext, LaunchDescription

LAUNCH = Path(__file__).resolve().parents[1] / "launch"


def load(name: str) -> LaunchDescription:
    source = PythonLaunchDescriptionSource(str(LAUNCH / name))
    return source.get_launch_description(LaunchContext())


def executed(description: LaunchDescription, values: dict[str, str]) -> tuple[list[Any], str]:
    """Actions of a start with these values, and what it logs."""
    context = LaunchContext()
    actions: list[Any] = []
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            context.launch_configurations[entity.name] = values.get(
                entity.name, "".join(part.text for part in entity.default_value or [])
            )
        elif isinstance(entity, OpaqueFunction):
            actions += entity.execute(context) or []
    log = [perform_substitutions(context, a.msg) for a in actions if isinstance(a, LogInfo)]
    return actions, "\n".join(log)


def started(description: LaunchDescription, values: dict[str, str]) -> list[Node]:
    return [a for a in executed(description, values)[0] if isinstance(a, Node)]


@pytest.mark.parametrize(
    ("name", "arguments"), [("real.launch.py", REAL_ARGUMENTS), ("sim.launch.py", SIM_ARGUMENTS)]
)
def test_every_argument_is_declared_with_a_description(
    name: str, arguments: tuple[Argument, ...]
) -> None:
    declared = {
        entity.name: entity
        for entity in load(name).entities
        if isinstance(entity, DeclareLaunchArgument)
    }
    assert set(declared) == {argument.name for argument in arguments}
    assert all(entity.description for entity in declared.values())


def test_the_nodes_of_the_graph_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "rosbag_lacks", lambda: "no ros2 bag here")
    values = {"record": "true", "teleop": "ps5", "namespace": "robot1"}
    nodes = started(load("real.launch.py"), values)
    executables = {node.node_executable for node in nodes}
    assert executables == {
        "bridge_node", "policy_node", "odometry_node", "description_node",
        "teleop_node", "gamepad_node", "recorder_node",
    }  # fmt: skip
    assert "sim_node" in {node.node_executable for node in started(load("sim.launch.py"), {})}


@pytest.mark.parametrize(
    ("name", "reach"), [("real.launch.py", "network"), ("sim.launch.py", "machine")]
)
def test_only_the_robots_graph_is_seen_on_the_network(
    name: str, reach: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(launching, "stay_local", lambda: told.append("machine"))
    monkeypatch.setattr(launching, "avoid_shared_memory", lambda: told.append("network"))
    load(name)
    assert told == [reach]


def test_a_wrong_value_is_named() -> None:
    with pytest.raises(ValueError, match="argument max_vel: expected a float, found 'fast'"):
        started(load("real.launch.py"), {"max_vel": "fast"})
    with pytest.raises(
        ValueError, match="argument shadow: expected true or false, found 'perhaps'"
    ):
        convert(Argument("shadow", "x"), "perhaps")


def test_ros2_bag_records_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launching, "rosbag_lacks", lambda: "")
    values = {"record": "true", "experiment_name": "run", "namespace": "robot1"}
    actions, log = executed(load("sim.launch.py"), values)
    processes = [action for action in actions if isinstance(action, ExecuteProcess)]
    (recorder,) = (process for process in processes if not isinstance(process, Node))
    assert "recorder_node" not in {p.node_executable for p in processes if p is not recorder}
    command = ["".join(part.text for part in word) for word in recorder.cmd]
    assert command == record_command(Path("logs/bags/run"), "robot1")
    assert "ros2 bag record to logs/bags/run" in log


def test_our_recorder_records_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "rosbag_lacks", lambda: "the program ros2 is not installed")
    actions, log = executed(load("sim.launch.py"), {"record": "true"})
    processes = [action for action in actions if isinstance(action, ExecuteProcess)]
    assert all(isinstance(process, Node) for process in processes)
    assert "recorder_node" in {process.node_executable for process in processes}
    assert "the program ros2 is not installed" in log
