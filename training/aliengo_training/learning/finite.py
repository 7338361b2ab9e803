"""Finding what is not finite in a training run, and leaving it in a file for whoever looks for the cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import torch
from torch import Tensor

from aliengo_training.checkpoints import save_checkpoint
from aliengo_training.learning.storage import RolloutStorage
from aliengo_training.tasks.locomotion import LocomotionTask

__all__ = ["NonFiniteError", "bad_metrics", "bad_rollout", "write_dump"]


class NonFiniteError(RuntimeError):
    """Training produced NaN or infinity; the offending state was written to the file that the message names."""


def bad_rollout(storage: RolloutStorage) -> List[str]:
    """Fields of a rollout that are not finite everywhere (waits for the device once)."""
    names = list(storage.fields)
    finite = torch.stack([torch.isfinite(storage[name]).all() for name in names]).tolist()
    return [name for name, good in zip(names, finite) if not good]


def bad_metrics(metrics: Mapping[str, float]) -> List[str]:
    """Metrics that are NaN or infinite, sorted."""
    return sorted(
        name for name, value in metrics.items() if value != value or abs(value) == float("inf")
    )


def write_dump(
    path: Path,
    task: LocomotionTask,
    storage: RolloutStorage,
    model: Mapping[str, Tensor],
    metrics: Optional[Dict[str, float]] = None,
) -> None:
    """Write what a non-finite value can be traced with.

    `environments` (K,) are those with a non-finite value in the rollout, all of them where only the
    update's metrics are bad; `rollout` has their rows (T, K, ...), `state` their present observations
    and physics (K, ...).

    Args:
        path: File to write.
        task: Gives observations and physics.
        storage: The rollout.
        model: Parameters with which the rollout was collected.
        metrics: Of the update, where it was done.
    """
    good = torch.ones(storage.num_envs, dtype=torch.bool, device=task.device)
    for name in storage.fields:
        good &= torch.isfinite(storage[name]).transpose(0, 1).flatten(1).all(-1)
    chosen = torch.nonzero(torch.ones_like(good) if bool(good.all()) else ~good).flatten()
    sim = task.simulator
    state: Dict[str, Tensor] = {
        "observation": task.observation,
        "critic_observation": task.critic_observation,
        "command": task.commands.command,
        "joint_positions": sim.joint_positions,
        "joint_velocities": sim.joint_velocities,
        "base_position_w": sim.base_position_w,
        "base_quaternion": sim.base_quaternion,
        "base_linear_velocity_w": sim.base_linear_velocity_w,
        "base_angular_velocity_b": sim.base_angular_velocity_b,
    }
    content: Dict[str, Any] = {
        "model": dict(model),
        "environments": chosen,
        "rollout": {name: storage[name][:, chosen] for name in storage.fields},
        "state": {name: value[chosen] for name, value in state.items()},
        "metrics": metrics or {},
    }
    save_checkpoint(path, content)
