"""What must be true before a robot is allowed to stand up; each check explains itself."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aliengo_description import robot
from aliengo_policy.contract import ContractError
from aliengo_policy.observation import RobotState
from aliengo_policy.pacing import STATE_RATE_HZ
from aliengo_policy.runtime import PolicyRuntime

GRAVITY = 9.81
# A pose of the motors lying prone, by hand or by the vendor's remote, is only roughly known.
_POSE_TOLERANCE = 0.8
# Folded legs lie on their mechanical stops, which give a little.
_STOP_TOLERANCE = 0.1
_OLDEST_CLOCK_S = 1_735_689_600.0  # 2025-01-01; an unset clock starts earlier


@dataclass(frozen=True)
class Result:
    """Outcome of one check; ``passed`` None means that it could not be made here."""

    name: str
    passed: bool | None
    detail: str


@dataclass(frozen=True)
class Observed:
    """A few seconds of a robot at rest, in policy order.

    Attributes:
        times_s: (n,) arrival times of the states.
        joint_positions: (n, 12) [rad].
        joint_velocities: (n, 12) [rad/s].
        quaternions: (n, 4) wxyz.
        angular_velocities: (n, 3) [rad/s].
        accelerations: (n, 3) specific force, +9.81 on z when upright [m/s^2].
        temperatures: (12,) of the motors, at the end [deg C].
        received: states that the bridge took.
        lost: states that are missing in the robot's clock.
        broken: datagrams with a wrong length or checksum.
        foreign: datagrams from other senders.
        fault: what the bridge has latched, or an empty string.
    """

    times_s: np.ndarray
    joint_positions: np.ndarray
    joint_velocities: np.ndarray
    quaternions: np.ndarray
    angular_velocities: np.ndarray
    accelerations: np.ndarray
    temperatures: np.ndarray
    received: int
    lost: int
    broken: int
    foreign: int
    fault: str


def check_link(seen: Observed) -> Result:
    """States arrive and the bridge has no fault."""
    if len(seen.times_s) < 2:
        return Result("link", False, "no state from the robot: is it on, and is the address right?")
    if seen.fault:
        return Result("link", False, f"the bridge reports {seen.fault}")
    return Result("link", True, f"{len(seen.times_s)} states")


def check_rate(seen: Observed) -> Result:
    """States arrive at the robot's rate."""
    rate = (len(seen.times_s) - 1) / (seen.times_s[-1] - seen.times_s[0])
    low, high = 0.8 * STATE_RATE_HZ, 1.2 * STATE_RATE_HZ
    detail = f"{rate:.0f} per second (allowed {low:.0f} to {high:.0f})"
    return Result("state rate", bool(low <= rate <= high), detail)


def check_loss(seen: Observed) -> Result:
    """Hardly any state gets lost or arrives broken, and nobody else talks to us."""
    share = seen.lost / max(seen.received + seen.lost, 1)
    passed = share <= 0.01 and seen.broken == 0 and seen.foreign == 0
    detail = f"lost {share:.1%} (allowed 1 %), {seen.broken} broken, {seen.foreign} foreign"
    return Result("packet loss", passed, detail)


def check_gravity(seen: Observed) -> Result:
    """The accelerometer measures one g, upwards as the orientation says: axes and signs agree."""
    force = seen.accelerations.mean(axis=0)
    size = float(np.linalg.norm(force))
    state = RobotState(np.zeros(12), np.zeros(12), seen.quaternions[-1], np.zeros(3))
    up = -state.gravity_b()
    angle = math.degrees(math.acos(float(np.clip(force @ up / max(size, 1e-9), -1.0, 1.0))))
    passed = abs(size - GRAVITY) <= 0.5 and angle <= 5.0
    detail = f"{size:.2f} m/s^2, {angle:.1f} deg off the orientation's vertical (allowed 5)"
    return Result("imu gravity", passed, detail)


def check_stillness(seen: Observed) -> Result:
    """Gyroscope and joints read zero on a robot at rest."""
    turn = float(np.abs(seen.angular_velocities.mean(axis=0)).max())
    speed = np.abs(seen.joint_velocities.mean(axis=0))
    worst = int(speed.argmax())
    passed = bool(turn <= 0.05 and speed[worst] <= 0.2)
    name = robot.JOINT_NAMES[worst]
    detail = f"gyroscope {turn:.3f} rad/s (allowed 0.05), {name} {speed[worst]:.2f} (allowed 0.2)"
    return Result("at rest", passed, detail)


def check_upright(seen: Observed) -> Result:
    """The robot does not lie on its side."""
    tilt = RobotState(np.zeros(12), np.zeros(12), seen.quaternions[-1], np.zeros(3)).tilt()
    return Result("upright", tilt <= 0.6, f"tilted by {math.degrees(tilt):.0f} deg (allowed 34)")


def check_limits(seen: Observed) -> Result:
    """Every joint is inside its limits."""
    positions = seen.joint_positions[-1]
    outside = [
        f"{name} {positions[index]:.2f} ({low:.2f} to {high:.2f})"
        for index, (name, low, high) in enumerate(
            zip(robot.JOINT_NAMES, robot.JOINT_LOWER, robot.JOINT_UPPER, strict=True)
        )
        if not low - _STOP_TOLERANCE <= positions[index] <= high + _STOP_TOLERANCE
    ]
    return Result("joint limits", not outside, "; ".join(outside) or "all 12 inside")


def check_lying_pose(seen: Observed) -> Result:
    """The joints read as those of a robot on folded legs: signs and order within a leg.

    Whether legs are swapped shows only when one is moved.
    """
    errors = np.abs(seen.joint_positions.mean(axis=0) - robot.LYING_JOINT_POSITIONS)
    worst = int(errors.argmax())
    detail = f"{robot.JOINT_NAMES[worst]} is {errors[worst]:.2f} rad from lying prone"
    return Result(
        "joint order",
        bool(errors[worst] <= _POSE_TOLERANCE),
        f"{detail} (allowed {_POSE_TOLERANCE:g})",
    )


def check_temperatures(seen: Observed) -> Result:
    """No motor is warm before the start."""
    worst = int(seen.temperatures.argmax())
    hottest = float(seen.temperatures[worst])
    detail = f"{robot.JOINT_NAMES[worst]} {hottest:.0f} deg C (allowed 60)"
    return Result("temperatures", hottest <= 60.0, detail)


def check_model(path: Path) -> Result:
    """The policy loads, keeps its contract and is fast enough."""
    try:
        runtime = PolicyRuntime(path)
    except ContractError as error:
        return Result("model", False, str(error))
    state = RobotState(
        robot.STAND_JOINT_POSITIONS, np.zeros(12), np.array([1.0, 0, 0, 0]), np.zeros(3)
    )
    times = [runtime.step(state, np.zeros(3)).inference_time_s for _ in range(200)]
    median = float(np.median(times))
    sha = runtime.contract.weights_sha256[:12]
    return Result("model", median <= 0.005, f"{path.name} {sha}, {1e3 * median:.3f} ms per step")


def check_clock(now_s: float) -> Result:
    """The clock is set: recordings and logs depend on it."""
    text = time.strftime("%Y-%m-%d %H:%M", time.gmtime(now_s))
    return Result("clock", now_s > _OLDEST_CLOCK_S, f"{text} UTC")


def check_governor(folder: Path = Path("/sys/devices/system/cpu")) -> Result:
    """The CPU does not save power."""
    files = sorted(folder.glob("cpu[0-9]*/cpufreq/scaling_governor"))
    if not files:
        return Result("cpu governor", None, "this machine does not tell")
    found = sorted({path.read_text().strip() for path in files})
    hint = "" if found == ["performance"] else "; run: cpupower frequency-set -g performance"
    return Result("cpu governor", found == ["performance"], f"{', '.join(found)}{hint}")


def check_memory(meminfo: Path = Path("/proc/meminfo")) -> Result:
    """Enough memory is free to keep the control loop from being swapped out."""
    if not meminfo.is_file():
        return Result("memory", None, "this machine does not tell")
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) / 1024.0
    return Result("memory", free >= 500.0, f"{free:.0f} MB available (needed 500)")


def check_disk(folder: Path) -> Result:
    """Logs have room."""
    free = shutil.disk_usage(folder).free / 1e6
    return Result("disk", free >= 500.0, f"{free:.0f} MB free (needed 500)")


ROBOT_CHECKS: tuple[Callable[[Observed], Result], ...] = (
    check_rate,
    check_loss,
    check_gravity,
    check_stillness,
    check_upright,
    check_limits,
    check_lying_pose,
    check_temperatures,
)


def check_robot(seen: Observed) -> list[Result]:
    """All checks of the robot; without a link the others make no sense."""
    link = check_link(seen)
    if not link.passed:
        return [link]
    return [link, *(check(seen) for check in ROBOT_CHECKS)]


def check_machine(policy: Path, folder: Path) -> list[Result]:
    """All checks that need no robot."""
    return [
        check_model(policy),
        check_clock(time.time()),
        check_governor(),
        check_memory(),
        check_disk(folder),
    ]


def format_results(results: Sequence[Result], colour: bool) -> str:
    """Green and red list, one line per check."""
    marks = {True: ("ok  ", "32"), False: ("FAIL", "31"), None: ("skip", "33")}
    lines = []
    for result in results:
        mark, code = marks[result.passed]
        shown = f"\033[{code}m{mark}\033[0m" if colour else mark
        lines.append(f"{shown} {result.name:<13} {result.detail}")
    return "\n".join(lines)


def moved_joint(before: np.ndarray, states: np.ndarray) -> tuple[int, float] | None:
    """Joint that moved most against ``before``, and by how much [rad]; None below 0.2 rad.

    Args:
        before: (12,) joint positions at rest.
        states: (n, 12) joint positions since.
    """
    moves = states - before
    largest = np.abs(moves).max(axis=0)
    joint = int(largest.argmax())
    if largest[joint] < 0.2:
        return None
    return joint, float(moves[np.abs(moves[:, joint]).argmax(), joint])
