"""A scripted walk and its verdict: commanded against measured velocity, segment by segment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# The robot needs this long to follow a new command [s]; it is left out of the means.
SETTLING_S = 1.5
FALL_TILT = 1.0
FALL_HEIGHT = 0.18
AXES = ("vx", "vy", "wz")
UNITS = ("m/s", "m/s", "rad/s")


@dataclass(frozen=True)
class Segment:
    """A constant command.

    Attributes:
        name: shown in the table.
        velocity: vx, vy [m/s], wz [rad/s].
        duration_s: how long it is given.
        tolerance: largest error of the mean vx that passes [m/s]; None for no verdict.
    """

    name: str
    velocity: tuple[float, float, float]
    duration_s: float
    tolerance: float | None = None


def _forward(speed: float, tolerance: float, duration_s: float = 6.0) -> Segment:
    return Segment(f"forward {speed:g}", (speed, 0.0, 0.0), duration_s, tolerance)


BASE_SCRIPT: tuple[Segment, ...] = (
    _forward(0.3, 0.2),
    _forward(0.6, 0.2),
    _forward(1.0, 0.2),
    Segment("turn", (0.4, 0.0, 0.6), 6.0),
    Segment("stop", (0.0, 0.0, 0.0), 3.0),
)
RESIDUAL_SCRIPT: tuple[Segment, ...] = (
    *(_forward(speed, 0.2) for speed in (1.0, 1.6, 2.0, 2.5)),
    _forward(3.0, 0.3),
    *(_forward(speed, 0.2, 4.0) for speed in (2.5, 2.0, 1.6, 1.0)),
    Segment("stop", (0.0, 0.0, 0.0), 3.0),
)


def forward_script(speeds: Sequence[float], hold_s: float) -> tuple[Segment, ...]:
    """Walk forward at each speed in turn, then stop.

    Args:
        speeds: in order [m/s].
        hold_s: how long each is given [s].

    Raises:
        ValueError: if a speed is not finite, or the time is too short to judge anything.
    """
    wrong = [speed for speed in speeds if not math.isfinite(speed)]
    if wrong:
        raise ValueError(f"--speeds has {wrong[0]:g}, expected finite speeds [m/s]")
    if not SETTLING_S < hold_s < math.inf:
        raise ValueError(
            f"--hold is {hold_s:g} s, expected more than {SETTLING_S:g} s, which settling takes"
        )
    return (
        *(_forward(speed, 0.3 if speed > 2.5 else 0.2, hold_s) for speed in speeds),
        BASE_SCRIPT[-1],
    )


def script_for(kind: str) -> tuple[Segment, ...]:
    """The walk that suits a kind of policy."""
    return BASE_SCRIPT if kind == "base" else RESIDUAL_SCRIPT


@dataclass(frozen=True)
class Sample:
    """Ground truth at one time.

    Attributes:
        time_s: since the start of the recording.
        segment: index into the script; -1 outside of it.
        command: (3,) what was asked for at that time.
        velocity: (3,) vx, vy [m/s] and wz [rad/s] of the body, measured in its own frame.
        position: (3,) in the world [m].
        tilt: of the body [rad].
    """

    time_s: float
    segment: int
    command: tuple[float, float, float]
    velocity: tuple[float, float, float]
    position: tuple[float, float, float]
    tilt: float


@dataclass(frozen=True)
class SegmentResult:
    """Mean and spread of the velocity in one segment, settled part only."""

    segment: Segment
    mean: tuple[float, float, float]
    rmse_vx: float

    @property
    def passed(self) -> bool:
        """Whether the mean forward velocity is as close to the command as asked for."""
        limit = self.segment.tolerance
        return limit is None or abs(self.mean[0] - self.segment.velocity[0]) <= limit


@dataclass(frozen=True)
class Verdict:
    """What became of a walk; ``problems`` is empty if it went well."""

    results: tuple[SegmentResult, ...]
    problems: tuple[str, ...]
    distance: float


def judge(samples: Sequence[Sample], script: Sequence[Segment], endings: Sequence[str]) -> Verdict:
    """Compare a recording with its script.

    Args:
        samples: in order of time.
        script: what was commanded.
        endings: problems that were noticed while recording.
    """
    problems = list(endings)
    results = []
    walked = [sample for sample in samples if sample.segment >= 0]
    for index, segment in enumerate(script):
        inside = [sample for sample in walked if sample.segment == index]
        settled = [s for s in inside if s.time_s >= inside[0].time_s + SETTLING_S]
        if not settled:
            problems.append(f"{segment.name}: not reached")
            continue
        velocity = np.array([sample.velocity for sample in settled])
        error = velocity[:, 0] - segment.velocity[0]
        mean = velocity.mean(axis=0)
        result = SegmentResult(
            segment,
            (float(mean[0]), float(mean[1]), float(mean[2])),
            float(np.sqrt((error**2).mean())),
        )
        results.append(result)
        if not result.passed:
            problems.append(
                f"{segment.name}: mean vx {result.mean[0]:.2f} m/s, allowed "
                f"{segment.velocity[0]:g} +- {segment.tolerance:g} m/s"
            )
    fallen = next((s for s in walked if s.tilt > FALL_TILT or s.position[2] < FALL_HEIGHT), None)
    if fallen is not None:
        problems.append(
            f"fell {fallen.time_s:.1f} s into the recording, in {script[fallen.segment].name}: "
            f"tilt {math.degrees(fallen.tilt):.0f} deg, height {fallen.position[2]:.2f} m"
        )
    track = np.array([sample.position[:2] for sample in walked])
    distance = (
        float(np.linalg.norm(np.diff(track, axis=0), axis=1).sum()) if len(track) > 1 else 0.0
    )
    return Verdict(tuple(results), tuple(problems), distance)


def format_table(verdict: Verdict) -> str:
    """Commanded and measured velocity per segment, as text."""
    lines = [
        "segment        command vx  vy    wz     measured vx    vy     wz    rmse vx",
        "-" * 76,
    ]
    for result in verdict.results:
        vx, vy, wz = result.segment.velocity
        mx, my, mz = result.mean
        mark = "" if result.passed else "  <- too far off"
        lines.append(
            f"{result.segment.name:<14} {vx:10.2f} {vy:5.2f} {wz:5.2f} {mx:15.2f} {my:6.2f} "
            f"{mz:6.2f} {result.rmse_vx:9.2f}{mark}"
        )
    lines.append(f"walked {verdict.distance:.1f} m")
    lines += [f"problem: {problem}" for problem in verdict.problems]
    return "\n".join(lines)


def plot(samples: Sequence[Sample], script: Sequence[Segment], path: Path, title: str) -> None:
    """Draw command and measurement over time, one panel per axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    times = np.array([sample.time_s for sample in samples])
    commands = np.array([sample.command for sample in samples])
    velocities = np.array([sample.velocity for sample in samples])
    segments = np.array([sample.segment for sample in samples])
    figure, panels = pyplot.subplots(3, 1, figsize=(10, 7), sharex=True, layout="constrained")
    for axis, panel in enumerate(panels):
        panel.plot(times, velocities[:, axis], color="#1f77b4", linewidth=1.0, label="measured")
        panel.plot(times, commands[:, axis], color="#d62728", linewidth=1.5, label="commanded")
        panel.set_ylabel(f"{AXES[axis]} [{UNITS[axis]}]")
        panel.grid(alpha=0.3)
        panel.margins(x=0)
    for index, segment in enumerate(script):
        inside = times[segments == index]
        if inside.size:
            for panel in panels:
                panel.axvspan(inside[0], inside[-1], color="0.5", alpha=0.06 + 0.06 * (index % 2))
            middle = 0.5 * (inside[0] + inside[-1])
            panels[0].text(middle, 1.01, segment.name, ha="center", va="bottom", fontsize=8,
                           transform=panels[0].get_xaxis_transform())  # fmt: skip
    panels[0].set_title(title, pad=18)
    panels[0].legend(loc="upper left", fontsize=8)
    panels[-1].set_xlabel("time [s]")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
