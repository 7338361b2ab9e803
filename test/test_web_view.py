"""The live view in a real browser, served by the real node: what is shown and what is commanded."""

import os
import re
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from browser import Browser, find_chromium, wait_for
from processes import ENDS_WITH_US

rclpy = pytest.importorskip("rclpy", reason="the live view needs ROS 2")
pytest.importorskip("aliengo_msgs.msg", reason="the messages are not built")
pytest.importorskip("viser", reason="the live view needs viser")

from aliengo_msgs.msg import BridgeState, PolicyState  # noqa: E402
from geometry_msgs.msg import Twist  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import Bool, String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from aliengo_description import robot  # noqa: E402

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to look at the page"),
]
DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Graph:
    """The rest of the robot, as the page sees it."""

    def __init__(self):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=DOMAIN)
        self._node = node = rclpy.create_node("robot", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        self.modes: list[str] = []
        self.policies: list[str] = []
        self.estops: list[bool] = []
        self.commands: list[Twist] = []
        self.obstacle = ""
        node.create_subscription(String, "mode_request", lambda m: self.modes.append(m.data), 10)
        node.create_subscription(
            String, "policy_request", lambda m: self.policies.append(m.data), 10
        )
        node.create_subscription(Bool, "estop", lambda m: self.estops.append(m.data), 10)
        node.create_subscription(Twist, "cmd_vel_web", self.commands.append, 10)
        node.create_service(Trigger, "bridge/reset_fault", self._on_reset)
        self._joints = node.create_publisher(JointState, "joint_states", qos_profile_sensor_data)
        self._policy = node.create_publisher(PolicyState, "policy/state", LATCHED)
        self._bridge = node.create_publisher(BridgeState, "bridge/state", LATCHED)
        self.positions = np.array(robot.STAND_JOINT_POSITIONS)

    def _on_reset(self, _, response):
        response.success, response.message = not self.obstacle, self.obstacle or "no fault is left"
        return response

    def spin(self, seconds=0.05):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = JointState(name=list(robot.JOINT_NAMES), position=self.positions.tolist())
            self._joints.publish(message)
            self._executor.spin_once(timeout_sec=0.01)

    def wait_for(self, condition, what):
        wait_for(lambda: self.spin() or condition(), what)

    def report(self, mode, fault=""):
        self._policy.publish(
            PolicyState(mode=mode, policy="base", available_policies=["base", "residual"])
        )
        self._bridge.publish(BridgeState(state="running", fault=fault, fault_detail="1.1 rad"))

    def close(self):
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    node = subprocess.Popen(
        [
            *ENDS_WITH_US,
            sys.executable,
            "-m",
            "aliengo_policy.web.web_node",
            "--ros-args",
            "-p",
            f"port:={port}",
            "-p",
            "rate_hz:=5.0",
        ],
        env=os.environ | {"ROS_DOMAIN_ID": str(DOMAIN)},
    )
    url = f"http://127.0.0.1:{port}"

    def serving():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    graph, browser = Graph(), None
    try:
        wait_for(serving, "the server")
        browser = Browser(CHROMIUM, url, tmp_path_factory.mktemp("profile"))
        browser.wait_for_text("HOLD TO DRIVE")
        yield graph, browser
    finally:
        if browser is not None:
            browser.close()
        node.terminate()
        node.wait(20)
        graph.close()


def test_state_and_faults_are_shown(page):
    graph, browser = page
    graph.report("walk", fault="tilt")
    graph.wait_for(lambda: "FAULT: tilt: 1.1 rad" in browser.text(), "the fault")
    assert re.search(r"mode\s+walk \(base\)", browser.text())
    graph.report("stand")
    graph.wait_for(lambda: "no fault" in browser.text(), "the end of the fault")


def test_a_silent_robot_is_said_to_be_silent(page):
    graph, browser = page
    graph.report("stand")
    graph.wait_for(lambda: "running" in browser.text(), "the state of the bridge")
    browser.wait_for_text("no state from the robot")


@pytest.mark.parametrize(
    ("label", "mode"),
    [
        ("Stand up", "stand_up"),
        ("Walk", "walk"),
        ("Sit down", "sit_down"),
        ("Damping", "damping"),
    ],
)
def test_buttons_request_modes(page, label, mode):
    graph, browser = page
    graph.modes.clear()
    browser.click(label)
    graph.wait_for(lambda: graph.modes, f"the request of {mode}")
    assert graph.modes == [mode]


def test_the_estop_button_stops(page):
    graph, browser = page
    graph.modes.clear()
    browser.click("E-STOP")
    graph.wait_for(lambda: graph.estops and graph.modes, "the e-stop")
    assert graph.estops[-1] is True
    assert graph.modes == ["damping"]


def test_the_answer_to_a_reset_is_shown(page):
    graph, browser = page
    graph.obstacle = "the robot moves"
    browser.click("Reset the fault")
    graph.wait_for(lambda: "REFUSED: the robot moves" in browser.text(), "the refusal")
    graph.obstacle = ""
    browser.click("Reset the fault")
    graph.wait_for(lambda: "done: no fault is left" in browser.text(), "the success")
    graph.report("damping", fault="estop")
    graph.wait_for(lambda: "no fault is left" not in browser.text(), "the new fault")
    graph.report("damping")


def test_the_stick_drives_only_while_its_button_is_held(page):
    graph, browser = page
    graph.spin(0.5)
    assert graph.commands == []
    place = browser.press("HOLD TO DRIVE")
    graph.wait_for(lambda: len(graph.commands) > 5, "the commands")
    browser.release(place)

    def silent():
        given = len(graph.commands)
        graph.spin(1.0)
        return len(graph.commands) == given

    graph.wait_for(silent, "the end of the commands")


def test_the_robot_on_the_page_moves(page):
    graph, browser = page
    graph.spin(1.0)
    before = browser.scene()
    graph.spin(0.5)
    still = (np.abs(browser.scene() - before).max(axis=2) > 40).sum()
    graph.positions = np.array(robot.LYING_JOINT_POSITIONS)

    def moved():
        return (np.abs(browser.scene() - before).max(axis=2) > 40).sum() > 500 + 3 * still

    graph.wait_for(moved, "a change in the picture")


def test_the_page_cannot_be_talked_into_another_server(page):
    _, browser = page
    browser.evaluate(
        "window.blocked = [];"
        "document.addEventListener('securitypolicyviolation',"
        "    event => window.blocked.push(event.effectiveDirective + ' ' + event.blockedURI));"
        "try { new WebSocket('ws://127.0.0.1:1/') } catch (error) {}"
    )
    blocked = wait_for(lambda: browser.evaluate("window.blocked.join()"), "the refusal")
    assert blocked.startswith("connect-src ws://127.0.0.1:1")


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("rate_hz:=0.0", "rate_hz"),
        ("hosts:=x", "unknown parameter hosts; known are: host, "),
        ("host:=192.0.2.1", "host is '192.0.2.1', on which this machine cannot listen"),
    ],
)
def test_a_wrong_parameter_is_one_line_and_exit_code_1(parameter, words):
    done = subprocess.run(
        [
            *ENDS_WITH_US,
            *(sys.executable, "-m", "aliengo_policy.web.web_node"),
            *("--ros-args", "-p", parameter),
        ],
        env=os.environ | {"ROS_DOMAIN_ID": str(DOMAIN)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("web: ")]
    assert len(said) == 1, done.stderr
    assert words in said[0]
    assert "Traceback" not in done.stderr
