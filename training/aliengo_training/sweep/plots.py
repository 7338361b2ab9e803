"""Picture of a sweep: one curve per varied parameter, its knee marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from aliengo_training.sweep.points import Curve

__all__ = ["plot_sweep"]

Row = Mapping[str, Any]
#: Figure on the horizontal axis of each panel, and its label.
_PANELS: Tuple[Tuple[str, str], ...] = (
    ("gait_difference", "mean difference of the duty factors to the base's gait"),
    ("residual_rms", "root mean square of the residual [action units]"),
)
#: By which a label moves out of another's way [points].
_LABEL_STEP = 3.0


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
    every_label: List[List[Any]] = []
    for number, (name, label) in enumerate(panels):
        axis = figure.add_subplot(1, len(panels), number + 1)
        labels = [
            label
            for index, curve in enumerate(curves)
            for label in _curve(axis, curve, rows, name, knees.get(curve.parameter), index)
        ]
        axis.set_xlabel(label)
        axis.set_ylabel("tracking error of vx, falls included [m/s]")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
        every_label.append(labels)
    figure.suptitle("lower left is better; a star marks the knee of its curve")
    for labels in every_label:
        _spread(figure, labels)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(str(path), dpi=100)


def _curve(
    axis: Any, curve: Curve, rows: Mapping[str, Row], name: str, best: Optional[str], index: int
) -> List[Any]:
    """Draw one curve; returns the labels of its points."""
    shown = [
        (value, rows[point][name], rows[point]["tracking_error"], point)
        for value, point in zip(curve.values, curve.points)
        if point in rows and rows[point].get(name) is not None
    ]
    if not shown:
        return []
    values, across, errors, points = zip(*shown)
    colour = f"C{index}"
    label = curve.parameter if best is None else f"{curve.parameter}: knee at {_at(curve, best):g}"
    axis.plot(across, errors, "o-", color=colour, label=label)
    labels = [
        axis.annotate(
            f"{value:g}",
            (x, y),
            xytext=(6, 5),
            textcoords="offset points",
            fontsize=8,
            color=colour,
        )
        for value, x, y in zip(values, across, errors)
    ]
    if best in points:
        place = points.index(best)
        axis.plot(across[place], errors[place], "*", color=colour, markersize=17)
    return labels


def _spread(figure: Any, labels: Sequence[Any]) -> None:
    """Move labels up, line by line, until none covers another: all curves meet in one point."""
    renderer = figure.canvas.get_renderer()
    for label in labels:
        # The panels keep their place: where a label may go depends on it.
        label.set_in_layout(False)
    figure.canvas.draw()
    taken: List[Any] = []
    for label in sorted(labels, key=lambda label: float(label.get_window_extent(renderer).y0)):
        while any(label.get_window_extent(renderer).overlaps(box) for box in taken):
            right, up = label.get_position()
            label.set_position((right, up + _LABEL_STEP))
        taken.append(label.get_window_extent(renderer))


def _at(curve: Curve, point: str) -> float:
    return curve.values[curve.points.index(point)]
