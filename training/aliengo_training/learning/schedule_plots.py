"""Picture of a residual run's warm-ups: what was planned, and what the run has logged so far."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Tuple

import numpy as np

from aliengo_training.learning.residual import ResidualConfig, Schedule
from aliengo_training.learning.run_metrics import read_metrics

__all__ = ["plot_schedules"]

#: Schedules by the name of their metric, with the title of their panel.
_PANELS: Tuple[Tuple[str, str], ...] = (
    ("noise_scale", "factor on sigma_res"),
    ("lambda_kl", "lambda_KL"),
    ("lambda_l2", "lambda_L2"),
)


def plot_schedules(config: ResidualConfig, folder: Path) -> Path:
    """Draw the schedules of a run into its folder, over what its `metrics.csv` holds.

    The curves end at the last logged iteration or at twice the longest warm-up, whichever is later.
    The last panel has no plan: it shows sigma_res as it was learned, beside what the warm-up alone
    would make of the initial noise.

    Args:
        config: Schedules and initial noise.
        folder: Of the run.

    Returns:
        The picture, `schedules.png`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    metrics = read_metrics(folder / "metrics.csv")
    # What a row logs was in force during its iteration, counted from 0; its number counts from 1.
    logged_at = metrics["iteration"] - 1.0 if metrics else np.zeros(0)
    schedules: List[Schedule] = [getattr(config, name) for name, _ in _PANELS]
    last = max([2.0 * max(1, *(s.duration for s in schedules)), *logged_at[-1:]])
    iterations = np.unique(np.concatenate([np.linspace(0.0, last, 201), logged_at]))
    figure = Figure(figsize=(11.0, 6.5), constrained_layout=True)
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2).flat
    for axis, (name, title), schedule in zip(axes, _PANELS, schedules):
        planned = [schedule.at(iteration) for iteration in iterations]
        axis.plot(iterations, planned, color="C0", label="planned")
        plan = f"{schedule.start:g} to {schedule.end:g} over {schedule.duration} iterations"
        axis.set_title(f"{title}: {plan}", fontsize=10)
        if name in metrics:
            _dots(axis, logged_at, metrics[name])
    spread = [config.initial_std * config.noise_scale.at(iteration) for iteration in iterations]
    axes[3].plot(iterations, spread, "--", color="C0", label="initial noise x factor")
    axes[3].set_title("sigma_res, mean over the joints [action units]", fontsize=10)
    if "action_std" in metrics:
        _dots(axes[3], logged_at, metrics["action_std"])
    for axis in axes:
        axis.set_xlabel("iteration")
        axis.set_ylim(bottom=0.0)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    path = folder / "schedules.png"
    figure.savefig(str(path), dpi=100)
    return path


def _dots(axis: Any, iterations: np.ndarray, values: np.ndarray) -> None:
    """About sixty of the logged values, so that the plan stays visible beneath them."""
    stride = max(1, len(values) // 60)
    axis.plot(iterations[::stride], values[::stride], ".", color="C1", label="logged")
