"""The teleop node as a real process: dead man, dead joystick, e-stop and navigation."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

rclpy = pytest.importorskip("rclpy", reason="the teleop process needs ROS 2")
pytest.importorskip("aliengo_msgs.msg", reason="the messages are not built")

from aliengo_msgs.msg import CommandSource  # noqa: E402
from geometry_msgs.msg import Twist, TwistStamped  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import (  # noqa: E402
    DurabilityPolicy,
    QoSProfile,
    qos_profile_sensor_data,
)
from sensor_msgs.msg import Joy  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402

from aliengo_description.middleware import stay_local  # noqa: E402

pytestmark = pytest.mark.integration
DOMAIN = 1 + os.getpid() % 100
DEADLINE_S = 20.0
STOP_S = 0.3
"""From the loss of the operator to zero velocity."""
# Before a command: its process gets SIGTERM when the test run is killed, that is, when the thread
# that started it ends. Start from the main thread.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM", "--")
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
JOYSTICK = """
import sys, time, rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Joy
rclpy.init()
node = rclpy.create_node("pad")
out = node.create_publisher(Joy, "joy", qos_profile_sensor_data)
pressed, sent = False, 0
while True:
    message = Joy(axes=[0.0, 1.0, 0.0, 0.0], buttons=[0, 0, 0, 0, int(pressed), 0, 0])
    message.header.stamp = node.get_clock().now().to_msg()
    out.publish(message)
    # The dead man is pressed once somebody listens, after having been seen released.
    if out.get_subscription_count() > 1:
        sent += 1
        pressed = sent > 10
    time.sleep(0.02)
"""


class Robot:
    """Listens to what the teleop node commands and notes when."""

    def __init__(self, stamped: bool):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=DOMAIN)
        self.node = rclpy.create_node("robot", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.commands: list[tuple[float, float]] = []
        self.modes: list[str] = []
        self.estops: list[bool] = []
        self.source = ""
        self.last_joy = 0.0
        twist = TwistStamped if stamped else Twist
        listen = self.node.create_subscription
        listen(twist, "cmd_vel", lambda m: self._on_command(m.twist if stamped else m), 10)
        listen(String, "mode_request", lambda m: self.modes.append(m.data), 10)
        listen(Bool, "estop", lambda m: self.estops.append(m.data), 10)
        listen(CommandSource, "teleop/source", self._on_source, LATCHED)
        listen(Joy, "joy", self._on_joy, qos_profile_sensor_data)
        self.joy = self.node.create_publisher(Joy, "joy", qos_profile_sensor_data)
        self.navigation = self.node.create_publisher(twist, "cmd_vel_nav", 1)

    def _on_command(self, twist: Twist) -> None:
        self.commands.append((time.monotonic(), twist.linear.x))

    def _on_source(self, message: CommandSource) -> None:
        self.source = message.source

    def _on_joy(self, message: Joy) -> None:
        self.last_joy = time.monotonic()

    def spin_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not happen within {DEADLINE_S} s"
            self._executor.spin_once(timeout_sec=0.02)

    def hold(self, deflection: float, *buttons: int) -> None:
        pressed = [int(i in buttons) for i in range(11)]
        self.joy.publish(Joy(axes=[0.0, deflection, 0.0, 0.0], buttons=pressed))

    def speed(self) -> float:
        return self.commands[-1][1] if self.commands else 0.0

    def zero_since(self, start: float) -> float | None:
        """Time after which every command was zero [s since `start`]; None if there is none."""
        zero = None
        for stamp, speed in self.commands:
            if stamp >= start and speed != 0.0:
                zero = None
            elif stamp >= start and zero is None:
                zero = stamp - start
        return zero

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen]:
    child = subprocess.Popen(
        [*ENDS_WITH_US, sys.executable, *command], env=os.environ | {"ROS_DOMAIN_ID": str(DOMAIN)}
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@pytest.fixture(params=[False, True], ids=["Twist", "TwistStamped"])
def robot(request):
    stay_local()
    robot = Robot(request.param)
    stamped = str(request.param).lower()
    with process(
        "-m", "aliengo_teleop.teleop_node", "--ros-args", "-p", f"use_stamped:={stamped}",
        "-p", "buttons.estop:=[1, 6]", "-p", "buttons.walk:=[4, 0]",
    ):  # fmt: skip
        # Two: this test's own ear and the node.
        robot.spin_until(lambda: robot.joy.get_subscription_count() == 2, "the teleop node")
        yield robot
    robot.close()


def drive(robot: Robot) -> None:
    sent = 0

    def driving() -> bool:
        # Released now and then: the node wants to see that, and may not listen yet at first.
        nonlocal sent
        sent += 1
        robot.hold(1.0, *([] if sent % 100 < 10 else [4]))
        return robot.speed() > 0.9 and robot.source == "joystick"

    robot.spin_until(driving, "driving")


def test_a_released_dead_man_is_zero_velocity_in_time(robot):
    drive(robot)
    released = time.monotonic()

    def stopped() -> bool:
        robot.hold(1.0)
        return robot.speed() == 0.0

    robot.spin_until(stopped, "the stop")
    assert robot.zero_since(released) < STOP_S


def test_a_killed_joystick_is_zero_velocity_in_time(robot):
    with process("-c", JOYSTICK) as joystick:
        robot.spin_until(lambda: robot.speed() > 0.9, "driving")
        joystick.kill()
        joystick.wait()
        robot.spin_until(lambda: robot.speed() == 0.0, "the stop")
        assert robot.zero_since(robot.last_joy) < STOP_S
    robot.spin_until(lambda: robot.modes == ["stand"], "the request to stand")


def test_the_estop_chord_stops_everything(robot):
    drive(robot)

    def stopped() -> bool:
        robot.hold(1.0, 4, 1, 6)
        robot.navigation.publish(type_of_navigation(robot, 0.5))
        return robot.estops == [True] and robot.modes == ["damping"] and robot.speed() == 0.0

    robot.spin_until(stopped, "the e-stop")
    robot.spin_until(lambda: robot.source == "estop", "the source")


def test_navigation_drives_until_it_falls_silent(robot):
    def driving() -> bool:
        robot.navigation.publish(type_of_navigation(robot, 0.5))
        return robot.speed() == pytest.approx(0.5) and robot.source == "navigation"

    robot.spin_until(driving, "navigation")
    silent = time.monotonic()
    robot.spin_until(lambda: robot.speed() == 0.0, "the stop")
    assert robot.zero_since(silent) < STOP_S


def type_of_navigation(robot: Robot, speed: float) -> Twist | TwistStamped:
    message = robot.navigation.msg_type()
    twist = message.twist if isinstance(message, TwistStamped) else message
    twist.linear.x = speed
    return message
