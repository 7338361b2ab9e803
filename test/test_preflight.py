"""Each preflight check passes on a healthy robot at rest and fails on the fault it is there for."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aliengo_description import robot
from aliengo_policy import preflight
from aliengo_policy import preflight_checks as checks
from aliengo_policy.preflight_checks import Observed, Result
from aliengo_policy.testing import write_linear_policy

STATES = 1000


def healthy() -> Observed:
    """Two seconds of a robot that lies still."""

    def constant(*values: float) -> np.ndarray:
        return np.tile(np.array(values), (STATES, 1))

    return Observed(
        times_s=np.arange(STATES) / 500.0,
        joint_positions=constant(*robot.LYING_JOINT_POSITIONS),
        joint_velocities=np.zeros((STATES, 12)),
        quaternions=constant(1.0, 0.0, 0.0, 0.0),
        angular_velocities=np.zeros((STATES, 3)),
        accelerations=constant(0.0, 0.0, 9.81),
        temperatures=np.full(12, 30.0),
        received=STATES,
        lost=0,
        broken=0,
        foreign=0,
        fault="",
    )


def failed(seen: Observed) -> dict[str, str]:
    return {
        result.name: result.detail for result in checks.check_robot(seen) if result.passed is False
    }


def test_a_healthy_robot_passes_every_check() -> None:
    assert failed(healthy()) == {}
    assert len(checks.check_robot(healthy())) == 1 + len(checks.ROBOT_CHECKS)


def turned(angle: float) -> np.ndarray:
    return np.tile([np.cos(angle / 2), np.sin(angle / 2), 0.0, 0.0], (STATES, 1))


SWAPPED_KINDS = robot.LYING_JOINT_POSITIONS.reshape(4, 3)[:, [1, 0, 2]].ravel()


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        ("link", {"times_s": np.zeros(0)}),
        ("link", {"fault": "estop"}),
        ("state rate", {"times_s": np.arange(STATES) / 250.0}),
        ("packet loss", {"lost": 50}),
        ("packet loss", {"broken": 1}),
        ("packet loss", {"foreign": 1}),
        ("imu gravity", {"accelerations": np.tile([0.0, 0.0, -9.81], (STATES, 1))}),
        ("imu gravity", {"accelerations": np.tile([9.81, 0.0, 0.0], (STATES, 1))}),
        ("imu gravity", {"accelerations": np.tile([0.0, 0.0, 1.0], (STATES, 1))}),
        ("imu gravity", {"quaternions": turned(0.3)}),
        ("at rest", {"angular_velocities": np.full((STATES, 3), 0.1)}),
        ("at rest", {"joint_velocities": np.full((STATES, 12), 0.5)}),
        ("joint limits", {"joint_positions": np.full((STATES, 12), 0.1)}),
        ("joint order", {"joint_positions": -np.tile(robot.LYING_JOINT_POSITIONS, (STATES, 1))}),
        ("joint order", {"joint_positions": np.tile(SWAPPED_KINDS, (STATES, 1))}),
        ("temperatures", {"temperatures": np.full(12, 75.0)}),
    ],
)
def test_a_fault_fails_its_check(check: str, changes: dict[str, object]) -> None:
    assert check in failed(replace(healthy(), **changes))


def test_a_robot_on_its_side_fails_although_its_imu_is_right() -> None:
    side = np.tile([0.0, 9.81 * np.sin(1.2), 9.81 * np.cos(1.2)], (STATES, 1))
    found = failed(replace(healthy(), quaternions=turned(1.2), accelerations=side))
    assert set(found) == {"upright"}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("state rate", {"times_s": np.arange(STATES) / 250.0}),
        ("at rest", {"joint_velocities": np.full((STATES, 12), 0.5)}),
    ],
)
def test_a_red_check_of_the_robot_makes_the_preflight_fail(
    name: str,
    changes: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = replace(healthy(), **changes)
    monkeypatch.setattr(preflight, "_check_robot", lambda *_: checks.check_robot(seen))
    monkeypatch.setattr(preflight, "check_machine", lambda *_: [])
    assert preflight.main(["--attach"]) == 1
    assert f"not ready: {name}" in capsys.readouterr().out


def test_a_preflight_without_a_red_check_is_ready(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preflight, "_check_robot", lambda *_: checks.check_robot(healthy()))
    monkeypatch.setattr(preflight, "check_machine", lambda *_: [Result("clock", None, "?")])
    assert preflight.main(["--attach"]) == 0
    assert capsys.readouterr().out.endswith("\nready\n")


def test_a_cable_that_is_pulled_while_a_leg_is_moved_fails_that_leg() -> None:
    silent = replace(healthy(), joint_positions=np.zeros((0, 12)))
    result = preflight._check_leg(lambda _: silent, healthy(), "FL")
    assert result.passed is False
    assert "no state" in result.detail


@pytest.mark.integration
def test_packets_count_from_the_start_of_listening() -> None:
    rclpy = pytest.importorskip("rclpy", reason="needs ROS 2")
    from aliengo_msgs.msg import BridgeState
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from unitree_legged_msgs.msg import LowState

    from aliengo_policy.preflight_node import Listener

    listener, node = Listener(""), rclpy.create_node("robot")
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    reports = node.create_publisher(BridgeState, "bridge/state", latched)
    states = node.create_publisher(LowState, "low_state", 10)
    try:
        before = BridgeState(received=90_000, lost=800, crc_errors=3, length_errors=1)
        before.foreign_packets = 7
        reports.publish(before)
        end = time.monotonic() + 20.0
        while states.get_subscription_count() < 1 and time.monotonic() < end:
            time.sleep(0.01)
        states.publish(LowState())
        listener.wait(20.0, lambda: False)
        after = BridgeState(received=91_000, lost=802, crc_errors=3, length_errors=2)
        after.foreign_packets = 7
        reports.publish(after)  # nobody takes it before the listening has begun
        seen = listener.listen(2.0)
    finally:
        listener.close()
        node.destroy_node()
        rclpy.try_shutdown()
    assert (seen.received, seen.lost, seen.broken, seen.foreign) == (1000, 2, 1, 0)


def test_without_a_link_nothing_else_is_judged() -> None:
    assert len(checks.check_robot(replace(healthy(), times_s=np.zeros(0)))) == 1


def test_the_joint_that_a_person_moved_is_found_with_its_direction() -> None:
    rest = robot.LYING_JOINT_POSITIONS
    moved = np.tile(rest, (100, 1))
    moved[30:60, 5] += np.linspace(0.0, 0.6, 30)
    moved[:, 4] -= 0.1
    assert checks.moved_joint(rest, moved) == (5, pytest.approx(0.6))
    assert checks.moved_joint(rest, np.tile(rest, (100, 1))) is None


def test_machine_checks_read_what_the_system_says(tmp_path: Path) -> None:
    for name, content in (("cpu0", "performance\n"), ("cpu1", "powersave\n")):
        (tmp_path / name / "cpufreq").mkdir(parents=True)
        (tmp_path / name / "cpufreq" / "scaling_governor").write_text(content)
    result = checks.check_governor(tmp_path)
    assert result.passed is False
    assert "performance, powersave" in result.detail
    assert checks.check_governor(tmp_path / "none").passed is None

    (tmp_path / "meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable: 102400 kB\n")
    result = checks.check_memory(tmp_path / "meminfo")
    assert result.passed is False
    assert result.detail.startswith("100 MB")
    assert checks.check_clock(0.0).passed is False
    assert checks.check_clock(1.8e9).passed is True


def test_the_model_check_reports_the_contracts_complaint(tmp_path: Path) -> None:
    assert checks.check_model(write_linear_policy(tmp_path / "good.onnx")).passed
    result = checks.check_model(tmp_path / "absent.onnx")
    assert result.passed is False
    assert "no file" in result.detail


def test_the_list_is_readable_without_colour() -> None:
    results = [
        Result("link", True, "fine"),
        Result("clock", None, "?"),
        Result("disk", False, "full"),
    ]
    lines = checks.format_results(results, colour=False).splitlines()
    assert [line.split()[0] for line in lines] == ["ok", "skip", "FAIL"]
    assert "\033[31m" in checks.format_results(results, colour=True)


@pytest.mark.integration
def test_the_preflight_of_a_lying_twin_is_green(
    tmp_path: Path, twin: Callable[..., int], free_port: Callable[[], int]
) -> None:
    policy = write_linear_policy(tmp_path / "zero.onnx")
    line = [
        sys.executable, "-m", "aliengo_policy.preflight", "--robot-address", "127.0.0.1",
        "--robot-port", str(twin()), "--local-port", str(free_port()),
        "--policy", str(policy), "--seconds", "2",
    ]  # fmt: skip
    result = subprocess.run(line, capture_output=True, text=True, timeout=90, check=False)
    lines = [line for line in result.stdout.splitlines() if line[:4] in ("ok  ", "FAIL", "skip")]
    marks = {line[5:18].strip(): line[:4].strip() for line in lines}
    # The rate and the machine's own state depend on the machine that runs the test; whatever
    # they are, the exit code must agree with the list.
    for name in ("link", "imu gravity", "upright", "joint limits", "joint order", "model"):
        assert marks.get(name) == "ok", result.stdout + result.stderr
    assert result.returncode == (1 if "FAIL" in marks.values() else 0)
