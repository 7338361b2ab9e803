"""ROS node `odometry`: `odom` (nav_msgs/Odometry) and tf from `low_state`.

The transform `odom` -> `base_link` is published where tf2_msgs is installed.
"""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt
import rclpy
from nav_msgs.msg import Odometry
from rclpy.exceptions import ParameterException
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from unitree_legged_msgs.msg import LowState

from aliengo_description.middleware import avoid_shared_memory
from aliengo_description.parameters import Parameter
from aliengo_description.parameters_node import declare_parameters
from aliengo_description.signals import on_end_signal
from aliengo_policy.cdr import CdrLayout
from aliengo_policy.odometry import Estimate, LegOdometry, OdometryConfig, Reading
from aliengo_policy.stream_node import StreamNode

try:
    from geometry_msgs.msg import TransformStamped
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

_FLOATS = (
    ("imu.quaternion", 4),
    ("imu.gyroscope", 3),
    ("imu.accelerometer", 3),
    ("motor_state.q", 12),
    ("motor_state.dq", 12),
    ("motor_state.tau_est", 12),
)
_ENDS = np.cumsum([count for _, count in _FLOATS])[:-1]
MAX_STEP_S = 0.1
"""After a longer gap in the stream the filter does not integrate over it."""
PARAMETERS = (
    Parameter("decimation", 5, "every n-th low_state is used", 1, 25),
    Parameter("odom_frame", "odom", "world-fixed frame"),
    Parameter("base_frame", "base_link", "frame of the robot"),
    Parameter("publish_tf", True, "publish odom -> base_link on /tf"),
    Parameter("contact_force", [25.0, 60.0], "foot begins to count, counts [N]", 0.0, 500.0),
)


class OdometryNode(StreamNode):
    """Feeds every `decimation`-th state to `LegOdometry` and publishes the result."""

    def __init__(self) -> None:
        """Declares the parameters and opens the topics.

        Raises:
            ValueError: If a parameter is unknown or out of range.
            ParameterException: If a parameter has the wrong type or is out of range.
        """
        super().__init__("odometry")
        values = declare_parameters(self, PARAMETERS)
        self._decimation: int = values["decimation"]
        self._odom_frame: str = values["odom_frame"]
        self._base_frame: str = values["base_frame"]
        publish_tf: bool = values["publish_tf"]
        low, high = values["contact_force"]
        self._config = OdometryConfig(contact_force=(low, high))
        self._filter = LegOdometry(self._config)
        self._last_tick: int | None = None
        self._count = 0
        layout = CdrLayout(LowState)
        self._numbers = layout.reader(_FLOATS)
        self._tick = layout.reader([("tick", 1)])
        self._odom_out = self.create_publisher(Odometry, "odom", 10)
        self._tf_out = None
        if publish_tf and TFMessage is not None:
            self._tf_out = self.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))
        elif publish_tf:
            self.get_logger().warning("tf2_msgs is not installed: odom is published, tf is not")
        self.open_stream(LowState, "low_state", self._on_low_state, qos_profile_sensor_data)

    def _on_low_state(self, data: bytes) -> None:
        self._count += 1
        if self._count % self._decimation:
            return
        tick = int(self._tick.read(data)[0])
        step = 0.0
        if self._last_tick is not None:
            step = 1e-3 * _ticks_between(self._last_tick, tick)
            if step == 0.0:
                return
        self._last_tick = tick
        if step < 0.0:  # the robot was started anew, who knows where
            self._filter = LegOdometry(self._config)
            step = 0.0
        elif step > MAX_STEP_S:
            self._filter.skip(step)
            step = 0.0
        try:
            estimate = self._filter.update(
                _reading(self._numbers.read(data).astype(np.float64)), step
            )
        except ValueError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=1.0)
            return
        self._publish(estimate)

    def _publish(self, estimate: Estimate) -> None:
        message = Odometry(child_frame_id=self._base_frame)
        message.header.frame_id = self._odom_frame
        message.header.stamp = self.get_clock().now().to_msg()
        pose, twist = message.pose.pose, message.twist.twist
        pose.position.x, pose.position.y, pose.position.z = estimate.position.tolist()
        w, x, y, z = estimate.quaternion.tolist()
        pose.orientation.x, pose.orientation.y, pose.orientation.z = x, y, z
        pose.orientation.w = w
        linear, angular = estimate.linear_velocity_b, estimate.angular_velocity_b
        twist.linear.x, twist.linear.y, twist.linear.z = linear.tolist()
        twist.angular.x, twist.angular.y, twist.angular.z = angular.tolist()
        message.pose.covariance[0:15:7] = estimate.position_variance
        message.twist.covariance[0:15:7] = estimate.velocity_variance
        self._odom_out.publish(message)
        if self._tf_out is not None:
            transform = TransformStamped(header=message.header, child_frame_id=self._base_frame)
            translation = transform.transform.translation
            translation.x, translation.y, translation.z = estimate.position.tolist()
            transform.transform.rotation = pose.orientation
            self._tf_out.publish(TFMessage(transforms=[transform]))


def _ticks_between(first: int, second: int) -> int:
    """From one tick to another [ms], which count modulo 2^32; negative where they went back."""
    return (second - first + 2**31) % 2**32 - 2**31


def _reading(numbers: npt.NDArray[np.float64]) -> Reading:
    quaternion, gyroscope, accelerometer, q, dq, torques = np.split(numbers, _ENDS)
    return Reading(
        quaternion=quaternion,
        gyroscope=gyroscope,
        accelerometer=accelerometer,
        joint_positions=q,
        joint_velocities=dq,
        joint_torques=torques,
    )


def main() -> None:
    """Runs the node until it is interrupted."""
    avoid_shared_memory()
    rclpy.init(signal_handler_options=rclpy.SignalHandlerOptions.NO)
    stop = threading.Event()
    on_end_signal(lambda *_: stop.set())
    try:
        node = OdometryNode()
    except (ValueError, ParameterException) as error:
        rclpy.try_shutdown()
        raise SystemExit(f"odometry: {error}") from None
    node.spin_stream(stop)
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
