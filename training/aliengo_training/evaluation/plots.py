"""Pictures of an evaluation: heat maps over commands, gait diagrams, policies compared."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np

from aliengo_description import robot
from aliengo_training.evaluation.figures import CommandFigures
from aliengo_training.evaluation.grid import Evaluation
from aliengo_training.evaluation.metrics import CONTACT_FORCE_N
from aliengo_training.evaluation.report import GAIT_COMMAND, gait_difference
from aliengo_training.evaluation.rollouts import Trajectory

__all__ = ["plot_comparison", "plot_gaits", "plot_heat_maps"]

#: Title, figure, colour scale (low, high) and colour map; low is drawn green, high red or reversed.
_MAPS: Tuple[Tuple[str, Callable[[CommandFigures], float], float, float, str], ...] = (
    ("survival [%]", lambda f: 100.0 * f.survival, 90.0, 100.0, "RdYlGn"),
    ("RMSE vx [m/s]", lambda f: f.rmse_vx, 0.0, 0.3, "RdYlGn_r"),
    ("RMSE vy [m/s]", lambda f: f.rmse_vy, 0.0, 0.3, "RdYlGn_r"),
    ("RMSE wz [rad/s]", lambda f: f.rmse_wz, 0.0, 0.5, "RdYlGn_r"),
    ("least duty of a foot", lambda f: min(f.duty.values()), 0.0, 0.6, "viridis"),
    ("cost of transport", lambda f: f.cost_of_transport, 0.0, 2.0, "RdYlGn_r"),
    ("torque saturated [%]", lambda f: 100.0 * f.torque_saturation, 0.0, 2.0, "RdYlGn_r"),
    ("largest target step [rad]", lambda f: f.target_step, 0.0, 0.7, "RdYlGn_r"),
)
_SECONDS_SHOWN = 3.0
#: Of the policies compared, in their order.
_LINE_STYLES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v")


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def plot_heat_maps(evaluation: Evaluation, path: Path) -> None:
    """Draw the main figures over the commands.

    Rows are the lateral and yaw commands that occur, columns the forward ones; a cell without a
    command stays empty.
    """
    from matplotlib.patheffects import withStroke

    pyplot = _pyplot()
    commands = evaluation.commands
    columns = sorted({f.vx for f in commands})
    sides = sorted({(f.vy, f.wz) for f in commands})
    height = 1.6 + 0.42 * len(sides)
    figure, axes = pyplot.subplots(
        math.ceil(len(_MAPS) / 2),
        2,
        figsize=(3.0 + 1.1 * len(columns) + 4.0, height * len(_MAPS) / 2),
        constrained_layout=True,
    )
    for axis, (title, value, low, high, colours) in zip(axes.flat, _MAPS):
        table = np.full((len(sides), len(columns)), np.nan)
        for f in commands:
            table[sides.index((f.vy, f.wz)), columns.index(f.vx)] = value(f)
        axis.imshow(table, aspect="auto", origin="lower", vmin=low, vmax=high, cmap=colours)
        for row, column in np.argwhere(np.isfinite(table)):
            text = axis.text(column, row, f"{table[row, column]:.3g}", ha="center", va="center")
            text.set(fontsize=8, path_effects=[withStroke(linewidth=2, foreground="white")])
        axis.set_title(title, fontsize=10)
        axis.set_xticks(range(len(columns)))
        axis.set_xticklabels([f"{vx:g}" for vx in columns])
        axis.set_yticks(range(len(sides)))
        axis.set_yticklabels([f"vy {vy:+g}, wz {wz:+g}" for vy, wz in sides], fontsize=8)
        axis.set_xlabel("vx [m/s]", fontsize=8)
    figure.suptitle(f"{evaluation.name}: {commands[0].rollouts} rollouts per command")
    _save(pyplot, figure, path)


def plot_gaits(evaluation: Evaluation, path: Path) -> None:
    """Draw which feet are on the ground over the last seconds of one rollout per command."""
    pyplot = _pyplot()
    examples = list(evaluation.examples.items())
    figure, axes = pyplot.subplots(
        len(examples), 1, figsize=(10, 0.6 + 1.05 * len(examples)), constrained_layout=True
    )
    for axis, (command, trajectory) in zip(np.atleast_1d(axes), examples):
        vx, vy, wz = command
        _stances(axis, trajectory)
        title = f"vx {vx:g} m/s, vy {vy:g} m/s, wz {wz:g} rad/s"
        axis.set_title(
            title if trajectory.survived[0] else title + " (fell)", fontsize=9, loc="left"
        )
    np.atleast_1d(axes)[-1].set_xlabel("time [s]")
    figure.suptitle(f"{evaluation.name}: feet on the ground")
    _save(pyplot, figure, path)


def _stances(axis: Any, trajectory: Trajectory) -> None:
    times = trajectory.times_s
    last = times <= times[trajectory.alive[0]][-1] if trajectory.alive[0].any() else times <= 0.0
    shown = last & (times > times[last][-1] - _SECONDS_SHOWN) if last.any() else last
    for row in range(len(robot.LEG_NAMES)):
        contact = trajectory.foot_forces[0, :, row] > CONTACT_FORCE_N
        place = len(robot.LEG_NAMES) - 1 - row
        axis.fill_between(
            times[shown],
            place + 0.1,
            place + 0.9,
            where=contact[shown],
            step="pre",
            color=f"C{row}",
        )
    axis.set_ylim(0, len(robot.LEG_NAMES))
    axis.set_yticks(np.arange(len(robot.LEG_NAMES)) + 0.5)
    axis.set_yticklabels(list(reversed(robot.LEG_NAMES)), fontsize=7)
    axis.tick_params(axis="x", labelsize=7)


def plot_comparison(evaluations: Sequence[Evaluation], path: Path) -> None:
    """Draw several policies over the forward speed, and their errors at the other commands.

    Gaits are compared with the first policy's at `GAIT_COMMAND`. Without a lateral or a turning
    command there is no panel of its errors.

    Raises:
        ValueError: If the first policy was not judged there.
    """
    pyplot = _pyplot()
    first = evaluations[0]
    at_gait = [f for f in first.commands if (f.vx, f.vy, f.wz) == GAIT_COMMAND]
    if not at_gait:
        raise ValueError(f"{first.name} has no figures at {GAIT_COMMAND}, the gait to compare with")
    speed = f"{GAIT_COMMAND[0]:g} m/s"
    straight: Tuple[Tuple[str, Callable[[CommandFigures], float]], ...] = (
        ("survival [%]", lambda f: 100.0 * f.survival),
        ("RMSE vx [m/s]", lambda f: f.rmse_vx),
        ("least duty of a foot", lambda f: min(f.duty.values())),
        ("cost of transport", lambda f: f.cost_of_transport),
        ("torque saturated [%]", lambda f: 100.0 * f.torque_saturation),
        (
            f"duty factors: mean difference to {first.name} at {speed}",
            lambda f: gait_difference(f, at_gait[0])[0],
        ),
    )
    sides = [
        (title, axis)
        for title, axis in (("RMSE vy [m/s]", "vy"), ("RMSE wz [rad/s]", "wz"))
        if any(getattr(f, axis) for f in first.commands)
    ]
    count = len(straight) + len(sides)
    columns = math.ceil(count / 2)
    figure, axes = pyplot.subplots(
        2, columns, figsize=(4.75 * columns, 8.5), squeeze=False, constrained_layout=True
    )
    for axis, (title, value) in zip(axes.flat, straight):
        for number, evaluation in enumerate(evaluations):
            points = sorted((f.vx, value(f)) for f in evaluation.commands if not (f.vy or f.wz))
            axis.plot(*zip(*points), label=evaluation.name, **_curve_style(number))
        axis.set_title(title)
        axis.set_xlabel("commanded vx [m/s]")
        axis.grid(alpha=0.3)
    axes.flat[0].legend(handlelength=4.0)
    for axis, (title, name) in zip(axes.flat[len(straight) :], sides):
        _side_errors(axis, evaluations, title, name)
    for axis in axes.flat[count:]:
        axis.remove()
    _save(pyplot, figure, path)


def _curve_style(number: int) -> Dict[str, Any]:
    """Look of a policy's curve: one that coincides with an earlier, wider one leaves it visible."""
    return {
        "linestyle": _LINE_STYLES[number % len(_LINE_STYLES)],
        "linewidth": max(1.2, 4.0 - 1.2 * number),
        "marker": _MARKERS[number % len(_MARKERS)],
        "markersize": max(4.0, 10.0 - 2.5 * number),
    }


def _side_errors(axis: Any, evaluations: Sequence[Evaluation], title: str, name: str) -> None:
    """Bars of the error at the commands that ask for something on an axis."""
    labels: List[str] = []
    for number, evaluation in enumerate(evaluations):
        chosen = [f for f in evaluation.commands if getattr(f, name)]
        labels = [f"{getattr(f, name):+g}\n(vx {f.vx:g})" for f in chosen]
        width = 0.8 / len(evaluations)
        places = np.arange(len(chosen)) + (number - 0.5 * (len(evaluations) - 1)) * width
        axis.bar(places, [getattr(f, f"rmse_{name}") for f in chosen], width, label=evaluation.name)
    axis.set_title(f"{title} by command")
    axis.set_xticks(range(len(labels)))
    axis.set_xticklabels(labels, fontsize=8)
    axis.grid(alpha=0.3, axis="y")


def _save(pyplot: Any, figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(str(path), dpi=100)
    pyplot.close(figure)
