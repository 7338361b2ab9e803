"""The node as a process of its own: topics, services, parameters, UDP, and how it ends."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aliengo_bridge.protocol import damping_command, decode_low_state, encode_low_command
from aliengo_description.middleware import stay_local

rclpy = pytest.importorskip("rclpy")

from geometry_msgs.msg import Vector3  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

pytestmark = pytest.mark.integration

DEADLINE_S = 60.0
DOMAINS = itertools.count(60 + os.getpid() % 38)  # one for each twin: they must not meet
# Before a command: its process gets SIGTERM when the test run is killed, that is, when the thread
# that started it ends. Start from the main thread.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM", "--")
COMMAND = encode_low_command(damping_command(3.0))


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(*parameters: str, domain: int = 0) -> subprocess.Popen[str]:
    stay_local()
    arguments = [item for parameter in parameters for item in ("-p", parameter)]
    return subprocess.Popen(
        [*ENDS_WITH_US, sys.executable, "-m", "aliengo_sim.sim_node", "--ros-args", *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class Observer:
    """A ROS node beside the twin, and a UDP peer of it."""

    def __init__(self, port: int, context: Context) -> None:
        self.node = Node("observer", context=context)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.odometry: list[Odometry] = []
        self.joints: list[JointState] = []
        self.node.create_subscription(
            Odometry, "ground_truth/odom", lambda m: self.odometry.append(m), 10
        )
        self.node.create_subscription(
            JointState, "ground_truth/joint_states", lambda m: self.joints.append(m), 10
        )
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)

    def until(self, what: str, condition: Callable[[], Any], command: bytes = COMMAND) -> None:
        """Send commands and serve callbacks until the condition holds."""
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, f"no {what} within {DEADLINE_S} s"
            with contextlib.suppress(ConnectionRefusedError):  # the twin does not listen yet
                self.socket.send(command)
            self.executor.spin_once(timeout_sec=0.01)

    def states(self) -> list[bytes]:
        answers = []
        while True:
            try:
                answers.append(self.socket.recv(2000))
            except (BlockingIOError, ConnectionRefusedError):
                return answers

    def call(self, service: str, kind: type, request: Any) -> Any:
        client = self.node.create_client(kind, service)
        self.until(f"service {service}", client.service_is_ready)
        future = client.call_async(request)
        self.until(f"answer of {service}", future.done)
        return future.result()

    def set_parameter(self, name: str, value: Any) -> Any:
        parameter = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        return self.call("sim/set_parameters", SetParameters, request).results[0]


@contextlib.contextmanager
def twin_and_observer(*parameters: str) -> Iterator[tuple[subprocess.Popen[str], Observer]]:
    """Start a twin and watch it until its first ground truth."""
    port, domain, context = free_port(), next(DOMAINS), Context()
    process = start(f"port:={port}", *parameters, domain=domain)
    rclpy.init(context=context, domain_id=domain)
    observer = Observer(port, context)
    try:
        observer.until("ground truth", lambda: observer.odometry and observer.joints)
        yield process, observer
    finally:
        process.kill()
        process.communicate()
        observer.socket.close()
        observer.executor.shutdown()
        observer.node.destroy_node()
        rclpy.shutdown(context=context)


@pytest.fixture(scope="module")
def shared() -> Iterator[Observer]:
    with twin_and_observer() as (_, observer):
        yield observer


@pytest.fixture
def observer(shared: Observer) -> Observer:
    """An observer of the shared twin, which lies at its start again."""
    shared.states()
    assert shared.call("sim/reset", Trigger, Trigger.Request()).success
    return shared


def test_publishes_the_truth_and_answers_on_udp(observer: Observer) -> None:
    odometry, joints = observer.odometry[-1], observer.joints[-1]
    assert (odometry.header.frame_id, odometry.child_frame_id) == ("odom", "base_link")
    assert odometry.pose.pose.position.z == pytest.approx(0.056, abs=0.01)
    assert odometry.pose.pose.orientation.w == pytest.approx(1.0, abs=1e-3)
    assert joints.name[0] == "FL_hip_joint"
    observer.until("state", lambda: (found := observer.states()) and len(found[-1]) == 771)
    observer.until("second state", lambda: (found := observer.states()) and check(found[-1]))


def test_a_prefix_keeps_the_frames_of_several_robots_apart() -> None:
    with twin_and_observer("frame_prefix:=a/") as (_, observer):
        odometry = observer.odometry[-1]
    assert (odometry.header.frame_id, odometry.child_frame_id) == ("a/odom", "a/base_link")


def check(datagram: bytes) -> bool:
    state = decode_low_state(datagram)
    assert state.accelerometer[2] == pytest.approx(9.81, abs=0.5)
    return True


def test_a_push_moves_it_and_a_reset_brings_it_back(observer: Observer) -> None:
    publisher = observer.node.create_publisher(Vector3, "sim/push", 1)
    observer.until("subscription to sim/push", lambda: publisher.get_subscription_count())
    publisher.publish(Vector3(x=0.0, y=120.0, z=100.0))

    def distance() -> float:
        place = observer.odometry[-1].pose.pose.position
        return math.hypot(place.x, place.y)

    observer.until("movement after the push", lambda: distance() > 0.3)
    assert observer.call("sim/reset", Trigger, Trigger.Request()).success
    observer.until("return after the reset", lambda: distance() < 0.05)


def test_faults_can_be_changed_while_it_runs(observer: Observer) -> None:
    observer.until("a state", observer.states)
    assert observer.set_parameter("fault.silence", True).successful
    for _ in range(2):  # what was on its way when the silence began comes out first
        last = observer.states()
        count = len(observer.odometry) + 20
        observer.until("truth, later", lambda count=count: len(observer.odometry) > count)
    assert last == []
    assert observer.states() == []
    assert observer.set_parameter("fault.silence", False).successful
    observer.until("states again", observer.states)


def test_a_bad_fault_is_refused_with_its_reason(observer: Observer) -> None:
    result = observer.set_parameter("fault.hot_motor", "FL_elbow")
    assert not result.successful
    assert "FL_elbow" in result.reason
    assert not observer.set_parameter("fault.loss", 1.5).successful
    assert not observer.set_parameter("port", 8007).successful


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_ends_cleanly_on_a_signal(stop: signal.Signals) -> None:
    with twin_and_observer() as (process, _):
        process.send_signal(stop)
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("start_pose:=flying", "start_pose is 'flying'; allowed: lying, standing"),
        ("foot_frition:=1.0", "unknown parameter foot_frition; known are: host, port"),
        ("port:=70000", "port"),
    ],
)
def test_a_bad_parameter_ends_it_with_one_clear_line(parameter: str, message: str) -> None:
    failed = start("port:=0", parameter)
    output, _ = failed.communicate(timeout=DEADLINE_S)
    assert failed.returncode == 1
    assert message in output
    assert "Traceback" not in output


def test_a_port_in_use_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        failed = start(f"port:={taken.getsockname()[1]}")
        output, _ = failed.communicate(timeout=DEADLINE_S)
    assert failed.returncode == 1
    assert re.search(r"cannot listen on 127\.0\.0\.1:\d+ \(Address already in use\)", output)


def test_a_window_without_a_display_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    command = [sys.executable, "-m", "aliengo_sim.sim_node", "--viewer"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert ended.returncode == 1
    assert "--viewer needs a display" in ended.stderr
