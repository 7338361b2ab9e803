#!/usr/bin/env python3
"""Makes the pictures and videos of README and docs from the models: `make figures`.

`--only walks` makes the videos of one policy each (a minute), `--only side_by_side` the one in which
the policies are compared (a minute; a sharper MP4 goes to logs/figures), `--only tables` evaluates the
policies as their cards tell and takes the pictures from there (an hour on two cores;
`ARGS="--only tables --rollouts 5"` for a look).
Without a screen set `MUJOCO_GL=egl` or `osmesa`.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from aliengo_training.cli.evaluate import EvaluateArgs
from aliengo_training.cli.evaluate import run as run_evaluation
from aliengo_training.evaluation.policy import OnnxPolicy
from aliengo_training.evaluation.rollouts import (
    RolloutConfig,
    Trajectory,
    roll_out,
    simulation_config,
)
from aliengo_training.evaluation.video import write_video
from aliengo_training.rendering import VideoError
from aliengo_training.sim.mujoco_cpu import MujocoCpuSimulator
from aliengo_training.sim.randomization import RandomizationConfig
from aliengo_training.tasks.config import NoiseConfig

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
IMAGES = ROOT / "docs" / "images"
RESULTS = ROOT / "logs" / "figures"

WALKS = (("base", 1.0), ("residual", 3.0))
SIDE_BY_SIDE = (
    ("base", 1.0, "base at 1.0 m/s"),
    ("residual", 1.6, "residual at 1.6 m/s"),
    ("residual", 3.0, "residual at 3.0 m/s"),
    ("base", 1.6, "base, commanded 1.6 m/s"),
    ("finetune", 1.6, "fine-tuned at 1.6 m/s"),
    ("finetune", 3.0, "fine-tuned at 3.0 m/s"),
)
"""Policy, commanded forward speed [m/s] and caption of each panel of the comparison."""
SIDE_COLUMNS, SIDE_WIDTH, SIDE_FRAMES_PER_SECOND = 3, 720, 12.5
START_S, SHOWN_S = 2.0, 3.0
"""A video begins when the robot has its speed [s], and is this long [s]."""
FRAMES_PER_SECOND = 20.0
GIF_WIDTH, GIF_COLORS = 360, 64
"""Small enough for a page: a few hundred kilobytes."""

NOMINAL = RolloutConfig(
    seconds=START_S + SHOWN_S,
    push_interval_s=0.0,
    noise=NoiseConfig(enabled=False),
    randomization=RandomizationConfig(enabled=False),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and make the pictures; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make the pictures of README and docs.")
    kinds = ("walks", "side_by_side", "tables")
    parser.add_argument("--only", choices=kinds, help="one kind of pictures")
    parser.add_argument("--rollouts", type=int, default=100, help="per command, for the tables")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of the pictures")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        if options.only in (None, "walks"):
            draw_walks(options.out)
        if options.only in (None, "side_by_side"):
            draw_side_by_side(options.out)
        if options.only in (None, "tables"):
            draw_tables(options.out, options.rollouts)
    except VideoError as error:
        print(f"figures.py: {error}", file=sys.stderr)
        return 1
    return 0


def draw_walks(out: Path) -> None:
    """Make one looping picture per entry of `WALKS`.

    Raises:
        VideoError: If there is no OpenGL.
    """
    for name, speed in WALKS:
        path = out / f"{name}_{speed:g}.gif"
        write_video([(f"{name}, {speed:.1f} m/s", walk(name, speed))], path, FRAMES_PER_SECOND)
        shrink(path, GIF_WIDTH, FRAMES_PER_SECOND)
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")


def draw_side_by_side(out: Path) -> None:
    """Make the video that compares the policies: a GIF for the page, an MP4 in logs/figures.

    Raises:
        VideoError: If there is no OpenGL.
    """
    panels = [(caption, walk(name, speed)) for name, speed, caption in SIDE_BY_SIDE]
    path, large = out / "comparison_side_by_side.gif", RESULTS / "comparison_side_by_side.mp4"
    write_video(panels, large, columns=SIDE_COLUMNS)
    write_video(panels, path, SIDE_FRAMES_PER_SECOND, columns=SIDE_COLUMNS)
    shrink(path, SIDE_WIDTH, SIDE_FRAMES_PER_SECOND)
    for written in (large, path):
        print(f"wrote {written} ({written.stat().st_size / 1e6:.1f} MB)")


def walk(name: str, speed: float) -> Trajectory:
    """The nominal robot's walk at a forward speed [m/s], without its first seconds."""
    simulator = MujocoCpuSimulator(1, simulation_config(NOMINAL), threads=1)
    try:
        policy = OnnxPolicy(MODELS / f"{name}.onnx")
        trajectory = roll_out(policy, simulator, [(speed, 0.0, 0.0)], NOMINAL)
    finally:
        simulator.close()
    first = round(START_S / trajectory.period_s)
    later = {
        field.name: getattr(trajectory, field.name)[:, first:]
        for field in dataclasses.fields(trajectory)
        if field.name not in ("period_s", "command", "steady", "settled")
    }
    return dataclasses.replace(trajectory, **later)


def shrink(path: Path, width: int, frames_per_second: float) -> None:
    """Rewrite a GIF at a width [pixels], all images with the colours of the first."""
    with Image.open(path) as source:
        frames = []
        for index in range(getattr(source, "n_frames", 1)):
            source.seek(index)
            height = round(source.height * width / source.width)
            frames.append(source.convert("RGB").resize((width, height)))
    palette = frames[0].quantize(GIF_COLORS)
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    small[0].save(
        path,
        save_all=True,
        append_images=small[1:],
        duration=1000.0 / frames_per_second,
        loop=0,
        optimize=True,
    )


def draw_tables(out: Path, rollouts: int) -> None:
    """Evaluate base, residual and those that are compared, and keep their pictures."""
    residual = MODELS / "residual.onnx"
    runs = {
        "base": EvaluateArgs(policy=MODELS / "base.onnx"),
        "residual": EvaluateArgs(policy=residual, commands=("fast",)),
        "compare": EvaluateArgs(
            compare=(MODELS / "base.onnx", MODELS / "finetune.onnx", residual),
            commands=("compare",),
        ),
    }
    for name, args in runs.items():
        run_evaluation(dataclasses.replace(args, rollouts=rollouts, out=RESULTS / name))
    for name in ("base", "residual"):
        for picture in ("heat_maps", "gaits"):
            shutil.copyfile(RESULTS / name / f"{picture}.png", out / f"{name}_{picture}.png")
    shutil.copyfile(RESULTS / "compare" / "comparison.png", out / "comparison.png")


if __name__ == "__main__":
    sys.exit(main())
