"""Which policy file a bring-up runs: a model by name, a file, or a training checkpoint to export.

Training is not needed to run a policy. Only a checkpoint needs it, and then in a process of its own, so
that a robot's control process never loads torch.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from aliengo_policy.graph import GraphSettings
from aliengo_policy.parameters import resolve_policy
from aliengo_policy.paths import shared_folder

# What users of the earlier deployment call the policies, and the tasks that train them.
POLICY_TYPES = {"amp": ("base", "aliengo_amp"), "residual": ("residual", "aliengo_residual")}
EXPORT_FOLDER = Path("logs/exported")
_EXPORT = "from aliengo_training.cli.export import main; main()"
_EXPORTER = b"2"
"""Counts the exporters whose results differ, so that no file of an earlier one is taken again."""


def prepare_policy(settings: GraphSettings, export_folder: Path = EXPORT_FOLDER) -> GraphSettings:
    """Replace the choice of a policy by the path of its ONNX file, exporting it if need be.

    Args:
        settings: ``checkpoint`` counts before ``policy_type``, and that before ``policy``.
        export_folder: where exported checkpoints go; one that is there already is used again.

    Raises:
        ValueError: for an unknown policy type, a missing checkpoint, or one that cannot be exported.
    """
    kind = settings.policy_type
    if kind and kind not in POLICY_TYPES:
        raise ValueError(f"policy_type must be one of {sorted(POLICY_TYPES)}, found {kind!r}")
    name, task = POLICY_TYPES.get(kind, (settings.policy, ""))
    path = resolve_policy(settings.checkpoint or name, shared_folder("models"))
    if path.suffix == ".pt":
        path = _export(path, task, export_folder)
    return replace(settings, policy=str(path), policy_type="", checkpoint="")


def _export(checkpoint: Path, task: str, folder: Path) -> Path:
    if not checkpoint.is_file():
        raise ValueError(f"checkpoint {checkpoint} does not exist")
    if importlib.util.find_spec("aliengo_training") is None:
        raise ValueError(
            f"checkpoint {checkpoint} must be exported, which needs aliengo_training: "
            "run `make setup`, or export it elsewhere and give the ONNX file"
        )
    digest = hashlib.sha256(checkpoint.read_bytes() + task.encode() + _EXPORTER).hexdigest()[:12]
    output = folder / f"{checkpoint.stem}-{digest}.onnx"
    if output.is_file():
        return output
    folder.mkdir(parents=True, exist_ok=True)
    line = [sys.executable, "-c", _EXPORT, "--checkpoint", str(checkpoint), "--output", str(output)]
    line += ["--task", task] if task else []
    result = subprocess.run(line, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ValueError(f"checkpoint {checkpoint} was not exported: {result.stderr.strip()}")
    return output
