"""A page of plots about one clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aliengo_description import robot
from aliengo_training.motion.analysis import CONTACT_HEIGHT_M, analyse, contacts
from aliengo_training.motion.clip import MotionClip

__all__ = ["draw_clip", "plot_clip"]

#: A foot that moves less than this in the trunk frame [m] is drawn with a marker, since its path
#: would be a point or less than the width of a line.
_SHORTEST_PATH_M = 0.01


def plot_clip(clip: MotionClip, path: Path) -> None:
    """Draw feet, contacts, velocities and joints of a clip into an image file."""
    from matplotlib import pyplot as plt

    figure = draw_clip(clip)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(str(path), dpi=110)
    plt.close(figure)


def draw_clip(clip: MotionClip) -> Any:
    """Return the figure that :func:`plot_clip` writes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(3, 2, figsize=(13, 11), constrained_layout=True)
    figure.suptitle(_title(clip))
    _foot_heights(axes[0, 0], clip)
    _contacts(axes[0, 1], clip)
    _foot_paths(axes[1, 0], clip)
    _velocities(axes[1, 1], clip)
    _joints(axes[2, 0], clip, (0, 1), "front")
    _joints(axes[2, 1], clip, (2, 3), "rear")
    for axis in (*axes[0, :1], *axes[1:].flat):
        # Beside the axes: curves may fill all of them.
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
    return figure


def _title(clip: MotionClip) -> str:
    figures = analyse(clip)
    forward, left, _ = figures.mean_velocity_b
    period = (
        "no period" if figures.gait_period_s is None else f"period {figures.gait_period_s:.2f} s"
    )
    carried = f", carries {' '.join(figures.carried)}" if figures.carried else ""
    return (
        f"{clip.name}: {clip.duration_s:.2f} s, {forward:.2f} m/s forward, {left:+.2f} m/s left, "
        f"{figures.mean_yaw_rate:+.2f} rad/s, {period}{carried}"
    )


def _foot_heights(axis: Any, clip: MotionClip) -> None:
    for leg, heights in zip(robot.LEG_NAMES, clip.foot_heights().T):
        axis.plot(clip.times_s, 100.0 * heights, label=leg)
    axis.axhline(100.0 * CONTACT_HEIGHT_M, color="grey", linestyle=":", label="counts as contact")
    axis.set(title="foot over the ground", xlabel="time [s]", ylabel="height [cm]")


def _contacts(axis: Any, clip: MotionClip) -> None:
    bearing = contacts(clip)
    for row, leg in enumerate(reversed(robot.LEG_NAMES)):
        on = bearing[:, robot.LEG_NAMES.index(leg)]
        axis.fill_between(clip.times_s, row, row + 0.8, where=on, step="mid", color=f"C{3 - row}")
        axis.text(0.0, row + 0.25, f" {on.mean():.0%}", fontsize="small")
    axis.set(title="contacts (share of the time)", xlabel="time [s]")
    axis.set_yticks(np.arange(4) + 0.4)
    axis.set_yticklabels(list(reversed(robot.LEG_NAMES)))


def _foot_paths(axis: Any, clip: MotionClip) -> None:
    for index, leg in enumerate(robot.LEG_NAMES):
        x, _, z = clip.foot_positions[:, index].T
        marker = "o" if max(np.ptp(x), np.ptp(z)) < _SHORTEST_PATH_M else None
        axis.plot(100.0 * x, 100.0 * z, marker=marker, label=leg)
    axis.set(title="feet in the trunk frame, from the right", xlabel="x [cm]", ylabel="z [cm]")
    axis.set_aspect("equal", adjustable="datalim")


def _velocities(axis: Any, clip: MotionClip) -> None:
    for label, values in zip(("forward", "left", "up"), clip.linear_velocity_b.T):
        axis.plot(clip.times_s, values, label=f"{label} [m/s]")
    axis.plot(clip.times_s, clip.angular_velocity_b[:, 2], "k:", label="yaw [rad/s]")
    axis.set(title="velocity of the trunk in its frame", xlabel="time [s]")


def _joints(axis: Any, clip: MotionClip, legs: tuple[int, int], name: str) -> None:
    for leg, style in zip(legs, ("-", "--")):
        for kind in range(3):
            label = robot.JOINT_NAMES[3 * leg + kind].replace("_joint", "")
            values = clip.joint_positions[:, 3 * leg + kind]
            axis.plot(clip.times_s, values, style, color=f"C{kind}", label=label)
    axis.set(title=f"{name} joints", xlabel="time [s]", ylabel="[rad]")
