"""The weights that residual and fine-tuning runs start from: a checkpoint's, or a policy file's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

import numpy as np
import torch
from torch import Tensor, nn

from aliengo_training.checkpoints import CheckpointError, load_checkpoint, read_params
from aliengo_training.export import ACTIVATIONS
from aliengo_training.tasks.observations import OBSERVATION_SIZE

__all__ = ["base_parts", "load_base_weights"]

_LAYER = re.compile(r"^base\.(\d+)\.(weight|bias)$")


def load_base_weights(path: Path, activation: str, max_target_step: float) -> Dict[str, Tensor]:
    """Parameters of a base by their names in `ActorCritic`.

    Args:
        path: A ``model_<iteration>.pt``, or a ``.onnx`` policy file; the latter holds the actor
            alone, so neither ``critic.*`` nor ``log_std`` is in the result.
        activation: Of the hidden layers of the run that starts from it.
        max_target_step: Of that run's task [rad], 0 for no limit. The base's must be the same, or
            the new policy would not act as its base where it should.

    Raises:
        ValueError: If the file is missing, is of another kind, or holds a policy that the training
            task would not run as the file says: another kind, activation, gains, limit on the step or observation.
    """
    if path.suffix != ".onnx":
        content = load_checkpoint(path, "cpu")
        kind = content.get("kind")
        if kind != "base":
            # A residual's actor would fit as well, and is no policy.
            raise CheckpointError(f"{path} is of a run of kind {kind}, expected base")
        params = read_params(path.parent)
        if params:
            _check_activation(path, params["config"].get("network", {}), activation)
            _check_step(path, params["config"]["task"].get("max_target_step"), max_target_step)
        return dict(content["model"])
    from aliengo_training.evaluation.policy import OnnxPolicy, as_policy_file

    policy = OnnxPolicy(as_policy_file(path))
    if policy.metadata["kind"] != "base":
        raise CheckpointError(f"{path} is a {policy.metadata['kind']} policy, expected a base")
    if not all(np.allclose(factor, 1.0) for factor in policy.gain_factors):
        raise CheckpointError(
            f"{path}: kp and kd are not the training task's, so it cannot start a run"
        )
    _check_step(path, policy.metadata.get("max_target_step"), max_target_step)
    probe = np.linspace(-1.0, 1.0, OBSERVATION_SIZE, dtype=np.float32)[None]
    if not np.allclose(policy.observation(probe), probe, atol=1e-6):
        raise CheckpointError(f"{path}: observation_terms are not the training task's")
    return _actor(path, activation)


def _check_activation(path: Path, network: Mapping[str, Any], wanted: str) -> None:
    found = network.get("activation", wanted)
    if found != wanted:
        raise CheckpointError(
            f"{path}: its activation is {found}, the run's is {wanted} (--cfg.network.activation)"
        )


def _check_step(path: Path, found: Optional[float], wanted: float) -> None:
    """Refuse a base whose limit on the targets' step, None for none, is not the run's."""
    if (found or 0.0) != wanted:
        raise CheckpointError(
            f"{path}: max_target_step of the base is {found or 0.0:g} rad, the run's is {wanted:g} "
            f"(0: none); give --cfg.task.max_target_step {found or 0.0:g}"
        )


def _actor(path: Path, activation: str) -> Dict[str, Tensor]:
    """The base's layers; in a sequential network every second module is an activation."""
    import onnx

    graph = onnx.load(str(path)).graph
    used = {node.op_type for node in graph.node} & {name for name, _ in ACTIVATIONS.values()}
    if used - {ACTIVATIONS[activation][0]}:
        raise CheckpointError(
            f"{path}: its activation is {', '.join(sorted(used))}, the run's is {activation} "
            "(--cfg.network.activation)"
        )
    state = {}
    for tensor in graph.initializer:
        match = _LAYER.match(tensor.name)
        if match:
            name = f"actor.{2 * int(match.group(1))}.{match.group(2)}"
            state[name] = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
    return state


def base_parts(base: Mapping[str, Tensor], networks: Mapping[str, nn.Module]) -> None:
    """Load the parts of a base into networks; a critic that the base lacks keeps its initial weights.

    Args:
        base: From `load_base_weights`.
        networks: By their prefix in `base`: ``actor``, and perhaps ``critic``.

    Raises:
        ValueError: If the base's networks have other sizes; names the parameters.
    """
    for prefix, network in networks.items():
        part = {k[len(prefix) + 1 :]: v for k, v in base.items() if k.startswith(f"{prefix}.")}
        if not part and prefix == "critic":
            continue
        try:
            network.load_state_dict(part)
        except RuntimeError as error:
            raise ValueError(
                f"the base checkpoint does not fit the configured networks: {error}"
            ) from error
