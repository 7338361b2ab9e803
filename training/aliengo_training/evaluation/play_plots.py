"""Plots of a played run: velocity tracking, joints, contacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Sequence

import numpy as np

from aliengo_description import robot
from aliengo_training.evaluation.metrics import CONTACT_FORCE_N
from aliengo_training.evaluation.rollouts import Trajectory

__all__ = ["plot_play"]

#: A colour that nothing else has.
_FALL_COLOUR = "magenta"
_TORQUE_COLOUR = "tab:green"


def plot_play(
    commands: np.ndarray, trajectory: Trajectory, falls_s: Sequence[float], folder: Path
) -> List[Path]:
    """Write ``vel_tracking.png``, ``joints.png`` and ``contacts.png``.

    Args:
        commands: (T, 3) vx, vy [m/s], wz [rad/s].
        trajectory: One rollout of as many steps.
        falls_s: Times of falls, after each of which the robot started again [s].
        folder: Made if needed.

    Returns:
        The files.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "vel_tracking.png": _tracking(pyplot, commands, trajectory, falls_s),
        "joints.png": _joints(pyplot, trajectory, falls_s),
        "contacts.png": _contacts(pyplot, trajectory, falls_s),
    }
    for name, figure in figures.items():
        figure.savefig(str(folder / name), dpi=100)
        pyplot.close(figure)
    return [folder / name for name in figures]


def _mark_falls(figure: Any, falls_s: Sequence[float]) -> None:
    """Draw a line through every panel at each fall."""
    for axis in figure.axes:
        for number, time_s in enumerate(falls_s):
            # One entry in the legend is enough; matplotlib leaves out labels that start with _.
            label = "_fall" if number else "fall: the robot starts again"
            axis.axvline(time_s, color=_FALL_COLOUR, linewidth=1.2, label=label)


def _legend_above(axis: Any) -> None:
    """Put the legend in one line above the panel, where it hides nothing."""
    axis.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncol=6, fontsize="small", frameon=False
    )


def _tracking(pyplot: Any, commands: np.ndarray, t: Trajectory, falls_s: Sequence[float]) -> Any:
    figure, axes = pyplot.subplots(3, 1, figsize=(11, 8), sharex=True, constrained_layout=True)
    actual = np.stack(
        [t.linear_velocity_b[0, :, 0], t.linear_velocity_b[0, :, 1], t.angular_velocity_b[0, :, 2]]
    )
    for axis, label, values, wanted in zip(
        axes, ("vx [m/s]", "vy [m/s]", "wz [rad/s]"), actual, commands.T
    ):
        error = float(np.sqrt(np.mean((values - wanted) ** 2)))
        axis.plot(t.times_s, values, linewidth=0.9, label=f"actual (RMSE {error:.3f})")
        axis.plot(t.times_s, wanted, "k--", label="command")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    _mark_falls(figure, falls_s)
    for axis in axes:
        _legend_above(axis)
    axes[-1].set_xlabel("time [s]")
    count = len(falls_s)
    fell = (
        f"{count} fall{'s' if count > 1 else ''}, which the RMSE includes" if count else "no fall"
    )
    figure.suptitle(f"velocity tracking: {fell}")
    return figure


def _joints(pyplot: Any, t: Trajectory, falls_s: Sequence[float]) -> Any:
    figure, axes = pyplot.subplots(4, 3, figsize=(18, 12), sharex=True, constrained_layout=True)
    for joint, axis in enumerate(axes.flat):
        axis.plot(t.times_s, t.joint_targets[0, :, joint], linewidth=0.7, label="target")
        axis.plot(t.times_s, t.joint_positions[0, :, joint], linewidth=0.9, label="position")
        axis.set_title(robot.JOINT_NAMES[joint], fontsize=9)
        axis.set_ylabel("angle [rad]", fontsize=8)
    _mark_falls(figure, falls_s)
    for joint, axis in enumerate(axes.flat):
        _torque_below(axis, t.times_s, t.joint_torques[0, :, joint], robot.TORQUE_LIMITS[joint])
    for axis in axes[-1]:
        axis.set_xlabel("time [s]")
    figure.suptitle("joints: target and position, below them the torque between its limits")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncol=4)
    return figure


def _torque_below(axis: Any, times_s: np.ndarray, values: np.ndarray, limit: float) -> None:
    """Draw a torque in the lower two fifths of a panel, on a scale of its own at the right."""
    low, high = axis.get_ylim()
    axis.set_ylim(high - (high - low) / 0.6, high)
    # Its line in the legend of the angles; the values are on the right scale.
    axis.plot([], [], color=_TORQUE_COLOUR, linewidth=0.8, label="torque (right scale)")
    torque = axis.twinx()
    torque.plot(times_s, values, color=_TORQUE_COLOUR, linewidth=0.8)
    bottom = -1.1 * limit
    torque.set_ylim(bottom, bottom + 2.2 * limit / 0.4)
    torque.set_yticks([-limit, 0.0, limit])
    torque.set_ylabel("torque [N m]", fontsize=8, color=_TORQUE_COLOUR, loc="bottom")
    torque.tick_params(axis="y", labelcolor=_TORQUE_COLOUR)


def _contacts(pyplot: Any, t: Trajectory, falls_s: Sequence[float]) -> Any:
    figure, axes = pyplot.subplots(2, 1, figsize=(11, 7), sharex=True, constrained_layout=True)
    for leg, name in enumerate(robot.LEG_NAMES):
        force = t.foot_forces[0, :, leg]
        contact = force > CONTACT_FORCE_N
        place = len(robot.LEG_NAMES) - 1 - leg
        axes[0].fill_between(
            t.times_s, place + 0.1, place + 0.9, where=contact, step="pre", color=f"C{leg}"
        )
        axes[0].text(t.times_s[0], place + 0.4, f" {np.mean(contact):.0%}", fontsize="small")
        axes[1].plot(t.times_s, force, linewidth=0.6, color=f"C{leg}", label=name)
    axes[0].set_yticks(np.arange(4) + 0.5)
    axes[0].set_yticklabels(list(reversed(robot.LEG_NAMES)))
    axes[0].set_title("feet on the ground (share of the time)", loc="left")
    axes[1].set_title("normal contact force", loc="left")
    axes[1].set(xlabel="time [s]", ylabel="[N]")
    _mark_falls(figure, falls_s)
    _legend_above(axes[1])
    return figure
