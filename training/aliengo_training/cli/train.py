"""`train.py`: flags, run folder, signals; the loop itself is `learning.runner`."""

from __future__ import annotations

import dataclasses
import math
import signal
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
import tyro

from aliengo_training.checkpoints import (
    CheckpointError,
    find_checkpoint,
    from_config_dict,
    iterations,
    read_params,
    run_folder,
)
from aliengo_training.checks import require
from aliengo_training.learning.base_weights import load_base_weights
from aliengo_training.learning.build import build_runner
from aliengo_training.learning.config import ExperimentConfig
from aliengo_training.learning.distributed import device_of, join_world, seed_everything
from aliengo_training.learning.finite import NonFiniteError
from aliengo_training.learning.logs import MetricsLog, Progress, earlier_stages, write_params
from aliengo_training.learning.memory import CPU_NUM_ENVS, fitting_num_envs, free_gpu_bytes
from aliengo_training.learning.residual import ActorCriticResidual
from aliengo_training.learning.runner import OnPolicyRunner
from aliengo_training.learning.schedule_plots import plot_schedules
from aliengo_training.motion.files import find_motions
from aliengo_training.tasks.registry import EXPERIMENTS, experiment


@dataclasses.dataclass(frozen=True)
class TrainArgs:
    """Train an Aliengo policy.

    Attributes:
        task: aliengo_amp, aliengo_residual or aliengo_finetune.
        output_name: Name of the run folder below logs/<task>/.
        motion_files: Glob pattern of the reference motions (quote it).
        sim: mujoco_warp, mujoco or isaacgym.
        rl_device: Torch device.
        num_envs: Robots per process, as --cfg.num_envs; by default as many of the task's own number
            as the GPU's free memory holds.
        headless: Without a window, the default; --no_headless opens Isaac Gym's (the other backends
            have none).
        resume: Continue a run with the parameters of its params.json; what is given here wins.
        load_run: Run to continue, by default output_name; another one is continued in a new folder.
        checkpoint: Iteration to continue from, by default the last.
        base_checkpoint: Base policy of a residual or fine-tuning run: a model_<iteration>.pt, or a
            policy file (.onnx), which has no critic and no noise to start from. A run that is resumed
            holds its base and needs none; a residual's must be the same.
        max_minutes: Stop after this time, with a checkpoint.
        log_root: Where run folders are made.
        capture: Replay training as CUDA graphs.
        cfg: Everything else, e.g. --cfg.ppo.entropy 0.01.
    """

    task: str = "aliengo_amp"
    output_name: str = "run"
    motion_files: Optional[str] = None
    sim: str = "mujoco_warp"
    rl_device: str = "cuda:0"
    num_envs: Optional[int] = None
    headless: bool = True
    resume: bool = False
    load_run: Optional[str] = None
    checkpoint: int = -1
    base_checkpoint: Optional[Path] = None
    max_minutes: Optional[float] = None
    log_root: Path = Path("logs")
    capture: bool = True
    cfg: ExperimentConfig = dataclasses.field(default_factory=ExperimentConfig)


def parse(arguments: Sequence[str]) -> TrainArgs:
    """Read the command line; the task chooses the defaults of everything below --cfg."""
    task = TrainArgs.task
    for position, argument in enumerate(arguments):
        if argument == "--task" and position + 1 < len(arguments):
            task = arguments[position + 1]
        elif argument.startswith("--task="):
            task = argument.split("=", 1)[1]
    if "-h" in arguments or "--help" in arguments:
        task = task if task in EXPERIMENTS else TrainArgs.task
    args = _read(arguments, TrainArgs(task=task, cfg=experiment(task)))
    if args.resume:
        source = run_folder(args.log_root, args.task, args.load_run or args.output_name)
        args = _read(arguments, TrainArgs(task=task, cfg=_config_of(source, args)))
    if args.num_envs is None:
        names = {argument.split("=", 1)[0].replace("-", "_") for argument in arguments}
        chosen = "__cfg.num_envs" in names
        return dataclasses.replace(args, num_envs=args.cfg.num_envs) if chosen else args
    require("--num_envs", args.num_envs, args.num_envs >= 1, "at least 1")
    return _with_num_envs(args, args.num_envs)


def _read(arguments: Sequence[str], default: TrainArgs) -> TrainArgs:
    # Underscores as the users type them; tyro takes either.
    return tyro.cli(TrainArgs, args=list(arguments), default=default, use_underscores=True)


def _config_of(source: Path, args: TrainArgs) -> ExperimentConfig:
    """What a run that is continued was trained with."""
    document = read_params(source)
    if not document:
        if source.is_dir():
            print(f"{source} has no params.json: the task's own parameters apply", file=sys.stderr)
        return experiment(args.task)
    config: ExperimentConfig = from_config_dict(
        ExperimentConfig, document["config"], str(source / "params.json")
    )
    if config.task.name != args.task:
        raise CheckpointError(
            f"{source} is a run of {config.task.name}, --task is {args.task}: they must be the same"
        )
    return config


def _with_num_envs(args: TrainArgs, num_envs: int) -> TrainArgs:
    return dataclasses.replace(args, cfg=dataclasses.replace(args.cfg, num_envs=num_envs))


def _fitted(args: TrainArgs, device: str) -> TrainArgs:
    """Fewer robots than the task's own number where the user named none: on a CPU, or if memory is short."""
    if args.num_envs is not None:
        return args
    free = free_gpu_bytes(device)
    if free is None:
        if args.cfg.num_envs > CPU_NUM_ENVS:
            print(
                f"{CPU_NUM_ENVS} robots instead of {args.cfg.num_envs} on {device} (--num_envs to choose)"
            )
        return _with_num_envs(args, min(args.cfg.num_envs, CPU_NUM_ENVS))
    fitting = fitting_num_envs(free, args.sim, args.cfg.num_envs)
    if fitting < args.cfg.num_envs:
        print(
            f"{fitting} robots instead of {args.cfg.num_envs}: {device} has {free / 2**30:.1f} GiB "
            "free (--num_envs to choose)"
        )
    return _with_num_envs(args, fitting)


class StopRequest:
    """Set by SIGINT or SIGTERM, or by the clock: the run ends after the iteration in progress, with a checkpoint."""

    def __init__(self, max_minutes: Optional[float]) -> None:
        self._deadline = None if max_minutes is None else time.monotonic() + 60.0 * max_minutes
        self._signalled = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True
        print("\nstopping after this iteration (again to stop at once)", file=sys.stderr)

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._signalled or (
            self._deadline is not None and time.monotonic() >= self._deadline
        )


def _check(args: TrainArgs) -> None:
    if Path(args.output_name).name != args.output_name or args.output_name in ("", "."):
        raise ValueError(
            f"--output_name is {args.output_name!r}, expected the name of one folder below "
            f"{args.log_root / args.task}"
        )
    if args.max_minutes is not None:
        given = 0.0 <= args.max_minutes < math.inf
        require("--max_minutes", f"{args.max_minutes:g}", given, "0 or more")
    if args.rl_device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"--rl_device {args.rl_device}: torch finds no CUDA device; without a GPU use --sim mujoco --rl_device cpu"
        )
    if not args.resume and (args.load_run is not None or args.checkpoint >= 0):
        raise ValueError("--load_run and --checkpoint continue a run: give --resume with them")
    if args.base_checkpoint is not None and args.cfg.kind == "base":
        raise ValueError(f"--base_checkpoint: {args.task} starts from no base")
    needs_motion = args.cfg.amp.style_weight > 0.0
    if needs_motion and args.motion_files is None:
        raise ValueError(
            "no motion files: give --motion_files 'path/*.txt' (a quoted glob pattern)"
            + (", a run that is resumed needs them again" if args.resume else "")
        )


def _resume_point(args: TrainArgs, folder: Path) -> Optional[Path]:
    if not args.resume:
        if folder.is_dir() and any(folder.glob("model_*.pt")):
            raise CheckpointError(
                f"{folder} already holds a run; continue it with --resume or choose another --output_name"
            )
        return None
    source = run_folder(args.log_root, args.task, args.load_run or args.output_name)
    if source.resolve() != folder.resolve() and iterations(folder):
        raise CheckpointError(
            f"{folder} already holds another run than {source}, which --load_run continues; choose "
            f"another --output_name, or leave out --load_run to continue what {folder} holds"
        )
    chosen = find_checkpoint(source, args.checkpoint)
    later = [n for n in iterations(source) if n > args.checkpoint >= 0]
    if later and source.resolve() == folder.resolve():
        # They would go on counting as the run's last, with the parameters of what begins now.
        raise CheckpointError(
            f"{folder} has checkpoints after {args.checkpoint}: {later}; go on from there in a new "
            f"folder, --load_run {source.name} --output_name NEW, or remove them"
        )
    return chosen


def _open_log(
    args: TrainArgs,
    folder: Path,
    command: List[str],
    extra: Dict[str, Any],
    earlier: List[Dict[str, Any]],
) -> MetricsLog:
    """Make the run's folder, and write down what is about to be trained."""
    folder.mkdir(parents=True, exist_ok=True)
    write_params(folder, args.cfg, command, extra, earlier)
    if args.cfg.kind == "residual":
        plot_schedules(args.cfg.residual, folder)
    return MetricsLog(folder, resume=args.resume)


def _continue(runner: OnPolicyRunner, checkpoint: Path) -> List[Dict[str, Any]]:
    """Load what a run goes on from, and return its earlier stages."""
    runner.load(checkpoint)
    print(f"resumed from {checkpoint} at iteration {runner.iteration}")
    last = runner.config.max_iterations
    if runner.iteration >= last:
        print(f"nothing is left to train: --cfg.max_iterations is {last}", file=sys.stderr)
    return earlier_stages(checkpoint.parent, runner.iteration)


def _check_same_base(runner: OnPolicyRunner, path: Path) -> None:
    """Refuse another base than the one that a resumed residual run stands on."""
    if not isinstance(runner.model, ActorCriticResidual):
        print(
            f"{path} is not read: the weights of a run that is resumed are its own", file=sys.stderr
        )
        return
    config = runner.config
    base = load_base_weights(path, config.network.activation, config.task.max_target_step)
    own = {f"actor.{name}": value for name, value in runner.model.base_actor.state_dict().items()}
    if any(name not in base or not torch.equal(base[name], own[name].cpu()) for name in own):
        raise CheckpointError(
            f"{path} is another base than the run stands on; leave out --base_checkpoint to go on, "
            "or begin a new run (--output_name) on it"
        )


def run(args: TrainArgs, command: List[str]) -> Tuple[Path, Dict[str, float]]:
    """Train as the arguments say.

    Returns:
        The run's folder and the metrics of the last iteration.
    """
    _check(args)
    device = device_of(args.rl_device)
    args = _fitted(args, device)
    torch.set_float32_matmul_precision("high")
    world = join_world(device)
    seed_everything(args.cfg.seed, world)
    folder = args.log_root / args.task / args.output_name
    resume_from = _resume_point(args, folder)
    motions = find_motions(args.motion_files) if args.motion_files else None
    if motions and args.cfg.amp.style_weight > 0.0 and world.is_main:
        print("reference motions: " + ", ".join(path.name for path in motions))
    runner = build_runner(
        args.cfg,
        args.sim,
        device,
        motions,
        world,
        args.base_checkpoint,
        args.headless,
        args.capture,
        resumes=resume_from is not None,
    )
    earlier = [] if resume_from is None else _continue(runner, resume_from)
    if resume_from is not None and args.base_checkpoint is not None:
        _check_same_base(runner, args.base_checkpoint)
    if runner.iteration >= args.cfg.max_iterations:
        runner.task.simulator.close()
        world.close()
        return folder, {}
    stop = StopRequest(args.max_minutes)
    extra = {"sim": args.sim, "device": device, "motion_files": [p.name for p in motions or []]}
    log = _open_log(args, folder, command, extra, earlier) if world.is_main else None
    progress = Progress(
        args.cfg.max_iterations, None if args.max_minutes is None else 60.0 * args.max_minutes
    )
    last: Dict[str, float] = {}

    def on_iteration(iteration: int, metrics: Dict[str, float]) -> None:
        last.update(metrics)
        if log is not None:
            log.write(iteration, metrics, runner.environment_steps)
            progress.show(iteration, metrics)

    try:
        runner.learn(folder if world.is_main else None, on_iteration, stop)
    finally:
        progress.finish()
        if log is not None:
            log.close()
        runner.task.simulator.close()
        world.close()
    if world.is_main and args.cfg.kind == "residual":
        plot_schedules(args.cfg.residual, folder)
    return folder, last


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Entry point of `train.py`; user errors end with a message and exit code 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        folder, _ = run(parse(arguments), arguments)
    except (ValueError, NonFiniteError, FileNotFoundError) as error:
        print(f"train.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"run folder: {folder}")
