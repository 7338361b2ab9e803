"""What other nodes expect of any robot, made from its low-level state: joints, IMU, remote."""

from __future__ import annotations

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Imu, JointState, Joy
from unitree_legged_msgs.msg import LowCmd, LowState

from aliengo_bridge.cdr import (
    LOW_CMD_CDR,
    LOW_STATE_CDR,
    LowStateEncoder,
    encode_low_cmd,
    same_content,
)
from aliengo_bridge.messages import JOINT_COUNT, LowCommand
from aliengo_bridge.messages import LowState as RobotState
from aliengo_bridge.remote import BUTTONS, decode_remote
from aliengo_description import robot

__all__ = ["SENSOR_QOS", "SensorPublisher", "check_layouts"]

SENSOR_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
_STATES_PER_SENSOR_MESSAGE = 5
_STATES_PER_JOY = 10


class SensorPublisher:
    """Publishes `joint_states` and `imu/data` at a fifth of the state rate, `remote/joy` at a tenth.

    Attributes:
        temperature: Motor temperatures (12,) [deg C] of the last published state, None before it.
    """

    def __init__(self, node: Node, frame_prefix: str) -> None:
        """Open the topics.

        Args:
            node: To publish with.
            frame_prefix: Put before every frame.
        """
        self._node = node
        self._joint_states = node.create_publisher(JointState, "joint_states", SENSOR_QOS)
        self._imu = node.create_publisher(Imu, "imu/data", SENSOR_QOS)
        self._joy = node.create_publisher(Joy, "remote/joy", SENSOR_QOS)
        self._joint_message = JointState(name=list(robot.JOINT_NAMES))
        self._joint_message.header.frame_id = f"{frame_prefix}base_link"
        self._imu_message = Imu()
        self._imu_message.header.frame_id = f"{frame_prefix}imu_link"
        self._states = 0
        self.temperature: np.ndarray | None = None

    def publish(self, data: bytes) -> None:
        """Take one serialised `LowState`; most of them are only counted."""
        self._states += 1
        if self._states % _STATES_PER_SENSOR_MESSAGE == 0:
            self._publish(np.frombuffer(data, dtype=LOW_STATE_CDR)[0])

    def _publish(self, state: np.void) -> None:
        stamp = self._node.get_clock().now().to_msg()
        joints, imu = self._joint_message, self._imu_message
        joints.header.stamp = imu.header.stamp = stamp
        motors = state["motor"][:JOINT_COUNT]
        self.temperature = motors["temperature"]
        joints.position = motors["q"].tolist()
        joints.velocity = motors["dq"].tolist()
        joints.effort = motors["tau_est"].tolist()
        self._joint_states.publish(joints)
        q = imu.orientation
        q.w, q.x, q.y, q.z = state["quaternion"].tolist()
        rate, force = imu.angular_velocity, imu.linear_acceleration
        rate.x, rate.y, rate.z = state["gyroscope"].tolist()
        force.x, force.y, force.z = state["accelerometer"].tolist()
        self._imu.publish(imu)
        if self._states % _STATES_PER_JOY == 0:
            remote = decode_remote(state["wireless_remote"])
            joy = Joy(axes=[remote.lx, remote.ly, remote.rx, remote.ry, remote.l2])
            joy.header.stamp = stamp
            joy.buttons = [remote.buttons >> bit & 1 for bit in range(len(BUTTONS))]
            self._joy.publish(joy)


def check_layouts() -> None:
    """Compare the CDR layouts with the middleware's own serialisation."""
    state, command = RobotState(tick=1, reserve=2), LowCommand(sn=1, reserve=2)
    state.q[:], state.mode[:] = range(20), range(20)
    command.q[:], command.mode[:] = range(20), range(20)
    samples = (
        (LowState, LOW_STATE_CDR, LowStateEncoder().encode(state)),
        (LowCmd, LOW_CMD_CDR, encode_low_cmd(command)),
    )
    for kind, layout, ours in samples:
        theirs = serialize_message(deserialize_message(ours, kind))
        if not same_content(ours, theirs, layout):
            raise RuntimeError(
                f"this ROS 2 middleware serialises {kind.__name__} in another layout than "
                f"little-endian CDR ({len(theirs)} bytes, expected {len(ours)}); use "
                "rmw_fastrtps_cpp, rmw_cyclonedds_cpp or rmw_zenoh_cpp"
            )
