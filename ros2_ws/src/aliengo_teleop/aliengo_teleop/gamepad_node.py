"""ROS node `gamepad`: publishes `joy` from a Linux gamepad where ROS's `joy` is not installed."""

from __future__ import annotations

from typing import Any

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Joy

from aliengo_description.middleware import avoid_shared_memory
from aliengo_description.scheduling import OPERATOR, raise_priority
from aliengo_teleop.gamepad import GamepadError, open_gamepad


class GamepadNode(Node):
    """Publishes the state of one gamepad at a fixed rate."""

    def __init__(self) -> None:
        """Opens the device and the topic.

        Raises:
            GamepadError: If there is no gamepad.
        """
        super().__init__("gamepad")
        device = self._declare("device", "", "device file; empty = the first gamepad")
        rate = self._declare("rate_hz", 50.0, "rate of joy [Hz]")
        priority = self._declare("realtime_priority", OPERATOR, "SCHED_FIFO where permitted")
        self._device, self._state = open_gamepad(device)
        self.get_logger().info(f"reading {self._device.name} at {self._device.path}")
        self._joy_out = self.create_publisher(Joy, "joy", qos_profile_sensor_data)
        # The node's own clock is the wall clock: set back, it would stop the timers.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / rate, self._publish, clock=steady)
        self.get_logger().info(raise_priority(priority))

    def _declare(self, name: str, default: object, description: str) -> Any:
        descriptor = ParameterDescriptor(description=description, read_only=True)
        return self.declare_parameter(name, default, descriptor).value

    def _publish(self) -> None:
        try:
            for event in self._device.read():
                self._state.apply(event.type, event.code, event.value)
        except BlockingIOError:
            pass
        except OSError as error:
            # Ending is the safe answer: teleop sees silence and stops the robot.
            raise GamepadError(f"the gamepad was unplugged: {error}") from error
        axes, buttons = self._state.read()
        message = Joy(axes=axes, buttons=buttons)
        message.header.stamp = self.get_clock().now().to_msg()
        self._joy_out.publish(message)


def main() -> None:
    """Runs the node until it is shut down or the gamepad is unplugged."""
    avoid_shared_memory()
    rclpy.init()
    try:
        rclpy.spin(GamepadNode())
    except GamepadError as error:
        raise SystemExit(str(error)) from error
    except KeyboardInterrupt:
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
