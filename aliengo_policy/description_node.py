"""ROS node `description`: `robot_description` and the tf of the legs, for RViz and Foxglove.

It does what robot_state_publisher does, which has no wheel. tf is published where tf2_msgs is
installed; `robot_description` always.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from aliengo_description import robot
from aliengo_description.conventions_node import LATCHED
from aliengo_description.parameters import Parameter
from aliengo_description.parameters_node import declare_parameters
from aliengo_description.run_node import run_node
from aliengo_policy.link_frames import LinkFrame, fixed_frames, moving_frames

try:
    from geometry_msgs.msg import TransformStamped
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

PARAMETERS = (
    Parameter("decimation", 4, "joint_states per tf message", 1, 1000),
    Parameter("frame_prefix", "", "put before every frame, for several robots"),
)


class DescriptionNode(Node):
    """Publishes the URDF once and the links' frames at a part of the joint states' rate.

    Raises:
        ValueError: when a parameter is unknown or out of range.
        ParameterException: when a parameter has the wrong type or is out of range.
    """

    def __init__(self) -> None:
        super().__init__("description")
        values = declare_parameters(self, PARAMETERS)
        self._decimation: int = values["decimation"]
        self._prefix: str = values["frame_prefix"]
        self._count = 0
        self._urdf_out = self.create_publisher(String, "robot_description", LATCHED)
        self._urdf_out.publish(String(data=robot.urdf_path().read_text()))
        if TFMessage is None:
            self.get_logger().warning("tf2_msgs is not installed: tf is not published")
            return
        self._tf_out = self.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))
        self._fixed_out = self.create_publisher(TFMessage, "/tf_static", LATCHED)
        self._fixed_out.publish(self._message(fixed_frames(), self.get_clock().now().to_msg()))
        self.create_subscription(
            JointState, "joint_states", self._on_joints, qos_profile_sensor_data
        )

    def _on_joints(self, message: JointState) -> None:
        self._count += 1
        if self._count % self._decimation:
            return
        by_name = dict(zip(message.name, message.position, strict=True))
        positions = np.array([by_name[name] for name in robot.JOINT_NAMES])
        self._tf_out.publish(self._message(moving_frames(positions), message.header.stamp))

    def _message(self, frames: Sequence[LinkFrame], stamp: Any) -> Any:
        transforms = []
        for frame in frames:
            item = TransformStamped(child_frame_id=self._prefix + frame.child)
            item.header.stamp, item.header.frame_id = stamp, self._prefix + frame.parent
            place, turn = item.transform.translation, item.transform.rotation
            place.x, place.y, place.z = frame.translation
            turn.w, turn.x, turn.y, turn.z = frame.rotation
            transforms.append(item)
        return TFMessage(transforms=transforms)


def main() -> None:
    """Run the node until it is shut down."""
    run_node("description", DescriptionNode)


if __name__ == "__main__":
    main()
