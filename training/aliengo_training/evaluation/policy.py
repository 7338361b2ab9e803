"""A policy file as the evaluation runs it: the contract's observation in, raw actions out."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import onnx

from aliengo_description import robot
from aliengo_training.export import METADATA_KEY, export_policy, weights_sha256
from aliengo_training.gate import COMMAND_AXES
from aliengo_training.tasks.observations import ACTION_CLIP, OBSERVATION_TERMS

__all__ = ["OnnxPolicy", "PolicyFileError", "as_policy_file"]


#: Fields of the contract that are used here.
_NEEDED = (
    "action_clip",
    "action_scale",
    "command_ranges",
    "control_period_s",
    "default_joint_positions",
    "history_length",
    "joint_names",
    "kd",
    "kind",
    "kp",
    "observation_terms",
    "robot",
    "training",
    "weights_sha256",
)


class PolicyFileError(ValueError):
    """A policy file that cannot be evaluated; the message names the field and both values."""


def as_policy_file(path: Path) -> Path:
    """Return a policy file for ``path``: itself, or the export of a ``model_<iteration>.pt``.

    The export lasts as long as this process.

    Raises:
        PolicyFileError: If the file is missing or is of another kind.
    """
    if not path.is_file():
        raise PolicyFileError(f"policy {path} does not exist")
    if path.suffix == ".onnx":
        return path
    if path.suffix != ".pt":
        raise PolicyFileError(f"policy {path}: expected a .onnx or a .pt file")
    from aliengo_training.conversion import policy_from_checkpoint

    policy = policy_from_checkpoint(path)
    folder = Path(tempfile.mkdtemp(prefix="aliengo_policy_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    output = folder / f"{path.parent.name}_{path.stem}.onnx"
    export_policy(policy.spec, policy.base, output, policy.residual)
    return output


class OnnxPolicy:
    """Runs a policy file on the observations of a :class:`.LocomotionTask`.

    Args:
        path: The ``.onnx`` file.

    Attributes:
        metadata: The file's contract.

    Raises:
        PolicyFileError: If the file has no contract, contradicts it, or needs what the training
            task cannot give.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        model = onnx.load(str(path))
        self.metadata = _read_metadata(path, model)
        self._check(path, weights_sha256(model))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._columns, self._factor, self._low, self._high = self._observation_map(path)
        self._action_clip = min(float(self.metadata["action_clip"]), ACTION_CLIP)

    @property
    def name(self) -> str:
        """Kind, run and iteration, for titles."""
        training = self.metadata["training"]
        return f"{self.metadata['kind']} {training['run']} {training['iteration']}"

    @property
    def command_ranges(self) -> Dict[str, Tuple[float, float]]:
        """Lowest and highest vx, vy [m/s] and wz [rad/s] of its training."""
        ranges = self.metadata["command_ranges"]
        return {axis: (float(ranges[axis][0]), float(ranges[axis][1])) for axis in COMMAND_AXES}

    def beyond_ranges(self, commands: Sequence[Sequence[float]]) -> Optional[str]:
        """One line on the commands that the robot would clip but a simulation runs as they are.

        Args:
            commands: Each vx, vy [m/s] and wz [rad/s].

        Returns:
            The line, or None if all are within `command_ranges`.
        """
        # The robot's ranges always include standing.
        low, high = np.transpose([self.command_ranges[axis] for axis in COMMAND_AXES])
        low, high = np.minimum(low, 0.0) - 1e-6, np.maximum(high, 0.0) + 1e-6
        outside = [c for c in commands if np.any((np.array(c) < low) | (np.array(c) > high))]
        if not outside:
            return None
        ranges = ", ".join(f"{a} {v[0]:g} to {v[1]:g}" for a, v in self.command_ranges.items())
        listed = " ".join(",".join(f"{value:g}" for value in command) for command in outside)
        return (
            f"commands beyond its command_ranges ({ranges}) run here as given, the robot would clip "
            f"them: {listed}"
        )

    @property
    def gain_factors(self) -> Tuple[np.ndarray, np.ndarray]:
        """The policy's kp and kd over the robot's, each (12,)."""
        return (
            np.asarray(self.metadata["kp"]) / robot.KP,
            np.asarray(self.metadata["kd"]) / robot.KD,
        )

    def act(self, task_observation: np.ndarray) -> np.ndarray:
        """Raw actions (N, 12) for the task's observations (N, 45), after the contract's clip."""
        feed = {"observation": self.observation(task_observation)}
        (action,) = self._session.run(["action"], feed)
        return np.clip(action, -self._action_clip, self._action_clip)

    def observation(self, task_observation: np.ndarray) -> np.ndarray:
        """The task's observations (N, 45) ordered, scaled and clipped as the contract says."""
        observation = task_observation[:, self._columns] * self._factor
        return np.asarray(np.clip(observation, self._low, self._high), dtype=np.float32)

    def _check(self, path: Path, digest: str) -> None:
        expected: Dict[str, Any] = {
            "robot": "aliengo",
            "joint_names": list(robot.JOINT_NAMES),
            "control_period_s": float(robot.CONTROL_PERIOD_S),
            "history_length": 1,
            "weights_sha256": digest,
        }
        arrays = {
            "default_joint_positions": robot.DEFAULT_JOINT_POSITIONS,
            "action_scale": robot.ACTION_SCALE,
        }
        for field, value in expected.items():
            if self.metadata[field] != value:
                raise PolicyFileError(
                    f"{path}: {field} is {self.metadata[field]!r}, expected {value!r}"
                )
        for field, array in arrays.items():
            if not np.allclose(self.metadata[field], array, atol=1e-6):
                raise PolicyFileError(
                    f"{path}: {field} is {self.metadata[field]}, the task has {array.tolist()}"
                )

    def _observation_map(self, path: Path) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Where each number of the contract's observation is in the task's, and its factor."""
        places, start = {}, 0
        for term in OBSERVATION_TERMS:
            places[term.name] = (start, term)
            start += term.size
        columns: List[int] = []
        factor: List[float] = []
        bounds: List[Tuple[float, float]] = []
        for entry in self.metadata["observation_terms"]:
            if entry["name"] not in places:
                raise PolicyFileError(
                    f"{path}: observation term {entry['name']!r} is unknown, "
                    f"allowed are {', '.join(places)}"
                )
            begin, known = places[entry["name"]]
            if entry["size"] != known.size:
                raise PolicyFileError(
                    f"{path}: observation term {entry['name']!r} has size {entry['size']}, "
                    f"expected {known.size}"
                )
            columns += range(begin, begin + known.size)
            factor += [new / old for new, old in zip(entry["scale"], known.scale)]
            bounds += [(float(entry["clip"][0]), float(entry["clip"][1]))] * known.size
        low, high = np.array(bounds, dtype=np.float32).T
        return np.array(columns), np.array(factor, dtype=np.float32), low, high


def _read_metadata(path: Path, model: Any) -> Mapping[str, Any]:
    found = {entry.key: entry.value for entry in model.metadata_props}
    if METADATA_KEY not in found:
        raise PolicyFileError(
            f"{path} has no metadata {METADATA_KEY!r}, found {sorted(found) or 'none'}; "
            "make it with training/scripts/export.py"
        )
    metadata = json.loads(found[METADATA_KEY])
    missing = [field for field in _NEEDED if field not in metadata]
    if missing:
        raise PolicyFileError(f"{path}: metadata misses {', '.join(missing)}")
    return dict(metadata)
