"""Picture of a sweep: one curve per varied parameter, its knee marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Tuple

from aliengo_training.sweep.points import Curve

__all__ = ["plot_sweep"]

Row = Mapping[str, Any]
#: Figure on the horizontal axis of each panel, and its label.
_PANELS: Tuple[Tuple[str, str], ...] = (
    ("gait_difference", "mean difference of the duty factors to the base's gait"),
    ("residual_rms", "root mean square of the residual [action units]"),
)


def plot_sweep(
    curves: Sequence[Curve], rows: Mapping[str, Row], knees: Mapping[str, Optional[str]], path: Path
) -> None:
    """Draw tracking error over gait difference, and over the residual's size where there is one.

    Args:
        curves: Of the sweep.
        rows: Figures by point; points that are missing are left out.
        knees: Point of each parameter that is marked.
        path: Of the image.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [p for p in _PANELS if any(row.get(p[0]) is not None for row in rows.values())]
    figure = Figure(figsize=(7.5 * max(1, len(panels)), 6.0), constrained_layout=True)
    FigureCanvasAgg(figure)
    for number, (name, label) in enumerate(panels):
        axis = figure.add_subplot(1, len(panels), number + 1)
        for index, curve in enumerate(curves):
            _curve(axis, curve, rows, name, knees.get(curve.parameter), index)
        axis.set_xlabel(label)
        axis.set_ylabel("tracking error of vx, falls included [m/s]")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.suptitle("lower left is better; a star marks the knee of its curve")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(str(path), dpi=100)


def _curve(
    axis: Any, curve: Curve, rows: Mapping[str, Row], name: str, best: Optional[str], index: int
) -> None:
    shown = [
        (value, rows[point][name], rows[point]["tracking_error"], point)
        for value, point in zip(curve.values, curve.points)
        if point in rows and rows[point].get(name) is not None
    ]
    if not shown:
        return
    values, across, errors, points = zip(*shown)
    # All curves meet in one point: each writes its value there on a line of its own.
    colour, offset = f"C{index}", (6, 5 + 10 * index)
    label = curve.parameter if best is None else f"{curve.parameter}: knee at {_at(curve, best):g}"
    axis.plot(across, errors, "o-", color=colour, label=label)
    for value, x, y in zip(values, across, errors):
        axis.annotate(
            f"{value:g}",
            (x, y),
            xytext=offset,
            textcoords="offset points",
            fontsize=8,
            color=colour,
        )
    if best in points:
        place = points.index(best)
        axis.plot(across[place], errors[place], "*", color=colour, markersize=17)


def _at(curve: Curve, point: str) -> float:
    return curve.values[curve.points.index(point)]
