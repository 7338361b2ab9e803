"""From a checkpoint, ours or another trainer's, to what a policy file needs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

from aliengo_training.checkpoint_import import import_checkpoint, read_foreign
from aliengo_training.checkpoints import (
    SCHEMA_VERSION,
    CheckpointError,
    actor_layers,
    from_config_dict,
    require_params,
)
from aliengo_training.contract import PolicySpec
from aliengo_training.export import MlpWeights
from aliengo_training.gate import COMMAND_AXES, ResidualGate
from aliengo_training.learning.config import ExperimentConfig
from aliengo_training.tasks.registry import EXPERIMENTS, experiment

__all__ = ["Policy", "policy_from_checkpoint"]

Ranges = Dict[str, Tuple[float, float]]

#: Commands and gains that the AMP trainer for Isaac Gym uses (unless its user changed them).
_IMPORTED_BASE: Ranges = {"vx": (-1.0, 2.4), "vy": (-0.3, 0.3), "wz": (-1.57, 1.57)}
_IMPORTED_FAST: Ranges = {"vx": (-1.0, 3.0), "vy": (-1.5, 1.5), "wz": (-3.14, 3.14)}
_IMPORTED_KP, _IMPORTED_KD = 40.0, 1.2
#: Its residual was trained without a bound; where it clips actions, one does not change what it does.
_IMPORTED_BOUND = 100.0


@dataclasses.dataclass(frozen=True)
class Policy:
    """A policy ready for :func:`aliengo_training.export.export_policy`.

    Attributes:
        spec: What its file says of it.
        base: Layers of the base.
        residual: Layers of the residual, if it has one.
        imported: Whether another trainer made it.
    """

    spec: PolicySpec
    base: MlpWeights
    residual: Optional[MlpWeights] = None
    imported: bool = False


def policy_from_checkpoint(
    path: Path,
    task: Optional[str] = None,
    mapping: Optional[Mapping[str, str]] = None,
    activation: Optional[str] = None,
) -> Policy:
    """Read a checkpoint of this project or of another trainer.

    Args:
        path: The ``.pt`` file. For ours, ``params.json`` is expected beside it.
        task: Task that it was trained on. Ours know it themselves; it is then only checked.
        mapping: For other trainers' files, see :func:`.import_checkpoint`.
        activation: For other trainers' files, see :func:`.import_checkpoint`.

    Raises:
        CheckpointError: If the file cannot be used as what it is said to be.
    """
    if task is not None and task not in EXPERIMENTS:
        raise CheckpointError(f"unknown task {task!r}, allowed are {', '.join(EXPERIMENTS)}")
    content = read_foreign(path)
    if content.get("schema_version") == SCHEMA_VERSION and "model" in content:
        return _own(path, content, task)
    return _foreign(path, task or "aliengo_amp", mapping, activation)


def _own(path: Path, content: Mapping[str, Any], task: Optional[str]) -> Policy:
    """Convert a checkpoint of this project."""
    if task is not None and content["task"] != task:
        raise CheckpointError(f"{path} was trained on {content['task']}, not on --task {task}")
    document = require_params(path.parent)
    config: ExperimentConfig = from_config_dict(ExperimentConfig, document["config"])
    state, activation = content["model"], config.network.activation
    ranges = {
        axis: (float(low), float(high))
        for axis, (low, high) in zip(COMMAND_AXES, config.task.command_ranges)
    }
    training = {
        "run": path.parent.name,
        "task": str(content["task"]),
        "iteration": int(content["iteration"]),
        "git_commit": str(document.get("git_commit", "unknown")),
    }
    spec = PolicySpec(
        kind="base",
        command_ranges=ranges,
        training=training,
        control_period_s=config.task.simulation.control_period_s,
        max_target_step=config.task.max_target_step or None,
    )
    actor = _weights(state, "actor", activation)
    if config.kind != "residual":
        return Policy(dataclasses.replace(spec, kind=config.kind), actor)
    spec = dataclasses.replace(
        spec,
        kind="residual",
        gate=config.residual.gate,
        residual_bound=config.residual.bound,
    )
    return Policy(spec, _weights(state, "base_actor", activation), actor)


def _foreign(
    path: Path, task: str, mapping: Optional[Mapping[str, str]], activation: Optional[str]
) -> Policy:
    """Convert a checkpoint of another trainer."""
    found = import_checkpoint(path, mapping, activation)
    kind = experiment(task).kind
    if (kind == "residual") != (found.residual is not None):
        raise CheckpointError(
            f"{path}: --task {task} is a {kind} policy, but the file's actors are {found.names}"
        )
    gate, bound = None, None
    if kind == "residual":
        gate = ResidualGate({"vx": (-1.0, 1.1), "vy": (-0.3, 0.3), "wz": (-1.0, 1.0)})
        bound = _IMPORTED_BOUND
    spec = PolicySpec(
        kind=kind,
        command_ranges=_IMPORTED_BASE if kind == "base" else _IMPORTED_FAST,
        training={
            "run": f"imported from {path.name}",
            "task": task,
            "iteration": found.iteration,
            "git_commit": "unknown",
        },
        kp=(_IMPORTED_KP,) * 12,
        kd=(_IMPORTED_KD,) * 12,
        gate=gate,
        residual_bound=bound,
    )
    return Policy(spec, found.base, found.residual, imported=True)


def _weights(state: Mapping[str, Any], prefix: str, activation: str) -> MlpWeights:
    """Return a network of one of our checkpoints."""
    layers = [
        (weight.detach().cpu().float().numpy(), bias.detach().cpu().float().numpy())
        for weight, bias in actor_layers(dict(state), prefix)
    ]
    return MlpWeights(layers, activation)
