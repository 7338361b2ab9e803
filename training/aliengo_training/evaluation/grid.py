"""A policy over many commands: which commands, split into jobs, worked off by processes."""

from __future__ import annotations

import dataclasses
import itertools
import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch

from aliengo_training.evaluation.figures import (
    ClipCycle,
    CommandFigures,
    Rows,
    merge,
    rollout_figures,
    summarise,
)
from aliengo_training.evaluation.policy import OnnxPolicy
from aliengo_training.evaluation.rollouts import (
    LARGEST_SEED,
    Command,
    RolloutConfig,
    Trajectory,
    roll_out,
    simulation_config,
)
from aliengo_training.evaluation.style import StyleJudge
from aliengo_training.sim import Simulator, make_simulator

__all__ = ["PRESETS", "Evaluation", "evaluate", "parse_commands"]

_FORWARD = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.1)
_FAST = (1.6, 2.0, 2.5, 3.0)


def _straight(speeds: Sequence[float]) -> Tuple[Command, ...]:
    """Straight ahead at these speeds."""
    return tuple((speed, 0.0, 0.0) for speed in speeds)


def _beyond(speed: float) -> Tuple[Command, ...]:
    """Lateral and turning commands outside the base's ranges, at a forward speed."""
    lateral = tuple((speed, vy, 0.0) for vy in (-1.5, -1.0, 1.0, 1.5))
    return lateral + tuple((speed, 0.0, wz) for wz in (-3.14, -2.0, 2.0, 3.14))


#: Sets of commands by name.
PRESETS: Dict[str, Tuple[Command, ...]] = {
    "base": (*_straight(_FORWARD), (0.5, 0.0, -1.0), (0.5, 0.0, 1.0)),
    "fast": _straight(_FAST) + _beyond(1.1) + _beyond(0.0),
    "compare": _straight((0.2, 0.6, 1.0, *_FAST)) + _beyond(1.1),
}

#: Rollouts in one job: enough to make the Python of a control step cheap, few enough to share out.
_JOB_SIZE = 50


@dataclasses.dataclass(frozen=True)
class _Job:
    policy: Path
    commands: Tuple[Command, ...]
    config: RolloutConfig
    sim: str
    device: str
    clips: Tuple[ClipCycle, ...]
    style: Optional[Path]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What came out for one policy.

    Attributes:
        name: Of the policy, as tables call it.
        commands: Figures per command, in the order asked.
        examples: One rollout per command, the first that did not fall where there is one.
        environment_steps: How many were simulated.
    """

    name: str
    commands: List[CommandFigures]
    examples: Dict[Command, Trajectory]
    environment_steps: int


def parse_commands(tokens: Sequence[str]) -> Tuple[Command, ...]:
    """Read commands: preset names, ``vx,vy,wz``, with ``low:high:count`` for a series on an axis.

    ``0.2:1.0:5,0,-1:1:3`` are the 15 commands of that grid. Duplicates are dropped.

    Raises:
        ValueError: On anything else, an empty series or a number that is not finite; names the
            token and what is allowed.
    """
    commands: List[Command] = []
    for token in tokens:
        if token in PRESETS:
            commands += PRESETS[token]
            continue
        parts = token.split(",")
        try:
            axes = [_axis(part) for part in parts]
        except ValueError:
            axes = []
        if len(axes) != 3:
            raise ValueError(
                f"command {token!r}: expected vx,vy,wz (each a finite number, or low:high:count "
                f"with a count of at least 1) or one of {', '.join(PRESETS)}"
            )
        commands += [(vx, vy, wz) for vx, vy, wz in itertools.product(*axes)]
    return tuple(dict.fromkeys(commands))


def _axis(text: str) -> List[float]:
    if ":" not in text:
        return [_finite(text)]
    low, high, count = text.split(":")
    values = np.linspace(_finite(low), _finite(high), int(count))
    if not values.size:
        raise ValueError(f"no value in {text!r}")
    return [round(float(value), 6) for value in values]


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not finite")
    return value


def evaluate(
    policy: Path,
    name: str,
    commands: Sequence[Command],
    rollouts: int,
    config: RolloutConfig,
    sim: str = "mujoco",
    device: str = "cpu",
    workers: Optional[int] = None,
    clips: Sequence[ClipCycle] = (),
    style: Optional[Path] = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Judge a policy file at commands; the clips' own speeds are added to them.

    Args:
        policy: The ``.onnx`` file.
        name: What tables call it.
        commands: Where.
        rollouts: Per command.
        config: Under which conditions.
        sim: Physics backend. MuJoCo shares the rollouts out to processes; the others run them all
            at once.
        device: Torch device of the backend.
        workers: Processes, by default one per core.
        clips: Reference cycles to measure fidelity against.
        style: Checkpoint whose discriminator gives style rewards.
        on_progress: Receives the rollouts done and their total.

    Raises:
        ValueError: If there is nothing to do, or the policy file is refused.
    """
    OnnxPolicy(policy)  # refuse a bad file here, not in a worker
    wanted = [*commands, *((clip.speed, 0.0, 0.0) for clip in clips)]
    unique = list(dict.fromkeys(wanted))
    if not unique or rollouts < 1:
        raise ValueError(
            f"{len(unique)} commands and {rollouts} rollouts per command, expected at least 1 each"
        )
    jobs = _jobs(policy, unique, rollouts, config, sim, device, tuple(clips), style)
    parts: List[Optional[Rows]] = [None] * len(jobs)
    examples: Dict[Command, Trajectory] = {}
    total, done = sum(len(job.commands) for job in jobs), 0
    for index, rows, shown in _results(jobs, workers if sim == "mujoco" else 1):
        parts[index] = rows
        for example in shown:
            key = _key(example.command[0])
            if key not in examples or not examples[key].survived[0]:
                examples[key] = example
        done += len(jobs[index].commands)
        on_progress(done, total)
    figures = summarise(merge([part for part in parts if part is not None]))
    steps = total * round(config.seconds / simulation_config(config).control_period_s)
    # As asked for, not as the processes finished.
    asked = [key for key in map(_key, unique) if key in examples]
    return Evaluation(name, figures, {key: examples[key] for key in asked}, steps)


def _key(command: Sequence[float]) -> Command:
    vx, vy, wz = (round(float(value), 6) for value in command)
    return vx, vy, wz


def _jobs(
    policy: Path,
    commands: Sequence[Command],
    rollouts: int,
    config: RolloutConfig,
    sim: str,
    device: str,
    clips: Tuple[ClipCycle, ...],
    style: Optional[Path],
) -> List[_Job]:
    if sim == "mujoco":
        sizes = [len(part) for part in np.array_split(range(rollouts), -(-rollouts // _JOB_SIZE))]
        batches = [(command,) * size for command in commands for size in sizes]
    else:
        batches = [tuple(command for command in commands for _ in range(rollouts))]
    return [
        _Job(
            policy,
            batch,
            dataclasses.replace(config, seed=(config.seed + number) % (LARGEST_SEED + 1)),
            sim,
            device,
            clips,
            style,
        )
        for number, batch in enumerate(batches)
    ]


def _results(
    jobs: Sequence[_Job], workers: Optional[int]
) -> Iterator[Tuple[int, Rows, List[Trajectory]]]:
    """Yield (index, rows, examples) as jobs finish."""
    count = min(workers or len(os.sched_getaffinity(0)), len(jobs))
    if count <= 1:
        for index, job in enumerate(jobs):
            yield (index, *_work(job))
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # inherited by the processes
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=_one_thread) as pool:
        futures = {pool.submit(_work, job): index for index, job in enumerate(jobs)}
        for future in as_completed(futures):
            yield (futures[future], *future.result())


def _one_thread() -> None:
    """Each process keeps to one core: there are as many processes as cores."""
    torch.set_num_threads(1)


def _work(job: _Job) -> Tuple[Rows, List[Trajectory]]:
    """Run one job: its figures and one example per command."""
    count, physics = len(job.commands), simulation_config(job.config)
    if job.sim == "mujoco":
        from aliengo_training.sim.mujoco_cpu import MujocoCpuSimulator

        simulator: Simulator = MujocoCpuSimulator(count, physics, threads=1)
    else:
        simulator = make_simulator(job.sim, count, job.device, physics)
    try:
        trajectory = roll_out(OnnxPolicy(job.policy), simulator, job.commands, job.config)
    finally:
        simulator.close()
    style = None if job.style is None else StyleJudge(job.style)
    return rollout_figures(trajectory, job.clips, style), _examples(trajectory)


def _examples(trajectory: Trajectory) -> List[Trajectory]:
    """One rollout of each command, one that did not fall where there is one."""
    chosen: Dict[Command, int] = {}
    for row, command in enumerate(trajectory.command):
        known = chosen.get(_key(command))
        if known is None or (trajectory.survived[row] and not trajectory.survived[known]):
            chosen[_key(command)] = row
    return [trajectory.rows([row]) for row in chosen.values()]
