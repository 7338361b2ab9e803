"""ROS node `keyboard`: a terminal as a joystick; publishes `joy` for the teleop node.

Run it in a terminal of its own, with the profile `config/teleop/keyboard.yaml` on the teleop node.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Joy

from aliengo_description.run_node import run_node
from aliengo_teleop.keyboard import ESTOP, HELP, KeyboardPad

PERIOD_S = 0.02


@contextmanager
def _unbuffered_terminal() -> Iterator[None]:
    if not sys.stdin.isatty():
        raise SystemExit("keyboard_node needs a terminal on its standard input; none is there")
    saved = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)


class KeyboardNode(Node):
    """Publishes the state of a `KeyboardPad`."""

    def __init__(self) -> None:
        """Opens the topic."""
        super().__init__("keyboard")
        self._pad = KeyboardPad()
        self._joy_out = self.create_publisher(Joy, "joy", qos_profile_sensor_data)

    def run(self) -> None:
        """Reads keys and publishes until x is pressed."""
        while rclpy.ok():
            ready, _, _ = select.select([sys.stdin], [], [], PERIOD_S)
            if ready:
                # Not sys.stdin.read: its buffer would hide further keys from select.
                keys = os.read(sys.stdin.fileno(), 64).decode(errors="ignore")
                if not keys or ("x" in keys and ESTOP not in keys):
                    return
                for key in keys:
                    self._pad.press(key, time.monotonic())
            axes, buttons = self._pad.read(time.monotonic())
            message = Joy(axes=axes, buttons=buttons)
            message.header.stamp = self.get_clock().now().to_msg()
            self._joy_out.publish(message)


def _run_in_terminal(node: KeyboardNode) -> None:
    print(HELP)
    with _unbuffered_terminal():
        node.run()


def main() -> None:
    """Runs the node until x or Ctrl-C."""
    run_node("keyboard", KeyboardNode, _run_in_terminal)


if __name__ == "__main__":
    main()
