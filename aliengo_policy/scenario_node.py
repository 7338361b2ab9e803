"""ROS node `scenario`: a robot stands up, walks a script and sits down, and is recorded."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import rclpy
from aliengo_msgs.msg import PolicyState
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String

from aliengo_description.conventions_node import LATCHED
from aliengo_description.middleware import avoid_shared_memory
from aliengo_policy.scenario import Sample, Segment

COMMAND_PERIOD_S = 0.05
READY_DEADLINE_S = 30.0
MODE_DEADLINE_S = 15.0
REQUEST_PERIOD_S = 0.5
FRESH_S = 0.25
"""Age up to which a command of others counts as given."""


class ScenarioError(RuntimeError):
    """The walk could not go on; the message says what was waited for and what came instead."""


class Scenario:
    """Drives one robot through a script.

    Args:
        script: commands of the walk.
        namespace: of the robot's topics.
        interrupted: returns a reason to give up, or nothing; asked all the time.
        say: told about each step.
    """

    def __init__(
        self,
        script: Sequence[Segment],
        namespace: str,
        interrupted: Callable[[], str | None],
        say: Callable[[str], None],
    ) -> None:
        self._script, self._interrupted, self._say = script, interrupted, say
        self.samples: list[Sample] = []
        self._segment = -1
        self._command: tuple[float, float, float] | None = None
        self._last_heard = -math.inf
        self.state: PolicyState | None = None
        self.node = Node("scenario", namespace=namespace or "/")
        self._velocity_out = self.node.create_publisher(Twist, "cmd_vel", 1)
        self._mode_out = self.node.create_publisher(String, "mode_request", 10)
        self.node.create_subscription(PolicyState, "policy/state", self._on_state, LATCHED)
        self.node.create_subscription(Odometry, "ground_truth/odom", self._on_truth, 10)
        self.node.create_subscription(Twist, "cmd_vel", self._on_command, 1)
        # The node's own clock is the wall clock: set back, it would stop the timer.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.node.create_timer(COMMAND_PERIOD_S, self._publish_command, clock=steady)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._start_s = time.monotonic()

    def close(self) -> None:
        """Release the node."""
        self._executor.shutdown()
        self.node.destroy_node()

    def run(self) -> None:
        """Stand up, walk the script, sit down.

        Raises:
            ScenarioError: when the robot does not do as asked, in time.
        """
        self.start_walking()
        for index, segment in enumerate(self._script):
            self._segment, self._command = index, segment.velocity
            self._say(f"{segment.name}: {segment.duration_s:g} s")
            self.spin(segment.duration_s, lambda: self.mode != "walk")
            if self.mode != "walk":
                raise ScenarioError(f"{segment.name}: walking ended: {self._reason()}")
        self._segment, self._command = -1, (0.0, 0.0, 0.0)
        self.request("sit_down")
        self.wait_until("the robot lies down", lambda: self.mode == "damping", MODE_DEADLINE_S)
        if self._reason() != "sit down finished":
            raise ScenarioError(f"sitting down failed: {self._reason()}")

    def start_walking(self) -> None:
        """Wait for the graph, stand up and enter WALK on a zero command.

        Raises:
            ScenarioError: when that does not happen in time.
        """
        self.wait_until(
            "policy and robot report", lambda: bool(self.state and self.samples), READY_DEADLINE_S
        )
        self._command = (0.0, 0.0, 0.0)
        # The bridge first makes sure that it owns the robot; until then requests are refused.
        self.insist("stand_up", ("stand_up", "stand"))
        self.wait_until("the robot stands", lambda: self.mode == "stand", MODE_DEADLINE_S)
        self.insist("walk", ("walk",))

    def spin_until_interrupted(self) -> None:
        """Keep recording and leave the command to others.

        Walking ends when they are silent for a while; it is asked for again when they are not.
        """
        self.leave_command()
        last_request = -math.inf
        while self._interrupted() is None:
            self._executor.spin_once(timeout_sec=0.1)
            now = time.monotonic()
            if now - last_request > REQUEST_PERIOD_S and self._wants_to_walk_again(now):
                last_request = now
                self.request("walk")

    def _wants_to_walk_again(self, now: float) -> bool:
        # Only silence is undone by a command: whoever asked for STAND shall have it.
        silenced = self.mode == "stand" and self._reason().startswith("no command")
        return silenced and now - self._last_heard < FRESH_S

    def leave_command(self) -> None:
        """Publish no more velocity commands."""
        self._command = None

    def insist(self, mode: str, reached: Sequence[str]) -> None:
        """Repeat a request twice a second until it is granted.

        Raises:
            ScenarioError: when it is not in time.
        """
        self._say(f"requesting {mode}")
        deadline = time.monotonic() + MODE_DEADLINE_S
        while self.mode not in reached:
            if time.monotonic() > deadline:
                raise ScenarioError(f"{mode} was not granted: {self.mode}, {self._reason()}")
            self.request(mode)
            self.spin(REQUEST_PERIOD_S, lambda: self.mode in reached)

    def request(self, mode: str) -> None:
        """Ask for a mode once."""
        self._mode_out.publish(String(data=mode))

    def wait_until(self, what: str, condition: Callable[[], bool], deadline_s: float) -> None:
        """Handle messages until a condition holds.

        Raises:
            ScenarioError: when it does not in time.
        """
        self.spin(deadline_s, condition)
        if not condition():
            raise ScenarioError(
                f"not within {deadline_s:g} s: {what}; mode {self.mode}, {self._reason()}"
            )

    def spin(self, seconds: float, done: Callable[[], bool]) -> None:
        """Handle messages for a time, or until something is done.

        Raises:
            ScenarioError: when interrupted.
        """
        end = time.monotonic() + seconds
        while not done() and (left := end - time.monotonic()) > 0.0:
            reason = self._interrupted()
            if reason is not None:
                raise ScenarioError(reason)
            self._executor.spin_once(timeout_sec=min(left, 0.1))

    @property
    def mode(self) -> str:
        """Mode that the policy node reported last."""
        return self.state.mode if self.state else "unknown"

    def _reason(self) -> str:
        return self.state.reason if self.state else "no policy/state was received"

    def _on_state(self, message: PolicyState) -> None:
        self.state = message

    def _on_command(self, _: Twist) -> None:
        self._last_heard = time.monotonic()

    def _on_truth(self, message: Odometry) -> None:
        pose, twist = message.pose.pose, message.twist.twist
        x, y = pose.orientation.x, pose.orientation.y
        upright = 1.0 - 2.0 * (x * x + y * y)  # cosine of the tilt
        self.samples.append(
            Sample(
                time_s=time.monotonic() - self._start_s,
                segment=self._segment,
                command=self._command or (0.0, 0.0, 0.0),
                velocity=(twist.linear.x, twist.linear.y, twist.angular.z),
                position=(pose.position.x, pose.position.y, pose.position.z),
                tilt=math.acos(min(max(upright, -1.0), 1.0)),
            )
        )

    def _publish_command(self) -> None:
        if self._command is None:
            return
        twist = Twist()
        twist.linear.x, twist.linear.y, twist.angular.z = self._command
        self._velocity_out.publish(twist)


def open_scenario(
    script: Sequence[Segment],
    namespace: str,
    interrupted: Callable[[], str | None],
    say: Callable[[str], None],
) -> Scenario:
    """Start ROS in this process, leaving signals to the caller, and make the node."""
    if not rclpy.ok():
        avoid_shared_memory()
        rclpy.init(signal_handler_options=rclpy.SignalHandlerOptions.NO)
    return Scenario(script, namespace, interrupted, say)
