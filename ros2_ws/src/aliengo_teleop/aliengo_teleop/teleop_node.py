"""ROS node `teleop`: joystick, remote, browser and planner in, `cmd_vel` and requests out.

Subscribes `joy`, `remote/joy` (sensor_msgs/Joy), `cmd_vel_web`, `cmd_vel_nav` (Twist or
TwistStamped), `estop` (std_msgs/Bool), `bridge/state` and `policy/state`.
Publishes `cmd_vel`, `mode_request`, `policy_request` (std_msgs/String), `estop` and
`teleop/source`. Calls the service `bridge/reset_fault`.
"""

from __future__ import annotations

import time
from typing import Any

from aliengo_msgs.msg import BridgeState, CommandSource, PolicyState
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.task import Future
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from aliengo_description.conventions_node import LATCHED, listen_for_estop
from aliengo_description.parameters_node import declare_parameters
from aliengo_description.run_node import run_node
from aliengo_description.scheduling import raise_priority
from aliengo_description.velocity_node import VelocityPublisher
from aliengo_teleop.core import Output, Teleop
from aliengo_teleop.mapping import Velocity
from aliengo_teleop.parameters import GAMEPAD_PARAMETERS, PARAMETERS, make_config


class TeleopNode(Node):
    """Connects `Teleop` to topics."""

    def __init__(self) -> None:
        """Declares the parameters and opens all topics.

        Raises:
            ParameterException: If a parameter has the wrong type.
            ValueError: If a parameter is unknown or its value impossible.
        """
        super().__init__("teleop")
        values = declare_parameters(self, PARAMETERS, others=GAMEPAD_PARAMETERS)
        self._teleop = Teleop(make_config(values))
        self._stamped: bool = values["use_stamped"]
        self._policies: list[str] = []
        self._policy = ""
        self._source = ""

        self._command_out = VelocityPublisher(self, "cmd_vel", self._stamped, values["frame_id"])
        self._mode_out = self.create_publisher(String, "mode_request", 10)
        self._policy_out = self.create_publisher(String, "policy_request", 10)
        self._estop_out = self.create_publisher(Bool, "estop", 10)
        self._source_out = self.create_publisher(CommandSource, "teleop/source", LATCHED)
        self._reset_client: Client[Any, Any] = self.create_client(Trigger, "bridge/reset_fault")
        for source, topic in (("joystick", "joy"), ("remote", "remote/joy")):
            self.create_subscription(
                Joy, topic, lambda m, s=source: self._on_joy(s, m), qos_profile_sensor_data
            )
        twist = TwistStamped if self._stamped else Twist
        for source, topic in (("web", "cmd_vel_web"), ("navigation", "cmd_vel_nav")):
            self.create_subscription(twist, topic, lambda m, s=source: self._on_twist(s, m), 1)
        listen_for_estop(self, self._on_estop)
        self.create_subscription(BridgeState, "bridge/state", self._on_bridge_state, LATCHED)
        self.create_subscription(PolicyState, "policy/state", self._on_policy_state, LATCHED)
        # The node's own clock is the wall clock: set back, it would stop the timers.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / values["rate_hz"], self._tick, clock=steady)
        self.get_logger().info(raise_priority(values["realtime_priority"]))

    def _on_joy(self, source: str, message: Joy) -> None:
        if self._teleop.on_joy(source, message.axes, message.buttons, time.monotonic()):
            self._tick()

    def _on_twist(self, source: str, message: Twist | TwistStamped) -> None:
        twist = message.twist if self._stamped else message
        velocity = Velocity(twist.linear.x, twist.linear.y, twist.angular.z)
        self._teleop.on_velocity(source, velocity, time.monotonic())

    def _on_estop(self, message: Bool) -> None:
        self._teleop.on_estop(message.data, time.monotonic())

    def _on_bridge_state(self, message: BridgeState) -> None:
        self._teleop.on_bridge(
            message.reset_required,
            stopped="estop" in message.active_faults,
            now=time.monotonic(),
            received=message.received,
        )

    def _on_policy_state(self, message: PolicyState) -> None:
        self._policies = list(message.available_policies)
        self._policy = message.policy

    def _tick(self) -> None:
        output = self._teleop.tick(time.monotonic())
        if output.estop:
            self._estop_out.publish(Bool(data=True))
        for mode in output.modes:
            self.get_logger().info(f"requesting mode {mode}")
            self._mode_out.publish(String(data=mode))
        if output.next_policy:
            self._request_next_policy()
        if output.reset:
            self._request_reset()
        self._publish_command(output)

    def _publish_command(self, output: Output) -> None:
        if output.source != self._source:
            self._source = output.source
            self._source_out.publish(
                CommandSource(stamp_ns=self.get_clock().now().nanoseconds, source=output.source)
            )
        if output.velocity is not None:
            self._command_out.publish(*output.velocity)

    def _request_next_policy(self) -> None:
        if not self._policies:
            self.get_logger().warning("no policy to switch to: policy/state has not been heard")
            return
        known = self._policy in self._policies
        index = self._policies.index(self._policy) + 1 if known else 0
        name = self._policies[index % len(self._policies)]
        self.get_logger().info(f"requesting policy {name}")
        self._policy_out.publish(String(data=name))

    def _request_reset(self) -> None:
        if not self._reset_client.service_is_ready():
            self.get_logger().warning("no bridge to reset: service bridge/reset_fault is absent")
            return
        future = self._reset_client.call_async(Trigger.Request())
        future.add_done_callback(self._on_reset)

    def _on_reset(self, future: Future[Any]) -> None:
        response = future.result()
        if response is None:
            return
        log = self.get_logger().info if response.success else self.get_logger().warning
        log(f"bridge/reset_fault: {response.message}")


def main() -> None:
    """Runs the node until it is shut down."""
    run_node("teleop", TeleopNode)


if __name__ == "__main__":
    main()
