"""`benchmark.py`: environment steps per second of a whole training run, and where the time goes.

What is timed are the iterations that training itself runs, after a few that warm up kernels and
captured graphs. Simulation alone is timed apart on the same environments; what is left of the
rollout is inference, observations, rewards and resets.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import platform
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import torch
import tyro

from aliengo_training.learning.build import build_model
from aliengo_training.learning.config import ExperimentConfig
from aliengo_training.learning.memory import counted_bytes
from aliengo_training.learning.runner import OnPolicyRunner
from aliengo_training.motion.clip import MotionClip
from aliengo_training.motion.files import find_motions, load_motion
from aliengo_training.motion.synthesis import limp, synthesize
from aliengo_training.sim import make_simulator
from aliengo_training.tasks.locomotion import LocomotionTask
from aliengo_training.tasks.registry import experiment
from aliengo_training.tasks.style import StyleReference


@dataclasses.dataclass(frozen=True)
class BenchmarkArgs:
    """Measure the speed of training.

    Attributes:
        num_envs: Environment counts to try; by default what suits the device.
        sim: mujoco_warp or mujoco; by default what suits the device.
        rl_device: Torch device; by default the GPU, where there is one.
        iterations: Timed iterations per count.
        warm_up: Iterations before these.
        motion_files: Glob pattern of reference motions; without it a synthetic limp.
        output: JSON file for the result.
    """

    num_envs: Tuple[int, ...] = ()
    sim: Optional[str] = None
    rl_device: Optional[str] = None
    iterations: int = 10
    warm_up: int = 3
    motion_files: Optional[str] = None
    output: Path = Path("logs/bench_train.json")


def reference_clips(pattern: Optional[str], config: ExperimentConfig) -> List[MotionClip]:
    """Reference motions from files or, without a pattern, a synthetic limp."""
    if pattern is None:
        return [synthesize(limp("FL"), speed=0.6)]
    lowpass = config.style.lowpass_hz or None
    return [load_motion(path, lowpass_hz=lowpass) for path in find_motions(pattern)]


def synchronize(device: torch.device) -> None:
    """Wait for the device, so that a clock on the host tells its time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def physics_seconds(runner: OnPolicyRunner) -> float:
    """Time of one control period of all environments, simulation alone [s]."""
    simulator, repetitions = runner.task.simulator, runner.storage.steps
    synchronize(runner.device)
    started = time.perf_counter()
    for _ in range(repetitions):
        simulator.step_physics()
    synchronize(runner.device)
    return (time.perf_counter() - started) / repetitions


def measure(
    args: BenchmarkArgs, sim: str, device: str, num_envs: int, free_before: int = 0
) -> Dict[str, float]:
    """Time the training of one environment count.

    Returns:
        Environment steps per second, and seconds per iteration: all of it (`iteration_s`),
        simulation, inference (the rest of the rollout) and update. `counted_gib` is what
        `learning.memory` expects of the arrays. On a GPU `torch_gib` is the peak of torch's own
        allocations, `device_gib` what has gone from the device's free memory since before the
        first count was run (CUDA context left out), and `warp_gib` the arrays of MuJoCo Warp.
    """
    config = dataclasses.replace(experiment("aliengo_amp"), num_envs=num_envs)
    clips = reference_clips(args.motion_files, config)
    simulator = make_simulator(sim, num_envs, device, config.task.simulation, True)
    if simulator.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(simulator.device)
    period = config.task.simulation.control_period_s
    reference = StyleReference(clips, config.style, period, simulator.device, config.seed)
    task = LocomotionTask(simulator, config.task, reference, seed=config.seed)
    runner = OnPolicyRunner(task, build_model(config, simulator.device), config, reference)
    for _ in range(args.warm_up):
        runner.learn_iteration()
    timings = [runner.learn_iteration() for _ in range(args.iterations)]
    rollout = sum(t["collect_s"] for t in timings) / len(timings)
    update = sum(t["update_s"] for t in timings) / len(timings)
    simulation = physics_seconds(runner) * runner.storage.steps
    result = {
        "num_envs": float(num_envs),
        "steps_per_s": num_envs * runner.storage.steps / (rollout + update),
        "iteration_s": rollout + update,
        "simulation_s": simulation,
        "inference_s": max(0.0, rollout - simulation),
        "update_s": update,
        "counted_gib": counted_bytes(num_envs, sim) / _GIB,
    }
    if simulator.device.type == "cuda":
        result["torch_gib"] = torch.cuda.max_memory_allocated(simulator.device) / _GIB
        result["device_gib"] = (free_before - torch.cuda.mem_get_info(simulator.device)[0]) / _GIB
    arrays = getattr(simulator, "array_bytes", None)
    if arrays is not None:
        result["warp_gib"] = arrays() / _GIB
    simulator.close()
    return result


def free_bytes(device: str) -> int:
    """Free memory of a GPU after what earlier runs left has been given back; 0 without one."""
    if not device.startswith("cuda"):
        return 0
    gc.collect()
    torch.cuda.empty_cache()
    return int(torch.cuda.mem_get_info(torch.device(device))[0])


def run(args: BenchmarkArgs) -> List[Dict[str, float]]:
    """Measure every environment count, print a table and write the JSON."""
    gpu = torch.cuda.is_available()
    device = args.rl_device or ("cuda:0" if gpu else "cpu")
    on_gpu = device.startswith("cuda")
    sim = args.sim or ("mujoco_warp" if on_gpu else "mujoco")
    counts = args.num_envs or ((2048, 4096, 8192, 16384, 32768) if on_gpu else (16, 64))
    name = torch.cuda.get_device_name(device) if on_gpu else platform.processor() or "cpu"
    torch.set_float32_matmul_precision("high")
    print(f"{sim} on {name}")
    print(
        "environments    steps/s   iteration   simulation  inference     update   GiB: counted  used"
    )
    results = []
    free_before = free_bytes(device)
    for count in sorted(counts):
        free_bytes(device)
        result = measure(args, sim, device, count, free_before)
        results.append(result)
        shares = [result[f"{part}_s"] / result["iteration_s"] for part in _PARTS]
        row = "".join(f"{100.0 * share:10.0f} %" for share in shares)
        seconds = result["iteration_s"]
        used = f"{result['device_gib']:6.2f}" if "device_gib" in result else "     -"
        memory = f"{result['counted_gib']:15.2f}{used}"
        print(
            f"{count:12d} {result['steps_per_s']:10.0f} {seconds:9.3f} s{row}{memory}", flush=True
        )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    summary = {"sim": sim, "device": name, "torch": torch.__version__, "results": results}
    args.output.write_text(json.dumps(summary, indent=2), encoding="utf-8")
    print(f"written to {args.output}")
    return results


_GIB = 2**30
_PARTS = ("simulation", "inference", "update")


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Entry point of `benchmark.py`."""
    run(tyro.cli(BenchmarkArgs, args=arguments, use_underscores=True))
