"""From trajectories to figures: per rollout first, then per command."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from aliengo_description import robot
from aliengo_training.evaluation import gait, metrics
from aliengo_training.evaluation.rollouts import Trajectory
from aliengo_training.evaluation.style import StyleJudge
from aliengo_training.motion.clip import MotionClip
from aliengo_training.motion.rhythm import gait_period
from aliengo_training.motion.scaling import forward_speed

__all__ = ["ClipCycle", "CommandFigures", "clip_cycle", "merge", "rollout_figures", "summarise"]

#: Foot whose stance the phase offsets are counted from.
PHASE_REFERENCE = robot.LEG_NAMES.index("RL")
_AXES = ("vx", "vy", "wz")
Rows = Dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class ClipCycle:
    """The gait cycle of a reference motion.

    Attributes:
        name: Of the clip.
        speed: Its mean forward speed, to the millimetre per second [m/s].
        period_s: Its gait period [s].
        cycle: (64, 12) mean cycle [rad].
    """

    name: str
    speed: float
    period_s: float
    cycle: np.ndarray


def clip_cycle(clip: MotionClip) -> Optional[ClipCycle]:
    """The cycle of a clip, or None if its joints have no rhythm."""
    period = gait_period(clip.joint_positions, clip.frame_duration_s)
    if np.isnan(period):
        return None
    cycle = gait.mean_cycle(clip.joint_positions, period, clip.frame_duration_s)
    return ClipCycle(clip.name, round(forward_speed(clip), 3), period, cycle)


def rollout_figures(
    trajectory: Trajectory, clips: Sequence[ClipCycle] = (), style: Optional[StyleJudge] = None
) -> Rows:
    """Figures of each rollout, N rows each; NaN where a rollout fell or has no such figure.

    The clip that a rollout is compared with is the one whose speed it is commanded straight ahead.
    """
    t = trajectory
    used, period = t.settled, t.period_s
    rows: Rows = {"command": t.command, "survived": t.survived.astype(np.float64)}
    actual = (
        t.linear_velocity_b[..., 0],
        t.linear_velocity_b[..., 1],
        t.angular_velocity_b[..., 2],
    )
    for axis, name in enumerate(_AXES):
        values, target = actual[axis], t.command[:, axis]
        rows[f"rmse_{name}"] = metrics.rmse(values[:, used], target)
        rows[f"steady_rmse_{name}"] = metrics.rmse(values[:, t.steady], target)
        rows[f"mean_{name}"] = values[:, t.steady].mean(axis=1)
    planar = np.linalg.norm(t.linear_velocity_b[:, used, :2], axis=-1).mean(axis=1)
    planar = np.where(np.linalg.norm(t.command[:, :2], axis=-1) > 0.0, planar, 0.0)
    forces, torques = t.foot_forces[:, used], t.joint_torques[:, used]
    rows["duty"] = metrics.duty_factors(forces)
    rows["steady_duty"] = metrics.duty_factors(t.foot_forces[:, t.steady])
    rows["lift_offs_per_s"] = metrics.lift_offs_per_s(t.foot_forces, period, used)
    rows["steady_lift_offs_per_s"] = metrics.lift_offs_per_s(t.foot_forces, period, t.steady)
    rows["cost_of_transport"] = metrics.cost_of_transport(
        torques, t.joint_velocities[:, used], planar, robot.TOTAL_MASS
    )
    rows["torque_saturation"] = metrics.torque_saturation(torques)
    rows["target_rate"] = metrics.target_rate(t.joint_targets[:, used], period)
    rows["target_step"] = metrics.largest_target_step(t.joint_targets, t.steady)
    rows["target_step_pushed"] = metrics.largest_target_step(t.joint_targets, used)
    drift = metrics.drift(t.base_position_w, t.steady, period)
    rows["drift"] = np.where(np.any(t.command != 0.0, axis=1), np.nan, drift)
    if style is not None:
        reward = style.rewards(t)[:, used[1:]].mean(axis=1)
        # The reference only walks, so there is no style of standing.
        rows["style_reward"] = np.where(np.any(t.command != 0.0, axis=1), reward, np.nan)
    rows.update(_gait_rows(t, clips))
    fallen = ~t.survived
    for name, values in rows.items():
        if name not in ("command", "survived"):
            values = np.array(values, dtype=np.float64)
            values[fallen] = np.nan
            rows[name] = values
    return rows


def _gait_rows(t: Trajectory, clips: Sequence[ClipCycle]) -> Rows:
    """Period, phases and distance to the clip of each rollout that did not fall."""
    count = len(t.command)
    period = np.full(count, np.nan)
    phases, distance = np.full((count, 4), np.nan), np.full((count, 4), np.nan)
    ratio = np.full(count, np.nan)
    for row in np.flatnonzero(t.survived):
        joints = t.joint_positions[row, t.settled].astype(np.float64)
        period[row] = gait_period(joints, t.period_s)
        if np.isnan(period[row]):
            continue
        contact = t.foot_forces[row, t.settled] > metrics.CONTACT_FORCE_N
        phases[row] = gait.phase_offsets(contact, period[row], t.period_s, PHASE_REFERENCE)
        clip = _clip_for(t.command[row], clips)
        if clip is not None:
            cycle = gait.mean_cycle(joints, period[row], t.period_s)
            distance[row] = gait.cycle_distance(cycle, clip.cycle)
            ratio[row] = period[row] / clip.period_s
    return {"period_s": period, "phases": phases, "fidelity": distance, "period_ratio": ratio}


def _clip_for(command: np.ndarray, clips: Sequence[ClipCycle]) -> Optional[ClipCycle]:
    for clip in clips:
        if np.allclose(command, (clip.speed, 0.0, 0.0), atol=1e-4):
            return clip
    return None


def merge(parts: Sequence[Rows]) -> Rows:
    """Join the rows of several calls of `rollout_figures`."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclasses.dataclass(frozen=True)
class CommandFigures:
    """A policy at one command: means over the rollouts that did not fall, unless said otherwise.

    Attributes:
        vx: Command [m/s].
        vy: Command [m/s].
        wz: Command [rad/s].
        rollouts: How many.
        survival: Share without a fall, of all rollouts.
        rmse_vx: Root mean square error, at the control rate, pushes included [m/s].
        rmse_vy: [m/s].
        rmse_wz: [rad/s].
        steady_rmse_vx: The same without the seconds after pushes [m/s].
        steady_rmse_vy: [m/s].
        steady_rmse_wz: [rad/s].
        mean_vx: Mean velocity without the seconds after pushes [m/s].
        mean_vy: [m/s].
        mean_wz: [rad/s].
        duty: Share of the time on the ground, by leg.
        carried: Legs on the ground for at most a tenth of the time.
        period_s: Gait period, median [s]; NaN without a rhythm.
        phases: Shares of a stride by which stances come after RL's, by leg.
        cost_of_transport: Positive mechanical power / (weight x speed).
        torque_saturation: Share of the samples with a torque at its limit.
        target_rate: RMS rate of change of the joint targets [rad/s].
        target_step: Largest change of a joint target in a policy step, without the seconds after
            pushes; the largest of all rollouts [rad].
        target_step_median: Its median over the rollouts [rad].
        target_step_pushed: The largest, pushes included [rad].
        drift: Mean planar speed from end to end of the stretches between pushes [m/s]; NaN unless
            the command is to stand.
        lift_offs_per_s: How often a foot leaves the ground, mean over the feet [1/s].
        steady_lift_offs_per_s: The same without the seconds after pushes [1/s].
        style_reward: Mean style reward, NaN without a discriminator.
        fidelity: Joint-angle RMSE to the clip's mean cycle, by leg [rad]; NaN off the clip's speed.
        period_ratio: Gait period over the clip's, median; NaN off the clip's speed.
    """

    vx: float
    vy: float
    wz: float
    rollouts: int
    survival: float
    rmse_vx: float
    rmse_vy: float
    rmse_wz: float
    steady_rmse_vx: float
    steady_rmse_vy: float
    steady_rmse_wz: float
    mean_vx: float
    mean_vy: float
    mean_wz: float
    duty: Dict[str, float]
    carried: Tuple[str, ...]
    period_s: float
    phases: Dict[str, float]
    cost_of_transport: float
    torque_saturation: float
    target_rate: float
    target_step: float
    target_step_median: float
    target_step_pushed: float
    drift: float
    lift_offs_per_s: float
    steady_lift_offs_per_s: float
    style_reward: float
    fidelity: Dict[str, float]
    period_ratio: float

    def flat(self) -> Dict[str, Any]:
        """One row of a table: dictionaries become ``name_LEG``, lists one text."""
        row: Dict[str, Any] = {}
        for name, value in dataclasses.asdict(self).items():
            if isinstance(value, dict):
                row.update({f"{name}_{leg}": item for leg, item in value.items()})
            else:
                row[name] = " ".join(value) if isinstance(value, tuple) else value
        return row


def summarise(rows: Rows) -> List[CommandFigures]:
    """Figures per command, in the order of their first rollout."""
    commands = [tuple(float(v) for v in command) for command in rows["command"]]
    return [
        _summary(
            command,
            {name: values[[c == command for c in commands]] for name, values in rows.items()},
        )
        for command in dict.fromkeys(commands)
    ]


def _summary(command: Tuple[float, ...], rows: Mapping[str, np.ndarray]) -> CommandFigures:
    def mean(name: str) -> float:
        return _mean(rows[name]) if name in rows else float("nan")

    def by_leg(values: np.ndarray) -> Dict[str, float]:
        return {leg: _mean(column) for leg, column in zip(robot.LEG_NAMES, values.T)}

    duty = by_leg(rows["duty"])
    vx, vy, wz = (round(value, 6) for value in command)
    averaged = [f"{kind}_{axis}" for kind in ("rmse", "steady_rmse", "mean") for axis in _AXES]
    averaged += ["cost_of_transport", "torque_saturation", "target_rate", "drift"]
    averaged += ["lift_offs_per_s", "steady_lift_offs_per_s", "style_reward"]
    none_left = not rows["survived"].any()
    return CommandFigures(
        vx=vx,
        vy=vy,
        wz=wz,
        rollouts=len(rows["survived"]),
        survival=float(rows["survived"].mean()),
        duty=duty,
        carried=() if none_left else metrics.carried_legs(np.array(list(duty.values()))),
        period_s=_reduce(np.median, rows["period_s"]),
        phases={
            leg: _circular_mean(column) for leg, column in zip(robot.LEG_NAMES, rows["phases"].T)
        },
        target_step=_reduce(np.max, rows["target_step"]),
        target_step_median=_reduce(np.median, rows["target_step"]),
        target_step_pushed=_reduce(np.max, rows["target_step_pushed"]),
        fidelity=by_leg(rows["fidelity"]),
        # Not the mean: a rollout whose strides vary much may be read as twice its period.
        period_ratio=_reduce(np.median, rows["period_ratio"]),
        **{name: mean(name) for name in averaged},
    )


def _reduce(function: Any, values: np.ndarray) -> float:
    """Apply a reduction to what is a number; NaN if nothing is."""
    numbers = values[np.isfinite(values)]
    return float(function(numbers)) if numbers.size else float("nan")


def _mean(values: np.ndarray) -> float:
    return _reduce(np.mean, values)


def _circular_mean(shares: np.ndarray) -> float:
    numbers = shares[np.isfinite(shares)]
    if not numbers.size:
        return float("nan")
    return float(np.angle(np.mean(np.exp(2j * np.pi * numbers))) / (2.0 * np.pi))
