"""`evaluate.py`: judge one policy over a grid of commands, or compare several."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import tyro

from aliengo_training.checkpoints import CheckpointError
from aliengo_training.checks import require
from aliengo_training.evaluation.figures import ClipCycle, CommandFigures, clip_cycle
from aliengo_training.evaluation.grid import PRESETS, Evaluation, evaluate, parse_commands
from aliengo_training.evaluation.plots import plot_comparison, plot_gaits, plot_heat_maps
from aliengo_training.evaluation.policy import OnnxPolicy, as_policy_file
from aliengo_training.evaluation.report import (
    GAIT_COMMAND,
    comparison_table,
    markdown_table,
    write_csv,
    write_json,
)
from aliengo_training.evaluation.rollouts import Command, RolloutConfig
from aliengo_training.evaluation.style import StyleJudge
from aliengo_training.evaluation.video import write_video
from aliengo_training.motion.files import find_motions, load_motion
from aliengo_training.rendering import FORMATS, VideoError
from aliengo_training.sim import BACKENDS


@dataclasses.dataclass(frozen=True)
class EvaluateArgs:
    """Judge an Aliengo policy by randomised rollouts in MuJoCo.

    Attributes:
        policy: A .onnx file or a model_<iteration>.pt.
        compare: Several of them to set side by side, instead of --policy; the first is the base
            whose gait at 1.0 m/s the others' are compared with.
        commands: base, fast, compare, or vx,vy,wz (each a number or low:high:count).
        rollouts: Per command.
        seconds: Length of a rollout [s].
        motion_files: Glob pattern of reference motions for fidelity (quote it); each motion's own
            speed is added to the commands.
        lowpass_hz: Low-pass of the motions before their cycle is taken; 0 for none [Hz].
        style_checkpoint: model_<iteration>.pt whose discriminator gives the style reward, by
            default the (first) policy if it is such a file.
        out: Folder for the results, by default logs/evaluation/<name>.
        video: Render each command's example, and for --compare all policies side by side.
        video_format: mp4 or gif.
        video_seconds: Length of a video, from the rollout's start [s].
        sim: Physics backend: mujoco (whole robot collides) or mujoco_warp (GPU).
        rl_device: Torch device of the backend.
        workers: Processes, by default one per core.
        cfg: Conditions, e.g. --cfg.push_velocity 0.
    """

    policy: Path = Path("models/base.onnx")
    compare: Tuple[Path, ...] = ()
    commands: Tuple[str, ...] = ("base",)
    rollouts: int = 100
    seconds: float = 20.0
    motion_files: Optional[str] = None
    lowpass_hz: float = 0.0
    style_checkpoint: Optional[Path] = None
    out: Optional[Path] = None
    video: bool = False
    video_format: str = "mp4"
    video_seconds: float = 8.0
    sim: str = "mujoco"
    rl_device: str = "cpu"
    workers: Optional[int] = None
    cfg: RolloutConfig = dataclasses.field(default_factory=RolloutConfig)


def run(args: EvaluateArgs) -> Tuple[Path, List[Evaluation]]:
    """Evaluate, write everything and print the tables.

    Returns:
        The folder of the results and what came out.

    Raises:
        ValueError: On arguments that cannot be meant, before anything is simulated or written.
    """
    _check(args)
    config = dataclasses.replace(args.cfg, seconds=args.seconds)
    clips = _clips(args)
    commands: Sequence[Command] = parse_commands(args.commands)
    policies = args.compare or (args.policy,)
    if args.compare and GAIT_COMMAND not in commands:
        commands = (GAIT_COMMAND, *commands)
    commands = tuple(dict.fromkeys([*commands, *((clip.speed, 0.0, 0.0) for clip in clips)]))
    if not commands:
        raise ValueError(f"--commands is empty, expected vx,vy,wz or one of {', '.join(PRESETS)}")
    # All of them first: a file that is refused should not cost the rollouts of those before it.
    names, files = policy_names(policies), [as_policy_file(path) for path in policies]
    for name, file in zip(names, files):
        beyond = OnnxPolicy(file).beyond_ranges(commands)
        if beyond is not None:
            print(f"{name}: {beyond}", file=sys.stderr)
    style = args.style_checkpoint or _own_judge(policies[0])
    if style is not None:
        StyleJudge(style)
    folder = args.out or Path("logs") / "evaluation" / "_".join(path.stem for path in policies)
    folder.mkdir(parents=True, exist_ok=True)
    evaluations = []
    for file, name in zip(files, names):
        evaluation = _judge(args, file, name, commands, config, clips, style)
        evaluations.append(evaluation)
        single = folder / name if args.compare else folder
        _write(single, file, evaluation, config)
        if args.video and not args.compare:
            _videos(single, [evaluation], args)
    if args.compare:
        _compare(folder, evaluations)
        if args.video:
            _videos(folder, evaluations, args)
    print(f"results: {folder}")
    return folder, evaluations


def _check(args: EvaluateArgs) -> None:
    """Refuse what would fail, or mean nothing, after minutes of rollouts."""
    require("--rollouts", args.rollouts, args.rollouts >= 1, "at least 1")
    require("--workers", args.workers, args.workers is None or args.workers >= 1, "at least 1")
    if args.video_format not in FORMATS:
        raise ValueError(
            f"--video_format is {args.video_format!r}, allowed are {', '.join(FORMATS)}"
        )
    length = args.video_seconds
    require("--video_seconds", length, 0.0 < length < math.inf, "a finite number above 0")
    if args.sim not in BACKENDS:
        raise ValueError(f"--sim is {args.sim!r}, allowed are {', '.join(BACKENDS)}")
    if args.sim == "mujoco" and not args.rl_device.startswith("cpu"):
        raise ValueError(
            f"--rl_device {args.rl_device}: --sim mujoco runs on the CPU; for a GPU --sim mujoco_warp"
        )


def policy_names(paths: Sequence[Path]) -> List[str]:
    """File names without ending, with as many folders before them as tell them apart."""
    deepest = max(len(path.parts) for path in paths)
    for depth in range(deepest):
        names = ["_".join([*path.parts[:-1], path.stem][-depth - 1 :]) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f"the same policy twice: {', '.join(str(path) for path in paths)}")


def _own_judge(path: Path) -> Optional[Path]:
    """The checkpoint itself, if it has a discriminator."""
    if path.suffix != ".pt":
        return None
    try:
        StyleJudge(path)
    except CheckpointError:
        return None
    return path


def _clips(args: EvaluateArgs) -> List[ClipCycle]:
    if args.motion_files is None:
        return []
    cycles = []
    for path in find_motions(args.motion_files):
        cycle = clip_cycle(load_motion(path, lowpass_hz=args.lowpass_hz or None))
        if cycle is None:
            print(f"{path.name} has no gait rhythm: no fidelity is measured against it")
        else:
            cycles.append(cycle)
    return cycles


def _judge(
    args: EvaluateArgs,
    path: Path,
    name: str,
    commands: Sequence[Command],
    config: RolloutConfig,
    clips: Sequence[ClipCycle],
    style: Optional[Path],
) -> Evaluation:
    started = time.monotonic()

    def progress(done: int, total: int) -> None:
        left = (time.monotonic() - started) / done * (total - done)
        if sys.stderr.isatty():
            print(
                f"\r{name}: {done}/{total} rollouts, {left:.0f} s left\033[K",
                end="",
                file=sys.stderr,
            )

    evaluation = evaluate(
        path,
        name,
        commands,
        args.rollouts,
        config,
        args.sim,
        args.rl_device,
        args.workers,
        clips,
        style,
        progress,
    )
    elapsed = time.monotonic() - started
    rate = evaluation.environment_steps / elapsed
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(
        f"{name}: {evaluation.environment_steps} steps in {elapsed:.0f} s ({rate:.0f} steps/s); "
        f"errors leave out the first {config.settle_s:g} s\n"
    )
    return evaluation


def _write(folder: Path, path: Path, evaluation: Evaluation, config: RolloutConfig) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    table = markdown_table(evaluation.commands)
    print(table + "\n")
    metadata = OnnxPolicy(path).metadata
    about: Dict[str, Any] = {
        "policy": path.name,
        "weights_sha256": metadata["weights_sha256"],
        "training": metadata["training"],
    }
    (folder / "table.md").write_text(table + "\n", encoding="utf-8")
    write_csv(folder / "figures.csv", [figures.flat() for figures in evaluation.commands])
    write_json(folder / "figures.json", evaluation, config, about)
    plot_heat_maps(evaluation, folder / "heat_maps.png")
    plot_gaits(evaluation, folder / "gaits.png")


def _compare(folder: Path, evaluations: Sequence[Evaluation]) -> None:
    reference = _at(evaluations[0], GAIT_COMMAND)
    table, rows = comparison_table(evaluations, reference)
    print(table + "\n")
    (folder / "comparison.md").write_text(table + "\n", encoding="utf-8")
    write_csv(folder / "comparison.csv", rows)
    plot_comparison(evaluations, folder / "comparison.png")


def _at(evaluation: Evaluation, command: Command) -> CommandFigures:
    return next(f for f in evaluation.commands if (f.vx, f.vy, f.wz) == command)


def _videos(folder: Path, evaluations: Sequence[Evaluation], args: EvaluateArgs) -> None:
    """One video per command; a machine that cannot render keeps its figures."""
    for command in evaluations[0].examples:
        vx, vy, wz = command
        title = f"vx {vx:g}  vy {vy:g}  wz {wz:g}"
        panels = [(f"{e.name}: {title}", e.examples[command]) for e in evaluations]
        path = folder / f"video_vx{vx:g}_vy{vy:g}_wz{wz:g}.{args.video_format}"
        try:
            count = write_video(panels, path, seconds=args.video_seconds)
            print(f"wrote {path} ({count} images)")
        except VideoError as error:
            print(f"no video: {error}", file=sys.stderr)
            return


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Entry point of `evaluate.py`; user errors end with a message and exit code 2."""
    args = tyro.cli(EvaluateArgs, args=arguments, use_underscores=True)
    try:
        run(args)
    except (ValueError, OSError) as error:
        print(f"evaluate.py: error: {error}", file=sys.stderr)
        sys.exit(2)
