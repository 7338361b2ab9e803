"""What the sensors' messages say about the frames that they are given in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2; `make test` sets it up")

from rclpy.clock import Clock

from aliengo_bridge.cdr import LowStateEncoder
from aliengo_bridge.messages import LowState
from aliengo_bridge.sensors_node import SensorPublisher


class Node:
    """Keeps the newest message of each topic."""

    def __init__(self) -> None:
        self.newest: dict[str, Any] = {}

    def create_publisher(self, _kind: type, topic: str, _qos: Any) -> Any:
        return SimpleNamespace(publish=lambda message: self.newest.update({topic: message}))

    def get_clock(self) -> Clock:
        return Clock()


@pytest.mark.parametrize("prefix", ["", "a/"])
def test_the_prefix_is_before_the_frames_of_imu_and_joints(prefix: str) -> None:
    node: Any = Node()
    sensors = SensorPublisher(node, prefix)
    state = LowStateEncoder().encode(LowState())
    while "imu/data" not in node.newest:
        sensors.publish(state)
    assert node.newest["imu/data"].header.frame_id == f"{prefix}imu_link"
    assert node.newest["joint_states"].header.frame_id == f"{prefix}base_link"
