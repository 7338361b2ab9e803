"""Run folders and checkpoints: `logs/<task>/<run>/model_<iteration>.pt`, `params.json`, `metrics.csv`."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import torch

SCHEMA_VERSION = 1
_NAME = re.compile(r"model_(\d+)\.pt$")


class CheckpointError(ValueError):
    """A checkpoint or run folder that cannot be used; the message says what was found and what is expected."""


def run_folder(log_root: Path, task: str, run: str) -> Path:
    """Folder of a run; the run may also be given as a path."""
    direct = Path(run)
    return direct if direct.is_dir() and any(direct.glob("model_*.pt")) else log_root / task / run


def iterations(folder: Path) -> List[int]:
    """Iterations that a run has checkpoints of, ascending."""
    found = (_NAME.search(path.name) for path in folder.glob("model_*.pt"))
    return sorted(int(match.group(1)) for match in found if match)


def find_checkpoint(folder: Path, iteration: Optional[int] = None) -> Path:
    """Path of one checkpoint of a run, by default the last.

    Raises:
        CheckpointError: If the run or the iteration does not exist; lists what does.
    """
    if not folder.is_dir():
        existing = (
            sorted(p.name for p in folder.parent.glob("*") if p.is_dir())
            if folder.parent.is_dir()
            else []
        )
        raise CheckpointError(
            f"no run folder {folder}; existing runs: {', '.join(existing) or 'none'}"
        )
    available = iterations(folder)
    if not available:
        raise CheckpointError(f"run {folder} has no model_<iteration>.pt")
    if iteration is None or iteration < 0:
        iteration = available[-1]
    if iteration not in available:
        raise CheckpointError(f"run {folder} has no checkpoint {iteration}; available: {available}")
    return folder / f"model_{iteration}.pt"


def save_checkpoint(path: Path, content: Dict[str, Any]) -> None:
    """Write a checkpoint atomically: a killed run never leaves half a file under the final name."""
    temporary = path.with_suffix(".tmp")
    torch.save({"schema_version": SCHEMA_VERSION, **content}, temporary)
    temporary.replace(path)


def read_torch(path: Path, device: str = "cpu") -> Any:
    """Read a PyTorch file without executing anything in it.

    Raises:
        CheckpointError: If there is no such file, or it holds something else than weights and data.
    """
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist")
    try:
        return torch.load(str(path), map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        lines = [line.strip() for line in str(error).splitlines() if "nsupported" in line]
        reason = lines[0] if lines else str(error)
        if not zipfile.is_zipfile(path):  # what torch.save has written since 2020, is
            raise CheckpointError(f"{path}: not a PyTorch checkpoint ({reason})") from error
        raise CheckpointError(
            f"{path}: holds something else than weights and is not loaded ({reason})"
        ) from error
    except Exception as error:  # the loader meets garbage with whatever error it runs into
        raise CheckpointError(f"{path}: not a PyTorch checkpoint ({error!r})") from error


def load_checkpoint(path: Path, device: str = "cpu") -> Dict[str, Any]:
    """Read a checkpoint without executing anything in it.

    Raises:
        CheckpointError: If the file is missing or is not one of ours.
    """
    content = read_torch(path, device)
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(
            f"{path} is not a checkpoint of schema version {SCHEMA_VERSION}; found {found}"
        )
    return content


def config_dict(config: Any) -> Dict[str, Any]:
    """A configuration dataclass as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_config_dict(kind: Any, values: Dict[str, Any], where: str = "config") -> Any:
    """Rebuild a configuration dataclass from `config_dict`'s values.

    Raises:
        CheckpointError: On an unknown key; names it and lists the known ones.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise CheckpointError(
            f"{where} has unknown key(s) {', '.join(unknown)}; allowed: {', '.join(sorted(fields))}"
        )
    default = kind() if _has_defaults(kind) else None
    arguments = {}
    for name, value in values.items():
        current = getattr(default, name, None)
        if dataclasses.is_dataclass(current) and isinstance(value, dict):
            value = from_config_dict(type(current), value, f"{where}.{name}")
        else:
            value = _tuples(value)
        arguments[name] = value
    return kind(**arguments)


def read_params(folder: Path) -> Dict[str, Any]:
    """A run's `params.json`; empty where it has none.

    Raises:
        CheckpointError: If the file is not a JSON object with a "config".
    """
    path = folder / "params.json"
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("config"), dict):
        raise CheckpointError(f'{path} has no "config", expected the parameters of a run')
    return document


def require_params(folder: Path) -> Dict[str, Any]:
    """A run's `params.json`.

    Raises:
        CheckpointError: If there is none, or it is not a JSON object with a "config".
    """
    document = read_params(folder)
    if not document:
        raise CheckpointError(
            f"{folder / 'params.json'} is missing: the run's parameters are needed"
        )
    return document


def _has_defaults(kind: Any) -> bool:
    missing = dataclasses.MISSING
    return all(
        f.default is not missing or f.default_factory is not missing
        for f in dataclasses.fields(kind)
    )


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that they were."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def actor_layers(state: Dict[str, Any], prefix: str) -> List[Tuple[torch.Tensor, torch.Tensor]]:
    """Weights and biases of a sequential network in a state dict, in order.

    Raises:
        CheckpointError: If nothing has that prefix; lists the prefixes that exist.
    """
    numbers = sorted(
        int(key[len(prefix) + 1 :].split(".")[0])
        for key in state
        if key.startswith(prefix + ".") and key.endswith(".weight")
    )
    if not numbers:
        present = sorted({key.split(".")[0] for key in state})
        raise CheckpointError(
            f"no network {prefix!r} in the checkpoint; present: {', '.join(present)}"
        )
    return [(state[f"{prefix}.{n}.weight"], state[f"{prefix}.{n}.bias"]) for n in numbers]
