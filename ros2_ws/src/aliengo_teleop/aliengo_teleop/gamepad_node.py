"""ROS node `gamepad`: publishes `joy` from a Linux gamepad where ROS's `joy` is not installed."""

from __future__ import annotations

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Joy

from aliengo_description.parameters_node import declare_parameters
from aliengo_description.run_node import run_node
from aliengo_description.scheduling import raise_priority
from aliengo_teleop.gamepad import GamepadError, follow, open_gamepad
from aliengo_teleop.parameters import GAMEPAD_PARAMETERS, PARAMETERS


class GamepadNode(Node):
    """Publishes the state of one gamepad at a fixed rate."""

    def __init__(self) -> None:
        """Opens the device and the topic.

        Raises:
            GamepadError: If there is no gamepad.
            ParameterException: If a parameter has the wrong type.
            ValueError: If a parameter is unknown or out of bounds.
        """
        super().__init__("gamepad")
        values = declare_parameters(self, GAMEPAD_PARAMETERS, others=PARAMETERS)
        self._device, self._state = open_gamepad(values["device"])
        self.get_logger().info(f"reading {self._device.name} at {self._device.path}")
        self._joy_out = self.create_publisher(Joy, "joy", qos_profile_sensor_data)
        # The node's own clock is the wall clock: set back, it would stop the timers.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / values["rate_hz"], self._publish, clock=steady)
        self.get_logger().info(raise_priority(values["realtime_priority"]))

    def _publish(self) -> None:
        try:
            follow(self._device, self._state)
        except OSError as error:
            # Ending is the safe answer: teleop sees silence and stops the robot.
            raise GamepadError(f"the gamepad was unplugged: {error}") from error
        axes, buttons = self._state.read()
        message = Joy(axes=axes, buttons=buttons)
        message.header.stamp = self.get_clock().now().to_msg()
        self._joy_out.publish(message)


def main() -> None:
    """Runs the node until it is shut down or the gamepad is unplugged."""
    run_node("gamepad", GamepadNode, failures=(GamepadError,))


if __name__ == "__main__":
    main()
