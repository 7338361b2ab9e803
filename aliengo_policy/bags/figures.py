"""Figures of one run or of two, drawn with matplotlib and without a display."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aliengo_description import robot
from aliengo_policy.bags.metrics import AXES, contacts, envelope, residual_share, walking
from aliengo_policy.bags.run import Run

__all__ = ["FIGURES", "draw"]

WIDTH, DPI = 11.0, 110
ZOOM_S = 3.0
"""Length of the close-ups: several strides."""
UNITS = {"vx": "m/s", "vy": "m/s", "wz": "rad/s"}
LEG_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red")
EVENT_COLOURS = {"fault": "red", "estop": "red", "mode": "grey", "policy": "purple"}


def draw(runs: Sequence[Run]) -> dict[str, Figure]:
    """Draws every figure for which one of the runs has data.

    Args:
        runs: One run, or several to compare; the first is drawn boldest.

    Returns:
        Figures by name, in the order of a report.
    """
    found = {}
    for name, make in FIGURES.items():
        figure = make(runs)
        if figure is not None:
            found[name] = figure
    return found


def _canvas(rows: int, height: float, columns: int = 1, share: bool = True) -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, sharex=share, squeeze=False)


def _mark_events(axis: Axes, run: Run) -> None:
    for event in run.events:
        colour = EVENT_COLOURS.get(event.kind)
        if colour:
            axis.axvline(event.time_s, color=colour, linewidth=0.8, alpha=0.6)


def _label(run: Run, text: str, runs: Sequence[Run]) -> str:
    return f"{run.name}: {text}" if len(runs) > 1 else text


def velocity(runs: Sequence[Run]) -> Figure | None:
    """Commanded and measured velocity."""
    if not any("command" in run.step or run.measured[1] for run in runs):
        return None
    figure, axes = _canvas(3, 7.0)
    for row, name in enumerate(AXES):
        axis = axes[row, 0]
        for index, run in enumerate(runs):
            source, measured = run.measured
            if name in measured:
                _band(
                    axis, measured["time"], measured[name], f"C{index}", _label(run, source, runs)
                )
            if "command" in run.step:
                axis.plot(
                    run.step["time"],
                    run.step["command"][:, row],
                    color="black" if index == 0 else f"C{index}",
                    linestyle="-" if index == 0 else "--",
                    linewidth=1.2,
                    label=_label(run, "command", runs),
                )
        _mark_events(axis, runs[0])
        axis.set_ylabel(f"{name} [{UNITS[name]}]")
        axis.grid(alpha=0.3)
    axes[0, 0].legend(loc="upper right", fontsize=8)
    axes[-1, 0].set_xlabel("time [s]")
    return figure


def _band(axis: Axes, times: Any, values: Any, colour: str, label: str) -> None:
    for centres, low, high in envelope(times, np.asarray(values)[:, None]):
        axis.fill_between(centres, low, high, color=colour, alpha=0.35, linewidth=0.4)
        axis.plot(centres, 0.5 * (low + high), color=colour, linewidth=0.8, label=label)


def _zoom(run: Run) -> tuple[float, float] | None:
    """A window in the middle of the longest walk; None without one."""
    if "time" not in run.step or not len(run.step["time"]):
        return None
    walks = np.concatenate([[False], walking(run), [False]])
    edges = np.flatnonzero(walks[1:] != walks[:-1])
    if not len(edges):
        return None
    starts, ends = edges[::2], edges[1::2] - 1
    best = int(np.argmax(ends - starts))
    time = run.step["time"]
    middle = 0.5 * (time[starts[best]] + time[ends[best]])
    return float(middle - ZOOM_S / 2), float(middle + ZOOM_S / 2)


def joints(runs: Sequence[Run]) -> Figure | None:
    """Joint positions and targets, close up."""
    run = runs[0]
    window = _zoom(run)
    if window is None or "q" not in run.state or "joint_targets" not in run.step:
        return None
    figure, axes = _canvas(4, 8.0, columns=3)
    state = slice(*np.searchsorted(run.state["time"], window))
    step = slice(*np.searchsorted(run.step["time"], window))
    for joint, name in enumerate(robot.JOINT_NAMES):
        axis = axes[joint // 3, joint % 3]
        axis.plot(run.state["time"][state], run.state["q"][state, joint], linewidth=0.9)
        axis.step(
            run.step["time"][step],
            run.step["joint_targets"][step, joint],
            where="post",
            linewidth=0.8,
            color="tab:orange",
        )
        axis.set_title(name.removesuffix("_joint"), fontsize=8)
        axis.grid(alpha=0.3)
    axes[0, 0].legend(["position", "target"], fontsize=7)
    figure.supylabel("[rad]")
    figure.supxlabel("time [s]")
    return figure


def torques(runs: Sequence[Run]) -> Figure | None:
    """Torques [N m] of each kind of joint, with their limits."""
    if not any("tau" in run.state for run in runs):
        return None
    figure, axes = _canvas(3, 6.5)
    for row, kind in enumerate(("hip", "thigh", "calf")):
        axis = axes[row, 0]
        limit = robot.TORQUE_LIMITS[row]
        for index, run in enumerate(runs):
            if "tau" not in run.state:
                continue
            values = run.state["tau"][:, row::3]
            extremes = np.stack([values.min(axis=1), values.max(axis=1)], axis=1)
            bands = list(envelope(run.state["time"], extremes))
            label = _label(run, f"{kind}s, lowest to highest", runs)
            axis.fill_between(
                bands[0][0], bands[0][1], bands[1][2], color=f"C{index}", alpha=0.5, label=label
            )
        for sign in (-1.0, 1.0):
            axis.axhline(sign * limit, color="red", linestyle="--", linewidth=0.9)
        axis.set_ylabel(f"{kind} [N m]")
        axis.legend(loc="upper right", fontsize=7)
        axis.grid(alpha=0.3)
    axes[-1, 0].set_xlabel("time [s]")
    return figure


def gait(runs: Sequence[Run]) -> Figure | None:
    """Which foot stands when, close up."""
    shown = [(run, _zoom(run)) for run in runs]
    shown = [(run, window) for run, window in shown if window is not None and "tau" in run.state]
    if not shown:
        return None
    figure, axes = _canvas(len(shown), 1.2 + 1.5 * len(shown), share=False)
    for row, (run, window) in enumerate(shown):
        assert window is not None
        axis = axes[row, 0]
        times, standing = contacts(run)
        part = slice(*np.searchsorted(times, window))
        for leg in range(4):
            axis.fill_between(
                times[part],
                3.6 - leg,
                4.4 - leg,
                where=standing[part, leg],
                color=LEG_COLOURS[leg],
                step="post",
                linewidth=0,
            )
        axis.set_yticks([4, 3, 2, 1], robot.LEG_NAMES)
        axis.set_xlim(*window)
        axis.set_title(_label(run, "feet on the ground", runs), fontsize=9)
    axes[-1, 0].set_xlabel("time [s]")
    return figure


def residual(runs: Sequence[Run]) -> Figure | None:
    """Share of the residual in the action, and its gate."""
    shares = [(run, residual_share(run)) for run in runs]
    if not any(share is not None and share.any() for _, share in shares):
        return None
    figure, axes = _canvas(2, 4.0)
    for index, (run, share) in enumerate(shares):
        if share is not None:
            _band(axes[0, 0], run.step["time"], share, f"C{index}", _label(run, "share", runs))
        if "gate" in run.step:
            axes[1, 0].plot(run.step["time"], run.step["gate"], color=f"C{index}", linewidth=0.9)
    axes[0, 0].set_ylabel("|mu_res| / |mu_base|")
    axes[1, 0].set_ylabel("gate")
    axes[1, 0].set_xlabel("time [s]")
    return figure


def timing(runs: Sequence[Run]) -> Figure | None:
    """Intervals between messages, and the time that a policy step takes."""
    if not any(len(run.state.get("time", ())) > 2 or run.step for run in runs):
        return None
    figure, axes = _canvas(3, 6.5)
    for index, run in enumerate(runs):
        for row, group, label in (
            (0, run.state, "between states"),
            (1, run.step, "between policy steps"),
        ):
            if len(group.get("time", ())) > 2:
                gaps = np.diff(group["time"]) * 1e3
                _band(axes[row, 0], group["time"][1:], gaps, f"C{index}", _label(run, label, runs))
        for name, colour in (
            ("state_age_s", f"C{2 * index}"),
            ("inference_time_s", f"C{2 * index + 1}"),
        ):
            if name in run.step:
                label = _label(run, name.removesuffix("_s").replace("_", " "), runs)
                _band(axes[2, 0], run.step["time"], run.step[name] * 1e3, colour, label)
    for axis in axes[:, 0]:
        axis.set_ylabel("[ms]")
        axis.set_yscale("log")
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="upper right", fontsize=7)
    axes[-1, 0].set_xlabel("time [s]")
    return figure


def temperatures(runs: Sequence[Run]) -> Figure | None:
    """Motor temperatures with modes and faults on the same axis of time."""
    if not any("temperature" in run.state or run.events for run in runs):
        return None
    figure, axes = _canvas(1, 3.5)
    axis = axes[0, 0]
    for index, run in enumerate(runs):
        if "temperature" in run.state:
            for row, kind in enumerate(("hip", "thigh", "calf")):
                hottest = run.state["temperature"][:, row::3].max(axis=1)
                label = _label(run, f"hottest {kind}", runs)
                _band(axis, run.state["time"], hottest, f"C{3 * index + row}", label)
    run = runs[0]
    _mark_events(axis, run)
    for event in run.events:
        if event.kind in EVENT_COLOURS:
            axis.annotate(
                event.text[:40],
                (event.time_s, 1.0),
                xycoords=("data", "axes fraction"),
                rotation=90,
                fontsize=6,
                va="top",
                color=EVENT_COLOURS[event.kind],
            )
    axis.set_ylabel("[°C]")
    axis.set_xlabel("time [s]")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="lower right", fontsize=7)
    axis.grid(alpha=0.3)
    return figure


FIGURES: dict[str, Callable[[Sequence[Run]], Figure | None]] = {
    "velocity": velocity,
    "joints": joints,
    "torques": torques,
    "gait": gait,
    "residual": residual,
    "timing": timing,
    "temperatures": temperatures,
}
"""Every figure by name; each takes the runs and returns None without data."""
