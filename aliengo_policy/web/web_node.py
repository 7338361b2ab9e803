"""ROS node `web`: a live view of the robot in the browser, at http://127.0.0.1:8080.

It commands like any other operator: modes on `mode_request`, the stick on `cmd_vel_web`, where the
teleop node arbitrates. Bound to this machine unless the parameter `host` says otherwise; whoever
reaches the page can move the robot. Pages of other sites cannot, see `guard`.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import rclpy
from aliengo_msgs.msg import BridgeState, CommandSource, PolicyState
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.task import Future
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from aliengo_description import robot
from aliengo_description.conventions_node import LATCHED
from aliengo_description.parameters import Parameter
from aliengo_description.parameters_node import declare_parameters
from aliengo_description.run_node import run_node
from aliengo_description.velocity_node import VelocityPublisher
from aliengo_policy.web.model import read_model
from aliengo_policy.web.view import Controls, Status, WebView

SILENCE_S = 0.5
"""Age of the newest joint state at which the page says that the robot is silent."""

PARAMETERS = (
    Parameter("host", "127.0.0.1", "address to listen on; 0.0.0.0 = everybody"),
    Parameter("port", 8080, "TCP port; the next free one if it is taken", 1, 65535),
    Parameter("speed_limits", [1.0, 0.5, 1.0], "ends of the stick, vx vy wz", 0.05, 10.0),
    Parameter("allowed_hosts", [""], "further names browsers may call it by"),
    Parameter("rate_hz", 20.0, "refresh rate of the page [Hz]", 1.0, 100.0),
    Parameter("command_topic", "cmd_vel_web", "cmd_vel where no teleop node runs"),
    Parameter("use_stamped", False, "publish TwistStamped"),
    Parameter("frame_id", "base_link", "frame of a TwistStamped"),
)


class WebNode(Node):
    """Collects the state from topics and hands it to the page at `rate_hz`."""

    def __init__(self) -> None:
        """Starts the server and opens the topics.

        Raises:
            ParameterException: If a parameter has the wrong type or is out of range.
            RuntimeError: If other sites' pages cannot be kept out with this version of viser.
            ValueError: If a parameter is unknown or its value impossible.
        """
        super().__init__("web")
        values = declare_parameters(self, PARAMETERS)
        self._status = Status(position=np.array([0.0, 0.0, robot.stand_height()]))
        self._last_joints = float("-inf")
        self._truth_heard = False

        self._mode_out = self.create_publisher(String, "mode_request", 10)
        self._policy_out = self.create_publisher(String, "policy_request", 10)
        self._estop_out = self.create_publisher(Bool, "estop", 10)
        self._command_out = VelocityPublisher(
            self, values["command_topic"], values["use_stamped"], values["frame_id"]
        )
        self._reset_client = self.create_client(Trigger, "bridge/reset_fault")
        self._listen()

        vx, vy, wz = values["speed_limits"]
        controls = Controls(
            request_mode=lambda mode: self._mode_out.publish(String(data=mode)),
            request_policy=lambda name: self._policy_out.publish(String(data=name)),
            drive=self._command_out.publish,
            estop=self._estop,
            reset=self._reset,
        )
        links = read_model(robot.urdf_path())
        allowed = [name for name in values["allowed_hosts"] if name]
        self.view = WebView(links, controls, values["host"], values["port"], (vx, vy, wz), allowed)
        self._start = time.monotonic()
        # The node's own clock is the wall clock: set back, it would stop the timer.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / values["rate_hz"], self._refresh, clock=steady)
        self.get_logger().info(f"the live view is at {self.view.url}")

    def _listen(self) -> None:
        sensor = qos_profile_sensor_data
        self.create_subscription(JointState, "joint_states", self._on_joints, sensor)
        self.create_subscription(Imu, "imu/data", self._on_imu, sensor)
        self.create_subscription(Odometry, "odom", self._on_odometry, sensor)
        self.create_subscription(Odometry, "ground_truth/odom", self._on_truth, sensor)
        self.create_subscription(PolicyState, "policy/state", self._on_policy, LATCHED)
        self.create_subscription(BridgeState, "bridge/state", self._on_bridge, LATCHED)
        self.create_subscription(CommandSource, "teleop/source", self._on_source, LATCHED)

    def _on_joints(self, message: JointState) -> None:
        self._last_joints = time.monotonic()
        self._status.joint_positions = dict(zip(message.name, message.position, strict=False))

    def _on_imu(self, message: Imu) -> None:
        if not self._truth_heard:
            q = message.orientation
            self._status.wxyz = np.array([q.w, q.x, q.y, q.z])

    def _on_odometry(self, message: Odometry) -> None:
        if not self._truth_heard:
            self._place(message)

    def _on_truth(self, message: Odometry) -> None:
        self._truth_heard = True
        self._place(message)

    def _place(self, message: Odometry) -> None:
        pose, twist = message.pose.pose, message.twist.twist
        q = pose.orientation
        self._status.wxyz = np.array([q.w, q.x, q.y, q.z])
        self._status.position = np.array([pose.position.x, pose.position.y, pose.position.z])
        self._status.measured = (twist.linear.x, twist.linear.y, twist.angular.z)

    def _on_policy(self, message: PolicyState) -> None:
        status = self._status
        status.mode, status.policy = message.mode, message.policy
        status.policies = list(message.available_policies)
        status.command = [float(value) for value in message.command]

    def _on_bridge(self, message: BridgeState) -> None:
        self._status.bridge = message.state
        if message.fault and not self._status.fault:
            self._status.reset = ""  # of an earlier fault
        detail = f": {message.fault_detail}" if message.fault_detail else ""
        self._status.fault = message.fault + detail if message.fault else ""

    def _on_source(self, message: CommandSource) -> None:
        self._status.source = message.source

    def _estop(self) -> None:
        self._estop_out.publish(Bool(data=True))
        self._mode_out.publish(String(data="damping"))

    def _reset(self) -> None:
        if not self._reset_client.service_is_ready():
            self._status.reset = "no bridge: the service bridge/reset_fault is absent"
            return
        self._status.reset = "asked, no answer yet"
        self._reset_client.call_async(Trigger.Request()).add_done_callback(self._on_reset)

    def _on_reset(self, future: Future[Any]) -> None:
        response = future.result()
        outcome = "done" if response.success else "REFUSED"
        self._status.reset = f"{outcome}: {response.message}" if response.message else outcome

    def _refresh(self) -> None:
        now = time.monotonic()
        self._status.alive = now - self._last_joints < SILENCE_S
        self.view.update(self._status, now - self._start)


def _make() -> WebNode:
    try:
        return WebNode()
    except RuntimeError as error:
        if not rclpy.ok():
            raise
        raise ValueError(str(error)) from error


def _serve(node: WebNode) -> None:
    try:
        rclpy.spin(node)
    finally:
        node.view.close()


def main() -> None:
    """Runs the node until it is shut down."""
    run_node("web", _make, _serve)


if __name__ == "__main__":
    main()
