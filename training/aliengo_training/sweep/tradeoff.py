"""How a point of a sweep did: tracking error against gait kept, and which point is the knee."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from aliengo_training.evaluation.figures import CommandFigures
from aliengo_training.evaluation.report import gait_difference
from aliengo_training.learning.run_metrics import read_metrics
from aliengo_training.sim.simulator import NUM_JOINTS
from aliengo_training.sweep.points import Curve

__all__ = ["find_knees", "knee", "point_figures", "tracking_error", "training_figures"]

#: Share of a run's last iterations that its figures are the mean of.
_TAIL = 0.1


def tracking_error(figures: CommandFigures) -> float:
    """Error of the forward speed in which falls count [m/s].

    Rollouts that did not fall count with their mean RMSE; one that fell counts as if the robot had
    stood still, with the commanded speed.
    """
    fallen = (1.0 - figures.survival) * abs(figures.vx)
    return fallen + (figures.survival * figures.rmse_vx if figures.survival > 0.0 else 0.0)


def point_figures(
    commands: Sequence[CommandFigures], reference: CommandFigures
) -> Dict[str, Optional[float]]:
    """Figures of one point: means over the commands, then each command's own.

    Args:
        commands: Of the policy, straight ahead.
        reference: The gait to keep, by habit the base's at 1.0 m/s.

    Returns:
        ``tracking_error`` [m/s], ``gait_difference`` (mean absolute difference of the duty
        factors), ``phase_difference`` [strides], ``survival``, and for each command
        ``survival_V``, ``rmse_vx_V`` and ``gait_difference_V``. None where nothing was left to
        measure: every rollout fell, or there was no rhythm.
    """
    apart = [gait_difference(f, reference) for f in commands]
    row: Dict[str, Optional[float]] = {
        "tracking_error": float(np.mean([tracking_error(f) for f in commands])),
        "gait_difference": _mean([duty for duty, _ in apart]),
        "phase_difference": _mean([phase for _, phase in apart]),
        "survival": float(np.mean([f.survival for f in commands])),
    }
    for f, (duty, _) in zip(commands, apart):
        row[f"survival_{f.vx:g}"] = f.survival
        row[f"rmse_vx_{f.vx:g}"] = _finite(f.rmse_vx)
        row[f"gait_difference_{f.vx:g}"] = _finite(duty)
    return row


def training_figures(metrics: Path) -> Dict[str, Optional[float]]:
    """Figures of a run from its `metrics.csv`.

    Returns:
        ``iterations``, ``environment_steps``, ``train_s`` (time of the iterations), and
        ``residual_rms``: root mean square of the gated residual over joints and the commands of
        training, over the last tenth of the iterations [action units]; None without a residual.

    Raises:
        ValueError: If the run has logged nothing.
    """
    columns = read_metrics(metrics)
    if not columns:
        raise ValueError(f"{metrics} holds no iteration")
    row: Dict[str, Optional[float]] = {
        "iterations": float(columns["iteration"][-1]),
        "environment_steps": float(columns["environment_steps"][-1]),
        "train_s": float(np.sum(columns["collect_s"] + columns["update_s"])),
        "residual_rms": None,
    }
    if "residual_l2" in columns:
        squares = columns["residual_l2"]
        tail = squares[-max(1, round(_TAIL * len(squares))) :]
        row["residual_rms"] = float(np.sqrt(np.mean(tail) / NUM_JOINTS))
    return row


def knee(errors: Sequence[float], differences: Sequence[float]) -> Optional[int]:
    """Index of the best compromise of a curve: the point nearest to the ideal.

    The ideal has the least error and the least difference of the curve, which as a rule no point
    has at once; distances are taken with both axes scaled to the curve's own spans. Points without
    a figure take no part; None if fewer than two are left.
    """
    plane = np.array([errors, differences], dtype=np.float64)
    usable = np.flatnonzero(np.isfinite(plane).all(axis=0))
    if len(usable) < 2:
        return None
    chosen = plane[:, usable]
    low = chosen.min(axis=1, keepdims=True)
    span = chosen.max(axis=1, keepdims=True) - low
    scaled = (chosen - low) / np.where(span > 0.0, span, 1.0)
    return int(usable[np.argmin(np.linalg.norm(scaled, axis=0))])


def find_knees(
    curves: Sequence[Curve], rows: Mapping[str, Dict[str, Any]]
) -> Dict[str, Optional[str]]:
    """The knee of each curve in error over gait difference: parameter to point, or to None."""
    found: Dict[str, Optional[str]] = {}
    for curve in curves:
        points = [point for point in curve.points if point in rows]
        errors = [_number(rows[point]["tracking_error"]) for point in points]
        differences = [_number(rows[point]["gait_difference"]) for point in points]
        index = knee(errors, differences)
        found[curve.parameter] = None if index is None else points[index]
    return found


def _number(value: Optional[float]) -> float:
    return math.nan if value is None else value


def _finite(value: float) -> Optional[float]:
    return value if math.isfinite(value) else None


def _mean(values: Sequence[float]) -> Optional[float]:
    numbers: List[Any] = [value for value in values if math.isfinite(value)]
    return float(np.mean(numbers)) if numbers else None
