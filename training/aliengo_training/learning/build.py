"""Putting a run together from its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional, Sequence

import torch

from aliengo_training.learning.base_weights import base_parts, load_base_weights
from aliengo_training.learning.config import ExperimentConfig
from aliengo_training.learning.distributed import World
from aliengo_training.learning.networks import ActorCritic
from aliengo_training.learning.residual import ActorCriticResidual
from aliengo_training.learning.runner import OnPolicyRunner
from aliengo_training.motion.files import load_motion
from aliengo_training.sim import make_simulator
from aliengo_training.sim.simulator import NUM_JOINTS
from aliengo_training.tasks.locomotion import CRITIC_OBSERVATION_SIZE, LocomotionTask
from aliengo_training.tasks.observations import OBSERVATION_SIZE
from aliengo_training.tasks.style import StyleReference


def load_reference(
    paths: Sequence[Path], config: ExperimentConfig, device: torch.device
) -> StyleReference:
    """Read reference motions and prepare them for training."""
    lowpass = config.style.lowpass_hz or None
    clips = [load_motion(path, lowpass_hz=lowpass) for path in paths]
    period = config.task.simulation.control_period_s
    return StyleReference(clips, config.style, period, device, config.seed)


def build_model(
    config: ExperimentConfig,
    device: torch.device,
    base_checkpoint: Optional[Path] = None,
    resumes: bool = False,
) -> ActorCritic:
    """The networks of a run, with the base's weights where the task starts from a base.

    Args:
        config: The experiment.
        device: Where they live.
        base_checkpoint: Of the base, for residual and fine-tuning runs.
        resumes: All weights will come from a checkpoint of the run itself, so that no base is read.

    Raises:
        ValueError: If a residual or fine-tuning run neither resumes nor has a base checkpoint.
    """
    if config.kind == "base":
        return _actor_critic(config, config.network.initial_std).to(device)
    if base_checkpoint is None and not resumes:
        raise ValueError(
            f"a {config.kind} run starts from a base; give --base_checkpoint model_<iteration>.pt "
            "or a policy file, e.g. models/base.onnx"
        )
    base = {}
    if base_checkpoint is not None and not resumes:
        base = load_base_weights(
            base_checkpoint, config.network.activation, config.task.max_target_step
        )
    if config.kind == "residual":
        residual = ActorCriticResidual(
            OBSERVATION_SIZE,
            CRITIC_OBSERVATION_SIZE,
            NUM_JOINTS,
            config.network.hidden,
            config.network.activation,
            config.residual,
            config.network.hidden,
            device,
        )
        if base:
            residual.load_base(base)
        return residual.to(device)
    return _finetuned(config, base).to(device)


def _actor_critic(config: ExperimentConfig, initial_std: float) -> ActorCritic:
    return ActorCritic(
        OBSERVATION_SIZE,
        CRITIC_OBSERVATION_SIZE,
        NUM_JOINTS,
        config.network.hidden,
        config.network.activation,
        initial_std,
    )


def _finetuned(config: ExperimentConfig, base: Dict[str, torch.Tensor]) -> ActorCritic:
    """The base's networks to train on; with fresh ones where a checkpoint will replace them."""
    model = _actor_critic(config, config.residual.initial_std)
    if base:
        base_parts(base, {"actor": model.actor, "critic": model.critic})
    with torch.no_grad():
        if "log_std" in base:
            model.log_std.copy_(base["log_std"])
        # The base's noise has shrunk to what refining a gait needs; finding a faster one needs more.
        model.log_std.clamp_(min=float(torch.tensor(config.residual.initial_std).log()))
    return model


def build_runner(
    config: ExperimentConfig,
    sim: str,
    device: str,
    motion_files: Optional[Sequence[Path]],
    world: Optional[World] = None,
    base_checkpoint: Optional[Path] = None,
    headless: bool = True,
    capture: bool = True,
    resumes: bool = False,
) -> OnPolicyRunner:
    """Simulator, task, networks and runner of an experiment.

    Args:
        config: The experiment.
        sim: Physics backend.
        device: Torch device of this process.
        motion_files: Reference motions; needed where the style reward is on.
        world: Peers.
        base_checkpoint: Of the base, for residual and fine-tuning runs.
        headless: Without a window (Isaac Gym).
        capture: Replay training as CUDA graphs.
        resumes: A checkpoint of the run itself will be loaded; needs no base.
    """
    world = world or World()
    simulator = make_simulator(sim, config.num_envs, device, config.task.simulation, headless)
    reference = load_reference(motion_files, config, simulator.device) if motion_files else None
    task = LocomotionTask(simulator, config.task, reference, seed=config.seed + 1000 * world.rank)
    model = build_model(config, simulator.device, base_checkpoint, resumes)
    return OnPolicyRunner(task, model, config, reference, world, capture)
