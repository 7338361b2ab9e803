"""ROS part of the preflight: listens to a bridge for a few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import rclpy
from aliengo_msgs.msg import BridgeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from unitree_legged_msgs.msg import LowState

from aliengo_description.conventions_node import LATCHED
from aliengo_description.middleware import avoid_shared_memory
from aliengo_policy.cdr import CdrLayout
from aliengo_policy.preflight_checks import Observed

_FLOATS = (
    ("motor_state.q", 12),
    ("motor_state.dq", 12),
    ("imu.quaternion", 4),
    ("imu.gyroscope", 3),
    ("imu.accelerometer", 3),
)


class Listener:
    """Collects states and the bridge's report.

    Args:
        namespace: of the robot.
    """

    def __init__(self, namespace: str) -> None:
        if not rclpy.ok():
            avoid_shared_memory()
            rclpy.init()
        self._node = Node("preflight", namespace=namespace or "/")
        layout = CdrLayout(LowState)
        self._floats = layout.reader(_FLOATS)
        self._temperatures = layout.reader([("motor_state.temperature", 12)])
        self._times: list[float] = []
        self._rows: list[np.ndarray] = []
        self._newest = b""
        self._bridge: BridgeState | None = None
        sensor = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._node.create_subscription(LowState, "low_state", self._on_state, sensor, raw=True)
        self._node.create_subscription(BridgeState, "bridge/state", self._on_bridge, LATCHED)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)

    def close(self) -> None:
        """Release the node."""
        self._executor.shutdown()
        self._node.destroy_node()

    def wait(self, seconds: float, given_up: Callable[[], bool]) -> None:
        """Wait until the first state and the bridge's first report have come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not given_up():
            if self._times and self._bridge is not None:
                return
            self._executor.spin_once(timeout_sec=0.1)

    def listen(self, seconds: float) -> Observed:
        """Everything that arrives in the next ``seconds``."""
        self._times.clear()
        self._rows.clear()
        before = self._bridge or BridgeState()  # it may have run, and seen bad packets, for long
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0.0:
            self._executor.spin_once(timeout_sec=left)
        return self._observed(before)

    def _observed(self, before: BridgeState) -> Observed:
        rows = np.array(self._rows, dtype=np.float64).reshape(-1, sum(n for _, n in _FLOATS))
        ends = np.cumsum([count for _, count in _FLOATS])[:-1]
        q, dq, quaternions, gyroscope, accelerometer = np.split(rows, ends, axis=1)
        newest = self._temperatures.read(self._newest) if self._newest else np.zeros(12)
        bridge = self._bridge or BridgeState()
        return Observed(
            times_s=np.array(self._times),
            joint_positions=q,
            joint_velocities=dq,
            quaternions=quaternions,
            angular_velocities=gyroscope,
            accelerations=accelerometer,
            temperatures=newest.astype(np.float64),
            received=bridge.received - before.received,
            lost=bridge.lost - before.lost,
            broken=bridge.crc_errors
            - before.crc_errors
            + bridge.length_errors
            - before.length_errors,
            foreign=bridge.foreign_packets - before.foreign_packets,
            fault=f"{bridge.fault} ({bridge.fault_detail})" if bridge.fault else "",
        )

    def _on_state(self, data: bytes) -> None:
        self._times.append(time.monotonic())
        self._rows.append(self._floats.read(data))
        self._newest = data

    def _on_bridge(self, message: BridgeState) -> None:
        self._bridge = message
