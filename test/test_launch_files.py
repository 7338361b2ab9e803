"""The launch files start the graph; needs the `launch` packages of a system ROS 2."""

from pathlib import Path

import pytest

from aliengo_policy.graph import REAL_ARGUMENTS, SIM_ARGUMENTS, Argument

pytest.importorskip("launch_ros", reason="ros2 launch is not installed: it is not on PyPI")
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from aliengo_policy.launching import convert
from launch import LaunchContext, LaunchDescription

LAUNCH = Path(__file__).resolve().parents[1] / "launch"


def load(name: str) -> LaunchDescription:
    source = PythonLaunchDescriptionSource(str(LAUNCH / name))
    return source.get_launch_description(LaunchContext())


def started(description: LaunchDescription, values: dict[str, str]) -> list[Node]:
    context = LaunchContext()
    nodes: list[Node] = []
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            context.launch_configurations[entity.name] = values.get(
                entity.name, "".join(part.text for part in entity.default_value or [])
            )
        elif isinstance(entity, OpaqueFunction):
            nodes += [action for action in entity.execute(context) if isinstance(action, Node)]
    return nodes


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


def test_the_nodes_of_the_graph_are_started() -> None:
    values = {"record": "true", "teleop": "ps5", "namespace": "robot1"}
    nodes = started(load("real.launch.py"), values)
    executables = {node.node_executable for node in nodes}
    assert executables == {
        "bridge_node", "policy_node", "odometry_node", "description_node",
        "teleop_node", "gamepad_node", "recorder_node",
    }  # fmt: skip
    assert "sim_node" in {node.node_executable for node in started(load("sim.launch.py"), {})}


def test_a_wrong_value_is_named() -> None:
    with pytest.raises(ValueError, match="argument max_vel: expected a float, found 'fast'"):
        started(load("real.launch.py"), {"max_vel": "fast"})
    with pytest.raises(
        ValueError, match="argument shadow: expected true or false, found 'perhaps'"
    ):
        convert(Argument("shadow", False, "x"), "perhaps")
