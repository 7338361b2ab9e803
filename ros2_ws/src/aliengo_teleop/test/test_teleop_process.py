"""The nodes as real processes: dead man, dead joystick, e-stop, navigation, bad parameters."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

rclpy = pytest.importorskip("rclpy", reason="the teleop process needs ROS 2")
pytest.importorskip("aliengo_msgs.msg", reason="the messages are not built")

from aliengo_msgs.msg import BridgeState, CommandSource  # noqa: E402
from geometry_msgs.msg import Twist, TwistStamped  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import (  # noqa: E402
    DurabilityPolicy,
    QoSProfile,
    qos_profile_sensor_data,
)
from sensor_msgs.msg import Joy  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from aliengo_description.middleware import stay_local  # noqa: E402

pytestmark = pytest.mark.integration
DOMAIN = 1 + os.getpid() % 100
DEADLINE_S = 20.0
STOP_S = 0.8
"""From the loss of the operator to zero velocity: time-out 0.2 s, stall credit 0.25 s, and slack.

The exact times are those of `test_core`, whose clock does not run by itself.
"""
STEADY_COMMANDS = 10
JOY_PERIOD_S = 0.01
"""A joystick sends no more often: each message wakes this test's own ear, which would send again."""
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
        self.resets = 0
        self.last_joy = 0.0
        self._last_held = 0.0
        twist = TwistStamped if stamped else Twist
        listen = self.node.create_subscription
        self.stamped = stamped
        self.frames: set[str] = set()
        listen(twist, "cmd_vel", self._on_stamped if stamped else self._on_command, 10)
        listen(String, "mode_request", lambda m: self.modes.append(m.data), 10)
        listen(Bool, "estop", lambda m: self.estops.append(m.data), 10)
        listen(CommandSource, "teleop/source", self._on_source, LATCHED)
        listen(Joy, "joy", self._on_joy, qos_profile_sensor_data)
        self.joy = self.node.create_publisher(Joy, "joy", qos_profile_sensor_data)
        self.navigation = self.node.create_publisher(twist, "cmd_vel_nav", 1)
        self._bridge = self.node.create_publisher(BridgeState, "bridge/state", LATCHED)
        self.node.create_service(Trigger, "bridge/reset_fault", self._on_reset)

    def _on_stamped(self, message: TwistStamped) -> None:
        self.frames.add(message.header.frame_id)
        self._on_command(message.twist)

    def _on_command(self, twist: Twist) -> None:
        self.commands.append((time.monotonic(), twist.linear.x))

    def _on_source(self, message: CommandSource) -> None:
        self.source = message.source

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.resets += 1
        response.success = True
        return response

    def report(self, reset_required: bool, received: int = 0) -> None:
        faults = ["estop"] if reset_required else []
        self._bridge.publish(
            BridgeState(
                state="damping" if reset_required else "idle",
                reset_required=reset_required,
                active_faults=faults,
                received=received,
            )
        )

    def _on_joy(self, message: Joy) -> None:
        self.last_joy = time.monotonic()

    def spin_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not happen within {DEADLINE_S} s"
            self._executor.spin_once(timeout_sec=0.02)

    def hold(self, deflection: float, *buttons: int) -> None:
        if time.monotonic() - self._last_held < JOY_PERIOD_S:
            return
        self._last_held = time.monotonic()
        pressed = [int(i in buttons) for i in range(11)]
        self.joy.publish(Joy(axes=[0.0, deflection, 0.0, 0.0], buttons=pressed))

    def speed(self) -> float:
        return self.commands[-1][1] if self.commands else 0.0

    def assert_stops(self, start: float, act: Callable[[], object] = lambda: None) -> None:
        """Commands become zero in time and stay so; times are since `start` [s]."""

        def steady() -> bool:
            act()
            newest = self.commands[-STEADY_COMMANDS:]
            return all(stamp >= start and speed == 0.0 for stamp, speed in newest)

        self.spin_until(steady, "the stop")
        last_motion = max(stamp for stamp, speed in self.commands if speed != 0.0)
        zero = next(stamp for stamp, _ in self.commands if stamp > last_motion)
        assert zero - start < STOP_S

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
        "-p", "frame_id:=a/base_link", "-p", "buttons.estop:=[1, 6]", "-p", "buttons.reset:=[6, 7]",
    ):  # fmt: skip
        # Two: this test's own ear and the node.
        robot.spin_until(lambda: robot.joy.get_subscription_count() == 2, "the teleop node")
        yield robot
    robot.close()


def now_and_then(period_s: float, for_s: float) -> bool:
    """By the clock, not by messages: what the node needs time for, a ramp, must fit in between."""
    return time.monotonic() % period_s < for_s


def drive(robot: Robot) -> None:
    def driving() -> bool:
        # Released now and then: the node wants to see that, and may not listen yet at first.
        robot.hold(1.0, *([] if now_and_then(2.0, for_s=0.2) else [4]))
        return robot.speed() > 0.9 and robot.source == "joystick"

    robot.spin_until(driving, "driving")


def test_a_released_dead_man_is_zero_velocity_in_time(robot):
    drive(robot)
    robot.assert_stops(time.monotonic(), lambda: robot.hold(1.0))
    assert robot.frames == ({"a/base_link"} if robot.stamped else set())


def test_a_killed_joystick_is_zero_velocity_in_time(robot):
    with process("-c", JOYSTICK) as joystick:
        robot.spin_until(lambda: robot.speed() > 0.9, "driving")
        joystick.kill()
        joystick.wait()
        robot.spin_until(lambda: robot.speed() == 0.0, "the stop")
        robot.assert_stops(robot.last_joy)
    robot.spin_until(lambda: robot.modes == ["stand"], "the request to stand")


def press_estop(robot) -> None:
    def pressed() -> bool:
        robot.hold(0.0, 1, 6)
        return any(robot.estops)

    robot.spin_until(pressed, "the e-stop")


def test_the_estop_chord_stops_everything(robot):
    drive(robot)

    def stopped() -> bool:
        robot.hold(1.0, 4, 1, 6)
        robot.navigation.publish(type_of_navigation(robot, 0.5))
        return any(robot.estops) and robot.modes == ["damping"] and robot.speed() == 0.0

    robot.spin_until(stopped, "the e-stop")
    robot.spin_until(lambda: robot.source == "estop", "the source")


def test_a_bridge_that_was_started_anew_is_told_of_the_estop_again(robot):
    drive(robot)
    press_estop(robot)
    quiet = [len(robot.estops), time.monotonic()]

    def heard() -> bool:
        robot.report(reset_required=True, received=5000)
        if len(robot.estops) != quiet[0]:
            quiet[:] = len(robot.estops), time.monotonic()
        return time.monotonic() - quiet[1] > 0.5

    robot.spin_until(heard, "the end of the repetitions")

    def told() -> bool:
        robot.report(reset_required=False, received=300)
        return len(robot.estops) > quiet[0]

    robot.spin_until(told, "the e-stop once more")
    assert robot.source == "estop"


def test_the_reset_chord_ends_an_estop(robot):
    drive(robot)
    press_estop(robot)
    robot.report(reset_required=True)
    robot.spin_until(lambda: robot.source == "estop", "the source")

    def reset() -> bool:
        # Pressed anew now and then: the node may not have found the service yet.
        robot.hold(0.0, *((6, 7) if now_and_then(0.4, for_s=0.2) else ()))
        return robot.resets > 0

    robot.spin_until(reset, "the reset")

    def released() -> bool:
        robot.report(reset_required=False)
        robot.hold(0.0)
        return robot.source == "none"

    robot.spin_until(released, "the end of the e-stop")
    drive(robot)


def test_navigation_drives_until_it_falls_silent(robot):
    def driving() -> bool:
        robot.navigation.publish(type_of_navigation(robot, 0.5))
        return robot.speed() == pytest.approx(0.5) and robot.source == "navigation"

    robot.spin_until(driving, "navigation")
    robot.assert_stops(time.monotonic())


def type_of_navigation(robot: Robot, speed: float) -> Twist | TwistStamped:
    message = robot.navigation.msg_type()
    twist = message.twist if isinstance(message, TwistStamped) else message
    twist.linear.x = speed
    return message


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("rate_hz:=0.0", "parameter rate_hz is 0.0; allowed: "),
        ("rate_hz:=fast", "rate_hz"),
        ("device_:=x", "unknown parameter device_; known are: "),
    ],
)
@pytest.mark.parametrize("name", ["teleop", "gamepad"])
def test_a_wrong_parameter_is_one_line_and_exit_code_1(name, parameter, words):
    stay_local()
    done = subprocess.run(
        [
            *ENDS_WITH_US,
            *(sys.executable, "-m", f"aliengo_teleop.{name}_node"),
            *("--ros-args", "-p", parameter),
        ],
        env=os.environ | {"ROS_DOMAIN_ID": str(DOMAIN)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith(f"{name}: ")]
    assert len(said) == 1, done.stderr
    assert words in said[0]
    assert "Traceback" not in done.stderr


GAMEPAD = """
from types import SimpleNamespace
from aliengo_teleop import gamepad, gamepad_node
device = SimpleNamespace(name="pad", path="nowhere", read=list)
gamepad_node.open_gamepad = lambda path: (device, gamepad.GamepadState({}, []))
gamepad_node.main()
"""


def test_the_gamepad_node_ends_quietly_on_sigterm():
    stay_local()
    node = subprocess.Popen(
        [*ENDS_WITH_US, sys.executable, "-c", GAMEPAD],
        env=os.environ | {"ROS_DOMAIN_ID": str(DOMAIN)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        lines = []
        assert node.stderr is not None
        for line in node.stderr:
            lines.append(line)
            if "reading pad" in line:
                node.send_signal(signal.SIGTERM)
        assert node.wait(DEADLINE_S) == 0, "".join(lines)
        assert "Traceback" not in "".join(lines)
    finally:
        node.kill()
        node.wait()
