"""`sweep.py`: what a hyper-parameter trades: tracking error against the gait that is kept."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import tyro

from aliengo_training.conversion import policy_from_checkpoint
from aliengo_training.evaluation.figures import CommandFigures
from aliengo_training.evaluation.grid import evaluate
from aliengo_training.evaluation.policy import as_policy_file
from aliengo_training.evaluation.report import GAIT_COMMAND, write_csv
from aliengo_training.evaluation.rollouts import RolloutConfig
from aliengo_training.export import export_policy
from aliengo_training.programs import interrupt_on_sigterm, split_passed_on
from aliengo_training.sweep.plots import plot_sweep
from aliengo_training.sweep.points import Curve, Point, expand
from aliengo_training.sweep.tradeoff import find_knees, point_figures, training_figures
from aliengo_training.sweep.training import PointError, TrainingPlan, point_folder, train_points
from aliengo_training.tasks.registry import experiment


@dataclasses.dataclass(frozen=True)
class SweepArgs:
    """Train and judge a policy for each value of some hyper-parameters.

    One parameter is varied at a time, the others stay at the task's own values; what follows `--`
    goes to train.py as it is, e.g. `-- --cfg.num_envs 8192`. A sweep that is started again goes on
    where it was ended: finished points are kept, a point that was cut off continues from its last
    checkpoint.

    Attributes:
        vary: Name below cfg and values, once per parameter: --vary residual.lambda_l2 0 0.01. A
            schedule is varied by its final value.
        task: aliengo_residual or aliengo_finetune.
        base_checkpoint: Base policy, a model_<iteration>.pt or a .onnx; its gait at 1.0 m/s is what
            the points' gaits are compared with.
        motion_files: Glob pattern of the reference motions (quote it).
        max_minutes: Training time per point, start-up not counted.
        total_minutes: No training is begun that would end after this; start again for the rest.
        seed: Of every training.
        sim: mujoco_warp, mujoco or isaacgym.
        devices: Torch devices; each trains one point at a time.
        speeds: Commanded forward speeds that the points are judged at [m/s].
        rollouts: Per speed.
        seconds: Length of a rollout [s].
        workers: Processes of the evaluation, by default one per core.
        out: Folder of the sweep.
    """

    vary: tyro.conf.UseAppendAction[Tuple[Tuple[str, ...], ...]] = ()
    task: str = "aliengo_residual"
    base_checkpoint: Path = Path("models/base.onnx")
    motion_files: Optional[str] = None
    max_minutes: float = 1.0
    total_minutes: Optional[float] = None
    seed: int = 1
    sim: str = "mujoco_warp"
    devices: Tuple[str, ...] = ("cuda:0",)
    speeds: Tuple[float, ...] = (1.6, 2.0, 2.5, 3.0)
    rollouts: int = 20
    seconds: float = 10.0
    workers: Optional[int] = None
    out: Path = Path("logs/sweep")


def run(args: SweepArgs, passed_on: Sequence[str] = ()) -> Dict[str, Any]:
    """Train, judge, and write sweep.csv, sweep.json and sweep.png after every point.

    Args:
        args: What to do.
        passed_on: Further arguments of train.py.

    Returns:
        The content of sweep.json.

    Raises:
        ValueError: On bad arguments, or a folder that holds another sweep.
        PointError: If a training fails.
    """
    if args.task not in ("aliengo_residual", "aliengo_finetune"):
        raise ValueError(
            f"--task {args.task}: allowed are aliengo_residual and aliengo_finetune, whose gait has "
            "a base to be compared with"
        )
    points, curves = expand(args.vary, experiment(args.task))
    started = time.monotonic()
    plan = _plan(args, passed_on, started)
    reference = _reference(args)
    done: Dict[str, Dict[str, Any]] = {}
    content = _report(args, plan, points, curves, done)
    for point, checkpoint in train_points(plan, points):
        done[point.name] = _judge(args, plan, point, checkpoint, reference)
        content = _report(args, plan, points, curves, done)
        minutes = (time.monotonic() - started) / 60.0
        row = done[point.name]
        print(
            f"{minutes:5.1f} min  {len(done)}/{len(points)}  {point.name}: tracking error "
            f"{_text(row['tracking_error'])} m/s, gait difference {_text(row['gait_difference'])}, "
            f"residual {_text(row['residual_rms'])}",
            flush=True,
        )
    for parameter, best in content["knees"].items():
        print(f"knee of {parameter}: {best or 'none, too few points'}")
    left = [point.name for point in points if point.name not in done]
    if left:
        print(f"no time left for {', '.join(left)}; start again with the same arguments")
    print(f"results: {args.out}")
    return content


def _plan(args: SweepArgs, passed_on: Sequence[str], started: float) -> TrainingPlan:
    arguments = ["--base_checkpoint", str(args.base_checkpoint), "--sim", args.sim]
    arguments += ["--cfg.seed", str(args.seed)]
    if args.motion_files is not None:
        arguments += ["--motion_files", args.motion_files]
    total = args.total_minutes
    return TrainingPlan(
        args.task,
        args.out,
        (*arguments, *passed_on),
        args.max_minutes,
        args.devices,
        None if total is None else started + 60.0 * total,
    )


def _conditions(args: SweepArgs) -> RolloutConfig:
    return RolloutConfig(seconds=args.seconds)


def _reference(args: SweepArgs) -> CommandFigures:
    """The gait of the base, to which the others' are compared.

    Raises:
        ValueError: If the base never stays up.
    """
    base = as_policy_file(args.base_checkpoint)
    result = evaluate(
        base, "base", [GAIT_COMMAND], args.rollouts, _conditions(args), workers=args.workers
    )
    figures = result.commands[0]
    if figures.survival == 0.0:
        raise ValueError(
            f"{args.base_checkpoint} falls in each of {args.rollouts} rollouts at "
            f"{GAIT_COMMAND[0]:g} m/s: there is no gait to compare with"
        )
    return figures


def _judge(
    args: SweepArgs, plan: TrainingPlan, point: Point, checkpoint: Path, reference: CommandFigures
) -> Dict[str, Any]:
    """Export and evaluate one point; figures that are there already are read."""
    folder = point_folder(plan, point)
    conditions = {
        "checkpoint": checkpoint.name,
        "speeds": list(args.speeds),
        "rollouts": args.rollouts,
        "seconds": args.seconds,
    }
    path = folder / "point.json"
    if path.is_file():
        content: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["conditions"] == conditions:
            row: Dict[str, Any] = content["figures"]
            return row
    policy = policy_from_checkpoint(checkpoint, args.task)
    file = folder / f"{point.name}.onnx"
    export_policy(policy.spec, policy.base, file, policy.residual)
    commands = [(speed, 0.0, 0.0) for speed in args.speeds]
    judged = evaluate(
        file, point.name, commands, args.rollouts, _conditions(args), workers=args.workers
    )
    figures = {
        **training_figures(folder / "metrics.csv"),
        **point_figures(judged.commands, reference),
    }
    text = json.dumps({"conditions": conditions, "figures": figures}, indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return figures


def _report(
    args: SweepArgs,
    plan: TrainingPlan,
    points: Sequence[Point],
    curves: Sequence[Curve],
    done: Dict[str, Dict[str, Any]],
) -> Dict[str, Any]:
    """Write what there is so far, and return it."""
    knees = find_knees(curves, done)
    content = {
        "task": args.task,
        "arguments": list(plan.arguments),
        "max_minutes": args.max_minutes,
        "rollouts": args.rollouts,
        "seconds": args.seconds,
        "curves": [dataclasses.asdict(curve) for curve in curves],
        "knees": knees,
        "points": {point.name: done.get(point.name) for point in points},
    }
    args.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, allow_nan=False)
    (args.out / "sweep.json").write_text(text + "\n", encoding="utf-8")
    rows: List[Dict[str, Any]] = [
        {
            "parameter": curve.parameter,
            "value": value,
            "point": name,
            "knee": knees[curve.parameter] == name,
            **done[name],
        }
        for curve in curves
        for value, name in zip(curve.values, curve.points)
        if name in done
    ]
    if rows:
        write_csv(args.out / "sweep.csv", rows)
        plot_sweep(curves, done, knees, args.out / "sweep.png")
    return content


def _text(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:.3f}"


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Entry point of `sweep.py`; user errors end with a message and exit code 2."""
    own, passed_on = split_passed_on(arguments)
    args = tyro.cli(SweepArgs, args=own, use_underscores=True)
    interrupt_on_sigterm()
    try:
        run(args, passed_on)
    except (ValueError, PointError, OSError) as error:
        print(f"sweep.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("sweep.py: stopped; start again with the same arguments to go on", file=sys.stderr)
        sys.exit(130)
