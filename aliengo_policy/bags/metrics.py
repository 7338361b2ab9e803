"""Figures of merit of one run, as plain numbers for the page, for JSON and for comparison."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from aliengo_description import robot
from aliengo_policy.bags.run import Run
from aliengo_policy.odometry import rotation_matrix, vertical_foot_forces

__all__ = [
    "CONTACT_FORCE",
    "contacts",
    "envelope",
    "measured_at_steps",
    "residual_share",
    "run_metrics",
    "segments",
    "walking",
]

Array = npt.NDArray[Any]

CONTACT_FORCE = 40.0
"""Vertical force above which a foot counts as standing [N]; the robot weighs 245 N."""
AXES = ("vx", "vy", "wz")
SEGMENT_S = 2.0
"""Shortest stretch of constant command that is judged [s]."""
SETTLING_S = 1.0
"""Beginning of each stretch that is not judged: the robot may accelerate [s]."""
_BLOCK = 20_000
_LARGEST_STEP = 2**31


def run_metrics(run: Run) -> dict[str, Any]:
    """Computes all figures that the recorded topics allow; others are left out."""
    parts: dict[str, Any] = {
        "name": run.name,
        "duration_s": run.duration_s,
        "complete": run.complete,
        "topics": run.topics,
        "problems": run.problems,
        "events": [{"time_s": e.time_s, "kind": e.kind, "text": e.text} for e in run.events],
        "faults": sum(event.kind in ("fault", "estop") for event in run.events),
    }
    for name, part in (
        ("stream", _stream(run)),
        ("timing", _timing(run)),
        ("tracking", _tracking(run)),
        ("joints", _joints(run)),
        ("gait", _gait(run)),
        ("residual", _residual(run)),
        ("temperature", _temperature(run)),
    ):
        if part:
            parts[name] = part
    return parts


def walking(run: Run) -> Array:
    """Which policy steps were made in mode walk, (n,) bool."""
    if "mode" not in run.step:
        return np.ones(len(run.step.get("time", ())), bool)
    return np.asarray(run.step["mode"] == "walk")


def _walking_at(run: Run, times: Array) -> Array:
    """Whether the policy walked at each of some times, (n,) bool; never where it was not recorded."""
    steps = run.step.get("time", np.empty(0))
    if not len(steps):
        return np.zeros(len(times), bool)
    # The mode holds until the next step says otherwise, and before the first one nothing walks.
    rows = np.searchsorted(steps, times) - 1
    return np.asarray(walking(run)[np.maximum(rows, 0)] & (rows >= 0))


def segments(run: Run) -> list[tuple[int, int]]:
    """Stretches of constant command while walking, as ranges of policy steps."""
    if "command" not in run.step:
        return []
    command, time, walks = run.step["command"], run.step["time"], walking(run)
    found, start = [], 0
    for index in range(1, len(time) + 1):
        ends = index == len(time) or not walks[index] or not walks[start]
        if ends or np.abs(command[index] - command[start]).max() > 0.05:
            if walks[start] and time[index - 1] - time[start] >= SEGMENT_S:
                found.append((start, index))
            start = index
    return found


def measured_at_steps(run: Run) -> dict[str, Array]:
    """Measured velocity interpolated at the times of the policy steps, by axis."""
    _, measured = run.measured
    if not measured or "time" not in run.step:
        return {}
    return {
        axis: np.interp(run.step["time"], measured["time"], measured[axis])
        for axis in AXES
        if axis in measured
    }


def contacts(run: Run) -> tuple[Array, Array]:
    """Which foot stands when, from the joint torques.

    Returns:
        Times (m,) and contacts (m, 4), at about 250 Hz.
    """
    if not {"q", "tau", "quaternion"} <= run.state.keys():
        return np.empty(0), np.empty((0, 4), bool)
    time = run.state["time"]
    stride = max(round(len(time) / max(run.duration_s, 1e-9) / 250.0), 1)
    chosen = np.arange(0, len(time), stride)
    parts = []
    for first in range(0, len(chosen), _BLOCK):
        rows = chosen[first : first + _BLOCK]
        forces = vertical_foot_forces(
            rotation_matrix(run.state["quaternion"][rows]),
            run.state["q"][rows],
            run.state["tau"][rows],
        )
        parts.append(forces > CONTACT_FORCE)
    return time[chosen], _without_flicker(np.concatenate(parts))


def _without_flicker(standing: Array) -> Array:
    """Majority over five samples (20 ms): landing feet bounce, and torques are noisy."""
    if len(standing) < 5:
        return standing
    padded = np.pad(standing.astype(np.int8), ((2, 2), (0, 0)), mode="edge")
    votes = sum(padded[shift : shift + len(standing)] for shift in range(5))
    return np.asarray(votes) >= 3


def _stream(run: Run) -> dict[str, Any]:
    if "tick" not in run.state or len(run.state["tick"]) < 2:
        return {}
    # uint32 differences wrap as the tick does; one that goes back is a robot that started anew.
    steps = np.diff(run.state["tick"].astype(np.uint32)).astype(np.int64)
    restarts = steps > _LARGEST_STEP
    messages, steps = len(steps) + 1, steps[~restarts]
    result = {"messages": messages, "robot_restarts": int(restarts.sum())}
    period = int(np.median(steps)) if len(steps) else 0
    if period == 0:
        return {**result, "lost": None}
    lost = np.maximum(np.round(steps / period).astype(int) - 1, 0)
    return {
        **result,
        "tick_period_ms": period,
        "lost": int(lost.sum()),
        "longest_gap_ms": int(steps.max()),
        "repeated": int((steps == 0).sum()),
    }


def _timing(run: Run) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, group in (("state_interval", run.state), ("step_interval", run.step)):
        if len(group.get("time", ())) > 2:
            result[name] = _spread(np.diff(group["time"]) * 1e3)
    for name in ("inference_time_s", "state_age_s"):
        if name in run.step:
            result[name.removesuffix("_s")] = _spread(run.step[name][walking(run)] * 1e3)
    if "missed_deadlines" in run.bridge:
        result["bridge_missed_deadlines"] = int(run.bridge["missed_deadlines"][-1])
    return {name: value for name, value in result.items() if value is not None}


def _spread(milliseconds: Array) -> dict[str, float] | None:
    if not len(milliseconds):
        return None
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return {"p50_ms": float(p50), "p99_ms": float(p99), "max_ms": float(milliseconds.max())}


def _tracking(run: Run) -> dict[str, Any]:
    measured = measured_at_steps(run)
    if not measured or "command" not in run.step:
        return {}
    command, time, walks = run.step["command"], run.step["time"], walking(run)
    overall = {
        axis: _rms(measured[axis][walks] - command[walks, i])
        for i, axis in enumerate(AXES)
        if axis in measured and walks.any()
    }
    found = []
    for start, end in segments(run):
        rows = np.arange(start, end)
        rows = rows[time[rows] - time[start] >= SETTLING_S]
        found.append(
            {
                "start_s": float(time[start]),
                "end_s": float(time[end - 1]),
                "command": {a: float(command[start, i]) for i, a in enumerate(AXES)},
                "measured": {a: float(v[rows].mean()) for a, v in measured.items()},
                "rmse": {
                    a: _rms(measured[a][rows] - command[start, i])
                    for i, a in enumerate(AXES)
                    if a in measured
                },
            }
        )
    return {"source": run.measured[0], "rmse_while_walking": overall, "segments": found}


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _joints(run: Run) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if "tau" in run.state:
        peak = np.abs(run.state["tau"]).max(axis=0)
        result["peak_torque_nm"] = _by_joint(peak)
        result["peak_torque_share_of_limit"] = float((peak / robot.TORQUE_LIMITS).max())
    if "dq" in run.state:
        speed = np.abs(run.state["dq"]).max(axis=0)
        result["peak_velocity_share_of_limit"] = float((speed / robot.VELOCITY_LIMITS).max())
    if "q" in run.state:
        below = (run.state["q"] - robot.JOINT_LOWER).min()
        above = (robot.JOINT_UPPER - run.state["q"]).min()
        result["smallest_margin_to_joint_limit_rad"] = float(min(below, above))
    if "q" in run.state and "joint_targets" in run.step:
        error = _target_error(run)[walking(run)[:-1]]
        if len(error):
            rms = np.sqrt(np.mean(error**2, axis=0))
            result["target_error_rms_while_walking_rad"] = _by_joint(rms)
    if {"tau", "dq"} <= run.state.keys():
        walks = _walking_at(run, run.state["time"])
        torques, speeds = np.abs(run.state["tau"][walks]), np.abs(run.state["dq"][walks])
        if walks.any():
            power = np.einsum("nj,nj->n", torques, speeds)
            result["mean_absolute_power_while_walking_w"] = float(power.mean())
    return result


def _target_error(run: Run) -> Array:
    """Target minus joint position just before the next target, (n, 12) [rad]."""
    rows = np.searchsorted(run.state["time"], run.step["time"][1:]) - 1
    return np.asarray(run.step["joint_targets"][:-1] - run.state["q"][np.maximum(rows, 0)])


def _by_joint(values: Array) -> dict[str, float]:
    return {
        name.removesuffix("_joint"): float(value)
        for name, value in zip(robot.JOINT_NAMES, values, strict=True)
    }


def _gait(run: Run) -> dict[str, Any]:
    times, standing = contacts(run)
    walks = _walking_at(run, times)
    if not walks.any() or len(times) < 2:
        return {}
    # Mean spacing: single intervals vary with the load of the machine.
    duration = walks.mean() * float(times[-1] - times[0])
    touchdowns = (standing[1:] & ~standing[:-1]) & walks[1:, None]
    return {
        "duty_factor": dict(zip(robot.LEG_NAMES, standing[walks].mean(0).tolist(), strict=True)),
        "steps_per_s": {
            leg: float(count / duration)
            for leg, count in zip(robot.LEG_NAMES, touchdowns.sum(0), strict=True)
        },
        "feet_down": {
            str(count): float(np.mean(standing[walks].sum(1) == count)) for count in range(5)
        },
    }


def _residual(run: Run) -> dict[str, Any]:
    shares = residual_share(run)
    if shares is None or not walking(run).any():
        return {}
    share = shares[walking(run)]
    return {
        "mean_share": float(share.mean()),
        "largest_share": float(share.max()),
        "active_fraction": float(np.mean(share > 1e-6)),
    }


def residual_share(run: Run) -> Array | None:
    """|mu_res| / |mu_base| of each policy step, (n,)."""
    if not {"residual_action", "base_action"} <= run.step.keys():
        return None
    base = np.linalg.norm(run.step["base_action"], axis=1)
    residual = np.linalg.norm(run.step["residual_action"], axis=1)
    return np.asarray(np.divide(residual, base, out=np.zeros_like(base), where=base > 1e-6))


def _temperature(run: Run) -> dict[str, Any]:
    if "temperature" not in run.state:
        return {}
    hottest = run.state["temperature"].max(axis=0)
    return {"max_c": _by_joint(hottest), "hottest_c": float(hottest.max())}


def envelope(times: Array, values: Array, columns: int = 1500) -> Iterator[tuple[Array, ...]]:
    """Yields bin times, lower and upper bound of each column of `values`, for plotting.

    Each bin is drawn at its beginning; together they hold every sample.
    """
    if len(times) <= 2 * columns:
        for column in values.T:
            yield times, column, column
        return
    starts = np.linspace(0, len(times), columns, endpoint=False).astype(int)
    for column in values.T:
        yield (
            times[starts],
            np.minimum.reduceat(column, starts),
            np.maximum.reduceat(column, starts),
        )
