"""`reproduce.py`: train, export and judge a shipped policy again, in one command."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import List, Optional, Sequence

import tyro

from aliengo_training.checkpoints import find_checkpoint, iterations
from aliengo_training.learning.run_metrics import seconds_trained
from aliengo_training.motion.files import find_motions
from aliengo_training.programs import command, interrupt_on_sigterm, split_passed_on
from aliengo_training.recipes import RECIPES, Recipe

_PROGRESS = "reproduced.json"


@dataclasses.dataclass(frozen=True)
class Progress:
    """What has been done of a recipe's training.

    Attributes:
        stages: Number of those that have ended by themselves.
        seconds: Training time of these [s].
    """

    stages: int = 0
    seconds: float = 0.0


class StepError(RuntimeError):
    """A step failed; it has said why."""


@dataclasses.dataclass(frozen=True)
class ReproduceArgs:
    """Make a shipped policy again: train it, export it, judge it as its card does.

    A policy that stands on another one makes that first. Started again with the same arguments it
    goes on with the first step that is not done; what follows `--` goes to train.py as it is, e.g.
    `-- --num_envs 4096`. The numbers are for one NVIDIA H200: on a slower GPU give `--slower`.

    Attributes:
        policy: base, residual or finetune.
        motion_files: Glob pattern of the reference motions (quote it).
        slower: Factor on all training times.
        sim: mujoco_warp, mujoco or isaacgym.
        rl_device: Torch device of the training.
        rollouts: Per command of the evaluation.
        seconds: Length of a rollout [s].
        out: Folder of everything that is made.
        show: Only print the steps that are left.
    """

    policy: tyro.conf.Positional[str]
    motion_files: str = "motions/19limp1_1*.txt"
    slower: float = 1.0
    sim: str = "mujoco_warp"
    rl_device: str = "cuda:0"
    rollouts: int = 100
    seconds: float = 20.0
    out: Path = Path("logs/reproduced")
    show: bool = False


def run(args: ReproduceArgs, passed_on: Sequence[str] = ()) -> Path:
    """Make the policy, and before it the one that it stands on.

    Args:
        args: What to make.
        passed_on: Further arguments of train.py.

    Returns:
        The policy file.

    Raises:
        ValueError: On bad arguments.
        StepError: If a step fails.
    """
    if args.policy not in RECIPES:
        raise ValueError(f"there is no policy {args.policy!r}, allowed are {', '.join(RECIPES)}")
    if not args.slower > 0.0:
        raise ValueError(f"--slower is {args.slower:g}, expected a positive factor")
    find_motions(args.motion_files)
    base = RECIPES[args.policy].base
    if base:
        _make(args, base, passed_on)
    file = _make(args, args.policy, passed_on)
    _step(args, "evaluate", _evaluation(args, RECIPES[args.policy]))
    return file


def _make(args: ReproduceArgs, name: str, passed_on: Sequence[str]) -> Path:
    """Train and export one policy; what is done already is left out."""
    recipe = RECIPES[name]
    folder = args.out / recipe.task / name
    done = _read_progress(folder)
    for index in range(done.stages, len(recipe.stages)):
        _step(args, "train", [*_training(args, name, index, done), *passed_on])
        if not args.show:
            done = Progress(index + 1, seconds_trained(folder))
            text = json.dumps(dataclasses.asdict(done))
            (folder / _PROGRESS).write_text(text + "\n", encoding="utf-8")
    file = _policy_file(args, name)
    if not file.is_file():
        arguments = ["--task", recipe.task, "--load_run", name, "--log_root", str(args.out)]
        _step(args, "export", [*arguments, "--output", str(file)])
    return file


def _read_progress(folder: Path) -> Progress:
    path = folder / _PROGRESS
    return (
        Progress(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else Progress()
    )


def _training(args: ReproduceArgs, name: str, index: int, done: Progress) -> List[str]:
    """Arguments of `train.py` for a stage, or for what is left of one that was cut off."""
    recipe = RECIPES[name]
    stage, folder = recipe.stages[index], args.out / recipe.task / name
    spent = (seconds_trained(folder) - done.seconds) / 60.0
    minutes = max(stage.max_minutes * args.slower - spent, 0.0)
    arguments = ["--task", recipe.task, "--output_name", name, "--log_root", str(args.out)]
    arguments += ["--motion_files", args.motion_files]
    arguments += ["--sim", args.sim, "--rl_device", args.rl_device]
    arguments += ["--max_minutes", f"{minutes:.4g}", *stage.overrides]
    if recipe.base:
        arguments += ["--base_checkpoint", str(_checkpoint(args, recipe.base))]
    if index > 0 or iterations(folder):
        arguments.append("--resume")
    return arguments


def _evaluation(args: ReproduceArgs, recipe: Recipe) -> List[str]:
    file = _policy_file(args, args.policy)
    others = [_policy_file(args, name) for name in recipe.compared_with]
    others = [other for other in others if other.is_file()]
    # The first of a comparison is the base; a policy alone is its own.
    judged = ["--compare", *map(str, others), str(file)] if others else ["--policy", str(file)]
    return [
        *judged, *recipe.evaluation, "--motion_files", args.motion_files,
        "--style_checkpoint", str(_checkpoint(args, recipe.base or args.policy)),
        "--rollouts", str(args.rollouts), "--seconds", f"{args.seconds:g}",
        "--out", str(args.out / "evaluation" / args.policy),
    ]  # fmt: skip


def _policy_file(args: ReproduceArgs, name: str) -> Path:
    return args.out / f"{name}.onnx"


def _checkpoint(args: ReproduceArgs, name: str) -> Path:
    """Last checkpoint of a policy that has been made; a name for it where it is only shown."""
    folder = args.out / RECIPES[name].task / name
    if args.show and not folder.is_dir():
        return folder / "model_LAST.pt"
    return find_checkpoint(folder)


def _step(args: ReproduceArgs, program: str, arguments: Sequence[str]) -> None:
    print(f"\n{program}.py {shlex.join(arguments)}", flush=True)
    if args.show:
        return
    # A session of its own: Ctrl-C comes to us alone, and is passed on once. Told twice to stop,
    # train.py would leave no checkpoint.
    process = subprocess.Popen(command(program, arguments), start_new_session=True)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    if code != 0:
        raise StepError(f"{program}.py ended with exit code {code}")


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Entry point of `reproduce.py`; errors end with a message and exit code 2."""
    own, passed_on = split_passed_on(arguments)
    args = tyro.cli(ReproduceArgs, args=own, use_underscores=True)
    interrupt_on_sigterm()
    try:
        file = run(args, passed_on)
    except KeyboardInterrupt:
        print(
            "reproduce.py: stopped; start again with the same arguments to go on", file=sys.stderr
        )
        sys.exit(130)
    except (ValueError, OSError, StepError) as error:
        print(f"reproduce.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    if not args.show:
        print(f"policy: {file}")
