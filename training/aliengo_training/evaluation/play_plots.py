"""Plots of a played run: velocity tracking, joints, contacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List

import numpy as np

from aliengo_description import robot
from aliengo_training.evaluation.metrics import CONTACT_FORCE_N
from aliengo_training.evaluation.rollouts import Trajectory

__all__ = ["plot_play"]


def plot_play(commands: np.ndarray, trajectory: Trajectory, folder: Path) -> List[Path]:
    """Write ``vel_tracking.png``, ``joints.png`` and ``contacts.png``.

    Args:
        commands: (T, 3) vx, vy [m/s], wz [rad/s].
        trajectory: One rollout of as many steps.
        folder: Made if needed.

    Returns:
        The files.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "vel_tracking.png": _tracking(pyplot, commands, trajectory),
        "joints.png": _joints(pyplot, trajectory),
        "contacts.png": _contacts(pyplot, trajectory),
    }
    for name, figure in figures.items():
        figure.savefig(str(folder / name), dpi=100)
        pyplot.close(figure)
    return [folder / name for name in figures]


def _tracking(pyplot: Any, commands: np.ndarray, t: Trajectory) -> Any:
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
        axis.legend(loc="upper right", fontsize="small")
    axes[-1].set_xlabel("time [s]")
    figure.suptitle("velocity tracking")
    return figure


def _joints(pyplot: Any, t: Trajectory) -> Any:
    figure, axes = pyplot.subplots(4, 3, figsize=(15, 10), sharex=True, constrained_layout=True)
    for joint, axis in enumerate(axes.flat):
        axis.plot(t.times_s, t.joint_targets[0, :, joint], linewidth=0.7, label="target")
        axis.plot(t.times_s, t.joint_positions[0, :, joint], linewidth=0.9, label="position")
        torque = axis.twinx()
        torque.plot(t.times_s, t.joint_torques[0, :, joint], "grey", linewidth=0.4, alpha=0.6)
        limit = robot.TORQUE_LIMITS[joint]
        torque.set_ylim(-1.1 * limit, 1.1 * limit)
        axis.set_zorder(torque.get_zorder() + 1)
        axis.patch.set_visible(False)
        axis.set_title(robot.JOINT_NAMES[joint], fontsize=9)
    axes[0, 0].legend(fontsize="small")
    figure.suptitle("joints: position and target [rad], torque [N m] in grey on its limits' scale")
    figure.supxlabel("time [s]")
    return figure


def _contacts(pyplot: Any, t: Trajectory) -> Any:
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
    axes[0].set_title("feet on the ground (share of the time)")
    axes[1].set(title="normal contact force", xlabel="time [s]", ylabel="[N]")
    axes[1].legend(ncol=4, fontsize="small")
    return figure
