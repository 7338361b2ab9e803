"""Checkpoints of other trainers: the AMP base for Isaac Gym, and residuals built upon it.

Such a file is read with ``weights_only``, so that nothing in it can run. The one class that the AMP
trainer pickles into it, its input normaliser, is known by name and read as plain data.
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import re
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional

import numpy as np
import torch

from aliengo_training.checkpoints import CheckpointError, read_torch
from aliengo_training.export import MlpWeights

__all__ = ["ImportedPolicy", "find_networks", "import_checkpoint", "read_foreign"]

#: Width of the observation that these actors see, and of their action.
_INPUTS, _OUTPUTS = 45, 12
#: Where trainers keep the weights of the policy.
_STATE_KEYS = ("model_state_dict", "actor_critic_state_dict", "state_dict", "model")
_LINEAR = re.compile(r"^(?P<network>.+)\.(?P<layer>\d+)\.(?P<kind>weight|bias)$")
#: The AMP trainer stores this network without using it, and hard-codes sigmoid in the others.
_UPSTREAM_MARK = "hist_encoder."
_ITERATION = re.compile(r"(\d+)\.pt$")


@dataclasses.dataclass(frozen=True)
class ImportedPolicy:
    """Actors found in a checkpoint.

    Attributes:
        base: The base actor, or the only one.
        residual: The residual actor, if there is one.
        iteration: Taken from the file's name (files of interrupted runs store a stale one), or -1.
        names: Which network of the file became what.
    """

    base: MlpWeights
    residual: Optional[MlpWeights]
    iteration: int
    names: Dict[str, str]


def import_checkpoint(
    path: Path, mapping: Optional[Mapping[str, str]] = None, activation: Optional[str] = None
) -> ImportedPolicy:
    """Find the actors in a checkpoint.

    Args:
        path: The ``.pt`` file.
        mapping: Network of the ``base``, and of the ``residual`` if there is one: what precedes the
            layer's number in the file's keys. Needed if the names do not tell.
        activation: Of the hidden layers. Files of the AMP trainer are known to use sigmoid; for
            others it must be given, since weights do not show it.

    Raises:
        CheckpointError: If the file is not a checkpoint, or its actors cannot be told apart; the
            message lists the networks that were found.
    """
    state = _policy_state(path, read_foreign(path))
    networks = find_networks(state)
    names = _choose(path, networks, mapping)
    if activation is None:
        if not any(key.startswith(_UPSTREAM_MARK) for key in state):
            raise CheckpointError(
                f"{path}: the activation of the hidden layers cannot be told from weights; export it "
                "with training/scripts/export.py --activation elu (or relu, leaky_relu, sigmoid, tanh)"
            )
        activation = "sigmoid"
    match = _ITERATION.search(path.name)
    residual = names.get("residual")
    return ImportedPolicy(
        base=MlpWeights(networks[names["base"]], activation),
        residual=None if residual is None else MlpWeights(networks[residual], activation),
        iteration=int(match.group(1)) if match else -1,
        names=names,
    )


def read_foreign(path: Path) -> Dict[str, Any]:
    """Read a checkpoint of another trainer without running anything in it.

    Raises:
        CheckpointError: If there is no such file, or it holds something else than weights and data.
    """
    with _known_classes():
        content = read_torch(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected a dictionary")
    return content


def find_networks(state: Mapping[str, Any]) -> Dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Return every plain perceptron of a state dict by name: its (weight, bias) pairs in order.

    A plain perceptron is a sequence of linear layers whose widths fit together.
    """
    layers: Dict[str, Dict[int, Dict[str, np.ndarray]]] = {}
    for key, value in state.items():
        match = _LINEAR.match(key)
        if match and isinstance(value, torch.Tensor):
            layer = layers.setdefault(match["network"], {}).setdefault(int(match["layer"]), {})
            layer[match["kind"]] = value.detach().to(torch.float32).numpy()
    networks = {}
    for name, by_number in layers.items():
        pairs = [(by_number[n].get("weight"), by_number[n].get("bias")) for n in sorted(by_number)]
        if _is_perceptron(pairs):
            networks[name] = pairs
    return networks  # type: ignore[return-value]


def _is_perceptron(pairs: list[tuple[Optional[np.ndarray], Optional[np.ndarray]]]) -> bool:
    """Whether weights and biases are complete and each layer takes what the one before gives."""
    width = None
    for weight, bias in pairs:
        if weight is None or bias is None or weight.ndim != 2 or bias.shape != weight.shape[:1]:
            return False
        if width is not None and weight.shape[1] != width:
            return False
        width = weight.shape[0]
    return True


def _choose(
    path: Path,
    networks: Mapping[str, list[tuple[np.ndarray, np.ndarray]]],
    mapping: Optional[Mapping[str, str]],
) -> Dict[str, str]:
    """Return which network is the base and which, if any, the residual."""
    shapes = {name: MlpWeights(pairs).shape for name, pairs in networks.items()}
    listing = ", ".join(f"{name} {'-'.join(map(str, s))}" for name, s in sorted(shapes.items()))
    found = f"networks found: {listing or 'none'}"
    if mapping is not None:
        if "base" not in mapping or not set(mapping) <= {"base", "residual"}:
            raise CheckpointError(
                f"{path}: the mapping names {sorted(mapping)}: expected base, or base and residual"
            )
        for role, name in mapping.items():
            if name not in networks:
                raise CheckpointError(f"{path}: no network {name!r} for the {role}; {found}")
        return dict(mapping)
    actors = [n for n, s in shapes.items() if (s[0], s[-1]) == (_INPUTS, _OUTPUTS)]
    if len(actors) == 1:
        return {"base": actors[0]}
    residuals = [name for name in actors if "res" in name.lower()]
    bases = [name for name in actors if name not in residuals]
    if len(residuals) == 1 and len(bases) == 1:
        return {"base": bases[0], "residual": residuals[0]}
    problem = f"{len(actors)} networks take {_INPUTS} numbers and give {_OUTPUTS}"
    if actors:
        problem += f" ({', '.join(sorted(actors))}) and their names do not tell base from residual"
        problem += ": say which is which with a mapping"
    raise CheckpointError(f"{path}: {problem}; {found}")


def _policy_state(path: Path, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the state dict of the policy inside a checkpoint."""
    for key in _STATE_KEYS:
        if isinstance(content.get(key), Mapping):
            state: Mapping[str, Any] = content[key]
            return state
    if any(isinstance(value, torch.Tensor) for value in content.values()):
        return content
    raise CheckpointError(
        f"{path}: no policy weights under {list(_STATE_KEYS)}; "
        f"keys found: {sorted(map(str, content))}"
    )


class _Normalizer:
    """Takes the place of the AMP trainer's input normaliser: plain attributes, no behaviour."""


def _named(target: Any, module: str, name: str) -> Any:
    """Return a stand-in for ``target`` that the loader knows as ``module.name``."""

    def stand_in(*arguments: Any) -> Any:
        return target(*arguments)

    stand_in.__module__, stand_in.__name__, stand_in.__qualname__ = module, name, name
    return stand_in


@contextlib.contextmanager
def _known_classes() -> Iterator[None]:
    """Let the loader read the normaliser and numpy arrays, by whichever name numpy pickled them."""
    _Normalizer.__module__ = "rl.utils.utils"
    _Normalizer.__name__ = _Normalizer.__qualname__ = "Normalizer"
    multiarray = getattr(np, "_core", None) or np.core
    known: list[Any] = [_Normalizer, np.ndarray, np.dtype, codecs.encode]
    known += [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        known.append(_named(multiarray.multiarray._reconstruct, module, "_reconstruct"))
        known.append(_named(multiarray.multiarray.scalar, module, "scalar"))
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(known)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)
