"""The real processes: twin, bridge and policy, over UDP, DDS and onnxruntime."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2; `make test` sets it up")
from aliengo_msgs.msg import PolicyStep
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from processes import ENDS_WITH_US, alive, descendants, free_port
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import String
from unitree_legged_msgs.msg import LowCmd

from aliengo_policy.graph import GraphSettings, sim_graph
from aliengo_policy.parameters import resolve_policy
from aliengo_policy.paths import shared_folder
from aliengo_policy.process_group import ProcessGroup
from aliengo_policy.scenario import Segment, judge
from aliengo_policy.scenario_node import Scenario, open_scenario
from aliengo_policy.testing import write_linear_policy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
BASE = resolve_policy("base", shared_folder("models"))
STANDING_HEIGHT = 0.3
LYING_HEIGHT = 0.15
UPRIGHT_TILT = 0.5


Start = Callable[..., Scenario]


@pytest.fixture
def lines() -> list[str]:
    """What the processes of the graph say."""
    return []


@pytest.fixture
def start(lines: list[str]) -> Iterator[Start]:
    """Starts a graph of its own and gives the scenario that drives it."""
    opened: list[tuple[ProcessGroup, Scenario]] = []

    def begin(
        policy: Path,
        script: tuple[Segment, ...] = (),
        enough: Callable[[], bool] = lambda: False,
        **values: object,
    ) -> Scenario:
        settings = GraphSettings(
            policy=str(policy), robot_port=free_port(), local_port=free_port(), **values
        )
        group = ProcessGroup(sim_graph(settings), settings.namespace, write=lines.append)

        def interrupted() -> str | None:
            ending = group.poll()
            return ending.reason if ending else "enough" if enough() else None

        group.start()
        scenario = open_scenario(script, settings.namespace, interrupted, lines.append)
        opened.append((group, scenario))
        return scenario

    yield begin
    for group, scenario in opened:
        group.stop()
        scenario.close()
    print("\n".join(lines))


def height(scenario: Scenario) -> float:
    return scenario.samples[-1].position[2]


def test_the_robot_stands_up_and_lies_down_again(start: Start, tmp_path: Path) -> None:
    script = (Segment("stand", (0.0, 0.0, 0.0), 3.0),)
    scenario = start(write_linear_policy(tmp_path / "zero.onnx"), script, namespace="robot1")
    scenario.run()
    verdict = judge(scenario.samples, script, [])
    assert verdict.problems == ()
    inside = [sample for sample in scenario.samples if sample.segment == 0]
    assert min(sample.position[2] for sample in inside) > STANDING_HEIGHT
    scenario.wait_until("it lies", lambda: height(scenario) < LYING_HEIGHT, 5.0)


FRAMES = {
    ("imu/data", Imu): ("imu_link",),
    ("joint_states", JointState): ("base_link",),
    ("odom", Odometry): ("odom", "base_link"),
    ("ground_truth/odom", Odometry): ("odom", "base_link"),
}


@pytest.mark.parametrize(("namespace", "prefix"), [("", ""), ("robot1", "robot1/")])
def test_every_frame_has_the_namespace_before_it(
    start: Start, tmp_path: Path, namespace: str, prefix: str
) -> None:
    scenario = start(write_linear_policy(tmp_path / "zero.onnx"), namespace=namespace)
    heard: dict[str, tuple[str, ...]] = {}
    for topic, kind in FRAMES:

        def note(message: Any, topic: str = topic) -> None:
            child = getattr(message, "child_frame_id", "")
            heard[topic] = (message.header.frame_id, *([child] if child else []))

        scenario.node.create_subscription(kind, topic, note, qos_profile_sensor_data)
    scenario.wait_until("all frames are heard", lambda: len(heard) == len(FRAMES), 30.0)
    expected = {topic: tuple(prefix + frame for frame in FRAMES[topic, k]) for topic, k in FRAMES}
    assert heard == expected


def test_the_robot_walks_one_metre_forward(start: Start) -> None:
    script = (Segment("forward", (0.6, 0.0, 0.0), 5.0, 0.2),)
    scenario = start(BASE, script)
    scenario.run()
    verdict = judge(scenario.samples, script, [])
    assert verdict.problems == ()
    track = np.array([sample.position for sample in scenario.samples if sample.segment == 0])
    assert np.linalg.norm(track[-1, :2] - track[0, :2]) > 1.0


def test_the_policy_is_switched_while_standing(
    start: Start, lines: list[str], tmp_path: Path
) -> None:
    first = write_linear_policy(tmp_path / "first.onnx")
    write_linear_policy(tmp_path / "second.onnx", residual=np.zeros((45, 12)))
    (tmp_path / "broken.onnx").write_text("not a model")
    scenario = start(first)
    scenario.start_walking()
    assert scenario.state is not None
    assert list(scenario.state.available_policies) == ["first", "second"]
    requests = scenario.node.create_publisher(String, "policy_request", 10)

    def select_second() -> bool:
        requests.publish(String(data="second"))
        return scenario.state is not None and scenario.state.policy == "second"

    def refused() -> bool:
        assert not select_second(), "switched while walking"
        return any("policy 'second' refused: the robot walks" in line for line in lines)

    scenario.wait_until("it is heard", lambda: requests.get_subscription_count() > 0, 10.0)
    scenario.wait_until("the refusal", refused, 10.0)
    scenario.request("stand")
    scenario.wait_until("it stands", lambda: scenario.mode == "stand", 10.0)
    scenario.wait_until("the policy is switched", select_second, 5.0)
    scenario.insist("walk", ("walk",))
    scenario.wait_until("the residual may act", lambda: scenario.state.residual_active, 5.0)
    assert height(scenario) > STANDING_HEIGHT


def test_in_shadow_mode_everything_runs_and_nothing_moves(start: Start, tmp_path: Path) -> None:
    scenario = start(write_linear_policy(tmp_path / "zero.onnx"), shadow=True)
    steps: list[PolicyStep] = []
    withheld: list[LowCmd] = []
    scenario.node.create_subscription(PolicyStep, "policy/step", steps.append, 50)
    scenario.node.create_subscription(LowCmd, "bridge/withheld_cmd", withheld.append, 10)
    scenario.insist("stand_up", ("stand_up", "stand"))
    scenario.wait_until("it would stand", lambda: scenario.mode == "stand", 15.0)
    scenario.wait_until("commands are shown", lambda: len(withheld) > 10, 5.0)
    assert scenario.state is not None
    assert scenario.state.shadow
    assert max(sample.position[2] for sample in scenario.samples) < LYING_HEIGHT
    # Messages of other topics may have come before these.
    scenario.wait_until(
        "a target comes near the stand", lambda: any(s.joint_targets[2] > -1.6 for s in steps), 10.0
    )


def test_a_command_after_a_silence_makes_it_walk_again(start: Start, tmp_path: Path) -> None:
    """What `--interactive` promises: publish a velocity, at any time."""
    enough: list[Callable[[], bool]] = [lambda: False]
    scenario = start(write_linear_policy(tmp_path / "zero.onnx"), enough=lambda: enough[-1]())
    scenario.start_walking()
    scenario.leave_command()
    scenario.wait_until("it stands", lambda: scenario.mode == "stand", 15.0)
    commands = scenario.node.create_publisher(Twist, "cmd_vel", 1)
    given = 0

    def command() -> None:
        nonlocal given
        given += 1
        commands.publish(Twist())

    scenario.node.create_timer(0.05, command)
    enough.append(lambda: scenario.mode == "walk" or given > 400)
    scenario.spin_until_interrupted()
    assert scenario.mode == "walk"
    enough.append(lambda: False)
    scenario.request("stand")
    scenario.wait_until("it stands again", lambda: scenario.mode == "stand", 15.0)
    given = 0
    enough.append(lambda: given > 40)
    scenario.spin_until_interrupted()
    assert scenario.mode == "stand", "whoever asks for STAND gets it, whatever is commanded"


Twin = Callable[[], int]


def bringup(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*ENDS_WITH_US, sys.executable, "-m", "aliengo_policy.bringup", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # Tests that run under nohup hand down that they ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )


def test_a_port_in_use_ends_the_bringup_with_its_number(tmp_path: Path) -> None:
    policy = write_linear_policy(tmp_path / "zero.onnx")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        process = bringup(
            "sim",
            "--policy",
            str(policy),
            "--robot-port",
            str(port),
            "--local-port",
            str(free_port()),
        )
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert re.search(rf"problem: sim ended with \d+: .*{port}", output), output
    assert "Traceback" not in output


def test_a_missing_model_ends_the_bringup_at_once() -> None:
    process = bringup("sim", "--policy", "nonexistent")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no file" in output
    assert "nonexistent.onnx" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupt_ends_all_processes_in_order(tmp_path: Path, number: signal.Signals) -> None:
    policy = write_linear_policy(tmp_path / "zero.onnx")
    ports = ["--robot-port", str(free_port()), "--local-port", str(free_port())]
    process = bringup("sim", "--interactive", "--policy", str(policy), *ports)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "publish a velocity on cmd_vel" in line:
            process.send_signal(number)
    assert process.wait(30) == 0, "".join(lines)
    assert any(number.name in line for line in lines)


def test_a_killed_bringup_takes_its_processes_along_and_the_robot_goes_down(
    twin: Twin, tmp_path: Path
) -> None:
    policy = write_linear_policy(tmp_path / "zero.onnx")
    process = bringup(
        *("real", "--robot-address", "127.0.0.1", "--robot-port", str(twin())),
        *("--local-port", str(free_port()), "--policy", str(policy)),
    )
    scenario = open_scenario((), "", lambda: None, print)
    try:
        scenario.start_walking()
        scenario.wait_until("it is up", lambda: height(scenario) > STANDING_HEIGHT, 5.0)
        started = descendants(process.pid)
        for module in ("bridge_node", "control_process", "policy_node", "odometry_node"):
            assert any(module in line for line in started.values()), f"no {module} in {started}"
        process.kill()
        scenario.wait_until(
            "all its processes end", lambda: not any(alive(pid) for pid in started), 20.0
        )
        scenario.wait_until("it lies", lambda: height(scenario) < LYING_HEIGHT, 5.0)
        # Damped or limp, it ends up on its belly; a leg that is still driven tips it over.
        assert scenario.samples[-1].tilt < UPRIGHT_TILT
    finally:
        process.kill()
        process.communicate()
        scenario.close()
